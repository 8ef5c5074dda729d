# SPDX-License-Identifier: MIT
"""Forwards: kept and in the foreground, and ends that are honest."""
import os
import signal
import socket
import struct
import time

import pytest

from rigwaylib import flow, proc
from rigwaylib.poll import stays, wait_for
from rigwaylib.ports import freeport, is_open


@pytest.mark.sanitizer
def test_foreground_stays_until_interrupted(world):
    w = world.up()
    echo = w.rig.service("echo")
    a, b = freeport(), freeport()
    p = w.laptop.rigway_start(
        "forward", "--foreground", "desk", f"{a}:127.0.0.1:{echo.port}",
        f"127.0.0.1:{b}:127.0.0.1:{echo.port}")
    for port in (a, b):
        w.laptop.wait_port(port)
        w.echo_through(port)
    assert p.alive()
    p.interrupt()
    wait_for(lambda: not is_open(a) and not is_open(b), what="ports closed")


@pytest.mark.sanitizer
def test_the_daemon_keeps_a_forward_and_brings_it_back(world):
    w = world.up()
    echo = w.rig.service("echo")
    port = w.forward(echo.port)
    w.echo_through(port)
    daemon = wait_for(w.laptop.daemon)
    assert len(daemon) == 1
    # However the background process ends: the next command starts it again,
    # and the forward is there.
    os.kill(daemon[0], signal.SIGKILL)
    wait_for(lambda: not is_open(port), what="port closed")
    w.laptop.rigway("ls")
    w.laptop.wait_port(port)
    w.echo_through(port)
    assert wait_for(w.laptop.daemon) != daemon


def test_unforward_ends_it_for_good(world):
    w = world.up()
    echo = w.rig.service("echo")
    port = w.forward(echo.port)
    w.echo_through(port)
    w.laptop.rigway("unforward", "desk", str(port))
    wait_for(lambda: not is_open(port), what="port closed")
    proc.end(w.laptop.daemon())
    w.laptop.rigway("ls")
    assert not is_open(port)
    w.laptop.fails("unforward", "desk", str(port), says=str(port))


def test_one_number_is_the_same_port_at_both_ends(net_world):
    w = net_world.up(rig={"hosts": "127.0.0.1 localhost\n"
                                   "192.168.50.3 node2\n"})
    w.rig.service("page", 8888, "same port")
    node2 = w.home("node2", ns=w.net.node2)
    node2.service("page", 9999, "node two", host="0.0.0.0")
    w.laptop.rigway("forward", "desk", "8888")
    r = w.laptop.exec("curl", "-sS", "-m", "20", "http://127.0.0.1:8888/")
    assert r.out == "same port", repr(r)
    # PORT:HOST fills the port in; the rig knows the name, the laptop does not.
    w.laptop.rigway("forward", "desk", "9999:node2")
    r = w.laptop.exec("curl", "-sS", "-m", "20", "http://127.0.0.1:9999/")
    assert r.out == "node two", repr(r)


def test_forwards_listen_on_loopback_unless_told(net_world):
    w = net_world.up()
    w.rig.service("page", 8888, "hello")
    w.laptop.rigway("forward", "desk", "8888")
    w.laptop.wait_port(8888)
    out = w.laptop.exec("ss", "-Htln", "sport = 8888").out
    assert "127.0.0.1:8888" in out
    assert "0.0.0.0:8888" not in out and "*:8888" not in out
    w.laptop.rigway("forward", "desk", "0.0.0.0:8889:127.0.0.1:8888")
    r = w.laptop.exec("curl", "-sS", "-m", "20", "http://192.168.50.2:8889/")
    assert r.out == "hello", repr(r)


def test_a_port_in_use_is_called_so(world):
    w = world.up()
    busy = w.laptop.service("page", 0, "was here first")
    for how in ((), ("--foreground",)):
        w.laptop.fails("forward", *how, "desk", f"{busy.port}:127.0.0.1:80",
                       says=rf"{busy.port}.*(in use|used by)")
    r = w.laptop.exec("curl", "-sS", f"http://127.0.0.1:{busy.port}/")
    assert r.out == "was here first"


@pytest.mark.parametrize("spec", ["0", "70000", "a:b:c:d:e", "8888:", ":",
                                  "8888:node2:x", "-1", "80:[::1:80",
                                  "80:" + "a" * 300 + ":80"])
def test_a_spec_that_makes_no_sense_is_misuse(world, spec):
    w = world.up()
    w.laptop.fails("forward", "desk", "--", spec, check=2)


def test_the_port_is_open_while_the_rig_is_away(world):
    w = world.up()
    echo = w.rig.service("echo")
    port = w.forward(echo.port)
    w.echo_through(port)
    w.rig_proc.stop()
    with flow.connect(port) as s:
        s.sendall(b"patience")
        s.settimeout(0.5)
        with pytest.raises(TimeoutError):
            s.recv(1)
        w.start_rig()
        s.settimeout(30)
        assert s.recv(100) == b"patience"


