# SPDX-License-Identifier: MIT
"""The short form of bench/soak: random faults under steady traffic, and memory
and descriptors as before when it is over."""
import os
import random

import pytest

from rigwaylib import soak


@pytest.mark.sanitizer
@pytest.mark.long
def test_a_short_soak(net_world):
    seed = int(os.environ.get("RIGWAY_SEED", random.randrange(1 << 30)))
    print(f"RIGWAY_SEED={seed}")
    slow = "ASAN_OPTIONS" in os.environ
    plan = {"up": 1, "down": 1, "both": 1, "idle": 50,
            "rate": 200_000 if slow else 1_000_000}
    o = soak.Options(
        seconds=20, seed=seed, plan=plan, touches=300, touch_rate=30,
        how="reset", away=(0.3, 3.0), calm=(0.3, 1.0), say=print,
        faults=["connections reset", "relay killed", "black hole", "frozen",
                "new public address"])
    if slow:
        # What is freed stays in quarantine for a while.
        soak.SLACK_MIB = 400.0
    facts = soak.Soak(net_world.up(), o).run()
    print(facts)
    assert facts["faults"] >= 2
    assert not facts["left"], facts["left"]
