# SPDX-License-Identifier: MIT
"""clang-format decides. To obey: clang-format-14 -i FILE..."""
import subprocess

import tree

problems, paths = [], list(tree.files("src", "tests", "bench"))
for path in paths:
    r = subprocess.run(["clang-format-14", "--style=file", path],
                       cwd=tree.ROOT, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, text=True, check=True)
    have, want = tree.read(path).splitlines(), r.stdout.splitlines()
    if have != want:
        at = next((i for i, (a, b) in enumerate(zip(have, want))
                   if a != b), min(len(have), len(want)))
        problems.append(f"{path}:{at + 1}: not as clang-format has it")
tree.end(problems, len(paths))