def test_a_connection_waits_only_as_long_as_the_setting_says(world):
    w = world.machines()
    w.laptop.settings("client:\n  wait: 500ms\n")
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    w.join_laptop()
    port = w.forward(w.rig.service("echo").port)
    w.echo_through(port)
    w.relay_proc.stop()
    w.rig_proc.stop()
    # Whatever the session still hopes for, the rig does not answer.
    t0 = time.monotonic()
    with flow.connect(port) as s:
        s.settimeout(25)  # the default is 30 s
        with pytest.raises(ConnectionResetError):
            assert s.recv(1) is None, "an end of file from nobody"
    assert time.monotonic() - t0 > 0.3


@pytest.mark.sanitizer
def test_half_close_is_carried_each_way(world):
    w = world.up()
    n = 2_000_003
    up = w.forward(w.rig.service("sink").port)
    assert flow.upload(up, n)["right"]
    down = w.forward(w.rig.service("source", 0, n).port)
    assert flow.download(down, n)["whole"]
    # The laptop finishes first and still gets all that it sent.
    back = w.forward(w.rig.service("eof").port)
    data = b"".join(flow.pattern(n))
    with flow.connect(back) as s:
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        assert flow.read_all(s, 60) == data


def test_the_service_may_finish_first(world):
    """The other way round: the service half-closes, and still gets all that
    the laptop sends afterwards."""
    w = world.up()
    n = 500_000
    src = w.rig.service("source", 0, n)
    with flow.connect(w.forward(src.port)) as s:
        got = flow.read_all(s)
        assert len(got) == n
        s.sendall(b"late" * 1000)
        s.shutdown(socket.SHUT_WR)
    wait_for(lambda: "sent" in src.text() and "broken" not in src.text())


def test_a_service_that_resets_is_not_an_end_of_file(world):
    w = world.up()
    n = 300_000
    port = w.forward(w.rig.service("reset", 0, n).port)
    with flow.connect(port) as s:
        s.settimeout(20)
        got = 0
        while got < n:
            d = s.recv(65536)
            assert d
            got += len(d)
        s.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            assert s.recv(1) is None, "a reset arrived as an end of file"


def test_a_laptop_that_resets_is_not_an_end_of_file(world):
    w = world.up()
    sink = w.rig.service("sink")
    port = w.forward(sink.port)
    s = flow.connect(port)
    s.sendall(b"half of a file")
    wait_for(lambda: established(sink), what="the rig connected")
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    wait_for(lambda: "broken" in sink.text() or "eof" in sink.text())
    assert "eof" not in sink.text()


def established(service):
    with open(f"/proc/{service.pid}/net/tcp") as f:
        for line in f.readlines()[1:]:
            part = line.split()
            if int(part[1].split(":")[1], 16) == service.port \
                    and part[3] == "01":
                return True
    return False


VICTIMS = ["rig", "client", "relay and rig"]


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_sender_never_looks_like_a_clean_end(world, victim):
    """Downloads: what feeds the laptop's socket dies in the middle."""
    w = world.up()
    n = 400_000_000
    src = w.rig.service("source", 0, n, 60_000_000)
    port = w.forward(src.port)
    t = flow.Background(flow.download, port, n, timeout=90)
    wait_for(lambda: t.at > 5_000_000, 30, "bytes flow")
    kill(w, victim, src)
    if victim in ("rig", "relay and rig"):
        # A new rig that knows nothing of the stream must end it, honestly.
        if victim != "rig":
            w.start_relay()
        w.start_rig()
    r = t.end(120)
    assert r["right"], "wrong bytes"
    assert r["end"] == "reset", r
    assert r["bytes"] < n


@pytest.mark.parametrize("victim", ["rig", "client"])
def test_a_killed_writer_never_looks_like_a_clean_end(world, victim):
    """Uploads: the service must not take the half of a file for a whole."""
    w = world.up()
    sink = w.rig.service("sink")
    port = w.forward(sink.port)
    w.laptop.start(*proc.python(proc.lib("flow.py"), "upload", "127.0.0.1",
                                port, 8_000_000_000))
    sink.wait_log(r"^flows", 30)
    kill(w, victim, sink)
    if victim == "rig":
        w.start_rig()
    else:
        # The rig keeps an absent laptop's streams until the laptop is there
        # again; a process that knows nothing of them ends them.
        w.echo_through(w.forward(w.rig.service("echo").port))
    wait_for(lambda: "eof" in sink.text() or "broken" in sink.text(), 30,
             "the service's socket ends")
    assert "eof" not in sink.text(), "half of a file looked whole"


