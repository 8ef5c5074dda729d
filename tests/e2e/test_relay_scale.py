# SPDX-License-Identifier: MIT
"""The short form of bench/relay-scale: that it works, not how fast."""
import json
import os
import subprocess

import pytest

from rigwaylib import home, proc

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.dirname(os.path.dirname(os.path.dirname(home.binary())))


@pytest.mark.skipif(not os.path.exists(os.path.join(BUILD, "bench/crowd")),
                    reason="bench/crowd is not built")
def test_two_hundred_rigs_come_and_come_back(tmp_path):
    done = subprocess.run(
        [proc.PYTHON, os.path.join(ROOT, "bench/relay-scale"), "--quick",
         "--build", BUILD, "--results", str(tmp_path)],
        env=proc.base_env(), text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    with open(tmp_path / "relay-scale.json") as f:
        got = json.load(f)
    storm, = got["storms"]
    assert got["idle"]["least_rigs"] == 200
    assert got["idle"]["least_sessions"] == 20
    assert storm["welcomes"] >= 200
    assert storm["timeline"][-1][1:] == [200, 20]
    assert (tmp_path / "relay-scale.svg").exists()
    assert "yes" in (tmp_path / "relay-scale.md").read_text()
