# SPDX-License-Identifier: MIT
"""Somebody sets the wall clock: connections do not notice, and how long ago
something was stays true."""
import re
import time

from rigwaylib import flow
from rigwaylib.poll import wait_for

DAY, YEAR = 86400, 365 * 86400
# All of this lasts less than an hour, so nothing may be said to be older.
LONG = r"\d+[hd]"


def say(w):
    """What every command says of now, for people."""
    return {"status": w.laptop.rigway("status").out,
            "ls": w.laptop.rigway("ls").out,
            "rig status": w.rig.rigway("rig", "status").out,
            "relay devices": w.relay.rigway("relay", "devices").out}


def spans_are_short(w, what):
    for verb, text in say(w).items():
        got = re.search(rf"(?:for|after|since|cut|ago) +{LONG}|{LONG}\S* ago",
                        text)
        assert not got, f"{what}: {verb} says {got.group()!r}:\n{text}"


def test_a_clock_that_is_set_changes_no_duration(world, clocks):
    w = world
    w.machines()
    hosts = (w.laptop, w.rig, w.relay)
    # A machine may begin with a clock that is far off.
    clocks(w.laptop, "realtime", -50 * YEAR)
    clocks(w.rig, "realtime", 30 * YEAR)
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    w.join_laptop()
    with flow.connect(w.forward(w.rig.service("echo").port)) as s:
        flow.ping(s, b"before")
        for ahead in (0, 40 * DAY, -40 * DAY, 30 * YEAR):
            for host in hosts:
                clocks(host, "realtime", ahead)
            flow.ping(s, b"set")
            spans_are_short(w, f"set to {ahead}")
            rig = w.laptop.json("status")["rigs"][0]
            assert rig["state"] == "connected" and rig["resumed"] == 0, rig
            since = time.mktime(time.strptime(rig["since"],
                                              "%Y-%m-%dT%H:%M:%SZ"))
            assert abs(since - time.timezone - ahead - time.time()) < 600, rig
        for ahead in (0, 3 * DAY, -3 * DAY):
            w.relay_proc.stop()
            wait_for(lambda: w.laptop.json("status")["rigs"][0]["state"]
                     == "connecting", 30, "the cut is noticed")
            for host in hosts:
                clocks(host, "realtime", ahead)
            text = w.laptop.rigway("status").out
            assert not re.search(rf"not connected for {LONG}", text), text
            w.start_relay()
            flow.ping(s, b"after the cut")
            w.wait_online()
            rig = w.laptop.json("status")["rigs"][0]
            assert rig["cut_back_s"] < 600 and rig["cut_after_s"] < 600, rig
            spans_are_short(w, f"set to {ahead} in a cut")
