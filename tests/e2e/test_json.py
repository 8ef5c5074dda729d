# SPDX-License-Identifier: MIT
"""--json wherever there is output: every command of the table has it, or is
named here with the reason, and what it prints is one JSON object, alone on
standard output."""
import json
import os
import re

import pytest

from rigwaylib.home import Home
from rigwaylib.poll import wait_for
from rigwaylib.ports import freeport

# What passes through is not rigway's own; a script is a script.
WITHOUT = {"connect", "ssh", "completion"}


@pytest.fixture
def home(tmp):
    h = Home(tmp, "h")
    yield h
    assert h.close() == []


def table(home):
    """{command: its words}, as the completion prints them from the table."""
    text = home.rigway("completion", "bash").out
    rows = re.findall(r'^\t\t([a-z-]+)\) words="([^"]*)" ;;$', text, re.M)
    assert len(rows) > 10, text
    return {name: words.split() for name, words in rows}


def test_every_command_has_json_or_prints_nothing_of_its_own(home):
    commands = table(home)
    lack = {c for c, words in commands.items() if "--json" not in words}
    assert lack == WITHOUT & set(commands), lack
    assert set(commands) - WITHOUT == set(CALLS), \
        "say in CALLS how the command is called"


def one(r):
    """The one object that is all of standard output."""
    o = json.loads(r.out)
    assert isinstance(o, dict), repr(r)
    return o


def relay(w):
    port = freeport()
    h = w.home("another-relay")
    p = h.rigway_start("relay", "--listen", f"127.0.0.1:{port}", "--json")
    h.wait_port(port)
    p.wait_log(r'"code": "rw1')
    assert one(w.relay.rigway("relay", "invite", "--json"))["code"]
    assert one(w.relay.rigway("relay", "devices", "--json"))["devices"]
    gone = w.new_laptop("gone")
    pin = one(gone.rigway("status", "--json"))["daemon"]["fingerprint"]
    assert one(w.relay.rigway("relay", "remove", pin, "--json"))["name"]


def rig(w):
    assert one(w.rig.rigway("rig", "invite", "--json"))["code"]
    rows = one(w.rig.rigway("rig", "devices", "--json"))["devices"]
    w.new_laptop("third")
    more = one(w.rig.rigway("rig", "devices", "--json"))["devices"]
    new = [r for r in more if r not in rows][-1]["fingerprint"]
    o = one(w.rig.rigway("rig", "remove", new, "--json"))
    assert o["fingerprint"] == new and o["name"] and "ok" not in o
    # The same on the files of a rig that rests.
    w.new_laptop("fourth")
    w.rig_proc.stop()
    left = one(w.rig.rigway("rig", "devices", "--json"))["devices"]
    last = [r for r in left if r["fingerprint"] not in
            {x["fingerprint"] for x in rows}]
    if last:
        o = one(w.rig.rigway("rig", "remove", last[0]["fingerprint"],
                             "--json"))
        assert o["fingerprint"] == last[0]["fingerprint"]
    assert one(w.rig.rigway("rig", "invite", "--json"))["code"]
    w.start_rig()
    w.wait_online()


def join(w):
    more = w.home("more")
    o = one(more.rigway("join", w.rig_code(), "--name", "lab", "--no-start",
                        "--json"))
    assert o["role"] == "rig" and o["code"].startswith("rw1"), o
    o = one(w.home("lap").rigway("join", w.client_code(), "--json"))
    assert o["role"] == "laptop" and o["rig"] == "desk", o


def invite(w):
    o = one(w.laptop.rigway("invite", "--json"))
    assert o["codes"][0]["code"].startswith("rw1"), o


def ls(w):
    assert one(w.laptop.rigway("ls", "--json"))["rigs"][0]["name"] == "desk"


def status(w):
    assert one(w.laptop.rigway("status", "--json"))["rigs"]


def forward(w):
    w.spec = f"{freeport()}:localhost:9"
    o = one(w.laptop.rigway("forward", w.spec, "--json"))
    assert o["forwards"][0]["rig"] == "desk", o
    p = w.laptop.rigway_start("forward", "--foreground", "--json",
                              f"{freeport()}:localhost:9")
    p.wait_log(r'"rig": "desk"')
    p.interrupt()


def unforward(w):
    spec = f"{freeport()}:localhost:9"
    w.laptop.rigway("forward", spec)
    o = one(w.laptop.rigway("unforward", spec, "--json"))
    assert len(o["closed"]) == 1, o


def ssh_config(w):
    o = one(w.laptop.rigway("ssh-config", "--json"))
    assert o["hosts"] == ["desk.rig"] and "Host desk.rig" in o["block"], o
    o = one(w.laptop.rigway("ssh-config", "--install", "--json"))
    assert o["changed"] and o["installed"] and o["file"], o
    o = one(w.laptop.rigway("ssh-config", "--uninstall", "--json"))
    assert o["changed"] and not o["installed"], o


def reconnect(w):
    o = one(w.laptop.rigway("reconnect", "--json"))
    assert o == {"rigs": [{"rig": "desk", "connected": True}]}
    r = w.laptop.fails("reconnect", "no-such-rig", "--json")
    assert one(r)["rigs"][0]["connected"] is False


def config(w):
    h = w.home("configured")
    os.unlink(os.path.join(h.rigway_home, "rigway.yml"))
    o = one(h.rigway("config", "check", "--json"))
    assert o["good"] and o["mistakes"] == [], o
    assert o["there"] == os.path.exists(o["file"]), o
    o = one(h.rigway("config", "check", "--json",
                     env={"RIGWAY_HOME": h.path("nothing")}))
    assert o["good"] and not o["there"] and o["mistakes"] == [], o
    h.settings("relay:\n  max_devices: lots\n  nonsense: 1\n")
    o = one(h.fails("config", "check", "--json"))
    assert not o["good"] and o["there"] and len(o["mistakes"]) == 2, o
    assert re.search(r"rigway\.yml:2:\d+: ", o["mistakes"][0]), o
    h.settings("client:\n  max_forwards: 7\n")
    o = one(h.rigway("config", "show", "--json"))
    assert o["settings"]["client.max_forwards"] == "7", o
    o = one(h.fails("config", "check", h.path("nowhere"), "--json"))
    assert not o["good"] and not o["there"], o


def demo(w):
    o = one(w.home("shown").rigway("demo", "--check", "--json", timeout=90))
    assert o["works"] and o["went_on_to_line"] > o["cut_at_line"] > 0, o


def version(w):
    o = one(w.laptop.rigway("version", "--json"))
    assert o["version"] and o["protocol"] == 1, o


CALLS = {"relay": relay, "rig": rig, "join": join, "invite": invite, "ls": ls,
         "status": status, "forward": forward, "unforward": unforward,
         "ssh-config": ssh_config, "reconnect": reconnect, "config": config,
         "demo": demo, "version": version}


def test_each_prints_one_object(world):
    w = world.up()
    w.wait_online()
    for name, call in CALLS.items():
        if name != "demo":
            call(w)
    wait_for(lambda: w.online(), 20, "the rig is back")


def test_demo_prints_one_object(world):
    demo(world)
