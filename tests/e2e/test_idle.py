# SPDX-License-Identifier: MIT
"""Who has nothing to do costs nothing: no more than about one wake-up a second,
and what an open connection's signs of life take."""
import re

import pytest

from rigwaylib.poll import stays, wait_for

SPAN_S = 15
# Wanted: about one a second. A machine that is busy with other things splits
# what would be one wake-up.
PROMISED, MARGIN = 2.0, 2.0


def wakeups(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", f.read(),
                             re.M).group(1))


def rates(pids):
    before = {name: wakeups(pid) for name, pid in pids.items()}
    stays(lambda: True, SPAN_S)
    return {name: (wakeups(pid) - before[name]) / SPAN_S
            for name, pid in pids.items()}


@pytest.mark.long
def test_idle_processes_sleep(world):
    w = world.up()
    port = w.forward(w.rig.service("echo").port)
    w.echo_through(port)
    wait_for(lambda: w.laptop.json("status")["rigs"][0]["streams"] == 0)
    got = rates({"relay": w.relay_proc.pid, "rig": w.rig_proc.pid,
                 "laptop": w.laptop.daemon()[0]})
    for name, n in got.items():
        print(f"{name}: {n:.2f} wake-ups a second while connected and idle")
        assert n <= PROMISED * MARGIN, got
