# SPDX-License-Identifier: MIT
"""SIGKILL to the relay in the middle of a 1 GiB transfer, and a new start:
nothing lost, nothing doubled, the right hash at the end."""
import pytest

from rigwaylib import flow
from rigwaylib.poll import wait_for

GIB = 1 << 30


@pytest.mark.long
@pytest.mark.parametrize("what", ["download", "upload"])
def test_a_gibibyte_outlives_the_relay(world, what):
    w = world.up()
    if what == "download":
        service = w.rig.service("source", 0, GIB)
    else:
        service = w.rig.service("sink")
    port = w.forward(service.port)
    t = flow.Background(getattr(flow, what), port, GIB, timeout=120)
    for part in (GIB // 5, GIB // 2):
        wait_for(lambda: t.at > part or not t.is_alive(), 120, "bytes flow")
        assert t.at < GIB, "the transfer was over before the relay was killed"
        w.relay_proc.kill()
        at = t.at
        w.start_relay()
        wait_for(lambda: t.at > at + 40_000_000 or not t.is_alive(), 60,
                 "bytes flow again")
    r = t.end(240)
    assert r["end"] == "eof" and r["right"] and r["bytes"] == GIB, r
    if what == "download":
        from rigwaylib.servers import pattern_hash
        assert r["hash"] == pattern_hash(GIB)
    # The service saw one connection, from its start to its end.
    def ended():
        return [x for x in service.text().splitlines()
                if x.startswith(("sent", "eof", "broken"))]
    lines = wait_for(ended, 20)
    assert len(lines) == 1 and "broken" not in lines[0], lines


@pytest.mark.sanitizer
def test_streams_both_ways_outlive_the_relay(world):
    """Smaller, with many streams, for the sanitizers as well."""
    w = world.up()
    n = 12_000_000
    down = w.forward(w.rig.service("source", 0, n, 4_000_000).port)
    up = w.forward(w.rig.service("sink").port)
    eport = w.forward(w.rig.service("echo").port)
    s = flow.connect(eport)
    flow.ping(s, b"before")
    a = [flow.Background(flow.download, down, n) for _ in range(3)]
    b = [flow.Background(flow.upload, up, n) for _ in range(3)]
    for _ in range(3):
        wait_for(lambda: all(t.at > 1_000_000 for t in a), 60)
        w.relay_proc.kill()
        w.start_relay()
        flow.ping(s, b"after", timeout=30)
    for t in a:
        assert t.end()["whole"], t.result
    for t in b:
        assert t.end()["right"], t.result
    flow.ping(s, b"at the end")
    s.close()


def test_what_is_written_during_the_outage_arrives_once(world):
    w = world.up()
    port = w.forward(w.rig.service("echo").port)
    with flow.connect(port) as s:
        flow.ping(s, b"one")
        w.relay_proc.kill()
        s.sendall(b"two" * 1000)
        w.start_relay()
        got = b""
        s.settimeout(30)
        while len(got) < 3000:
            got += s.recv(65536)
        flow.ping(s, b"three")
    assert got == b"two" * 1000


def test_a_new_connection_during_the_outage_waits(world):
    w = world.up()
    port = w.forward(w.rig.service("echo").port)
    w.echo_through(port)
    w.relay_proc.kill()
    with flow.connect(port) as s:
        s.sendall(b"patience")
        w.start_relay()
        s.settimeout(30)
        assert s.recv(100) == b"patience"


def test_the_relay_keeps_its_devices_and_invites(world):
    """All that was admitted and invited is on disk before it is answered."""
    w = world.up()
    code = w.client_code()
    rig_code = w.rig_code()
    before = w.relay.json("relay", "devices")
    w.relay_proc.kill()
    w.start_relay()
    w.home("second").rigway("join", code)
    w.home("rig2").rigway("join", rig_code, "--name", "two", "--no-start")
    after = w.relay.json("relay", "devices")
    text = repr(after)
    for row in before if isinstance(before, list) else before["devices"]:
        assert row["name"] in text
