# SPDX-License-Identifier: MIT
"""Every file of code says its licence in its first three lines."""
import os

import tree

problems, n = [], 0
scripts = [p for p in ("run", "test", ".ci/run", "contrib/install-packages")
           if os.path.exists(os.path.join(tree.ROOT, p))]
for path in [*tree.files("src", "tests", "bench", "contrib",
                         ends=(".c", ".h", ".py", ".sh", "meson.build")),
             *scripts]:
    n += 1
    head = "\n".join(tree.read(path).splitlines()[:3])
    if "SPDX-License-Identifier: MIT" not in head:
        problems.append(f"{path}: no SPDX line")
tree.end(problems, n)
