# SPDX-License-Identifier: MIT
"""A session without a path holds so much, for so long, and no more: what it
holds, when it lets go, what it says; and who may take it over."""
import socket

import pytest

from rigwaylib import flow
from rigwaylib.poll import stays, wait_for


def up(world, laptop="", rig=""):
    """A paired world with these settings."""
    w = world.machines()
    w.laptop.settings(laptop)
    w.rig.settings(rig)
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    w.join_laptop()
    return w


@pytest.mark.sanitizer
@pytest.mark.parametrize("where", ["laptop", "rig"])
def test_an_absence_that_lasts_too_long_ends_in_words(world, where):
    keep = "  keep_absent: 2s\n"
    w = up(world, laptop="client:\n" + keep if where == "laptop" else "",
           rig="rig:\n" + keep if where == "rig" else "")
    echo = w.rig.service("echo")
    port = w.forward(echo.port)
    with flow.connect(port) as s:
        flow.ping(s, b"before")
        w.relay_proc.kill()
        stays(lambda: not flow.has_news(s), 1)
        s.settimeout(30)
        with pytest.raises(ConnectionResetError):
            s.recv(1)
    says = "the 2s that " + ("client.keep_absent" if where == "laptop"
                             else "it") + " keeps? connections"
    log = wait_for(lambda: w.laptop.logged(says), 10)
    assert f"port {port}" in log, log
    # The service is told when the rig lets go, or when it hears of the end.
    w.start_relay()
    w.echo_through(port)
    wait_for(lambda: echo.text().count("echoed") + echo.text().count("broken")
             >= 2, 20, "both connections ended at the service")


def test_an_absence_that_ends_in_time_costs_nothing(world):
    w = up(world, laptop="client:\n  keep_absent: 60s\n",
           rig="rig:\n  keep_absent: 60s\n")
    with flow.connect(w.forward(w.rig.service("echo").port)) as s:
        for _ in range(2):
            flow.ping(s, b"here")
            w.relay_proc.kill()
            stays(lambda: not flow.has_news(s), 1)
            w.start_relay()
        flow.ping(s, b"still", timeout=30)
        s.shutdown(socket.SHUT_WR)
        assert flow.read_all(s) == b""
