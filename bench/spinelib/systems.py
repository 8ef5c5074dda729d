# SPDX-License-Identifier: MIT
"""The systems that are measured: how each is started, and its processes."""
import getpass
import os
import re
import shutil
import signal
import subprocess
import time

from spinelib.processes import (
    MARK, Failed, cpu_seconds, free_ports, has_mark, is_listening,
    processes, pss_kib, reap, wait_for)


class System:
    """One way from the front port to the service's port. Subclasses start
    its parts; every process of it carries the mark or descends from one
    that does, and is ended by pid."""
    name = ""
    what = ""

    def __init__(self, args, service, folder):
        self.args, self.service = args, service
        self.dir = os.path.join(folder, self.name)
        self.front = None
        self.started = []
        self.mark = f"{os.getpid()}-{self.name}"
        os.makedirs(self.dir, exist_ok=True)

    def missing(self):
        """What is missing to measure this one, in words; empty if nothing."""
        return ""

    def start(self):
        raise NotImplementedError

    def spawn(self, argv, label, env=None, stdout=None):
        log = open(os.path.join(self.dir, label + ".log"), "ab")
        full = dict(os.environ, **{MARK: self.mark}, **(env or {}))
        proc = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=stdout or log, stderr=log,
            env=full, start_new_session=True)
        log.close()
        proc.label = label
        self.started.append(proc)
        return proc

    def check_alive(self):
        for p in self.started:
            if p.poll() is not None:
                raise Failed(f"{p.label} ended with status {p.returncode}: "
                             + self.tail(p.label))
        return True

    def tail(self, label):
        try:
            with open(os.path.join(self.dir, label + ".log"),
                      errors="replace") as f:
                return " | ".join(f.read().strip().splitlines()[-3:])
        except OSError:
            return "(no log)"

    def pids(self):
        """All processes of this system that live now."""
        table = processes()
        ours = {p.pid for p in self.started if p.pid in table}
        ours |= {pid for pid in table if has_mark(pid, self.mark)}
        while True:
            more = {pid for pid, parent in table.items()
                    if parent in ours and pid not in ours}
            if not more:
                return ours - {os.getpid()}
            ours |= more

    def cpu(self):
        return sum(cpu_seconds(pid) for pid in self.pids())

    def pss_mib(self):
        return sum(pss_kib(pid) for pid in self.pids()) / 1024

    def cpu_by_part(self):
        """CPU seconds of each process, under its command line."""
        return {f"{pid} " + part_name(pid).replace(self.dir + "/", ""):
                cpu_seconds(pid) for pid in self.pids()}

    def settle(self):
        """Waits for what a sample left behind (children that still end)."""
        end = time.monotonic() + 3
        last = -1.0
        while time.monotonic() < end:
            now = self.cpu()
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


