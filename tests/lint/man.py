# SPDX-License-Identifier: MIT
"""Commands and manual pages say the same: each command of the table has its
entry, and mandoc finds no fault."""
import re
import subprocess

import commands
import tree

problems = []
pages = list(tree.files("man", ends=tuple(f".{i}" for i in range(1, 9))))
texts = {p: tree.read(p) for p in pages}
# Macro lines as plain words.
plain = "\n".join(re.sub(r"^\.[A-Z][a-z]\s", "", re.sub(
    r"\b(?:Ic|Nm|Cm|Ar|Fl|Op|Xr|No|Ns|Sy)\b ?", "", line))
    for t in texts.values() for line in t.splitlines())

for name, hidden, _ in commands.commands():
    if hidden:
        continue
    if not re.search(rf"^(?:\.(?:It|Sh|Ss|Nm|Ic|Cm)\s.*)?\brigway[- ]"
                     rf"{re.escape(name)}\b", plain, re.M) \
            and not re.search(rf"^\.(?:It|Ss|Sh)\b.*\b{re.escape(name)}\b",
                              "\n".join(texts.values()), re.M):
        problems.append(f"{commands.TABLE}: no manual page has '{name}'")

r = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages],
                   cwd=tree.ROOT, stdin=subprocess.DEVNULL,
                   capture_output=True, text=True)
if r.returncode or r.stdout.strip():
    problems += (r.stdout + r.stderr).splitlines()
tree.end(problems, len(pages), "pages")
