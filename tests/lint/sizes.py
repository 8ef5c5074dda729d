# SPDX-License-Identifier: MIT
"""A file is one noun: past 800 lines it is two things; past 500 the source says
in its head why. A function of the program has up to 40 lines between its
braces; beyond that the comment above it says why. A call takes up to five
things; beyond that a struct names them. What a format asks for does not
count."""
import re

import tree

LINES, REASON, HEAD, PARAMS, BODY = 800, 500, 25, 5, 40
# A library calls them so.
THEIRS = {"tls_on_alpn", "wide_encrypt", "wide_decrypt", "wide_update"}

# A definition at the left edge, or a function of a struct of callbacks.
CALL = re.compile(r"^(?!\s|#|/|\*|typedef)[\w \t*]*?\b(\w+)\(([^(){};]*)\)"
                  r"\s*(?:[;{]|__attribute__)", re.M)

# A function whose braces stand at the left edge, and the comment above it.
BODIES = re.compile(r"^(?P<why>/\*(?:(?!\*/).)*?\*/\n)?"
                    r"(?P<head>[a-z_][^\n;={}]*\((?:[^;={}])*?\)[^;={}]*?)\n"
                    r"\{\n(?P<body>.*?)^\}", re.M | re.S)


def long_functions(path, text):
    for m in BODIES.finditer(text):
        lines = m.group("body").count("\n")
        name = re.search(r"(\w+)\(", m.group("head")).group(1)
        if lines > BODY and not re.search(
                rf"Over {BODY}\s+(\* )?lines", m.group("why") or ""):
            line = text.count("\n", 0, m.start("head")) + 1
            yield (f"{path}:{line}: {name}() has {lines} lines, and no reason "
                   f"above it (Over {BODY} lines because ...)")


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
    if path.startswith("src"):
        problems += long_functions(path, text)
    for m in CALL.finditer(text):
        things = [t for t in m.group(2).split(",") if t.strip() not in ("", "...")]
        count = len(things)
        if count > PARAMS and m.group(1) not in THEIRS:
            line = text.count("\n", 0, m.start(1)) + 1
            problems.append(f"{path}:{line}: {m.group(1)}() takes {count} "
                            f"things: a struct would name them")
tree.end(problems, n)
