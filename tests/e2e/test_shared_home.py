# SPDX-License-Identifier: MIT
"""One home on two machines (a cluster's NFS): a key, a lock and a state for
each, and neither disturbs the other."""
import glob
import os
import shutil

import pytest

from rigwaylib import proc
from rigwaylib.poll import wait_for


@pytest.fixture
def two(world):
    if not proc.can_mount():
        pytest.skip("needs mounts of its own")
    w = world.up()
    w.nodes = []
    for i, c in enumerate("ab"):
        h = w.home(f"node{i}")
        h.other_machine(c * 32)
        w.nodes.append(h)
    # The same home folder, as each machine has it mounted.
    w.nodes[1].rigway_home = w.nodes[0].rigway_home
    return w


def keys(h):
    return glob.glob(os.path.join(h.rigway_home, "state", "*", "client",
                                  "key"))


def test_two_machines_share_a_home_and_no_key(two):
    w = two
    a, b = w.nodes
    w.join_laptop(a)
    b.fails("connect", "desk", "127.0.0.1:1", input="", says="join")
    w.join_laptop(b)
    assert len(keys(a)) == 2
    with open(keys(a)[0], "rb") as f, open(keys(a)[1], "rb") as g:
        assert f.read() != g.read()
    echo = w.rig.service("echo")
    for h in (a, b, a, b):
        r = h.rigway("connect", "desk", f"127.0.0.1:{echo.port}", input="x")
        assert r.out == "x"


def test_a_key_copied_from_another_machine_is_refused_by_name(two):
    w = two
    a, b = w.nodes
    w.join_laptop(a)
    proc.end(wait_for(a.background))
    mine, theirs = "a" * 32, "b" * 32
    state = os.path.join(a.rigway_home, "state")
    assert os.listdir(state) == [mine]
    shutil.copytree(os.path.join(state, mine), os.path.join(state, theirs))
    r = b.fails("connect", "desk", "127.0.0.1:1", input="", says="machine")
    assert os.path.join(state, theirs) in r.err, repr(r)
