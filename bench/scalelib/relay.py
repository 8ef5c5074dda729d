# SPDX-License-Identifier: MIT
"""The relay under the load: a real `rigway relay`, killed and started again,
and what the kernel says of it."""
import os
import subprocess
import time

from peerlib.processes import is_listening, pss_kib, wait_for


def _field(path, name):
    try:
        with open(path) as f:
            for line in f:
                if line.startswith(name + ":"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


class Relay:
    def __init__(self, rigway, home, port, folder):
        self.rigway, self.port = rigway, port
        self.env = dict(os.environ, RIGWAY_HOME=home)
        self.log = open(os.path.join(folder, "relay.log"), "a")
        self.proc = None

    def start(self):
        """Returns when it was started, by time.monotonic()."""
        began = time.monotonic()
        self.proc = subprocess.Popen(
            [self.rigway, "relay", "--standby", "--listen",
             f"127.0.0.1:{self.port}"],
            env=self.env, stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log)
        wait_for("the relay listens", lambda: is_listening(self.port), 20)
        return began

    def kill(self):
        self.proc.kill()
        self.proc.wait()

    def stop(self):
        if self.proc and self.proc.poll() is None:
            self.kill()
        self.log.close()

    def cpu_s(self):
        """What its threads ran so far, to the nanosecond."""
        folder, ns = f"/proc/{self.proc.pid}/task", 0
        for task in os.listdir(folder):
            with open(f"{folder}/{task}/schedstat") as f:
                ns += int(f.read().split()[0])
        return ns / 1e9

    def wakings(self):
        return _field(f"/proc/{self.proc.pid}/status",
                      "voluntary_ctxt_switches")

    def fds(self):
        """How many descriptors; one look, where Linux is 6.2 or later."""
        path = f"/proc/{self.proc.pid}/fd"
        return os.stat(path).st_size or len(os.listdir(path))

    def memory(self):
        """KiB, and descriptors."""
        pid = self.proc.pid
        return {
            "pss": pss_kib(pid),
            "rss": _field(f"/proc/{pid}/status", "VmRSS"),
            "anon": _field(f"/proc/{pid}/status", "RssAnon"),
            "rss_peak": _field(f"/proc/{pid}/status", "VmHWM"),
            "fds": self.fds(),
        }
