# SPDX-License-Identifier: MIT
"""A rig with two relays: what each knows of its laptops, and leaving one."""
import os
import re
import signal

from rigwaylib import flow
from rigwaylib.poll import wait_for
from rigwaylib.ports import freeport


def second(w):
    """Another relay; returns its home and a rig's code."""
    port = freeport()
    other = w.home(f"relay{port}")
    other.port = port
    other.proc = other.rigway_start("relay", "--listen", f"127.0.0.1:{port}")
    other.wait_port(port)
    return other, other.rigway("relay", "invite").out.strip()


def joined(world):
    w = world.up()
    other, code = second(w)
    w.rig.rigway("join", code, timeout=60)
    return w, other


def acquainted(world):
    """joined(), and the second relay knows the laptop."""
    w, other = joined(world)
    wait_for(lambda: len(laptop_of(other)) == 1)
    return w, other


def through_the_first(w):
    """An open connection to the rig's echo, over the first relay."""
    port = w.forward(w.rig.service("echo").port)
    w.laptop.rigway("reconnect", check=None)
    s = flow.connect(port)
    flow.ping(s, b"through the first")
    return s


def laptop_of(relay):
    return [d for d in relay.json("relay", "devices")["devices"]
            if d["role"] != "rig"]


def test_the_second_relay_learns_the_rigs_laptops(world):
    w, other = joined(world)
    first = laptop_of(w.relay)
    assert len(first) == 1
    wait_for(lambda: [d["fingerprint"] for d in laptop_of(other)]
             == [first[0]["fingerprint"]])
    # One that is let in later, too.
    w.new_laptop()
    wait_for(lambda: len(laptop_of(other)) == len(laptop_of(w.relay)) == 2)
    rows = w.rig.json("rig", "relays")["relays"]
    assert [r["up"] for r in rows] == [True, True]
    assert rows[0]["addr"] == f"127.0.0.1:{w.relay_port}"
    assert rows[1]["addr"] == f"127.0.0.1:{other.port}"
    # The rig's own removal reaches both.
    w.rig.rigway("rig", "remove", first[0]["fingerprint"])
    wait_for(lambda: len(laptop_of(other)) == len(laptop_of(w.relay)) == 1)


def test_what_a_relays_owner_took_out_stays_out(world):
    w, other = acquainted(world)
    who = laptop_of(other)[0]["fingerprint"]
    other.rigway("relay", "remove", who)
    assert laptop_of(other) == []
    assert w.rig_proc.stop() == 0
    w.start_rig()
    wait_for(lambda: "cannot come through the relay" in w.rig_proc.text())
    assert laptop_of(other) == []
    # At the other one, and at the rig, nothing has changed.
    assert len(laptop_of(w.relay)) == 1
    w.echo_through(w.forward(w.rig.service("echo").port))


def test_one_relays_no_ends_nothing_while_the_other_restarts(world):
    w, other = acquainted(world)
    with through_the_first(w) as s:
        # The laptop knows both by now.
        other.rigway("relay", "remove", laptop_of(other)[0]["fingerprint"])
        w.relay_proc.kill()
        wait_for(lambda: sum("relay" in t for t in tried(w.laptop)) == 2)
        w.start_relay()
        flow.ping(s, b"and back", timeout=60)


def tried(laptop):
    text = laptop.rigway("status", check=None).out
    return re.findall(r"^ +(?:tried|also) +(.*)$", text, re.M)


def test_another_relay_needs_no_code_of_a_laptop(world):
    w = world.up()
    other, code = second(w)
    r = w.rig.rigway("join", code, timeout=60)
    assert r.out == "" and "its 1 laptop learns" in r.err, repr(r)
    assert f"127.0.0.1:{other.port}, too" in r.err, repr(r)
    wait_for(lambda: len(laptop_of(other)) == 1)
    # As little where the rig rests.
    assert w.rig_proc.stop() == 0
    third, code = second(w)
    r = w.rig.json("join", code, "--no-start", timeout=60)
    assert r == {"role": "rig", "code": None, "laptops": 1,
                 "relay": f"127.0.0.1:{third.port}"}
    # Nobody has come in yet: then the code is what is wanted.
    desk = w.home("desk2")
    desk.rigway("join", w.rig_code(), "--name", "desk2", "--no-start")
    code = other.rigway("relay", "invite").out.strip()
    r = desk.rigway("join", code, "--no-start", timeout=60)
    assert r.last.startswith("rw1"), repr(r)


