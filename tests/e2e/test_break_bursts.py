# SPDX-License-Identifier: MIT
"""Many connections in one moment, and what is left of them afterwards."""
import contextlib
import os
import re
import resource
import select
import socket

import pytest

from rigwaylib import flow, proc
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


def own_mib(pid):
    return proc.memory_mib(pid)[0]


@contextlib.contextmanager
def used(port, n):
    """So many connections at once, each of which has brought an echo."""
    held = []
    try:
        for _ in range(n):
            held.append(flow.connect(port))
        for i, s in enumerate(held):
            s.sendall(b"%08d" % i)
        for i, s in enumerate(held):
            s.settimeout(20)
            assert s.recv(8, socket.MSG_WAITALL) == b"%08d" % i
        yield
    finally:
        for s in held:
            s.close()


def burst(port, n):
    with used(port, n):
        pass


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
    mem = [own_mib(p) for p in pids]
    for _ in range(2):
        burst(port, MANY)
        wait_for(lambda: all(fds(p) <= b + 2 for p, b in zip(pids, base)),
                 what="all of them closed")
    # What they took goes back to the system as well (14 MiB at the rig).
    wait_for(lambda: all(own_mib(p) < m + 4 for p, m in zip(pids, mem)),
             20, "their memory is given back")
    w.echo_through(port)


IDLE_KIB = 1.0     # what an idle stream may cost in the rig, in the laptop


def test_an_idle_connection_costs_a_kib(world, many_fds):
    """What the opening itself took goes back within seconds."""
    w = world.up()
    port = w.forward(w.rig.service("echo").port)
    w.echo_through(port)
    pids = {"rig": w.rig_proc.pid, "laptop": w.laptop.daemon()[0]}
    base = {name: own_mib(p) for name, p in pids.items()}

    def kib():
        return {n: (own_mib(p) - base[n]) * 1024 / MANY
                for n, p in pids.items()}
    with used(port, MANY):
        try:
            wait_for(lambda: all(k <= IDLE_KIB for k in kib().values()), 15,
                     f"at most {IDLE_KIB} KiB each")
        finally:
            print("KiB for an idle stream:", kib())


def drink(port, streams, each):
    """Takes so many bytes of each of so many streams by turns, and ends."""
    socks = [flow.connect(port) for _ in range(streams)]
    left = {s: each for s in socks}
    while left:
        for s in select.select(list(left), [], [], 30)[0]:
            left[s] -= len(s.recv(1 << 18))
            if left[s] <= 0:
                del left[s]
    for s in socks:
        s.close()


def test_memory_comes_back_while_a_connection_goes_on(world):
    """A terminal with a clock in it is never idle: what the download beside it
    took goes back all the same."""
    w = world.up()
    echo = w.forward(w.rig.service("echo").port)
    source = w.forward(w.rig.service("source", 0, 1 << 30).port)
    pids = [w.rig_proc.pid, w.laptop.daemon()[0]]
    with flow.connect(echo) as s:
        flow.ping(s, b"tick")
        base = [own_mib(p) for p in pids]
        drink(source, 8, 8 << 20)
        print("MiB:", base, [own_mib(p) for p in pids])

        # 0.4 of it is the memory that all reads share, once they used it.
        def back():
            flow.ping(s, b"tick")
            return all(own_mib(p) < b + 1.5 for p, b in zip(pids, base))
        wait_for(back, 40, "memory as before", step=0.2)
        print("MiB after:", [own_mib(p) for p in pids])


def limit_fds(pid, top):
    """Returns what undoes it."""
    old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (top, old[1]))
    return lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, old)


def numbers(pid):
    return {int(n) for n in os.listdir(f"/proc/{pid}/fd")}


def short_of_fds(pid, spare=2):
    """Lets pid open so few files more."""
    return limit_fds(pid, max(numbers(pid)) + 1 + spare)


def out_of_fds(pid):
    """Lets pid open nothing more."""
    taken = numbers(pid)
    return limit_fds(pid, next(n for n in range(65536) if n not in taken))


@contextlib.contextmanager
def knocks(port, n):
    """Held meanwhile: whoever has left costs no file for long."""
    held = []
    try:
        for _ in range(n):
            try:
                held.append(flow.connect(port))
            except ConnectionResetError:
                pass  # it was turned away
        yield
    finally:
        for s in held:
            s.close()


SHORT = r"files and sockets are open, the limit"


def test_out_of_files_is_said_once_with_what_to_do(world):
    w = world.up()
    echo = w.rig.service("echo")
    port = w.forward(echo.port)
    w.echo_through(port)
    for proc, knock, at in ((w.relay_proc, w.relay_port, w.relay),
                            (w.rig_proc, port, w.rig)):
        undo = short_of_fds(proc.pid)
        for _ in range(2):
            with knocks(knock, 10):
                proc.wait_log(SHORT)
        undo()
        wait_for(lambda: w.echo_through(port) is None, 20)
        assert len(re.findall(SHORT, proc.text())) == 1, proc.text()


def test_the_background_process_answers_without_a_file_to_spare(world):
    """It can open nothing any more: it is still asked how things are, and what
    it cannot do is told with what to do about it."""
    w = world.up()
    echo = w.rig.service("echo")
    port = w.forward(echo.port)
    w.echo_through(port)
    undo = out_of_fds(w.laptop.daemon()[0])
    assert w.laptop.json("status")["rigs"][0]["state"] == "connected"
    w.laptop.fails("connect", "desk", f"127.0.0.1:{echo.port}", input="",
                   says=SHORT + ".*ulimit")
    # The few places that are kept for commands are taken.
    held = [socket.socket(socket.AF_UNIX) for _ in range(8)]
    for s in held:
        s.connect(w.laptop.socket_path("client"))
    r = w.laptop.fails("status", says=SHORT + ".*ulimit")
    assert "ended" not in r.err, repr(r)
    for s in held:
        s.close()
    wait_for(lambda: w.laptop.rigway("status", check=None).rc == 0, 20)
    undo()
    w.echo_through(port)
