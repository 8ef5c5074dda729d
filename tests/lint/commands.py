# SPDX-License-Identifier: MIT
"""The command table of src/cmd/commands.c, for the other lints."""
import re

import tree

TABLE = "src/cmd/commands.c"


def commands():
    """(name, hidden, verbs) of each row, in the table's order."""
    text = tree.read(TABLE)
    m = re.search(r"\bcommands\[\]\s*=\s*\{(.*?)\n\};", text, re.S)
    assert m, f"{TABLE}: no command table"
    lists = {name: re.findall(r'"([a-z-]+)"', body) for name, body in
             re.findall(r"\*const (\w+)\[\]\s*=\s*\{(.*?)\}", text, re.S)}
    found = []
    for row in re.findall(r"\{\s*(\"[a-z-]+\".*?)\}", m.group(1), re.S):
        # Strings that stand beside each other are one.
        row = re.sub(r'"\s*"', "", row)
        fields = re.findall(r'"(?:[^"\\]|\\.)*"|[A-Za-z_]\w*', row)
        name, _, text, _, verbs = fields[:5]
        found.append((name.strip('"'), text == "NULL", lists.get(verbs, [])))
    assert found, f"{TABLE}: no rows in the command table"
    return found


if __name__ == "__main__":
    for row in commands():
        print(*row)
