# SPDX-License-Identifier: MIT
"""What the lints share: the files of the tree, and how a lint ends."""
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))


def files(*tops, ends=(".c", ".h")):
    """The files below these folders (or these files), by their ending,
    relative to the root."""
    for top in tops:
        path = os.path.join(ROOT, top)
        if os.path.isfile(path):
            yield top
            continue
        for d, dirs, names in os.walk(path):
            dirs[:] = sorted(x for x in dirs
                             if not x.startswith((".", "build", "__")))
            for n in sorted(names):
                if n.endswith(tuple(ends)):
                    yield os.path.relpath(os.path.join(d, n), ROOT)


def read(path):
    with open(os.path.join(ROOT, path), errors="replace") as f:
        return f.read()


def end(problems, looked_at, what="files"):
    for p in problems:
        print(p)
    print(f"{looked_at} {what}, {len(problems)} problems")
    if looked_at == 0:
        print("nothing was looked at")
    sys.exit(1 if problems or looked_at == 0 else 0)