def test_a_rig_leaves_a_relay(world):
    w, other = joined(world)
    w.rig.fails("rig", "leave", "nowhere.example.org", says=r"rig relays")
    w.rig.fails("rig", "leave", check=2)
    r = w.rig.rigway("rig", "leave", f"127.0.0.1:{w.relay_port}")
    assert "has forgotten" in r.err
    # Nobody is left there: the laptop was this rig's alone.
    assert w.relay.json("relay", "devices")["devices"] == []
    rows = w.rig.json("rig", "relays")["relays"]
    assert [r["addr"] for r in rows] == [f"127.0.0.1:{other.port}"]
    assert online_at(other)
    wait_for(lambda: len(laptop_of(other)) == 1)
    # Without a running rig; and it is so after a start.
    assert w.rig_proc.stop() == 0
    assert [r["up"] for r in w.rig.json("rig", "relays")["relays"]] == [False]
    r = w.rig.json("rig", "leave", f"127.0.0.1:{other.port}")
    assert r["told"] and "the only one" in r["text"], r
    assert other.json("relay", "devices")["devices"] == []
    w.rig.fails("rig", says=r"--listen PORT")
    assert re.search("joined no relay", w.rig.rigway("rig", "relays").err)


def test_a_relay_that_cannot_be_told_is_left_all_the_same(world):
    w, other = acquainted(world)
    other.proc.kill()
    wait_for(lambda: not all(r["up"] for r in
                             w.rig.json("rig", "relays")["relays"]))
    r = w.rig.json("rig", "leave", f"127.0.0.1:{other.port}")
    assert r["told"] is False and "could not be told" in r["text"], r
    assert "relay remove" in r["text"], r
    assert len(w.rig.json("rig", "relays")["relays"]) == 1
    # It lists the rig still; then without a rig that runs.
    assert [d["role"] for d in other.json("relay", "devices")["devices"]] \
        == ["rig", "laptop"]
    w.relay_proc.stop()
    w.rig_proc.stop()
    r = w.rig.rigway("rig", "leave", f"127.0.0.1:{w.relay_port}", timeout=30)
    assert "could not be told" in r.err and "the only one" in r.err, repr(r)
    assert w.rig.json("rig", "relays")["relays"] == []


def test_a_relay_that_stands_still_is_left_all_the_same(world):
    w, other = joined(world)
    os.kill(other.proc.pid, signal.SIGSTOP)
    try:
        r = w.rig.json("rig", "leave", f"127.0.0.1:{other.port}")
    finally:
        os.kill(other.proc.pid, signal.SIGCONT)
    assert r["told"] is False and "could not be told" in r["text"], r


def test_what_is_open_goes_on_when_the_rig_leaves_the_relay(world):
    w, other = acquainted(world)
    with through_the_first(w) as s:
        wait_for(lambda: str(w.relay_port) in path_of(w.laptop))
        r = w.rig.json("rig", "leave", f"127.0.0.1:{w.relay_port}")
        assert r["told"], r
        wait_for(lambda: str(other.port) in (path_of(w.laptop) or ""), 40)
        flow.ping(s, b"through the second", timeout=60)
    # Its old code does nothing there any more, and a new one everything.
    code = w.rig_code()
    w.rig.rigway("join", code, timeout=60)
    wait_for(lambda: len(laptop_of(w.relay)) == 1)


def online_at(relay):
    rows = [d for d in relay.json("relay", "devices")["devices"]
            if d["role"] == "rig"]
    return rows[0]["online"]


def path_of(laptop):
    """"" while nothing is connected."""
    return laptop.json("status")["rigs"][0]["path"] or ""


def test_when_one_relay_goes_the_other_carries_on(world):
    """The laptop was never at the second relay: the rig told each of the
    other. What is open goes on, and so when they change places."""
    w, other = acquainted(world)
    with through_the_first(w) as s:
        wait_for(lambda: str(w.relay_port) in path_of(w.laptop))
        w.relay_proc.kill()
        flow.ping(s, b"through the second", timeout=60)
        assert str(other.port) in path_of(w.laptop)
        w.start_relay()
        wait_for(lambda: all(r["up"] for r in
                             w.rig.json("rig", "relays")["relays"]), 40)
        other.proc.kill()
        flow.ping(s, b"and back", timeout=60)
        assert str(w.relay_port) in path_of(w.laptop)
    # A laptop that comes with a code of the relay that is there.
    w.new_laptop()
