# SPDX-License-Identifier: MIT
"""`rigway demo`: relay, rig and laptop on this machine, proven and ended."""
import os
import re
import time

import pytest

from rigwaylib.home import Home
from rigwaylib.poll import wait_for


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
    assert not os.path.exists(home.rigway_home)


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


def test_a_killed_demo_leaves_no_process(home):
    p = home.rigway_start("demo")
    p.wait_log(r"http://", 60)
    p.kill()
    wait_for(lambda: home.background() == [], 20, "all of it ended")
