# SPDX-License-Identifier: MIT
"""clang-format decides."""
import subprocess
import sys

import tree

paths = list(tree.files("src", "tests", "bench"))
r = subprocess.run(["clang-format-14", "--dry-run", "-Werror", "--style=file",
                    *paths], cwd=tree.ROOT, stdin=subprocess.DEVNULL)
print(len(paths), "files")
sys.exit(1 if r.returncode or not paths else 0)
