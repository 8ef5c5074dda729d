# SPDX-License-Identifier: MIT
"""A tiny disk for a RIGWAY_HOME, and ways to fill it."""
import os
import subprocess

from . import proc


class Disk:
    """A tmpfs at path, mounted in this process's mount namespace (./test
    gives pytest one of its own)."""

    def __init__(self, path, size="512k", inodes=400):
        self.path = path
        os.makedirs(path, mode=0o700, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o",
                        f"size={size},nr_inodes={inodes},mode=700", "tmpfs",
                        path], check=True, env=proc.base_env())
        self.filler = os.path.join(path, "filler")

    def fill(self):
        """Not one more byte: every block that is left goes into a file."""
        fd = os.open(self.filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND,
                     0o600)
        try:
            for n in (65536, 4096, 1):
                try:
                    while True:
                        os.write(fd, bytes(n))
                except OSError as e:
                    assert e.errno == 28, e
        finally:
            os.close(fd)

    def fill_inodes(self):
        """Not one more file."""
        os.makedirs(self.filler, exist_ok=True)
        i = 0
        try:
            while True:
                os.close(os.open(os.path.join(self.filler, str(i)),
                                 os.O_WRONLY | os.O_CREAT, 0o600))
                i += 1
        except OSError as e:
            assert e.errno == 28, e

    def freeze(self):
        """Nothing can be written."""
        subprocess.run(["mount", "-o", "remount,ro", self.path], check=True,
                       env=proc.base_env())

    def free(self):
        if os.path.isdir(self.filler):
            for f in os.listdir(self.filler):
                os.unlink(os.path.join(self.filler, f))
            os.rmdir(self.filler)
        elif os.path.exists(self.filler):
            os.unlink(self.filler)

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=False,
                       env=proc.base_env(), stderr=subprocess.DEVNULL)


def reason_without():
    if os.getuid() != 0:
        return "only root may mount a small disk"
    return None
