# SPDX-License-Identifier: MIT
"""Waits for states. Nothing else in these tests may sleep."""
import time

STEP_S = 0.02


class Timeout(AssertionError):
    pass


def wait_for(condition, timeout=15.0, what="", step=STEP_S):
    """Calls condition until it is true and returns its value.

    An exception from condition counts as "not yet" only if it is an OSError;
    the last one is shown when time is up.
    """
    end = time.monotonic() + timeout
    last = None
    while True:
        try:
            got = condition()
            if got:
                return got
            last = None
        except OSError as e:
            last = e
        if time.monotonic() >= end:
            name = what or getattr(condition, "__name__", "condition")
            text = f"not within {timeout} s: {name}"
            if last is not None:
                text += f" (last: {last!r})"
            raise Timeout(text)
        time.sleep(step)


def stays(condition, seconds, what=""):
    """Fails if condition becomes false within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), f"did not stay: {what or condition}"
        time.sleep(STEP_S)
