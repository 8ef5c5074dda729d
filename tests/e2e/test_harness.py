# SPDX-License-Identifier: MIT
"""What the other tests stand on does what it says: without this, a test that
finds nothing wrong could mean that nothing was looked at."""
import socket
import subprocess

import pytest

from rigwaylib import flow, hostile, jupyter, proc, sshd
from rigwaylib.ports import freeport
from rigwaylib.poll import wait_for


def test_two_homes_behind_nat_reach_the_relay_and_not_each_other(net_world):
    w = net_world.machines()
    page = w.rig.service("page", 8888, "on the rig", host="0.0.0.0")
    out = w.relay.service("page", 80, "outside", host="0.0.0.0")
    r = w.rig.exec("curl", "-sS", "http://127.0.0.1:8888/")
    assert r.out == "on the rig"
    for h in (w.rig, w.laptop):
        assert h.exec("curl", "-sS", f"http://{w.net.RELAY}/").out == "outside"
    seen = out.text()
    assert "page" in seen
    # Neither the laptop nor the relay can come in, whatever address it takes.
    for h, addr in ((w.laptop, "45.0.0.2"), (w.laptop, "192.168.50.2"),
                    (w.relay, "45.0.0.2"), (w.relay, "192.168.50.2")):
        r = h.exec("curl", "-sS", "-m", "1", f"http://{addr}:8888/")
        assert r.rc != 0, repr(r)
    assert page.alive()


def test_the_lan_of_a_home_has_a_second_machine(net_world):
    w = net_world.machines(hosts="127.0.0.1 localhost\n192.168.50.3 node2\n")
    node2 = w.home("node2", ns=w.net.node2)
    node2.service("page", 8888, "node two", host="0.0.0.0")
    assert w.rig.exec("curl", "-sS", "http://node2:8888/").out == "node two"


def test_transfers_see_every_wrong_byte(world):
    w = world.machines()
    n = 3_000_001
    src = w.rig.service("source", 0, n)
    snk = w.rig.service("sink")
    assert flow.download(src.port, n)["whole"]
    assert not flow.download(src.port, n + 1)["whole"]
    assert flow.upload(snk.port, n)["right"]
    rst = w.rig.service("reset", 0, n)
    with flow.connect(rst.port) as s:
        got = 0
        while got < n:
            got += len(s.recv(65536))
        s.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            s.recv(1)
    assert "reset after" in wait_for(rst.text)


def test_the_proxy_knows_the_second_handshake(tmp):
    """Two TLS handshakes on one connection, as a device and its relay and rig
    make them; what follows the second one is where the faults go."""
    relay_port, port = freeport(), freeport()
    ls = socket.create_server(("127.0.0.1", relay_port))
    p = hostile.Proxy(relay_port, port, record=True)

    def record(kind, body):
        return bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body

    hello = record(hostile.HANDSHAKE, b"\x01" + bytes(70))
    data = record(hostile.APPDATA, bytes(range(100)))
    try:
        dev = socket.create_connection(("127.0.0.1", port))
        relay, _ = ls.accept()
        with dev, relay:
            once = hostile.Once("flip", hostile.UP, 1)
            p.fault = once
            dev.sendall(hello + data)
            want = hello + data
            got = b""
            while len(got) < len(want):
                got += relay.recv(65536)
            assert got == want and not once.done
            dev.sendall(hello + data + data)
            want, got = hello + data + data, b""
            while len(got) < len(want):
                got += relay.recv(65536)
            assert once.done and got != want
            assert sum(a != b for a, b in zip(got, want)) == 1
            assert p.recorded()[0].count(hello) == 2
    finally:
        p.close()
        ls.close()


def test_real_sshd_and_jupyter_start(world):
    w = world.machines()
    port = sshd.prepare(w.rig)
    sshd.start(w.rig)
    r = w.rig.exec("ssh-keyscan", "-p", port, "127.0.0.1")
    assert w.rig.host_key.split()[1] in r.out
    jport = freeport()
    jupyter.start(w.rig, jport)
    r = w.rig.exec(*proc.python(proc.lib("jupyter.py"), f"127.0.0.1:{jport}",
                                jupyter.TOKEN, "print(6*7)"), check=0)
    assert r.out == "42\n"


def test_what_a_test_starts_is_found_and_ended(tmp):
    from rigwaylib.home import Home
    h = Home(tmp, "h")
    # A program that leaves its parent, as a daemon does.
    h.exec("sh", "-c", "setsid -f sleep 1000 </dev/null >/dev/null 2>&1",
           check=0)
    found = wait_for(h.background)
    assert len(found) == 1 and "sleep" in proc.describe(found[0])
    assert h.close() == []
    assert h.background() == []
    p = subprocess.Popen(["sleep", "1000"])   # not marked: not ours to end
    try:
        assert p.pid not in proc.find()
    finally:
        p.kill()
        p.wait()