def test_a_killed_service_resets_the_writer(world):
    """A service that dies with bytes unread resets its socket; so is the
    laptop's, as it would be without a tunnel."""
    w = world.up()
    sink = w.rig.service("sink")
    port = w.forward(sink.port)
    t = flow.Background(flow.upload, port, 8_000_000_000, timeout=60)
    sink.wait_log(r"^flows", 30)
    sink.kill()
    r = t.end(60)
    assert r["end"] == "reset" and not r["right"], r


def kill(w, victim, service):
    if victim == "service":
        service.kill()
    elif victim == "client":
        for pid in w.laptop.daemon():
            os.kill(pid, signal.SIGKILL)
    else:
        if victim == "relay and rig":
            w.relay_proc.kill()
        w.rig_proc.kill()


def test_a_unix_socket_at_the_rig(world):
    w = world.up()
    path = w.rig.path("s.sock")
    with socket.socket(socket.AF_UNIX) as ls:
        ls.bind(path)
        ls.listen(1)
        port = freeport()
        w.laptop.rigway("forward", "desk", f"{port}:{path}")
        with flow.connect(port) as s:
            s.sendall(b"to a socket")
            c, _ = ls.accept()
            with c:
                assert c.recv(100) == b"to a socket"
                c.sendall(b"and back")
            assert flow.read_all(s) == b"and back"


@pytest.mark.parametrize("what,says", [
    ("refused", r"refused"), ("no such host", r"no such host|not found|"
     r"cannot find|unknown host")])
def test_why_an_open_failed_is_said_in_words(world, what, says):
    w = world.up()
    target = {"refused": f"127.0.0.1:{freeport()}",
              "no such host": "no-such-host.invalid:80"}[what]
    w.laptop.fails("connect", "desk", target, input="", says=says, timeout=60)


def test_an_open_that_is_refused_resets_the_local_socket(world):
    w = world.up()
    port = w.forward(freeport())
    with pytest.raises(ConnectionResetError):
        with flow.connect(port) as s:
            s.settimeout(20)
            assert s.recv(1) is None, "refused looked like a clean end"


def test_a_timeout_is_told_from_a_refusal(net_world):
    """A host of the rig's network that never answers."""
    w = net_world.up()
    w.net.rig.sh("ip route add blackhole 192.0.2.0/24 || true")
    w.net.node2.sh("nft add table inet t; nft 'add chain inet t in { type "
                   "filter hook input priority 0; }'; nft add rule inet t in "
                   "tcp dport 81 drop")
    r = w.laptop.fails("connect", "desk", "192.168.50.3:81", input="",
                       timeout=90)
    assert "refused" not in r.err and "time" in r.err.lower(), repr(r)


def fill(held):
    """Writes all that goes now; returns how many bytes that were."""
    sent = 0
    for s in held:
        try:
            while True:
                sent += s.send(bytes(65536))
        except BlockingIOError:
            pass
    return sent


def test_three_hundred_stalled_streams_do_not_stop_the_next(world):
    """Stalled means that nothing moves any more, from the program's socket to
    the service's. Buffers are small there: the kernel's default would be over
    a gigabyte in all, and where TCP has no memory left, nothing gets on."""
    w = world.up()
    hold = w.rig.service("hold", 0, "16384")
    echo = w.rig.service("echo")
    port, eport = w.forward(hold.port), w.forward(echo.port)
    held = []

    def session():
        rig = w.laptop.json("status")["rigs"][0]
        return rig["full"], rig["held"], rig["bytes_out"]
    before = None

    def all_stuck():
        nonlocal before
        sent, now = fill(held), session()
        stuck = sent == 0 and now[0] == len(held) and now == before
        before = now
        return stuck
    try:
        for _ in range(300):
            s = flow.connect(port, sndbuf=16384)
            s.setblocking(False)
            held.append(s)
        wait_for(all_stuck, 60, "all streams are full")
        w.echo_through(eport, b"x" * 100_000)
        assert session()[0] == len(held), "they are not full any more"
    finally:
        for s in held:
            s.close()


@pytest.mark.sanitizer
def test_a_thousand_connections_come_and_go(world):
    w = world.up()
    port = w.forward(w.rig.service("echo").port)
    for _ in range(20):
        socks = [flow.connect(port) for _ in range(50)]
        for i, s in enumerate(socks):
            s.sendall(b"%d" % i)
        for i, s in enumerate(socks):
            s.settimeout(20)
            s.shutdown(socket.SHUT_WR)
            assert flow.read_all(s) == b"%d" % i
            s.close()
    # Nothing stays open for what has ended.
    pids = [*w.laptop.daemon(), w.rig_proc.pid, w.relay_proc.pid]
    for pid in pids:
        wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 60, 30,
                 f"descriptors of {proc.describe(pid)}")


def test_the_rig_does_not_exit_because_the_relay_is_late(world):
    w = world.machines()
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.relay_proc.stop()
    p = w.start_rig()
    stays(p.alive, 2, "the rig runs without its relay")
    w.start_relay()
    w.join_laptop()
    w.echo_through(w.forward(w.rig.service("echo").port))
