# SPDX-License-Identifier: MIT
"""Commands and manual pages say the same: each command of the table has its
entry, each setting stands in rigway.conf(5), and mandoc finds no fault."""
import os
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

for name, hidden in commands.commands():
    if hidden:
        continue
    if not re.search(rf"^(?:\.(?:It|Sh|Ss|Nm|Ic|Cm)\s.*)?\brigway[- ]"
                     rf"{re.escape(name)}\b", plain, re.M) \
            and not re.search(rf"^\.(?:It|Ss|Sh)\b.*\b{re.escape(name)}\b",
                              "\n".join(texts.values()), re.M):
        problems.append(f"src/cmd/main.c: no manual page has '{name}'")

conf = [t for p, t in texts.items() if os.path.basename(p).startswith(
    "rigway.conf")]
rows = re.findall(r'^\s*(?:\{\s*)?(?:\.name\s*=\s*|ROW\(|\{\s*)?"'
                  r'([a-z_]+\.[a-z_0-9]+)"', tree.read("src/config/schema.c"),
                  re.M)
for row in rows:
    if not conf or not re.search(rf"\b{re.escape(row)}\b", conf[0].replace(
            "\\&", "")) and row.split(".")[1] not in conf[0]:
        problems.append(f"src/config/schema.c: '{row}' is not in "
                        "rigway.conf(5)")

r = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *pages],
                   cwd=tree.ROOT, stdin=subprocess.DEVNULL,
                   capture_output=True, text=True)
if r.returncode or r.stdout.strip():
    problems += (r.stdout + r.stderr).splitlines()
tree.end(problems, len(pages), "pages")
