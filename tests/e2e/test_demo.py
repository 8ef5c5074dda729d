# SPDX-License-Identifier: MIT
"""`rigway demo`: relay, rig and laptop on this machine, proven and ended."""
import re
import time

import pytest

from rigwaylib.home import Home
from rigwaylib.poll import wait_for
from rigwaylib.terminal import Terminal


@pytest.fixture
def home(tmp):
    h = Home(tmp, "h")
    yield h
    assert h.close() == []


@pytest.mark.sanitizer
def test_check_proves_it_and_ends(home):
    t0 = time.monotonic()
    r = home.rigway("demo", "--check", timeout=90)
    assert time.monotonic() - t0 < 60, "longer than a minute"
    assert "jupyter" in (r.out + r.err).lower(), repr(r)
    # It lives in a place of its own, and leaves nothing.
    assert home.background() == []
    assert home.is_untouched()


def test_the_printed_link_is_jupyter(home):
    p = home.rigway_start("demo")
    try:
        def link():
            return re.search(r"http://\S+", p.text())
        url = wait_for(link, 60, "the link").group(0).rstrip(".,)")
        r = home.exec("curl", "-fsSL", "-m", "20", url)
        assert r.rc == 0 and "jupyter" in r.out.lower(), repr(r)
        api = url.split("?")[0].rsplit("/tree", 1)[0].rstrip("/") + "/api"
        assert home.exec("curl", "-fsS", api).rc == 0
    finally:
        p.interrupt(20)
    wait_for(lambda: home.background() == [], 20, "all of it ended")


def test_without_a_place_it_says_which(home):
    r = home.exec("env", "TMPDIR=/nowhere", home.bin, "demo", "--check")
    assert r.rc == 1 and "folder in /nowhere" in r.err, repr(r)
    assert "TMPDIR" in r.err, repr(r)


def test_a_killed_demo_leaves_no_process(home):
    p = home.rigway_start("demo")
    p.wait_log(r"http://", 60)
    p.kill()
    wait_for(lambda: home.background() == [], 20, "all of it ended")


def test_a_person_at_the_keys(home):
    """k kills the relay, n changes the address, s puts the laptop to sleep:
    each is told, the figures go on, and Ctrl-C ends it all."""
    t = Terminal(home, home.bin, "demo")
    t.wait_text(r"http://\S+", 60)
    for key, told in (("k", "the relay was killed"),
                      ("n", "the address has changed"),
                      ("s", "the laptop slept")):
        t.type(key)
        t.wait_text(told)
        lines = figures(t)
        wait_for(lambda: figures(t) > lines + 5, 30,
                 f"the stream goes on after {key}")
    t.type("\x03")
    assert t.end() == 0, t.out[-2000:]
    wait_for(lambda: home.background() == [], 20, "all of it ended")


def figures(t):
    """The highest number of a line that has come through."""
    return max([int(n) for n in re.findall(r"open stream: (\d+) lines;", t.out)] or [0])
