# SPDX-License-Identifier: MIT
"""A virtual X display for `ssh -X`."""
import os

from .poll import wait_for


def start(home):
    path = os.path.join(home.logs, "display")
    with open(path, "w"):
        pass
    # Without -noreset it starts anew whenever its last client leaves, and
    # turns away who comes in that moment (ssh -X asks it twice).
    p = home.start("sh", "-c", 'exec Xvfb -displayfd 4 -screen 0 800x600x24 '
                   '-noreset -nolisten tcp 4>"$1"', "sh", path, name="xvfb")

    def up():
        with open(path) as f:
            return f.read().strip()
    p.display = ":" + wait_for(up, 15, "X display")
    return p
