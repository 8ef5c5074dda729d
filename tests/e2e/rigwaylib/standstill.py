# SPDX-License-Identifier: MIT
"""A clock that stands still while its machine sleeps, as a real one does: for a
program that is started with env(). Without it a stopped process finds out by
its timers, which all come late; with it only CLOCK_BOOTTIME tells."""
import os
import struct
import time

from . import proc


class Clock:
    def __init__(self, folder):
        self.path = os.path.join(folder, "standstill")
        self.lib = self.path + ".so"
        r = proc.run(["gcc", "-shared", "-fPIC", "-O1", "-o", self.lib,
                      proc.lib("standstill.c"), "-ldl"])
        assert r.rc == 0, repr(r)
        self.slept, self.since = 0, None
        self._write()

    def _write(self):
        with open(self.path, "r+b" if os.path.exists(self.path)
                  else "wb") as f:
            f.write(struct.pack("q", self.slept))

    def env(self):
        return {"LD_PRELOAD": self.lib, "STANDSTILL": self.path}

    def stop(self):
        self.since = time.monotonic_ns()

    def go_on(self):
        self.slept += time.monotonic_ns() - self.since
        self._write()
