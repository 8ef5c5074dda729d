# SPDX-License-Identifier: MIT
"""Plain words where users read: the README and every --help. The flag that is
called --fleet may be named."""
import re
import subprocess
import sys

import commands
import tree

BANNED = re.compile(r"\b(fleets?|carriers?|splic(?:e|es|ed|ing|er))\b", re.I)
problems, n = [], 0


def look(name, text):
    global n
    n += 1
    for i, line in enumerate(text.splitlines(), 1):
        plain = re.sub(r"--fleet\b(?:[ =][A-Z]+)?", "", line)
        for m in BANNED.finditer(plain):
            problems.append(f"{name}:{i}: '{m.group(1)}'")


look("README.md", tree.read("README.md"))
if len(sys.argv) > 1:
    rows = [[]]
    for name, _, verbs in commands.commands():
        rows += [[name]] + [[name, v] for v in verbs]
    for row in rows:
        r = subprocess.run([sys.argv[1], *row, "--help"],
                           stdin=subprocess.DEVNULL, capture_output=True,
                           text=True)
        look(" ".join(["rigway", *row, "--help"]), r.stdout + r.stderr)
tree.end(problems, n, "texts")
