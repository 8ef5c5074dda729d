# SPDX-License-Identifier: MIT
"""A program on a terminal: a person sits before it."""
import fcntl
import os
import pty
import re
import struct
import termios
import threading

from .poll import wait_for


class Terminal:
    def __init__(self, home, *argv, env=None):
        self.fd, side = pty.openpty()
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", 40, 120, 0, 0))
        self.out = ""
        # setsid --ctty: Ctrl-C is a character here, as for a person.
        self.p = home.popen("setsid", "--ctty", "--wait", *argv, stdin=side,
                            stdout=side, stderr=side, env=env)
        os.close(side)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            while True:
                d = os.read(self.fd, 65536)
                if not d:
                    return
                self.out += d.decode(errors="replace")
        except OSError:
            pass

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait_text(self, pattern, timeout=30.0, after=0):
        try:
            return wait_for(lambda: re.search(pattern, self.out[after:]),
                            timeout, f"{pattern!r} on the terminal")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.out[-3000:]}") from None

    def end(self, timeout=30.0):
        """Waits for the program; its exit status."""
        rc = self.p.wait(timeout)
        self.reader.join(5)
        os.close(self.fd)
        return rc
