# SPDX-License-Identifier: MIT
"""Who is admitted, and how that ends: at once."""
import pytest

from rigwaylib import flow
from rigwaylib.poll import wait_for
from rigwaylib.ports import freeport
from rigwaylib.world import rows_of


def devices(home, role):
    return rows_of(home.json(role, "devices"), "devices")


def ends(s, timeout=10):
    """The socket ends, and not as a clean end of file."""
    s.settimeout(timeout)
    try:
        while True:
            d = s.recv(65536)
            if d == b"":
                return "eof"
    except ConnectionResetError:
        return "reset"
    except TimeoutError:
        return "open"


@pytest.mark.sanitizer
def test_rig_remove_cuts_at_once_and_for_good(world):
    w = world.up()
    before = devices(w.rig, "rig")
    second = w.new_laptop()
    who = new_row(before, devices(w.rig, "rig"))
    echo = w.rig.service("echo")
    keep = w.forward(echo.port)
    port = w.forward(echo.port, laptop=second)
    with flow.connect(port) as s, flow.connect(keep) as k:
        flow.ping(s, b"hello")
        flow.ping(k, b"hello")
        w.rig.rigway("rig", "remove", who)
        assert ends(s) == "reset"
        flow.ping(k, b"the other one stays")
    assert len(devices(w.rig, "rig")) == 1
    r = second.rigway("connect", "desk", f"127.0.0.1:{echo.port}", input="x",
                      check=None, timeout=60)
    assert r.rc == 1 and r.out == "" and r.err.strip(), repr(r)
    # Removed stays removed when the rig starts anew.
    w.rig_proc.stop()
    w.start_rig()
    w.echo_through(keep)
    assert len(devices(w.rig, "rig")) == 1


def new_row(before, after):
    """The fingerprint of the device that is in the list since."""
    old = {r["fingerprint"] for r in before}
    new = [r["fingerprint"] for r in after if r["fingerprint"] not in old]
    assert len(new) == 1, (before, after)
    return new[0]


def test_rig_remove_needs_no_relay_and_no_running_rig(world):
    w = world.up()
    before = devices(w.rig, "rig")
    second = w.new_laptop()
    who = new_row(before, devices(w.rig, "rig"))
    echo = w.rig.service("echo")
    w.echo_through(w.forward(echo.port, laptop=second))
    w.relay_proc.stop()
    w.rig_proc.stop()
    w.rig.rigway("rig", "remove", who)
    w.start_relay()
    w.start_rig()
    r = second.rigway("connect", "desk", f"127.0.0.1:{echo.port}", input="x",
                      check=None, timeout=60)
    assert r.rc == 1, repr(r)


def test_a_forward_to_a_rig_that_removed_this_laptop_says_so(world):
    w = world.up()
    before = devices(w.rig, "rig")
    second = w.new_laptop()
    who = new_row(before, devices(w.rig, "rig"))
    echo = w.rig.service("echo")
    spec = f"{freeport()}:127.0.0.1:{echo.port}"
    p = second.rigway_start("forward", "--foreground", spec)
    p.wait_log(r"-> desk")
    w.rig.rigway("rig", "remove", who)
    assert p.reap(20) == 1 and "removed from the rig" in p.text(), p.text()
    # Asked anew, with what was heard before, and by a process that has not
    # heard it yet: nothing is kept that would only pretend to be a port.
    second.fails("forward", spec, says=r"desk: .*removed from the rig")
    second.rigway("daemon", "--stop")
    second.fails("forward", spec, says=r"desk: ")
    assert second.json("status")["forwards"] == []


def test_a_forward_to_a_rig_that_is_away_is_kept_and_says_so(world):
    w = world.up()
    echo = w.rig.service("echo")
    w.rig_proc.stop()
    wait_for(lambda: not w.online(), 30, "the rig is away")
    port = freeport()
    r = w.laptop.rigway("forward", f"{port}:127.0.0.1:{echo.port}")
    assert "not connected yet" in r.err and "desk" in r.out, repr(r)
    w.start_rig()
    w.wait_online()
    w.echo_through(port)


def test_relay_remove_cuts_at_once(world):
    w = world.up()
    port = w.forward(w.rig.service("echo").port)
    rows = devices(w.relay, "relay")
    assert {r["role"] for r in rows} == {"rig", "laptop"}
    who = [r for r in rows if r["role"] == "laptop"][0]
    with flow.connect(port) as s:
        flow.ping(s, b"hello")
        r = w.relay.rigway("relay", "remove", who["fingerprint"])
        # "... and says that direct paths remain"
        assert "direct" in (r.out + r.err).lower(), repr(r)
        s.settimeout(3)
        with pytest.raises((TimeoutError, ConnectionResetError)):
            s.sendall(b"into the void")
            assert s.recv(100) is None, "the path was not cut"
    assert not [r for r in devices(w.relay, "relay")
                if r["role"] == "laptop"]


def test_removing_the_rig_at_the_relay_ends_introductions(world):
    w = world.up()
    echo = w.rig.service("echo")
    w.echo_through(w.forward(echo.port))
    rig = [r for r in devices(w.relay, "relay") if r["role"] == "rig"][0]
    w.relay.rigway("relay", "remove", rig["fingerprint"])
    assert not [r for r in devices(w.relay, "relay") if r["role"] == "rig"]
    wait_for(lambda: "remove" in w.rig_proc.text().lower()
             or "not admitted" in w.rig_proc.text().lower()
             or "not known" in w.rig_proc.text().lower(), 20,
             "the rig says why")


def test_an_unknown_device_is_an_error_in_words(world):
    w = world.up()
    w.relay.fails("relay", "remove", "nobody-here", says="nobody-here")
    w.rig.fails("rig", "remove", "nobody-here", says="nobody-here")
    w.relay.fails("relay", "remove", check=2)
    w.rig.fails("rig", "remove", check=2)
    for who in ("rig", "relay"):
        getattr(w, who).fails(who, "remove", "", check=2, says=r"whom\?")


def test_devices_without_a_running_process(world):
    w = world.up()
    a, b = devices(w.relay, "relay"), devices(w.rig, "rig")
    w.relay_proc.stop()
    w.rig_proc.stop()
    assert {r["fingerprint"] for r in devices(w.relay, "relay")} \
        == {r["fingerprint"] for r in a}
    assert {r["fingerprint"] for r in devices(w.rig, "rig")} == {r["fingerprint"] for r in b}


def test_devices_see_only_their_own_fleet(world):
    """Another owner's laptop on the same relay: it does not see this rig, in
    no list and by no name."""
    w = world.up()
    rig2 = w.home("their-rig")
    rig2.rigway("join", w.rig_code(), "--name", "theirs", "--no-start")
    rig2.rigway_start("rig")
    wait_for(lambda: rig2.rigway("rig", "invite", check=None).rc == 0)
    them = w.home("their-laptop")
    them.rigway("join", rig2.rigway("rig", "invite").out.strip())
    assert "desk" not in them.rigway("ls").out
    assert "theirs" not in w.laptop.rigway("ls").out
    them.fails("connect", "desk", "127.0.0.1:1", input="")
