# SPDX-License-Identifier: MIT
"""What a bench says while it runs, and what it leaves."""
import os
import sys


def say(text):
    print(text, file=sys.stderr, flush=True)


def write(path, text):
    """Whole or not at all."""
    with open(path + ".tmp", "w") as f:
        f.write(text)
    os.replace(path + ".tmp", path)


def machine():
    """What the figures were measured on."""
    model = ""
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cores": len(os.sched_getaffinity(0)), "cpu": model,
            "kernel": os.uname().release}
