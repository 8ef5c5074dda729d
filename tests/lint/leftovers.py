# SPDX-License-Identifier: MIT
"""The proof that a test run leaves nothing: no process that it started lives,
so none of its network namespaces does, for each is held by such a process."""
import os
import sys

mark = b"RIGWAY_TEST_MARK=" + sys.argv[1].encode() + b"."
left = 0
for d in os.listdir("/proc"):
    if not d.isdigit():
        continue
    try:
        with open(f"/proc/{d}/environ", "rb") as f:
            env = f.read().split(b"\0")
        with open(f"/proc/{d}/cmdline", "rb") as f:
            line = f.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        continue
    if line and any(e.startswith(mark) for e in env):
        print("left:", d, line, os.readlink(f"/proc/{d}/ns/net"))
        left += 1
print(left, "processes left")
sys.exit(1 if left else 0)
