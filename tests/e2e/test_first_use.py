# SPDX-License-Identifier: MIT
"""From nothing to a page: relay, join, join, forward; two pasted codes."""
import re
import socket
import textwrap
import threading

import pytest

from rigwaylib import proc
from rigwaylib.poll import wait_for
from rigwaylib.ports import freeport


def first_code(proc):
    """The first rig's code, as `rigway relay` prints it."""
    def seen():
        words = re.findall(r"\S{60,}", proc.text())
        return words[-1] if words else None
    return wait_for(seen, 15, "the relay prints a code")


@pytest.mark.sanitizer
def test_four_commands_from_nothing_to_a_page(world):
    w = world.machines()
    page = w.rig.service("page", 0, "it works")
    port = freeport()
    relay = w.relay.rigway_start("relay", "--listen", f"127.0.0.1:{port}")
    code = first_code(relay)
    joined = w.rig.rigway("join", code, "--name", "desk", timeout=40)
    assert joined.last, "join on a rig prints the laptop's code as its last line"
    assert w.rig.background(), "join on a rig starts it in the background"
    w.laptop.rigway("join", joined.last)
    local = freeport()
    w.laptop.rigway("forward", "desk", f"{local}:127.0.0.1:{page.port}")
    r = w.laptop.exec("curl", "-sS", "-m", "20", f"http://127.0.0.1:{local}/",
                      check=0)
    assert r.out == "it works"


def test_one_rig_needs_no_name(world):
    w = world.up()
    page = w.rig.service("page", 0, "the only one")
    local = freeport()
    w.laptop.rigway("forward", f"{local}:127.0.0.1:{page.port}")
    r = w.laptop.exec("curl", "-sS", "-m", "20", f"http://127.0.0.1:{local}/",
                      check=0)
    assert r.out == "the only one"


def mangle_like_a_mail(code):
    return "\n".join("  " + x + " \r" for x in textwrap.wrap(code, 23)) + "\n"


def test_codes_survive_line_wraps_and_spaces(world):
    w = world.machines()
    w.start_relay()
    w.rig.rigway("join", mangle_like_a_mail(w.rig_code()), "--name", "desk",
                 "--no-start")
    w.start_rig()
    wait_for(lambda: w.rig.rigway("rig", "invite", check=None).rc == 0)
    # Pasted without quotes, a wrapped code arrives as several words.
    w.laptop.rigway("join", *textwrap.wrap(w.client_code(), 31))
    page = w.rig.service("page", 0, "wrapped")
    local = w.forward(page.port)
    r = w.laptop.exec("curl", "-sS", "-m", "20", f"http://127.0.0.1:{local}/",
                      check=0)
    assert r.out == "wrapped"


def test_invite_prints_the_code_and_nothing_else_on_stdout(world):
    w = world.up()
    for r in (w.relay.rigway("relay", "invite"),
              w.rig.rigway("rig", "invite"),
              w.laptop.rigway("invite")):
        assert re.fullmatch(r"[!-~]+\n", r.out), repr(r)
    codes = {w.rig_code() for _ in range(4)}
    assert len(codes) == 4


def test_no_start_only_pairs(world):
    w = world.machines()
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    assert w.rig.background() == []


def test_the_name_is_what_the_laptop_sees(world):
    w = world.up(name="big-box")
    w.wait_online("big-box")
    assert "big-box" in w.laptop.rigway("ls").out


def test_join_names_the_right_machine_on_the_wrong_one(world):
    w = world.up()
    # A laptop's code on the rig that made it, and a rig's code on a laptop
    # that knows rigs already: refused, or asked; never a silent second role.
    r = w.rig.fails("join", w.client_code())
    assert re.search(r"laptop|this rig|itself|other machine", r.err, re.I)


def test_join_starts_a_rig_that_stays_and_needs_no_terminal(world):
    w = world.machines()
    w.start_relay()
    code = w.rig.rigway("join", w.rig_code(), "--name", "desk",
                        timeout=40).last
    pids = w.rig.background()
    w.laptop.rigway("join", code)
    echo = w.rig.service("echo")
    w.echo_through(w.forward(echo.port))
    assert w.rig.background() == pids
    # A second join with another code does not start a second one.
    w.rig.rigway("join", w.rig_code("--fleet", fleet_of(w)), "--name", "desk",
                 check=None, timeout=40)
    assert len(w.rig.background()) == len(pids)


def fleet_of(w):
    rows = w.relay.json("relay", "devices")
    rows = rows if isinstance(rows, list) else rows["devices"]
    return rows[0]["fleet"]


def test_a_failing_join_says_whether_it_was_name_port_or_key(world):
    w = world.machines()
    w.start_relay()
    code = w.rig_code()
    # Nobody listens there any more: the port.
    w.relay_proc.stop()
    w.rig.fails("join", code, "--no-start", says=r"refused|port|firewall",
                timeout=60)
    # Another relay with another key at the same address: the key.
    other = w.home("other-relay")
    other.rigway_start("relay", "--listen", f"127.0.0.1:{w.relay_port}")
    other.wait_port(w.relay_port)
    r = w.rig.fails("join", code, "--no-start", says=r"\bkey\b", timeout=60)
    assert "port" not in r.err.lower() or "key" in r.err.lower()


