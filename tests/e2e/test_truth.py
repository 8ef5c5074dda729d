# SPDX-License-Identifier: MIT
"""status and ls never show what was not proven: in every state they say what
is known, since when, why, and what comes next."""
import json
import os
import re
import signal
import time

import pytest

from rigwaylib import faults, flow, net
from rigwaylib.faults import time_passes
from rigwaylib.poll import stays, wait_for

# Promised: a command whose daemon hangs says so; a state is proven within
# session.ping_interval + session.ping_timeout + 1 s.
HANG_S, DEADLINE_S, MARGIN_S = 6.0, 10.0, 10.0


def rig_of(w, laptop=None):
    return (laptop or w.laptop).json("status")["rigs"][0]


def row_of(w):
    return w.laptop.json("ls")["rigs"][0]


def words(w):
    return w.laptop.rigway("status").out


def wait_state(w, *states, timeout=30):
    return wait_for(lambda: (lambda r: r if r["state"] in states else None)(
        rig_of(w)), timeout, f"status says {states}")


def has(pattern, text):
    assert re.search(pattern, text, re.M), f"nothing like {pattern!r} in\n{text}"


def test_every_hop_has_its_facts_while_connected(net_world):
    w = net_world.up()
    port = w.forward(w.rig.service("echo").port)
    bad = w.forward(1)
    for p in (port, bad):
        w.laptop.exec("nc", "-N", "127.0.0.1", p, input="hello")
    wait_for(lambda: w.laptop.json("status")["forwards"][1]["failure"])
    s = w.laptop.json("status")
    r, (good, bad) = s["rigs"][0], s["forwards"]
    assert r["state"] == "connected" and r["rtt_ms"] > 0, r
    assert 0 <= r["heard_ms"] < 1500 and r["proven"], r
    assert r["deadline_ms"] == 1000 * DEADLINE_S
    relay = f"relay {w.net.RELAY}:443"
    assert [(h["from"], h["to"], h["derived"]) for h in r["hops"]] == [
        ("this machine", relay, False), (relay, "desk", True)], r
    assert r["hops"][0]["rtt_ms"] > 0
    assert r["bytes_in"] >= 5 and r["bytes_out"] >= 5 and r["carriers"] >= 1
    assert r["resumed"] == 0 and r["cut"] is None and r["given_up"] == 0, r
    assert good["worked"] and good["failure"] is None, good
    assert bad["worked"] is None and bad["failed"], bad
    assert "refused" in bad["failure"], bad
    text = words(w)
    has(r"^desk: connected for \S+ \(", text)
    has(r"^    path         relay ", text)
    has(r"^    proven       just now, end to end; round trip [\d.]+ ms", text)
    has(r"^    last reset   .*refused", text)
    assert len(text.splitlines()) < 24
    r = row_of(w)
    assert r["online"] is True and r["by"] == "session" and not r["note"], r


def test_a_process_that_stands_still_is_said_to(world):
    """What it last knew is not shown: there is no answer, in so many words."""
    w = world.up()
    w.forward(w.rig.service("echo").port)
    pid, = w.laptop.daemon()
    os.kill(pid, signal.SIGSTOP)
    try:
        for argv in (["status"], ["ls"], ["status", "--json"]):
            t0 = time.monotonic()
            r = w.laptop.rigway(*argv, check=1)
            took = time.monotonic() - t0
            assert r.out == "" and f"({pid}) has not answered" in r.err, repr(r)
            assert took < HANG_S + MARGIN_S
            print(f"{argv}: {took:.1f} s; promised: {HANG_S:g}")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_state(w, "connected")


