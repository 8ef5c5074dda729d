# SPDX-License-Identifier: MIT
"""Debian's Jupyter on a rig behind one NAT, a laptop behind another, the relay
outside: the notebook list, REST, and a kernel over its WebSocket."""
import json
import os

from rigwaylib import jupyter, proc
from rigwaylib.poll import wait_for


def test_a_kernel_answers_through_two_nats(net_world):
    w = net_world.up()
    j = jupyter.start(w.rig, 8888)
    with open(os.path.join(j.work, "thesis.ipynb"), "w") as f:
        json.dump({"cells": [], "metadata": {}, "nbformat": 4,
                   "nbformat_minor": 5}, f)
    w.laptop.rigway("forward", "desk", "8888")

    def get(path):
        r = w.laptop.exec("curl", "-fsS", "-m", "30", "-H",
                          f"Authorization: token {jupyter.TOKEN}",
                          f"http://localhost:8888{path}", timeout=60)
        assert r.rc == 0, repr(r)
        return r.out

    assert json.loads(get("/api"))["version"]
    names = [c["name"] for c in json.loads(get("/api/contents"))["content"]]
    assert names == ["thesis.ipynb"]
    assert "<html" in get("/tree").lower()
    r = w.laptop.exec(*proc.python(
        proc.lib("jupyter.py"), "localhost:8888", jupyter.TOKEN,
        "print(6*7)"), check=0, timeout=120)
    assert r.out == "42\n"
    # Something long: output goes on arriving while other requests are made.
    code = "for i in range(2000): print('line', i)"
    r = w.laptop.exec(*proc.python(
        proc.lib("jupyter.py"), "localhost:8888", jupyter.TOKEN, code),
        check=0, timeout=120)
    assert r.out == "".join(f"line {i}\n" for i in range(2000))


def test_a_kernel_outlives_a_new_address_and_a_new_relay(net_world):
    """The relay is killed while a cell runs; the laptop's router gets a new
    address. The WebSocket never notices."""
    w = net_world.up()
    jupyter.start(w.rig, 8888)
    w.laptop.rigway("forward", "desk", "8888")
    flag, go = w.rig.path("started"), w.rig.path("go")
    os.mkfifo(go)
    code = (f"open({flag!r}, 'w').close()\nopen({go!r}).read()\n"
            "print('still here')")
    p = w.laptop.start(*proc.python(
        proc.lib("jupyter.py"), "localhost:8888", jupyter.TOKEN, code),
        name="kernel")
    wait_for(lambda: os.path.exists(flag), 60, "the cell runs")
    w.relay_proc.kill()
    w.net.router_b.sh("ip addr del 45.0.0.3/24 dev wan0; "
                      "ip addr add 45.0.0.33/24 dev wan0; "
                      "conntrack -F 2>/dev/null || true")
    w.start_relay()
    with open(go, "w"):
        pass
    assert p.reap(90) == 0, p.text()
    assert p.text() == "still here\n"
