# SPDX-License-Identifier: MIT
"""SIGTERM: what is on its way arrives, what cannot go on ends as a reset, and
everybody is back at once after a new start. A new program in the place of the
old one is the same thing."""
import os
import shutil
import socket
import time

import pytest

from rigwaylib import flow
from rigwaylib.poll import wait_for
from rigwaylib.servers import pattern_hash

# Seconds. A process that is told to end has ended by then.
STOP_MAX = 5.0


def stop(proc):
    """SIGTERM; how long it took."""
    t = time.monotonic()
    assert proc.stop(STOP_MAX) == 0, proc.text()[-2000:]
    return time.monotonic() - t


def test_a_transfer_outlives_a_new_version_of_the_relay(world):
    """200 MB through a relay that is stopped and replaced on disk on the way,
    as an upgrade does it."""
    n = 200_000_000
    w = world.machines()
    own = os.path.join(w.relay.dir, "rigway")
    w.relay.bin = shutil.copy(w.relay.bin, own)
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    w.join_laptop()
    service = w.rig.service("source", 0, n)
    port = w.forward(service.port)
    t = flow.Background(flow.download, port, n)
    wait_for(lambda: t.at > n // 8 or not t.is_alive(), 60, "bytes flow")
    assert t.at < n // 2, "the transfer was over before the relay was stopped"
    took = stop(w.relay_proc)
    shutil.copy(own, own + ".new")
    os.rename(own + ".new", own)
    began = time.monotonic()
    w.start_relay()
    at = t.at
    wait_for(lambda: t.at > at + 1_000_000 or not t.is_alive(), 30,
             "bytes flow again")
    print(f"relay: stopped in {took:.2f} s; bytes flow "
          f"{time.monotonic() - began:.2f} s after its new start")
    r = t.end()
    assert r["whole"] and r["hash"] == pattern_hash(n), r
    lines = [x for x in service.text().splitlines()
             if x.startswith(("sent", "broken"))]
    assert len(lines) == 1 and lines[0].startswith("sent"), lines


@pytest.mark.sanitizer
def test_streams_outlive_a_relay_that_is_told_to_stop(world):
    w = world.up()
    port = w.forward(w.rig.service("echo").port)
    held = [flow.connect(port) for _ in range(20)]
    for i, s in enumerate(held):
        flow.ping(s, b"before %d" % i)
    assert stop(w.relay_proc) < STOP_MAX
    for s in held:
        s.sendall(b"while it is away")
    w.start_relay()
    for s in held:
        s.settimeout(30)
        got = b""
        while len(got) < 16:
            got += s.recv(64)
        assert got == b"while it is away"
        s.close()


@pytest.mark.sanitizer
def test_a_rig_that_is_told_to_stop_lets_an_answer_arrive(world):
    """A megabyte that is under way when SIGTERM comes is whole; a connection
    that goes on for longer is reset, not ended; new ones work at once."""
    w = world.up()
    n = 2_000_000
    short = w.forward(w.rig.service("source", 0, n, 4_000_000).port)
    echo = w.forward(w.rig.service("echo").port)
    idle = flow.connect(echo)
    flow.ping(idle, b"before")
    t = flow.Background(flow.download, short, n)
    wait_for(lambda: t.at > 200_000, 30, "bytes flow")
    stop(w.rig_proc)
    r = t.end()
    assert r["whole"], r
    idle.settimeout(20)
    with pytest.raises(ConnectionResetError):
        idle.recv(1)
    began = time.monotonic()
    w.start_rig()
    w.echo_through(echo)
    print(f"rig: a new connection {time.monotonic() - began:.2f} s after the "
          "new start")


def test_a_connection_made_while_the_rig_is_away_waits_for_it(world):
    w = world.up()
    echo = w.forward(w.rig.service("echo").port)
    w.echo_through(echo)
    stop(w.rig_proc)
    with flow.connect(echo) as s:
        s.sendall(b"patience")
        w.start_rig()
        s.settimeout(30)
        assert s.recv(100) == b"patience"


def test_no_device_is_lost_over_restarts(world):
    w = world.up()
    echo = w.forward(w.rig.service("echo").port)
    rig = w.rig.json("rig", "devices")["devices"]
    relay = w.relay.json("relay", "devices")
    for _ in range(3):
        stop(w.rig_proc)
        w.start_rig()
        stop(w.relay_proc)
        w.start_relay()
        w.echo_through(echo)
    names = {d["fingerprint"] for d in rig}
    assert names == {d["fingerprint"] for d in
                     w.rig.json("rig", "devices")["devices"]}
    assert names <= {d["fingerprint"] for d in
                     w.relay.json("relay", "devices")["devices"]}
    assert len(relay["devices"]) == len(
        w.relay.json("relay", "devices")["devices"])


def test_asked_twice_it_ends_at_once(world):
    """A busy stream gets time; a second SIGTERM takes it away."""
    w = world.up()
    n = 60_000_000
    port = w.forward(w.rig.service("source", 0, n, 4_000_000).port)
    t = flow.Background(flow.download, port, n)
    wait_for(lambda: t.at > 500_000, 30, "bytes flow")
    w.rig_proc.signal(15)
    w.rig_proc.wait_log("stopping")
    w.rig_proc.signal(15)
    assert w.rig_proc.reap(STOP_MAX) == 0
    r = t.end()
    assert r["end"] == "reset" and r["right"], r


def test_the_laptops_process_ends_cleanly(world):
    """Its connections are reset, and the rig knows that it left."""
    w = world.up()
    port = w.forward(w.rig.service("echo").port)
    s = flow.connect(port)
    flow.ping(s, b"before")
    [pid] = w.laptop.daemon()
    w.laptop.rigway("daemon", "--stop")
    s.settimeout(20)
    with pytest.raises((ConnectionResetError, socket.timeout)) as e:
        s.recv(1)
    assert e.type is ConnectionResetError
    wait_for(lambda: not w.laptop.daemon(), STOP_MAX, "its process ended")
    w.rig_proc.wait_log("ended its session")
    w.laptop.rigway("ls")
    assert w.laptop.daemon() != [pid]
    w.echo_through(port)
