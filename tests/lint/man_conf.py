# SPDX-License-Identifier: MIT
"""Every setting of src/config/schema.c has its paragraph in rigway.conf(5),
with the default it has in the table, and the page has no other."""
import re

import tree

problems = []
rows = re.findall(r'\{ "([a-z]+)\.([a-z_0-9]+)", SETTING_\w+, [^,]+, [^,]+, '
                  r'[^,]+, "([^"]*)"', tree.read("src/config/schema.c"))
try:
    page = tree.read("man/rigway.conf.5").replace("\\&", "")
except FileNotFoundError:
    page = ""
    problems.append("man/rigway.conf.5: not there")
# The paragraphs: ".It Ic key" in the list of a section, or ".It Ic s.key".
items, section = {}, None
for line in page.splitlines():
    m = re.match(r"\.S[hs] (?:The )?(?:Ic |Cm |Va |Sy )?([a-zA-Z]+)", line)
    if m:
        section = m.group(1).lower()
        continue
    m = re.match(r"\.It (?:Ic |Cm |Va |Sy )?([a-z_0-9.]+)", line)
    if m:
        word = m.group(1)
        at = word if "." in word else f"{section}.{word}"
        items[at] = ""
        last = at
        continue
    if items:
        items[last] += line + "\n"

for sec, key, default in rows:
    name = f"{sec}.{key}"
    if name not in items:
        problems.append(f"src/config/schema.c: '{name}' has no paragraph in "
                        "man/rigway.conf.5")
    elif default and default not in items[name]:
        problems.append(f"man/rigway.conf.5: '{name}': its default, "
                        f"'{default}', is not named")
known = {f"{a}.{b}" for a, b, _ in rows}
sections = {a for a, _, _ in rows}
for at in items:
    if at.split(".")[0] in sections and at not in known:
        problems.append(f"man/rigway.conf.5: there is no setting '{at}'")
tree.end(problems, len(rows), "settings")
