# SPDX-License-Identifier: MIT
"""The load: bench/scalelib/crowd.c, and what it reports ten times a second."""
import os
import subprocess
import threading
import time

from peerlib.processes import Failed


class Sample:
    """rigs and sessions are those of now; welcomes and dials have been so
    far."""

    def __init__(self, line):
        part = line.split()
        self.t = float(part[0])
        self.rigs, self.sessions, self.welcomes, self.dials = map(
            int, part[1:])


class Crowd:
    def __init__(self, program, home, opt, port):
        self.rigs, self.sessions = opt.rigs, opt.sessions
        self.samples = []
        env = dict(os.environ, RIGWAY_HOME=home)
        self.proc = subprocess.Popen(
            [program, str(opt.rigs), str(opt.sessions), str(opt.fleets),
             str(port), str(opt.processes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=env)
        if self.proc.stdout.readline().strip() != "ready":
            raise Failed("the load did not start")
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.proc.stdout:
            self.samples.append(Sample(line))

    def say(self, word):
        self.proc.stdin.write(word + "\n")
        self.proc.stdin.flush()

    def now(self):
        """The next sample."""
        return self.until("a sample of the load", lambda s: True, 10)

    def until(self, what, is_so, seconds):
        """The first sample from now on of which it is so."""
        end, seen = time.monotonic() + seconds, len(self.samples)
        while time.monotonic() < end:
            if self.proc.poll() is not None:
                raise Failed("the load ended")
            while seen < len(self.samples):
                if is_so(self.samples[seen]):
                    return self.samples[seen]
                seen += 1
            time.sleep(0.02)
        last = self.samples[-1]
        raise Failed(f"{what}: not within {seconds:g} s; {last.rigs} rigs and "
                     f"{last.sessions} sessions")

    def all_up(self, seconds):
        return self.until(
            "all are connected",
            lambda s: (s.rigs, s.sessions) == (self.rigs, self.sessions),
            seconds)

    def processes(self):
        """The parent and its workers."""
        path = f"/proc/{self.proc.pid}/task/{self.proc.pid}/children"
        with open(path) as f:
            return [self.proc.pid] + [int(p) for p in f.read().split()]

    def stop(self):
        self.proc.stdin.close()
        try:
            self.proc.wait(10)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
