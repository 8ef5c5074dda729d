# SPDX-License-Identifier: MIT
"""tests/RULES.md: each rule of the protocol's heart has a section of
PROTOCOL.md and a unit test, and each test that it names is there and runs."""
import re

import cites
import tree

PAGE = "tests/RULES.md"


def tests():
    """The tests of the tree as FILE:FUNCTION, e2e/FILE:FUNCTION for the
    end-to-end ones. A unit test counts only where it is also put into the list
    that main() runs."""
    found = set()
    for path in tree.files("tests/unit", ends=(".c",)):
        text = tree.read(path)
        name = re.sub(r"tests/unit/test_(.*)\.c", r"\1", path)
        for f in set(re.findall(r"\b(\w+)\(void \*\*state\)", text)):
            if len(re.findall(rf"\b{f}\b", text)) > 1:
                found.add(f"{name}:{f}")
    for path in tree.files("tests/e2e", ends=(".py",)):
        name = re.sub(r"tests/e2e/test_(.*)\.py", r"\1", path)
        for f in re.findall(r"^def (test_\w+)\(", tree.read(path), re.M):
            found.add(f"e2e/{name}:{f}")
    return found


def rows(path, start=0):
    """(line, cells) of each row of the tables in a page, headings left out."""
    lines = tree.read(path).splitlines()
    for i, line in enumerate(lines[start:], start + 1):
        if not line.startswith("|") or set(line) <= set("|-: "):
            continue
        if i < len(lines) and set(lines[i]) <= set("|-: ") and lines[i]:
            continue
        yield i, [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]


def named(cell):
    return re.findall(r"`([\w/]+:\w+)`", cell)


def main():
    problems, last = [], 0
    have, there = tests(), cites.sections()
    for i, cells in rows(PAGE):
        if len(cells) != 4:
            problems.append(f"{PAGE}:{i}: not four columns")
            continue
        number, _, section, proof = cells
        if number != str(last + 1):
            problems.append(f"{PAGE}:{i}: number {number} after {last}")
        last += 1
        for s in re.findall(r"\d+(?:\.\d+)*", section) or ["none"]:
            if s not in there:
                problems.append(f"{PAGE}:{i}: {cites.PAGE} has no section {s}")
        if not any(not t.startswith("e2e/") for t in named(proof)):
            problems.append(f"{PAGE}:{i}: no unit test")
        for t in named(proof):
            if t not in have:
                problems.append(f"{PAGE}:{i}: there is no test {t}")
        if re.sub(r"`[\w/]+:\w+`|[, ]", "", proof):
            problems.append(f"{PAGE}:{i}: only tests in the last column")
    tree.end(problems, last, "rules")


if __name__ == "__main__":
    main()
