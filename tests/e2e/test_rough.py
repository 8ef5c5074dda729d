# SPDX-License-Identifier: MIT
"""Cables on which frames are lost, come twice and overtake each other, at every
machine of the way and in both directions."""
import pytest

from rigwaylib import faults
from rigwaylib.poll import wait_for

LOST, TWICE, LATE = 1, 1, 5  # of a hundred frames
N = 16 << 20
FEW = {"up": 1, "down": 1, "both": 1, "idle": 20}


@pytest.fixture
def rough_world(request):
    """As path_world, where the cables are so; the parameter is the kind of
    path."""
    from conftest import world_on
    for w in world_on(request, lambda: faults.net_for(
            request.param, rough=(LOST, TWICE, LATE)), True):
        # The path is found over such cables as well.
        yield faults.bring_up(w, request.param)


@pytest.mark.long
@pytest.mark.parametrize("rough_world", faults.KINDS, indirect=True)
def test_every_byte_comes_once_and_in_order(rough_world):
    w = rough_world
    t = faults.Traffic(w, **FEW)

    def row():
        return w.laptop.json("status")["rigs"][0]
    wait_for(lambda: min(row()["bytes_in"], row()["bytes_out"]) > N, 120,
             "bytes both ways")
    assert t.end() >= 2 * N
    wait_for(lambda: row()["path"].startswith(w.kind), 60, "the same path")
    r = row()
    print(f"\n{w.kind}: resumed {r['resumed']} times, moved {r['moved']}, "
          f"small packets: {r['small_packets']}")
