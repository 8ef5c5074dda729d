# SPDX-License-Identifier: MIT
"""How a program gets mounts of its own here. Run as a program, prints the
words to put before its command, or nothing where there is no way."""
import os
import subprocess
import tempfile

PLAIN = ["unshare", "-m"]
# In a chroot the root is no mount point, whose propagation unshare(1) could
# change.
CHROOT = ["unshare", "-m", "--propagation", "unchanged"]


def _stays_inside(prefix):
    """Whether a mount made behind this prefix is seen there and not here."""
    with tempfile.TemporaryDirectory(prefix="rm") as d:
        inside = subprocess.Popen(
            [*prefix, "sh", "-c", 'mount -t tmpfs tmpfs "$1" && : >"$1/x" '
             '&& echo up && read x; umount "$1"', "sh", d],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        try:
            up = inside.stdout.readline() == b"up\n"
            return up and not os.path.exists(os.path.join(d, "x"))
        finally:
            inside.stdin.close()
            inside.stdout.close()
            inside.wait()


def prefix():
    for p in (PLAIN, CHROOT):
        if _stays_inside(p):
            return p
    return None


if __name__ == "__main__":
    print(*(prefix() or []))
