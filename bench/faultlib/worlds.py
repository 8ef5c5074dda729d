# SPDX-License-Identifier: MIT
"""A relay, a rig and a laptop in namespaces of their own, for a bench."""
import contextlib
import os
import sys

from rigwaylib import faults, mounts, net
from rigwaylib.world import World


def own_mounts():
    """Starts this program again with mounts of its own, where it can: the
    machines' files are bound over ours."""
    prefix = mounts.prefix()
    if os.environ.get("RIGWAY_BENCH_MOUNTS") or not prefix:
        return
    os.environ["RIGWAY_BENCH_MOUNTS"] = "1"
    os.execvp(prefix[0], [*prefix, "/usr/bin/python3", *sys.argv])


@contextlib.contextmanager
def world(kind="relay", delay_ms=0):
    why = net.reason_without()
    if why:
        sys.exit(f"this machine has no network namespaces: {why}")
    n = faults.net_for(kind, delay_ms)
    w = World(n)
    try:
        yield w
    except BaseException:
        print(w.logs(), file=sys.stderr)
        raise
    finally:
        wrong = w.close()
        n.close()
        w.remove()
        if wrong:
            print("\n".join(wrong), file=sys.stderr)
