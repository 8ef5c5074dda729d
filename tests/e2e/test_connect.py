# SPDX-License-Identifier: MIT
"""`rigway connect`: stdio for nc's place, and ProxyUseFdpass for OpenSSH."""
import array
import os
import signal
import socket
import subprocess

import pytest

from rigwaylib import flow, proc
from rigwaylib.home import binary
from rigwaylib.poll import wait_for


@pytest.mark.sanitizer
def test_stdio_carries_bytes_and_ends_with_0(world):
    w = world.up()
    data = b"".join(flow.pattern(3_000_001))
    eof = w.rig.service("eof")
    r = w.laptop.rigway("connect", "desk", f"127.0.0.1:{eof.port}",
                        input=data, binary=True, timeout=60)
    assert r.out == data
    assert r.err == ""


def test_stdin_may_end_first(world):
    w = world.up()
    src = w.rig.service("source", 0, 1_000_000)
    r = w.laptop.rigway("connect", "desk", f"127.0.0.1:{src.port}", input=b"",
                        binary=True, timeout=60)
    assert r.out == b"".join(flow.pattern(1_000_000))


@pytest.mark.sanitizer
def test_a_reset_is_exit_1_and_a_sentence(world):
    w = world.up()
    rst = w.rig.service("reset", 0, 100_000)
    p = w.laptop.popen(binary(), "connect", "desk", f"127.0.0.1:{rst.port}")
    got = 0
    while got < 100_000:
        d = os.read(p.stdout.fileno(), 65536)
        assert d
        got += len(d)
    p.stdin.write(b"x")
    p.stdin.flush()
    assert p.stdout.read() == b""
    assert p.wait(20) == 1
    assert len(p.stderr.read().split()) >= 3


def test_a_killed_rig_is_exit_1_and_a_sentence(world):
    w = world.up()
    src = w.rig.service("source", 0, 1_000_000_000, 20_000_000)
    p = w.laptop.popen(binary(), "connect", "desk", f"127.0.0.1:{src.port}")
    assert os.read(p.stdout.fileno(), 65536)
    w.rig_proc.kill()
    w.start_rig()
    while os.read(p.stdout.fileno(), 1 << 20):
        pass
    assert p.wait(60) == 1
    assert len(p.stderr.read().split()) >= 3


def test_a_killed_client_is_exit_1_and_a_sentence(world):
    w = world.up()
    src = w.rig.service("source", 0, 1_000_000_000, 20_000_000)
    p = w.laptop.popen(binary(), "connect", "desk", f"127.0.0.1:{src.port}")
    assert os.read(p.stdout.fileno(), 65536)
    for pid in w.laptop.daemon():
        os.kill(pid, signal.SIGKILL)
    while os.read(p.stdout.fileno(), 1 << 20):
        pass
    assert p.wait(30) == 1
    assert len(p.stderr.read().split()) >= 3


def test_a_reader_that_goes_away_ends_it(world):
    """`rigway connect ... | head -c 1`: no endless process behind it."""
    w = world.up()
    src = w.rig.service("source", 0, 2_000_000_000)
    p = w.laptop.popen(binary(), "connect", "desk", f"127.0.0.1:{src.port}",
                       stdin=subprocess.DEVNULL)
    assert os.read(p.stdout.fileno(), 1)
    p.stdout.close()
    assert p.wait(20) != 0


def test_an_unknown_rig_gets_the_near_names(world):
    w = world.up(name="desk")
    r = w.laptop.fails("connect", "dsek", "127.0.0.1:1", input="",
                       says=r"dsek")
    assert "desk" in r.err.replace("dsek", "")
    w.laptop.fails("forward", "dekk", "8888", says=r"desk")


def test_no_rig_at_all_says_what_to_do(world):
    w = world.machines()
    w.laptop.fails("connect", "desk", "127.0.0.1:1", input="", says=r"join")
    w.laptop.fails("forward", "8888", says=r"join")


@pytest.mark.parametrize("target", ["nonsense", "host:", ":1", "h:99999",
                                    "a b:1", "x" * 256 + ":1"])
def test_a_target_that_makes_no_sense_is_misuse(world, target):
    w = world.up()
    r = w.laptop.rigway("connect", "desk", target, input="", check=None)
    assert r.rc in (1, 2) and r.err.strip(), repr(r)


@pytest.mark.sanitizer
def test_fdpass_hands_over_a_connected_socket(world):
    """What OpenSSH does with ProxyUseFdpass: stdout is a socket, over which
    the command passes the connection and then ends."""
    w = world.up()
    echo = w.rig.service("echo")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        p = w.laptop.popen(binary(), "connect", "--fdpass", "desk",
                           f"127.0.0.1:{echo.port}", stdout=theirs,
                           stdin=subprocess.DEVNULL)
        theirs.close()
        ours.settimeout(20)
        fds = array.array("i")
        _, anc, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(fds.itemsize))
        assert anc, p.stderr.read()
        fds.frombytes(anc[0][2][:fds.itemsize])
        assert p.wait(20) == 0
        with socket.socket(fileno=fds[0]) as s:
            flow.ping(s, b"over a passed descriptor" * 1000)
            s.shutdown(socket.SHUT_WR)
            assert flow.read_all(s) == b""


def test_ssh_as_the_proxy_command(world):
    """Plain ssh with nothing of ssh-config: nc's place on one line."""
    from rigwaylib import sshd
    w = sshd.rig_up(world)
    sshd.let_in(w)
    port = w.rig.sshd_port
    base = ["ssh", "-F", "none", "-o", "BatchMode=yes", "-o",
            "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "LogLevel=ERROR"]
    cmd = f"{binary()} connect desk 127.0.0.1:{port}"
    r = w.laptop.exec(*base, "-o", f"ProxyCommand={cmd}", "x",
                      "echo stdio; exit 7")
    assert (r.rc, r.out) == (7, "stdio\n"), repr(r)
    cmd = f"{binary()} connect --fdpass desk 127.0.0.1:{port}"
    r = w.laptop.exec(*base, "-o", f"ProxyCommand={cmd}", "-o",
                      "ProxyUseFdpass=yes", "x", "echo fdpass; exit 8")
    assert (r.rc, r.out) == (8, "fdpass\n"), repr(r)
    wait_for(lambda: not [p for p in w.laptop.background()
                          if " connect " in proc.describe(p)])
