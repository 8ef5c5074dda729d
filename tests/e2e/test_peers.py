# SPDX-License-Identifier: MIT
"""The short form of bench/peers: that it measures, not what."""
import json
import os

import pytest

from rigwaylib import proc
from rigwaylib.home import ROOT, binary

SYSTEMS = ["none", "ssh", "jump", "rigway"]


@pytest.mark.long
def test_every_figure_is_taken(tmp_path):
    bench = proc.Proc(
        [os.path.join(ROOT, "bench", "peers"), "--quick", "--idle", "50",
         "--systems", ",".join(SYSTEMS), "--results", tmp_path],
        tmp_path / "log", env=proc.base_env(RIGWAY_BIN=binary()))
    try:
        assert bench.p.wait(240) == 0, bench.text()
    finally:
        bench.stop(30)
    took = json.loads((tmp_path / "peers.json").read_text())["samples"]
    assert list(took) == SYSTEMS
    assert all(len(took["rigway"][kind]) == 1 and took["rigway"][kind][0]
               for kind in ("up1", "down1", "up8", "down8", "conns", "echo",
                            "echo_busy", "start", "idle"))
    table = (tmp_path / "peers.md").read_text()
    assert "rigway, through its relay" in table
    assert "not measured" in table  # against those that it was not told to take
    assert (tmp_path / "peers.svg").read_text().startswith("<svg")
