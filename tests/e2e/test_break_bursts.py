# SPDX-License-Identifier: MIT
"""Many connections in one moment, and what is left of them afterwards."""
import os
import resource
import socket

import pytest

from rigwaylib import flow
from rigwaylib.poll import wait_for

MANY = 2000


@pytest.fixture
def many_fds():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4 * MANY:
        pytest.skip(f"this machine allows {hard} open files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4 * MANY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def fds(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def burst(port, n):
    held = []
    try:
        for _ in range(n):
            held.append(flow.connect(port))
        for i, s in enumerate(held):
            s.sendall(b"%08d" % i)
        for i, s in enumerate(held):
            s.settimeout(20)
            assert s.recv(8, socket.MSG_WAITALL) == b"%08d" % i
    finally:
        for s in held:
            s.close()


def test_a_burst_of_connections_is_served(world, many_fds):
    w = world.up()
    echo = w.rig.service("echo")
    port = w.forward(echo.port)
    w.echo_through(port)
    pids = [w.rig_proc.pid, w.laptop.daemon()[0]]
    base = [fds(p) for p in pids]
    # What the few before left free is not stated at once: the many find it.
    for _ in range(500):
        w.echo_through(port)
    for _ in range(2):
        burst(port, MANY)
        wait_for(lambda: all(fds(p) <= b + 2 for p, b in zip(pids, base)),
                 what="all of them closed")
    w.echo_through(port)
