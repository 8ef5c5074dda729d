# SPDX-License-Identifier: MIT
"""What all systems have: their parts are started, watched and ended here."""
import json
import os
import shutil
import signal
import subprocess
import time

from peerlib.processes import (
    MARK, Failed, cpu_seconds, echoes, has_mark, is_listening, processes,
    pss_kib, reap, wait_for)

# Daemons are where not every user's PATH looks.
PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


class System:
    """One way from the front port to the service's port. Subclasses start
    its parts; every process of it carries the mark or descends from one
    that does, and is ended by pid."""
    name = ""
    what = ""
    needs = {}              # program -> the Debian package it is in
    variable = None         # says where the programs are that no package has
    idle_most = 10 ** 9     # idle streams that this one can be asked to hold

    def __init__(self, args, service, folder):
        self.args, self.service, self.folder = args, service, folder
        self.front, self.started, self.times = None, [], 0
        self.mark = f"{os.getpid()}-{self.name}"

    def missing(self):
        """What is missing to measure this one, in words; empty if nothing."""
        for name, package in self.needs.items():
            if self.program(name):
                continue
            if self.variable:
                return (f"{name} is not installed, and {self.variable} does "
                        "not say where it is")
            return f"{package} is not installed"
        return ""

    def program(self, name):
        """Where it is, or None. The variable names it, or its folder."""
        given = os.environ.get(self.variable or "", "")
        if os.path.isdir(given):
            given = os.path.join(given, name)
        return shutil.which(given or name, path=PATH)

    def start(self):
        """Starts all parts, and sets the front port."""
        raise NotImplementedError

    def up(self):
        """A new one, in a folder of its own, until a byte went through it."""
        self.times += 1
        self.dir = os.path.join(self.folder, f"{self.name}-{self.times}")
        os.makedirs(self.dir)
        self.started = []
        self.start()
        wait_for("the first echo", lambda: self.check_alive() and
                 echoes(self.front))

    def stdio(self, port):
        """A command that joins stdin and stdout to this port at the rig, and
        its environment; or None."""
        return None

    # For start()

    def path(self, name):
        return os.path.join(self.dir, name)

    def file(self, name, text):
        """Writes a file of settings, JSON if it is no text yet."""
        with open(self.path(name), "w") as f:
            f.write(text if isinstance(text, str) else json.dumps(text))
        return self.path(name)

    def env(self, **more):
        return dict(os.environ, **{MARK: self.mark}, **more)

    def words(self, argv):
        return [self.program(argv[0])] + [str(a) for a in argv[1:]]

    def spawn(self, label, *argv, stdout=None, **env):
        with open(self.path(label + ".log"), "ab") as log:
            proc = subprocess.Popen(
                self.words(argv), stdin=subprocess.DEVNULL,
                stdout=stdout or log, stderr=log, env=self.env(**env),
                start_new_session=True)
        proc.label = label
        self.started.append(proc)

    def run(self, *argv, **env):
        """Runs a command to its end, and returns what it printed."""
        done = subprocess.run(self.words(argv), env=self.env(**env),
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=30)
        if done.returncode != 0:
            raise Failed(f"{' '.join(argv[:2])} ended with status "
                         f"{done.returncode}: {done.stderr.strip()[-300:]}")
        return done.stdout

    def listens(self, *ports):
        wait_for(f"{self.name} listens", lambda: self.check_alive() and
                 all(is_listening(p) for p in ports))

    def check_alive(self):
        for p in self.started:
            if p.poll() is not None:
                raise Failed(f"{p.label} ended with status {p.returncode}: "
                             + self.tail(p.label))
        return True

    def tail(self, label):
        with open(self.path(label + ".log"), errors="replace") as f:
            return " | ".join(f.read().strip().splitlines()[-3:])

    # For the samples

    def pids(self, label=None):
        """All processes of this system that live now, or those of one part."""
        table = processes()
        ours = {p.pid for p in self.started
                if p.pid in table and label in (None, p.label)}
        if label is None:
            ours |= {pid for pid in table if has_mark(pid, self.mark)}
        while True:
            more = {pid for pid, parent in table.items()
                    if parent in ours and pid not in ours}
            if not more:
                return ours - {os.getpid()}
            ours |= more

    def cpu(self):
        """CPU seconds of each process so far."""
        return {pid: cpu_seconds(pid) for pid in self.pids()}

    def pss(self):
        """KiB of each process, shared pages counted once."""
        return {pid: pss_kib(pid) for pid in self.pids()}

    def windows(self):
        """Bytes of memory that hold what is on its way, as the system itself
        says; None if it does not."""
        return None

    def rest(self):
        """What pss() says, once nothing has changed for 1.5 s (10 s at most):
        what a burst took is given back by some only when all is quiet."""
        end = time.monotonic() + 10
        now, since = self.pss(), time.monotonic()
        while time.monotonic() < min(end, since + 1.5):
            time.sleep(0.1)
            last, now = now, self.pss()
            if now != last:
                since = time.monotonic()
        return now

    def part(self, pid):
        """Its command, short enough for a table."""
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().decode(errors="replace").split("\0")
        except OSError:
            return "?"
        words[0] = os.path.basename(words[0])
        return " ".join(w for w in words if w).replace(
            self.dir + "/", "")[:100]

    def settle(self):
        """Waits for what a sample left behind (children that still end)."""
        end = time.monotonic() + 3
        last = -1.0
        while time.monotonic() < end:
            now = sum(self.cpu().values())
            if now - last <= 0.011:
                return
            last = now
            time.sleep(0.1)

    def stop(self):
        pids = self.pids()
        for sig, seconds in ((signal.SIGTERM, 3), (signal.SIGKILL, 3)):
            for pid in pids:
                try:
                    os.kill(pid, sig)
                except ProcessLookupError:
                    pass
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for p in self.started:
                    p.poll()
                pids = {pid for pid in pids if not reap(pid)}
                if not pids:
                    return
                time.sleep(0.02)

