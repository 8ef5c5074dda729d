# SPDX-License-Identifier: MIT
"""The path dies, in every way that there is; the streams go on, exactly: each
byte of hundreds of connections is compared at both ends. Some cells of the
table of rigwaylib/faults.py; `bench/faults` runs all of them, for each
direction of data and each kind of path.
"""
import os
import time

import pytest

from rigwaylib import faults
from rigwaylib.poll import wait_for

# What a busy machine may add to what is promised.
MARGIN_S = 10.0
SLOW = "ASAN_OPTIONS" in os.environ
PLAN = {"up": 2, "down": 2, "both": 1, "idle": 300}
if SLOW:
    PLAN.update(idle=100, rate=500_000)


def go_through(w, cells, **plan):
    t = faults.Traffic(w, **(plan or PLAN))
    late = []
    for name, side, *away in cells:
        c = faults.Cell(w, t, name, side, *away).run()
        print(c)
        if max(c.took.values()) > faults.promise(name) + MARGIN_S:
            late.append(str(c))
    assert t.end() > 0
    assert not late, "\n".join(late)


@pytest.mark.sanitizer
def test_connections_are_reset_anywhere(net_world):
    go_through(net_world.up(), [
        ("connections reset", "laptop"), ("connections reset", "rig"),
        ("connections reset", "relay"), ("relay killed", "relay", 1)])


@pytest.mark.sanitizer
def test_a_hole_swallows_all_or_one_way(net_world):
    go_through(net_world.up(), [
        ("black hole", "laptop", 2), ("nothing comes in", "rig", 4),
        ("nothing goes out", "laptop", 4)])


@pytest.mark.long
def test_addresses_change(net_world):
    go_through(net_world.up(), [
        ("new address", "laptop"), ("new address", "rig"),
        ("new public address", "laptop"), ("new public address", "rig")])


@pytest.mark.long
def test_the_router_forgets(net_world):
    go_through(net_world.up(), [("NAT forgot", "laptop"),
                                ("NAT forgot", "rig")])


@pytest.mark.long
def test_the_laptop_sleeps(net_world):
    """Its clock stands still meanwhile: no timer is late afterwards, and what
    was dead must be found by the other clock."""
    w = faults.move_clock(net_world.up())
    go_through(w, [("asleep, mapping gone", "laptop", 25)])
    assert w.laptop.logged(r"awake after 2\ds"), "it did not notice"


@pytest.mark.long
def test_the_rig_sleeps_and_the_relay_hangs(net_world):
    go_through(net_world.up(), [("asleep", "rig", 12), ("frozen", "relay", 3),
                                ("frozen", "laptop", 3)])


@pytest.mark.long
@pytest.mark.parametrize("path_world", ["direct", "lan"], indirect=True)
def test_other_paths_die_as_well(path_world):
    w = path_world
    go_through(w, [
        ("connections reset", "rig"), ("relay killed", "relay", 1),
        ("black hole", "laptop", 3), ("new address", "laptop"),
        ("asleep, mapping gone", "rig", 5)])
    wait_for(lambda: faults.path_of(w).startswith(w.kind), 60,
             "back on the better path")


def test_a_fault_that_is_not_survived_is_seen(net_world):
    """The proof of this proof: a rig that restarts loses what it had, and the
    comparison says so."""
    w = net_world.up()
    t = faults.Traffic(w, up=1, down=1, idle=5)
    w.rig_proc.kill()
    w.start_rig()
    with pytest.raises(AssertionError):
        t.wait_calm(time.monotonic(), timeout=5)
    with pytest.raises(AssertionError):
        t.end()
