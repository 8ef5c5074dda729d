# SPDX-License-Identifier: MIT
"""clang-tidy finds nothing; .clang-tidy says what it looks for. Reads how the
files are compiled from the build folder of the given program."""
import concurrent.futures
import os
import subprocess
import sys

import tree

BUILD = os.path.abspath(os.path.join(os.path.dirname(sys.argv[1]), "../.."))
AT_ONCE = 4  # files a process: starting one costs as much as a small file


def look_at(paths):
    r = subprocess.run(["clang-tidy-14", "-quiet", "-p", BUILD, *paths],
                       cwd=tree.ROOT, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                       text=True)
    if r.returncode == 0:
        return []
    return [r.stdout.strip() or f"{paths}: clang-tidy-14 does not run"]


sources = list(tree.files("src", ends=(".c",)))
groups = [sources[i:i + AT_ONCE] for i in range(0, len(sources), AT_ONCE)]
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    problems = [p for found in pool.map(look_at, groups) for p in found]
tree.end(problems, len(sources))
