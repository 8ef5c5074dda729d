# SPDX-License-Identifier: MIT
"""A file is one noun: past 800 lines it is two things; past 500 the source says
in its head why. A call takes up to five things; beyond that a struct names
them. What a format asks for does not count."""
import re

import tree

LINES, REASON, HEAD, PARAMS = 800, 500, 25, 5
THEIRS = {"tls_on_alpn"}  # a library calls it so

# A definition at the left edge, or a function of a struct of callbacks.
CALL = re.compile(r"^(?!\s|#|/|\*|typedef)[\w \t*]*?\b(\w+)\(([^(){};]*)\)"
                  r"\s*(?:[;{]|__attribute__)", re.M)

problems, n = [], 0
for path in tree.files("src", "tests", "bench", ends=(".c", ".h", ".py")):
    n += 1
    text = tree.read(path)
    lines = text.count("\n")
    if lines > LINES:
        problems.append(f"{path}: {lines} lines")
    elif lines > REASON and not path.startswith("tests") and not re.search(
            r"Over 500\s+(\* )?lines", "\n".join(text.split("\n")[:HEAD])):
        problems.append(f"{path}: {lines} lines, and no reason in its head "
                        f"(Over 500 lines because ...)")
    if not path.endswith((".c", ".h")):
        continue
    for m in CALL.finditer(text):
        things = [t for t in m.group(2).split(",") if t.strip() not in ("", "...")]
        count = len(things)
        if count > PARAMS and m.group(1) not in THEIRS:
            line = text.count("\n", 0, m.start(1)) + 1
            problems.append(f"{path}:{line}: {m.group(1)}() takes {count} "
                            f"things: a struct would name them")
tree.end(problems, n)
