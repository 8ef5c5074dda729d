# SPDX-License-Identifier: MIT
"""Tests wait for conditions. The poll has the only sleep; the paced server
has one because its pace is what it is for."""
import re

import tree

ALLOWED = {"tests/e2e/rigwaylib/poll.py", "tests/e2e/rigwaylib/servers.py"}
SLEEP = re.compile(r"\b(?:u|nano|clock_nano)?sleep\s*\(|time\.sleep|"
                   r"\bsleep\s+[0-9.]+\b(?!\d)|uv_sleep")
problems, n = [], 0
for path in tree.files("tests", ends=(".c", ".h", ".py", ".sh")):
    if path in ALLOWED or path.startswith("tests/lint/"):
        continue
    n += 1
    for i, line in enumerate(tree.read(path).splitlines(), 1):
        if SLEEP.search(line) and not re.search(r"sleep 1000\b", line):
            problems.append(f"{path}:{i}: {line.strip()}")
tree.end(problems, n)
