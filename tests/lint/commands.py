# SPDX-License-Identifier: MIT
"""The command table of src/cmd/main.c, for the other lints."""
import re

import tree


def commands():
    """(name, hidden) of each row."""
    text = tree.read("src/cmd/main.c")
    m = re.search(r"struct command\b[^;]*?\bcommands\[\]\s*=\s*\{(.*?)\n\};",
                  text, re.S)
    if not m:
        m = re.search(r"\bcommands\[\]\s*=\s*\{(.*?)\n\};", text, re.S)
    assert m, "src/cmd/main.c: no command table"
    found = []
    for row in re.findall(r"\{\s*(?:\.name\s*=\s*)?\"([a-z-]+)\"(.*?)\}",
                          m.group(1), re.S):
        found.append((row[0], "NULL" in row[1]))
    assert found, "src/cmd/main.c: no rows in the command table"
    return found
