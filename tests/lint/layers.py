# SPDX-License-Identifier: MIT
"""Arrows point down only: docs/ARCHITECTURE.md. An include that points up or
sideways fails, and so does one of a library outside the layers that own it."""
import re

import tree

LAYERS = {"base": 0, "crypto": 1, "wire": 2, "core": 3, "config": 4, "net": 5,
          "carrier": 6, "client": 7, "rig": 7, "relay": 7, "web": 8, "cmd": 9}
OWNERS = {
    r"uv\.h|uv/": {"net"},
    r"openssl/": {"crypto", "net"},
    r"intel-ipsec-mb\.h": {"crypto"},
    r"yaml\.h": {"config"},
    r"qrencode\.h": {"cmd", "client", "base"},
}
# No I/O and no clock in the core: what it would need for them.
PURE = {"wire", "core"}
IMPURE = (r"sys/socket\.h|sys/epoll\.h|netinet/|arpa/|poll\.h|time\.h|"
          r"sys/time\.h|unistd\.h|fcntl\.h|stdio\.h")
CALLS = re.compile(r"\b(clock_gettime|gettimeofday|time)\s*\(\s*(NULL|&|CLOCK)")


def main():
    problems, n = [], 0
    for path in tree.files("src"):
        n += 1
        layer = path.split("/")[1]
        if layer not in LAYERS:
            problems.append(f"{path}: no layer called '{layer}'")
            continue
        for i, line in enumerate(tree.read(path).splitlines(), 1):
            where = f"{path}:{i}"
            if layer in PURE and CALLS.search(line):
                problems.append(f"{where}: {layer}/ reads no clock")
            m = re.match(r'\s*#\s*include\s*(["<])([^">]+)[">]', line)
            if not m:
                continue
            kind, name = m.groups()
            if kind == '"':
                top = name.split("/")[0]
                if "/" not in name or top not in LAYERS:
                    problems.append(f"{where}: \"{name}\" names no folder")
                elif top != layer and LAYERS[top] >= LAYERS[layer]:
                    problems.append(f"{where}: {layer}/ includes {name}, "
                                    "which does not lie below it")
                continue
            for lib, owners in OWNERS.items():
                if re.match(lib, name) and layer not in owners:
                    problems.append(f"{where}: <{name}> belongs to "
                                    + " and ".join(sorted(owners)))
            if layer in PURE and re.fullmatch(IMPURE, name):
                problems.append(f"{where}: {layer}/ does no I/O, but includes "
                                f"<{name}>")
    tree.end(problems, n)


main()