@pytest.mark.long
def test_a_process_that_goes_on_on_a_dead_path_never_says_connected(net_world):
    w = net_world.up()
    w.forward(w.rig.service("echo").port)
    wait_state(w, "connected")
    side, (pid,) = faults.Side(w, "laptop"), w.laptop.daemon()
    os.kill(pid, signal.SIGSTOP)
    side.drop(["in", "out"])
    stays(lambda: True, 15)
    os.kill(pid, signal.SIGCONT)
    said = set()

    def never_up():
        r, row = rig_of(w), row_of(w)
        said.add(r["state"])
        assert r["heard_ms"] >= 14000, r
        return r["state"] != "connected" and row["online"] is not True
    stays(never_up, 8)
    assert said <= {"checking", "connecting"}, said
    side.pass_again(["in", "out"])
    wait_state(w, "connected", timeout=60)


def test_a_path_into_a_black_hole_is_not_shown_as_up(net_world):
    w = net_world.up()
    w.forward(w.rig.service("echo").port)
    wait_state(w, "connected")
    faults.Side(w, "laptop").drop(["in", "out"])
    t0 = time.monotonic()

    def noticed():
        asked = time.monotonic()
        r = rig_of(w)
        if r["state"] != "connected":
            return r
        # As long as it is shown, it is said how old the proof is.
        assert r["heard_ms"] / 1000 > asked - t0 - 0.5, r
        assert r["heard_ms"] <= r["deadline_ms"], r
        return None
    r = wait_for(noticed, DEADLINE_S + MARGIN_S, step=0.2)
    print(f"not shown as connected after {time.monotonic() - t0:.1f} s: "
          f"{r['state']}; promised: {DEADLINE_S:g}")
    assert row_of(w)["online"] is None
    if r["state"] == "checking":
        has("^desk: checking: .*has not answered|^desk: not connected", words(w))
    r = wait_state(w, "connecting")
    assert r["cut"] and r["cut_at"], r


def relays_rows(w):
    rows = w.relay.json("relay", "devices")["devices"]
    return {r["role"]: r for r in rows}


def test_the_relay_tells_its_side(net_world):
    w = net_world.up()
    port = w.forward(w.rig.service("echo").port)
    w.laptop.exec("nc", "-N", "127.0.0.1", port, input="hello" * 1000)
    rows = wait_for(lambda: (lambda r: r if r["laptop"]["online"] and
                             r["rig"]["bytes_to"] > 5000 else None)(
        relays_rows(w)))
    for r in rows.values():
        assert r["state"] == "online" and r["connections"] >= 1, r
        assert 0 <= r["heard_ms"] <= 2000 and r["proven"] and r["since"], r
        assert r["rtt_ms"] > 0 and ":" in r["addr"], r
    a, b = rows["rig"], rows["laptop"]
    assert a["bytes_to"] >= 5000 and b["bytes_from"] >= 5000, rows
    text = w.relay.rigway("relay", "devices").out
    has(r"^desk +rig .* online +just now +(just now|\d+s ago) +[\d.]+ ms +\d", text)
    # Without a relay that runs nobody is shown as there.
    w.relay_proc.stop()
    rows = relays_rows(w)
    for r in rows.values():
        assert r["state"] == "away" and not r["online"], r
        assert r["proven"] is None and r["rtt_ms"] is None, r
    r = w.relay.rigway("relay", "devices")
    assert "online" not in r.out and "not running" in r.err, repr(r)


def test_a_rig_that_stands_still_is_not_online_at_the_relay(world):
    w = world.up()
    assert relays_rows(w)["rig"]["online"]
    pid = w.rig_proc.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        t0 = time.monotonic()
        r = relays_rows(w)["rig"]
        took = time.monotonic() - t0
        # Asked, it did not answer: that is said at once, not only when the
        # relay gives it up.
        assert r["state"] == "checking" and not r["online"], r
        assert r["heard_ms"] >= 2000 and r["rtt_ms"] is None, r
        assert took < HANG_S + MARGIN_S
        print(f"not online after {took:.1f} s; promised: 2")
        has("^desk .* checking +[2-9]s ago",
            w.relay.rigway("relay", "devices").out)
        r = wait_for(lambda: (lambda r: r if r["state"] == "away" else None)(
            relays_rows(w)["rig"]), DEADLINE_S + MARGIN_S)
        assert r["proven"] and r["heard_ms"] is None and not r["addr"], r
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: relays_rows(w)["rig"]["online"], 20)