@pytest.mark.parametrize("answer, says", [
    (b"", r"hung up without a word"),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", r"not a rigway relay")],
    ids=["hangs up", "http"])
def test_what_is_at_the_relays_port_is_called_what_it_is(world, answer, says):
    w = world.machines()
    w.start_relay()
    code = w.rig_code()
    w.relay_proc.stop()
    with socket.create_server(("127.0.0.1", w.relay_port)) as srv:
        def serve():
            while True:
                try:
                    s, _ = srv.accept()
                except OSError:
                    return
                s.recv(4096)
                s.sendall(answer)
                s.close()
        t = threading.Thread(target=serve, daemon=True)
        t.start()
        w.rig.fails("join", code, "--no-start", says=says, timeout=60)
        srv.shutdown(socket.SHUT_RDWR)
        t.join(10)


def test_a_relay_name_that_does_not_resolve_is_called_so(world):
    w = world.machines()
    port = freeport()
    w.relay.rigway_start("relay", "--listen", f"127.0.0.1:{port}", "--name",
                         f"no-such-host.invalid:{port}")
    w.relay.wait_port(port)
    w.rig.fails("join", w.rig_code(), "--no-start", timeout=60,
                says=r"no-such-host\.invalid")


@pytest.mark.parametrize("kind", ["dead", pytest.param(
    "silent", marks=pytest.mark.long)])
def test_name_servers_that_fail_are_called_so(world, kind):
    if not proc.can_mount():
        pytest.skip("needs mounts of its own")
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if kind == "silent":
        try:
            silent.bind(("127.0.0.252", 53))
        except PermissionError:
            pytest.skip("needs a port below 1024")
    world.also(silent)
    servers = {"dead": "nameserver 127.0.0.253\noptions timeout:1 attempts:1",
               "silent": "nameserver 127.0.0.252\noptions timeout:30 attempts:3"}
    w = world.machines()
    port = freeport()
    w.relay.rigway_start("relay", "--listen", f"127.0.0.1:{port}", "--name",
                         f"relay.example.org:{port}")
    w.relay.wait_port(port)
    w.rig.bind("resolv", "/etc/resolv.conf", servers[kind] + "\n")
    w.rig.bind("nsswitch", "/etc/nsswitch.conf", "hosts: files dns\n")
    # It does not wait for the thread that still asks, either.
    w.rig.fails("join", w.rig_code(), "--no-start", timeout=45,
                says=r"name servers cannot tell .*relay\.example\.org")


def test_a_relay_on_ipv6_and_a_service_there(world):
    w = world.machines(hosts="127.0.0.1 localhost\n::1 localhost\n")
    w.relay_port = freeport()
    p = w.relay.rigway_start("relay", "--listen", f"[::1]:{w.relay_port}")
    p.wait_log(r"listening on \[::1\]")
    wait_for(lambda: w.relay.rigway("relay", "invite", check=None).rc == 0)
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    w.join_laptop()
    page = w.rig.service("page", 0, "six", host="::1")
    local = freeport()
    w.laptop.rigway("forward", "desk", f"{local}:[::1]:{page.port}")
    r = w.laptop.exec("curl", "-sS", "-m", "20", f"http://127.0.0.1:{local}/",
                      check=0)
    assert r.out == "six"
    # By its name, which has two addresses and a service on one of them.
    r = w.laptop.rigway("connect", "desk", f"localhost:{page.port}",
                        input="GET / HTTP/1.0\r\n\r\n")
    assert r.out.endswith("six")


def test_a_laptop_with_two_rigs_is_asked_which(world):
    w = world.up()
    two = w.home("two")
    two.rigway("join", w.rig_code(), "--name", "lab", "--no-start")
    two.rigway_start("rig")
    wait_for(lambda: two.rigway("rig", "invite", check=None).rc == 0)
    w.laptop.rigway("join", two.rigway("rig", "invite").out.strip())
    a = w.rig.service("page", 0, "at my desk")
    b = two.service("page", 0, "in the lab")
    r = w.laptop.rigway("forward", f"{freeport()}:127.0.0.1:{a.port}",
                        check=None)
    assert r.rc in (1, 2) and "desk" in r.err and "lab" in r.err, repr(r)
    for rig, page, text in (("desk", a, "at my desk"),
                            ("lab", b, "in the lab")):
        port = w.forward(page.port, rig=rig)
        r = w.laptop.exec("curl", "-sS", "-m", "20",
                          f"http://127.0.0.1:{port}/", check=0)
        assert r.out == text
    assert {"desk", "lab"} <= set(w.laptop.rigway("ls").out.split())


def test_a_known_rig_keeps_its_name_and_says_so(world):
    w = world.up()
    for name, says in (("other", True), ("desk", False)):
        r = w.laptop.rigway("join", w.client_code(), "--name", name)
        assert ("known here as desk, and keeps that name" in r.err) == says, r
    assert [x["name"] for x in w.laptop.json("ls")["rigs"]] == ["desk"]
