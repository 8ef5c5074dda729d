# SPDX-License-Identifier: MIT
"""A file is one noun: past 800 lines it is two things; past 500 it says in its
head why. A header is a manual of under 150 lines, or says why it is longer."""
import tree

problems, n = [], 0
for path in tree.files("src", "tests", "bench", ends=(".c", ".h", ".py")):
    n += 1
    lines = tree.read(path).count("\n")
    if lines > 800:
        problems.append(f"{path}: {lines} lines")
tree.end(problems, n)
