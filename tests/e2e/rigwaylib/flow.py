# SPDX-License-Identifier: MIT
"""Byte-exact transfers over a TCP port, from this process or as a program:

  flow.py upload   HOST PORT N     sends the pattern, then compares the answer
  flow.py download HOST PORT N     reads to the end and compares
Each prints one line of JSON: how it ended ("eof", "reset", "timeout"), how many
bytes, whether each of them was right, the hash.
"""
import hashlib
import json
import os
import select
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rigwaylib.servers import CHUNK, chunk, pattern, pattern_hash  # noqa: E402


def connect(port, host="127.0.0.1", timeout=20.0, sndbuf=None):
    s = socket.create_connection((host, port), timeout)
    if sndbuf is not None:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sndbuf)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def upload(port, n, host="127.0.0.1", timeout=120.0, progress=None):
    """Sends n bytes of the pattern to a sink, half-closes, reads its line."""
    r = {"end": "eof", "bytes": 0, "right": False}
    with connect(port, host, timeout) as s:
        s.settimeout(timeout)
        try:
            for c in pattern(n):
                s.sendall(c)
                r["bytes"] += len(c)
                if progress:
                    progress(r["bytes"])
            s.shutdown(socket.SHUT_WR)
            line = b""
            while not line.endswith(b"\n"):
                d = s.recv(4096)
                if not d:
                    break
                line += d
            r["answer"] = line.decode().strip()
            r["right"] = r["answer"] == f"{pattern_hash(n)} {n}"
        except (ConnectionResetError, BrokenPipeError):
            r["end"] = "reset"
        except TimeoutError:
            r["end"] = "timeout"
    return r


def download(port, n, host="127.0.0.1", timeout=120.0, progress=None):
    """Reads to the end from a source of n bytes. "right": every byte that
    came is the one that was sent; "whole": all of them came."""
    r = {"end": "eof", "bytes": 0, "right": True}
    h = hashlib.sha256()
    with connect(port, host, timeout) as s:
        s.settimeout(timeout)
        rest, i = b"", 0
        try:
            while True:
                d = s.recv(1 << 18)
                if not d:
                    break
                h.update(d)
                r["bytes"] += len(d)
                rest += d
                while len(rest) >= CHUNK:
                    r["right"] &= rest[:CHUNK] == chunk(i)
                    rest, i = rest[CHUNK:], i + 1
                if progress:
                    progress(r["bytes"])
        except ConnectionResetError:
            r["end"] = "reset"
        except TimeoutError:
            r["end"] = "timeout"
        r["right"] &= chunk(i).startswith(rest) and r["bytes"] <= n
        r["whole"] = r["end"] == "eof" and r["bytes"] == n and r["right"]
        r["hash"] = h.hexdigest()
    return r


class Background(threading.Thread):
    """A transfer that goes on while the test does something to it."""

    def __init__(self, what, port, n, **kw):
        super().__init__(daemon=True)
        self.at, self.result, self.error = 0, None, None
        self._call = lambda: what(port, n, progress=self._progress, **kw)
        self.start()

    def _progress(self, n):
        self.at = n

    def run(self):
        try:
            self.result = self._call()
        except BaseException as e:  # shown by end()
            self.error = e

    def end(self, timeout=120.0):
        self.join(timeout)
        if self.error is not None:
            raise self.error
        assert self.result is not None, f"stuck at {self.at} bytes"
        return self.result


def ping(s, data, timeout=20.0):
    """Sends data to an echo server and reads it back, byte for byte."""
    s.settimeout(timeout)
    s.sendall(data)
    got = b""
    while len(got) < len(data):
        d = s.recv(len(data) - len(got))
        assert d, f"ended after {len(got)} of {len(data)} bytes"
        got += d
    assert got == data


def has_news(s):
    """Whether bytes, an end or a reset are there to be read."""
    return bool(select.select([s], [], [], 0)[0])


def read_all(s, timeout=20.0):
    s.settimeout(timeout)
    got = bytearray()
    while True:
        d = s.recv(1 << 16)
        if not d:
            return bytes(got)
        got += d


def main():
    what, host, port, n = sys.argv[1:5]
    f = {"upload": upload, "download": download}[what]
    r = f(int(port), int(n), host=host)
    print(json.dumps(r))
    sys.exit(0 if r["right"] and r["end"] == "eof" else 1)


if __name__ == "__main__":
    main()