def test_a_relay_that_stands_still_is_said_to(world):
    w = world.up()
    pid = w.relay_proc.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        r = w.relay.rigway("relay", "devices", check=1)
        assert r.out == "" and f"({pid}) has not answered" in r.err, repr(r)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_while_the_relay_is_dead_and_when_it_is_back(world):
    w = world.up()
    port = w.forward(w.rig.service("echo").port)
    with flow.connect(port) as s:
        flow.ping(s, b"before")
        w.relay_proc.kill()
        wait_state(w, "connecting")
        r = wait_for(lambda: (lambda r: r if r["next_dial_ms"] is not None
                              and "nothing listens" in (r["text"] or "")
                              else None)(rig_of(w)), 20)
        assert 0 <= r["next_dial_ms"] <= 1000, r
        assert r["paths"][0]["failed"] and r["paths"][0]["text"], r
        assert r["keep_by"] == "rig.keep_absent" and r["keep_s"] == 86400, r
        assert 86000000 < r["kept_ms"] <= 86400000 and r["kept_until"], r
        assert r["streams"] == 1 and r["resumed"] == 0, r
        assert "cut" in r["cut"] and r["cut_back_s"] is None, r
        text = words(w)
        has(r"^desk: not connected for \S+", text)
        has(r"^    trouble .*nothing listens", text)
        has(r"^    tried        relay .*: ", text)
        has(r"^    next         another try in .*rigway reconnect desk", text)
        has(r"^    kept         1 open connection, for another 23h59m "
            r"\(rig.keep_absent at the rig: 1d\)", text)
        # ls says what it does not know, why, and since when.
        row = row_of(w)
        assert row["online"] is None and row["by"] is None, row
        assert "nothing listens" in row["note"] and row["since"], row
        has(r"^desk +unknown .*\d\dT\d\d.*nothing listens",
            w.laptop.rigway("ls").out)
        w.start_relay()
        r = wait_state(w, "connected")
        flow.ping(s, b"after")
    assert r["resumed"] == 1 and r["cut_back_s"] is not None, r
    assert r["cut"] == "the connection was cut", r
    text = words(w)
    has(r"^    last cut     .*: the connection was cut; back", text)
    has(r"^    resumed      1 time, and nothing was lost", text)


def test_what_takes_the_relays_connections_and_says_nothing(world):
    """A relay that hangs, or another program that got its port: that is no
    firewall, and no machine that is off."""
    w = world.up()
    w.forward(w.rig.service("echo").port)
    wait_state(w, "connected")
    w.relay_proc.kill()
    mute = w.relay.service("hold", w.relay_port)
    r = wait_for(lambda: (lambda r: r if "says nothing" in (r["text"] or "")
                          else None)(rig_of(w)), 60)
    assert r["state"] == "connecting" and "firewall" not in r["text"], r
    relay, = wait_for(lambda: (lambda s: s if "says nothing" in s[0]["text"]
                               else None)(
        w.rig.json("rig", "status")["relays"]), 60)
    # The round trip of a relay that is away is none.
    assert not relay["up"] and relay["rtt_us"] == 0, relay
    assert "round trip" not in w.rig.rigway("rig", "status").out.split("\n")[0]
    mute.kill()
    w.start_relay()
    wait_state(w, "connected", timeout=60)


def test_what_was_given_up_and_which_setting_said_so(world):
    w = world.machines()
    w.laptop.settings("client:\n  keep_absent: 2s\n")
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    w.join_laptop()
    port = w.forward(w.rig.service("echo").port)
    with flow.connect(port) as s:
        flow.ping(s, b"here")
        w.relay_proc.kill()
        s.settimeout(20)
        with pytest.raises(ConnectionResetError):
            s.recv(1)
    r = wait_for(lambda: (lambda r: r if r["given_up"] else None)(rig_of(w)))
    assert r["given_up"] == 1 and r["given_up_at"] and r["kept_ms"] is None, r
    assert r["keep_by"] == "client.keep_absent" and r["keep_s"] == 2, r
    has(r"^    given up     1 open connection, .*longer than 2s "
        r"\(client.keep_absent here\)", words(w))
    f = w.laptop.json("status")["forwards"][0]
    assert "2s that client.keep_absent keeps" in f["failure"], f


