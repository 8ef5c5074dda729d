# SPDX-License-Identifier: MIT
"""The short form of bench/relay-scale: that it works, not how fast."""
import json
import os

import pytest

from rigwaylib import proc
from rigwaylib.home import ROOT, binary

BUILD = os.path.dirname(os.path.dirname(os.path.dirname(binary())))


@pytest.mark.skipif(not os.path.exists(os.path.join(BUILD, "bench/crowd")),
                    reason="bench/crowd is not built")
def test_two_hundred_rigs_come_and_come_back(tmp_path):
    bench = proc.Proc(
        [proc.PYTHON, os.path.join(ROOT, "bench/relay-scale"), "--quick",
         "--build", BUILD, "--results", tmp_path],
        tmp_path / "log", env=proc.base_env())
    try:
        assert bench.p.wait(120) == 0, bench.text()
    finally:
        bench.stop(30)
    with open(tmp_path / "relay-scale.json") as f:
        got = json.load(f)
    storm, = got["storms"]
    assert got["idle"]["least_rigs"] == 200
    assert got["idle"]["least_sessions"] == 20
    assert storm["welcomes"] >= 200
    assert storm["timeline"][-1][1:] == [200, 20]
    assert (tmp_path / "relay-scale.svg").exists()
    assert "yes" in (tmp_path / "relay-scale.md").read_text()
