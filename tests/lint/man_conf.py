# SPDX-License-Identifier: MIT
"""rigway.conf(5) has each setting of the schema once, with its default and its
range, and no other; both are in the same order."""
import re

import tree

PAGE = "man/rigway.conf.5"
SCHEMA = "src/config/schema.c"
WORDS = {"SECOND": 1000, "MINUTE": 60 * 1000, "HOUR": 3600 * 1000,
         "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
UNITS = {"INT": [],
         "DURATION": [("h", 3600 * 1000), ("m", 60 * 1000), ("s", 1000)],
         "BYTES": [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]}


def value(expression):
    """A bound as C says it: a product of numbers and of the words above."""
    v = 1
    for factor in expression.split("*"):
        factor = factor.strip()
        v *= WORDS[factor] if factor in WORDS else int(factor)
    return v


def shown(kind, v):
    """The same as number_text() in value.c."""
    for unit, size in UNITS[kind]:
        if v and v % size == 0:
            return f"{v // size}{unit}"
    return f"{v}{'ms' if v else 's'}" if kind == "DURATION" else str(v)


schema = tree.read(SCHEMA)
rows = re.findall(r'\{ "(\w+\.\w+)", SETTING_(\w+), AT\([^)]*\), ([^,]+), '
                  r'([^,]+), "([^"]*)",', schema)
problems = []
if len(rows) != len(re.findall(r"\bAT\(", schema)) - 1:
    problems.append(f"{SCHEMA}: a row is not in the form that this lint reads")

want = []
for name, kind, low, high, default in rows:
    text = default or "none"
    if kind in UNITS:
        text += f", {shown(kind, value(low))} to {shown(kind, value(high))}"
    want.append((name, text))
got = re.findall(r"^\.It Va (\w+\.\w+) Pq (.*)$", tree.read(PAGE), re.M)
for name, text in want:
    if (name, text) not in got:
        problems.append(f"{PAGE}: expected '.It Va {name} Pq {text}'")
for name, text in got:
    if name not in dict(want):
        problems.append(f"{PAGE}: '{name}' is no setting")
if not problems and got != want:
    problems.append(f"{PAGE}: not in the order of {SCHEMA}")
tree.end(problems, len(rows), "settings")