@pytest.mark.parametrize("who", ["rig", "relay"])
def test_who_removed_this_laptop(world, who):
    w = world.up()
    w.forward(w.rig.service("echo").port)
    wait_state(w, "connected")
    home = getattr(w, who)
    device, = [d for d in home.json(who, "devices")["devices"]
               if d.get("role") != "rig"]
    home.rigway(who, "remove", device["fingerprint"])
    r = wait_state(w, "ended", timeout=60)
    assert "removed" in r["text"] or "not" in r["text"], r
    assert r["next_dial_ms"] is None and r["path"] is None, r
    text = words(w)
    has(r"^desk: ended ", text)
    has(rf"^    trouble      .*{who}", text)
    assert r["refused_by"] == who, r
    unless = "this machine's network changes, or " if who == "relay" else ""
    has(f"^    next         nothing until {unless}'rigway reconnect desk'", text)
    row = row_of(w)
    assert row["online"] is not True and row["note"] == r["text"], row


def test_the_rig_tells_its_side(net_world):
    w = net_world.up()
    w.forward(w.rig.service("echo").port)
    wait_state(w, "connected")
    s = w.rig.json("rig", "status")
    relay, = s["relays"]
    assert relay["up"] and relay["since"] and relay["heard_ms"] <= 10000, relay
    assert relay["cut"] is None and s["listens"] == [], s
    p, = s["sessions"]
    assert p["state"] == "connected" and p["heard_ms"] <= 10000, p
    assert p["path"] == "relay" and p["kept_until"] is None, p
    text = w.rig.rigway("rig", "status").out
    has(r"^relay \S+: connected for .*proven ", text)
    has(r"^laptop .*: connected for .*proven ", text)
    # The relay goes, and then the laptop is away: since when, why, how long.
    w.relay_proc.kill()
    s = wait_for(lambda: (lambda s: s if not s["relays"][0]["up"] and
                          s["sessions"][0]["state"] == "away" else None)(
        w.rig.json("rig", "status")), 30)
    assert s["relays"][0]["cut"] and s["relays"][0]["cut_at"], s
    assert s["sessions"][0]["cut"] and s["sessions"][0]["kept_until"], s
    text = w.rig.rigway("rig", "status").out
    has(r"^relay \S+: away for .*\n    trouble    ", text)
    has(r"^    last cut   (\S+ ago|just now): ", text)
    has(r"^    kept       until 20.*\(rig.keep_absent\)", text)
    w.rig_proc.stop()
    w.rig.fails("rig", "status", says="not running")


@pytest.fixture
def far_world(request):
    """As net_world: the rig's answer takes 1.3 s."""
    from conftest import world_on
    yield from world_on(request, lambda: net.Net(delay_ms=325), True)


def sent(ns, device="eth0"):
    """Packets that have left it."""
    row = re.search(rf"{device}:(.*)", ns.sh("cat /proc/net/dev")).group(1)
    return int(row.split()[9])


@pytest.mark.long
def test_who_asks_from_far_away_waits_for_the_ping_that_is_out(far_world):
    w = far_world.up()
    wait_for(lambda: rig_of(w)["rtt_ms"], 30, "round trip known")
    asks = 30
    for _ in range(3):
        time_passes(2)   # so that what came last proves nothing any more
        before = sent(w.net.laptop)
        asked = [w.laptop.popen(w.laptop.bin, "status", "--json", text=True)
                 for _ in range(asks)]
        for p in asked:
            out, err = p.communicate(timeout=30)
            assert p.returncode == 0, err
            assert json.loads(out)["rigs"][0]["state"] == "connected", out
        # One for all of them, and what both ends say anyway.
        packets = sent(w.net.laptop) - before
        assert packets < asks / 2, packets
