# SPDX-License-Identifier: MIT
"""PROTOCOL.md, section 13: each limit has a test that is there and runs, each
setting that it names is in the schema, and every setting of the schema that
bounds something is named there."""
import re

import rules
import tree

PAGE = "docs/PROTOCOL.md"
SCHEMA = "src/config/schema.c"
BOUNDS = re.compile(r"\.(max_\w+|\w*_max|\w+_per_minute|\w+_timeout|keep_\w+|"
                    r"wait|budget|floor|in_flight_min|ping_interval)$")


def section():
    """The first and the line behind the last of section 13."""
    lines = tree.read(PAGE).splitlines()
    start = lines.index("## 13. Limits")
    for i in range(start + 1, len(lines)):
        if lines[i].startswith("## "):
            return start, i
    return start, len(lines)


def main():
    problems, named, n = [], set(), 0
    settings = re.findall(r'\{ "(\w+\.\w+)", SETTING_', tree.read(SCHEMA))
    have = rules.tests()
    start, end = section()
    for i, cells in rules.rows(PAGE, start):
        if i > end:
            break
        n += 1
        if len(cells) != 4:
            problems.append(f"{PAGE}:{i}: not four columns")
            continue
        here = re.findall(r"\b[a-z]+\.[a-z_]+\b", cells[2])
        if not here and not cells[2].startswith("-"):
            problems.append(f"{PAGE}:{i}: neither a setting nor -")
        for s in here:
            named.add(s)
            if s not in settings:
                problems.append(f"{PAGE}:{i}: there is no setting {s}")
        if not rules.named(cells[3]):
            problems.append(f"{PAGE}:{i}: no test")
        for t in rules.named(cells[3]):
            if t not in have:
                problems.append(f"{PAGE}:{i}: there is no test {t}")
    for s in settings:
        if BOUNDS.search(s) and s not in named:
            problems.append(f"{PAGE}, section 13: {s} is not there")
    tree.end(problems, n, "limits")


if __name__ == "__main__":
    main()
