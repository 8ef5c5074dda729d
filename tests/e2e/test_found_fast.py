# SPDX-License-Identifier: MIT
"""A dead path is found soon, and bytes flow soon after it is back: on the
laptop's side, the rig's and the relay's, with a long way to the relay. Each
test prints what it measured; what is asserted has a margin for busy machines.
"""
import os
import signal
import subprocess
import time

import pytest

from rigwaylib import faults, net, proc
from rigwaylib.poll import stays, wait_for

ONE_WAY_MS = 12.5    # to the relay: 50 ms from laptop to rig and back
PROMISED_S = 1.0     # after the path is back
FOUND_S = 3.0        # after waking, or a change of addresses
MARGIN_S = 2.0
ROUNDS = int(os.environ.get("RIGWAY_ROUNDS", 1))


@pytest.fixture
def far_world(request):
    """As net_world, with a long way from each home to the relay."""
    from conftest import _world
    from rigwaylib.world import World
    why = net.reason_without()
    if why:
        pytest.skip(f"this machine has no network namespaces: {why}")
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("this machine has no /dev/net/tun")
    n = net.Net(delay_ms=float(os.environ.get("RIGWAY_DELAY", ONE_WAY_MS)))
    try:
        yield from _world(request, World(n))
    finally:
        n.close()


class Watch:
    """An open connection that ticks, and when it ticked last."""

    def __init__(self, w):
        self.w = w
        self.traffic = faults.Traffic(w)
        self.alive()

    def last(self):
        return self.traffic.clocks.get(0, faults.tides.DOWN)

    def alive(self):
        t = time.monotonic()
        wait_for(lambda: self.last() > t + 0.5, 60, "it ticks")

    def again(self, since, timeout=60):
        """Seconds from then until it ticked."""
        return wait_for(lambda: self.last() > since and self.last() - since,
                        timeout, "it ticks again")

    def said(self, log, what, since):
        """Seconds from then until the daemon's or the rig's log said it;
        since: a pair of time and length of the log."""
        t, at = since
        wait_for(lambda: what in log()[at:], 30, what)
        return time.monotonic() - t


def tell(what, seconds):
    rows = sorted(seconds)
    print(f"{what}: {rows[len(rows) // 2]:.2f} s "
          f"({', '.join(f'{s:.2f}' for s in rows)})")


class LinkDown:
    def __init__(self, w, name):
        self.side = faults.Side(w, name)

    def begin(self):
        self.side.ns.sh("ip link set eth0 down")

    def end(self):
        self.side.ns.sh("ip link set eth0 up")
        self.side.route()


class Hole:
    """No packet comes out of it, and nobody is told."""

    def __init__(self, w, name):
        self.side = faults.Side(w, name)

    def begin(self):
        self.side.drop(["in", "out"])

    def end(self):
        self.side.pass_again(["in", "out"])


def outages(w, fault, seconds, what):
    watch, took = Watch(w), []
    for _ in range(ROUNDS):
        fault.begin()
        stays(lambda: True, seconds)
        t = time.monotonic()
        fault.end()
        took.append(watch.again(t))
        watch.alive()
    assert watch.traffic.end() == 0
    tell(f"{what} for {seconds} s, bytes again after", took)
    assert min(took) < PROMISED_S + MARGIN_S


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.parametrize("seconds", [5, 45])
@pytest.mark.parametrize("side", ["laptop", "rig", "relay"])
def test_bytes_flow_soon_after_a_hole(far_world, side, seconds):
    w = far_world.up()
    outages(w, Hole(w, side), seconds, f"black hole at the {side}")


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.parametrize("seconds", [5, 45])
@pytest.mark.parametrize("side", ["laptop", "rig"])
def test_bytes_flow_soon_after_a_link_was_down(far_world, side, seconds):
    w = far_world.up()
    outages(w, LinkDown(w, side), seconds, f"link down at the {side}")
