# SPDX-License-Identifier: MIT
"""Free ports, below the range that the kernel gives to outgoing connections,
so that a port which was free stays free; each test process has its own range.
"""
import os
import random
import socket

_LOW, _SPAN = 10000, 5400
_worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
_index = int("".join(c for c in _worker if c.isdigit()) or 0) % 4
_base = _LOW + _index * _SPAN
_next = random.randrange(_SPAN)


def _is_free(port):
    for family, addr in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        try:
            s = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue
        with s:
            if family == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((addr, port))
            except OSError as e:
                if family == socket.AF_INET:
                    return False
                if e.errno == 98:
                    return False
    return True


def freeport():
    global _next
    for _ in range(_SPAN):
        port = _base + _next
        _next = (_next + 1) % _SPAN
        if _is_free(port):
            return port
    raise OSError("no free port")


def is_open(port, host="127.0.0.1", timeout=1.0):
    try:
        socket.create_connection((host, port), timeout).close()
        return True
    except OSError:
        return False
