# SPDX-License-Identifier: MIT
"""The limits of a laptop: each is reached, says so by its name, and leaves
alone what is there. Those of a rig are in test_rig_limits.py."""
from rigwaylib import flow
from rigwaylib.poll import wait_for
from rigwaylib.world import rows_of


def up(world, settings):
    w = world.machines()
    w.laptop.settings(settings)
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    w.join_laptop()
    return w


def forward_row(w):
    return rows_of(w.laptop.json("status"), "forwards")[0]


def test_connections_to_one_rig(world):
    w = up(world, "session:\n  max_streams: 3\n")
    echo = w.rig.service("echo")
    port = w.forward(echo.port)
    open_ones = [flow.connect(port) for _ in range(3)]
    for s in open_ones:
        flow.ping(s, b"in time")
    w.laptop.fails("connect", "desk", f"127.0.0.1:{echo.port}", input="",
                   says=r"too many connections")
    for s in open_ones:
        flow.ping(s, b"still there")
    open_ones.pop().close()
    wait_for(lambda: forward_row(w)["connections"] == 2)
    w.echo_through(port)
    for s in open_ones:
        s.close()


def test_forwards(world):
    w = up(world, "client:\n  max_forwards: 1\n")
    echo = w.rig.service("echo")
    port = w.forward(echo.port)
    w.laptop.fails("forward", "desk", "1:127.0.0.1:1",
                   says=r"client\.max_forwards")
    w.echo_through(port)
    w.laptop.rigway("unforward", "desk", str(port))
    w.echo_through(w.forward(echo.port))


def test_connections_that_wait(world):
    """The third one stands in the kernel's queue; all are served."""
    w = up(world, "client:\n  max_waiting: 2\n  wait: 2m\n")
    port = w.forward(w.rig.service("echo").port)
    w.echo_through(port)
    w.rig_proc.stop()
    waiting = [flow.connect(port) for _ in range(5)]
    for s in waiting:
        s.sendall(b"patience")
    wait_for(lambda: forward_row(w)["waiting"] == 2)
    assert forward_row(w)["connections"] == 2
    w.start_rig()
    for s in waiting:
        s.settimeout(30)
        assert s.recv(100) == b"patience"
        s.close()


def test_rigs_of_a_laptop(world):
    w = up(world, "client:\n  max_rigs: 1\n")
    second = w.home("second")
    second.rigway("join", w.rig_code(), "--name", "second", "--no-start")
    second.rigway_start("rig")
    wait_for(lambda: second.rigway("rig", "invite", check=None).rc == 0)
    code = second.rigway("rig", "invite").out.strip()
    w.laptop.fails("join", code, says=r"client\.max_rigs", timeout=60)
    w.echo_through(w.forward(w.rig.service("echo").port))