def part_name(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            words = f.read().decode(errors="replace").split("\0")
    except OSError:
        return "?"
    words[0] = os.path.basename(words[0])
    return " ".join(w for w in words if w)[:100]


class Direct(System):
    name = "none"
    what = "no tunnel"

    def start(self):
        self.front = self.service


class Socat(System):
    name = "socat"
    what = "three plain copies (socat)"

    def missing(self):
        return "" if shutil.which("socat") else "socat is not installed"

    def start(self):
        ports = free_ports(3)
        hops = zip(ports, ports[1:] + [self.service])
        for label, (here, there) in zip(("laptop", "relay", "rig"), hops):
            self.spawn(
                ["socat", "-b", str(self.args.socat_buffer),
                 f"TCP-LISTEN:{here},bind=127.0.0.1,fork,reuseaddr,"
                 "backlog=128,nodelay",
                 f"TCP:127.0.0.1:{there},nodelay"], label)
        self.front = ports[0]
        wait_for("socat listens", lambda: self.check_alive() and
                 all(is_listening(p) for p in ports))


class Ssh(System):
    """The box keeps ssh -R to the relay's sshd; the laptop goes with
    ssh -L to the relay and with a second ssh, started there, through the
    reverse port to the box's sshd and -L to the service."""
    name = "ssh"
    what = "OpenSSH: reverse tunnel, ssh in ssh"

    def missing(self):
        need = {"ssh": "openssh-client", "ssh-keygen": "openssh-client"}
        for tool, package in need.items():
            if not shutil.which(tool):
                return f"{package} is not installed"
        if not os.path.exists("/usr/sbin/sshd"):
            return "openssh-server is not installed"
        return ""

    def path(self, name):
        return os.path.join(self.dir, name)

    def sshd(self, name, port):
        """One sshd on loopback with a throw-away key of its own."""
        self.keygen("hk_" + name)
        with open(self.path(name + ".conf"), "w") as f:
            f.write(f"ListenAddress 127.0.0.1\nPort {port}\n"
                    f"HostKey {self.path('hk_' + name)}\n"
                    f"AuthorizedKeysFile {self.path('id.pub')}\n"
                    "PidFile none\nStrictModes no\nUsePAM no\n"
                    "PasswordAuthentication no\n"
                    "KbdInteractiveAuthentication no\n"
                    "PermitRootLogin prohibit-password\n")
        with open(self.path("hk_" + name + ".pub")) as f:
            key = " ".join(f.read().split()[:2])
        # the box is met as the relay's reverse port; its key as an alias
        with open(self.path("known_hosts"), "a") as f:
            f.write(f"{name} {key}\n")
        self.spawn(["/usr/sbin/sshd", "-D", "-e", "-f",
                    self.path(name + ".conf")], "sshd-" + name)

    def keygen(self, name):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                        self.path(name)], check=True,
                       stdin=subprocess.DEVNULL)

    def config(self, hosts):
        with open(self.path("config"), "w") as f:
            for name, port in hosts.items():
                f.write(f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n"
                        f"  HostKeyAlias {name}\n")
            f.write(f"Host *\n  User {getpass.getuser()}\n"
                    f"  IdentityFile {self.path('id')}\n"
                    "  IdentitiesOnly yes\n  BatchMode yes\n"
                    f"  UserKnownHostsFile {self.path('known_hosts')}\n"
                    "  GlobalKnownHostsFile /dev/null\n"
                    "  StrictHostKeyChecking yes\n"
                    "  ExitOnForwardFailure yes\n")

    def start(self):
        relay, box, reverse, middle, front = free_ports(5)
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        self.keygen("id")
        self.sshd("relay", relay)
        self.sshd("box", box)
        self.config({"relay": relay, "box": reverse})
        wait_for("sshd listens", lambda: self.check_alive() and
                 is_listening(relay) and is_listening(box))
        ssh = ["ssh", "-F", self.path("config")]
        self.spawn(ssh + ["-N", "-R",
                          f"127.0.0.1:{reverse}:localhost:{box}", "relay"],
                   "box-keeps-R")
        wait_for("the reverse port", lambda: self.check_alive() and
                 is_listening(reverse))
        inner = (f"ssh -F {self.path('config')} -N "
                 f"-L {middle}:localhost:{self.service} box")
        self.spawn(ssh + ["-L", f"{front}:localhost:{middle}", "relay",
                          inner], "laptop")
        self.front = front
        wait_for("the chain", lambda: self.check_alive() and
                 is_listening(middle) and is_listening(front))


class Rigway(System):
    name = "rigway"
    what = "rigway, through its relay"

    def missing(self):
        if os.access(self.args.rigway, os.X_OK):
            return ""
        return f"no program {self.args.rigway} (build it, or --rigway PATH)"

    def home(self, name):
        """The environment of one of the three machines."""
        home = os.path.join(self.dir, name)
        os.makedirs(home, mode=0o700, exist_ok=True)
        # Rig and laptop share this machine: the relay is what is measured.
        with open(os.path.join(home, "rigway.yml"), "w") as f:
            f.write("rig:\n  probe_port: 0\nclient:\n  paths: relay\n")
        return {"RIGWAY_HOME": home}

    def code(self, argv, home, label):
        """Runs a command that prints a code as its last line on stdout."""
        full = dict(os.environ, **{MARK: self.mark}, **self.home(home))
        done = subprocess.run(
            [self.args.rigway] + argv, env=full, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=30)
        with open(os.path.join(self.dir, label + ".log"), "a") as f:
            f.write(done.stdout + done.stderr)
        if done.returncode != 0:
            raise Failed(f"rigway {argv[0]} ended with status "
                         f"{done.returncode}: {done.stderr.strip()[-300:]}")
        lines = [x.strip() for x in done.stdout.splitlines() if x.strip()]
        return lines[-1] if lines else ""

    def relay_code(self, out):
        """The first rig's code: the last line that the relay has printed."""
        with open(out) as f:
            text = f.read()
        lines = [x.strip() for x in text.splitlines() if x.strip()]
        if not lines or not text.endswith("\n"):
            return ""
        return lines[-1] if re.fullmatch(r"\S{40,}", lines[-1]) else ""

    def start(self):
        relay, front = free_ports(2)
        rigway = self.args.rigway
        out = os.path.join(self.dir, "relay.out")
        with open(out, "wb") as f:
            self.spawn([rigway, "relay", "--listen", f"127.0.0.1:{relay}"],
                       "relay", env=self.home("relay"), stdout=f)
        code = wait_for("the relay's code", lambda: self.check_alive() and
                        self.relay_code(out))
        wait_for("the relay listens", lambda: is_listening(relay))
        lap = self.code(["join", code, "--no-start", "--name", "desk"],
                        "rig", "rig-join")
        self.spawn([rigway, "rig"], "rig", env=self.home("rig"))
        self.code(["join", lap], "lap", "lap-join")
        self.spawn([rigway, "forward", "--foreground", "desk",
                    f"{front}:127.0.0.1:{self.service}"], "laptop",
                   env=self.home("lap"))
        self.front = front
        wait_for("the forward", lambda: self.check_alive() and
                 is_listening(front))


SYSTEMS = [Direct, Socat, Ssh, Rigway]
