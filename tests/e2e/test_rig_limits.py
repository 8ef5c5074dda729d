# SPDX-License-Identifier: MIT
"""Each limit of the rig has a name, is reached here, and says so; and what it
cannot do it says in words."""
import os
import re

import pytest

from rigwaylib import flow
from rigwaylib.poll import wait_for


def up(world, **rig):
    """A paired world whose rig has these settings."""
    w = world.machines()
    w.rig.settings("rig:\n" + "".join(f"  {k}: {v}\n" for k, v in rig.items()))
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    w.join_laptop()
    return w


def refused(w, says, **kw):
    code = w.client_code()
    return w.home("another").fails("join", code, says=says, timeout=60, **kw)


def test_devices(world):
    w = up(world, max_devices=1)
    refused(w, r"max_devices")


def test_the_life_of_codes(world):
    w = up(world, max_invite_life="1h")
    says = r"up to 1h \(rig\.max_invite_life"
    w.rig.fails("rig", "invite", "--expires", "2h", says=says)
    w.laptop.fails("invite", "--expires", "2h", says=says)
    # Where nothing is said, it is as long as it may be.
    w.home("another").rigway("join", w.client_code())
    assert w.rig_proc.stop() == 0
    w.rig.fails("rig", "invite", "--expires", "2h", says=says)


def test_sessions(world):
    w = up(world, max_sessions=1)
    refused(w, r"max_sessions")
    # The one that is there stays.
    w.echo_through(w.forward(w.rig.service("echo").port))


def test_invites(world):
    w = up(world, max_invites=5)
    # Some are open from the pairing; a used one makes room.
    n = 0
    while w.rig.rigway("rig", "invite", check=None).rc == 0:
        n += 1
    assert 1 <= n < 5
    w.rig.fails("rig", "invite", says=r"max_invites")


def test_calls(world):
    """More calls than a minute's worth are not answered; a second one is a
    moment later."""
    w = up(world, dials_per_minute=60)
    echo = w.rig.service("echo")
    port = w.forward(echo.port)
    for _ in range(70):
        w.laptop.rigway("reconnect", check=None)
    assert "dials_per_minute" in w.rig_proc.text()
    w.echo_through(port)


def test_a_service_that_takes_too_long(net_world):
    w = net_world
    w.machines()
    w.rig.settings("rig:\n  connect_timeout: 300ms\n")
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    w.join_laptop()
    w.net.node2.sh("nft add table inet t; nft 'add chain inet t in { type "
                   "filter hook input priority 0; }'; nft add rule inet t in "
                   "tcp dport 81 drop")
    w.laptop.fails("connect", "desk", "192.168.50.3:81", input="",
                   says=r"timed out", timeout=20)


def test_an_absent_laptop_is_forgotten(world):
    w = up(world, keep_absent="1s")
    w.echo_through(w.forward(w.rig.service("echo").port))
    w.relay_proc.stop()
    wait_for(lambda: "away for too long" in w.rig_proc.text(), 20)
    w.start_relay()
    w.echo_through(w.forward(w.rig.service("echo").port))


def test_a_new_process_of_the_same_laptop_takes_over(world):
    """Killed, the laptop's daemon comes back with a new session: the old one's
    connections end at once, at the rig too."""
    w = up(world)
    sink = w.rig.service("hold")
    port = w.forward(sink.port)
    with flow.connect(port) as s:
        s.sendall(b"x")
        wait_for(lambda: count_open(sink) == 1)
        for pid in w.laptop.daemon():
            os.kill(pid, 9)
        w.laptop.rigway("ls")
        w.laptop.rigway("reconnect", timeout=60)
        wait_for(lambda: count_open(sink) == 0)
    assert "takes the place" in w.rig_proc.text()


def count_open(service):
    n = 0
    with open(f"/proc/{service.pid}/net/tcp") as f:
        for line in f.readlines()[1:]:
            part = line.split()
            n += (int(part[1].split(":")[1], 16) == service.port
                  and part[3] == "01")
    return n


@pytest.mark.parametrize("argv", [
    ["frob"], ["invite", "--uses", "0"], ["invite", "--uses", "65"],
    ["invite", "--expires", "5"], ["invite", "--expires", "366d"],
    ["invite", "--guest", "99999"], ["invite", "--name", "x"],
    ["invite", "ssh"], ["devices", "--uses", "2"], ["remove"],
    ["remove", "a", "b"], ["--name", "a b"], ["--log-level", "loud"],
    ["--frob"], ["invite", "--expires"]])
def test_misuse_is_status_2_and_quotes_it(world, argv):
    w = world.machines()
    r = w.rig.rigway("rig", *argv, check=2)
    assert r.out == "" and "usage" in r.err, repr(r)
    if argv[0] not in ("remove",):
        assert any(a in r.err for a in argv), repr(r)


def test_a_machine_that_is_no_rig_says_so(world):
    w = world.machines()
    for argv in (["rig"], ["rig", "invite"], ["rig", "devices"],
                 ["rig", "remove", "x"]):
        w.rig.fails(*argv, says=r"rigway join")


def test_a_second_rig_on_the_same_state_is_refused(world):
    w = up(world)
    w.rig.fails("rig", says=r"running already")
    w.echo_through(w.forward(w.rig.service("echo").port))


def test_the_rig_stops_at_once_and_resets_what_is_open(world):
    w = up(world)
    with flow.connect(w.forward(w.rig.service("echo").port)) as s:
        flow.ping(s, b"hello")
        assert w.rig_proc.stop(5) == 0
        s.settimeout(10)
        with pytest.raises(ConnectionResetError):
            assert s.recv(1) is None, "the end looked clean"


def test_an_ssh_key_is_added_once(world):
    from rigwaylib import sshd
    w = world.machines()
    keys = w.rig.path("keys", "authorized_keys")
    w.rig.settings(f"rig:\n  authorized_keys: {keys}\n")
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    pub = sshd.keygen(w.laptop.path(".ssh", "id_ed25519"))
    wait_for(lambda: w.rig.rigway("rig", "invite", check=None).rc == 0)
    for _ in range(2):
        w.laptop.rigway("join", "--authorize-key", w.client_code())
    with open(keys) as f:
        assert f.read() == pub + "\n"
    assert os.stat(keys).st_mode & 0o777 == 0o600
    # Unasked, and without a terminal, nothing is added.
    second = w.home("second")
    sshd.keygen(second.path(".ssh", "id_ed25519"))
    second.rigway("join", w.client_code())
    with open(keys) as f:
        assert f.read() == pub + "\n"
    assert re.search(r"an ssh key: added", w.rig_proc.text())
