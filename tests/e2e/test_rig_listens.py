# SPDX-License-Identifier: MIT
"""A rig that listens itself: what whoever comes to its port may do, and what
not. Here with no relay at all."""
import os
import signal
import socket
import ssl
import struct

import pytest

from rigwaylib.poll import wait_for
from rigwaylib.ports import freeport
from rigwaylib.stranger import Code, Stranger, ask, fields, hello

pytestmark = pytest.mark.sanitizer

WELCOME, REFUSED = 2, 3


def listen(world, port=None, *args, settings="", says_code=True):
    """A rig that was never anything, with a port of its own. Returns its
    code, unless there is somebody already."""
    w = world.machines()
    if settings:
        w.rig.settings(settings)
    w.port = port or freeport()
    w.rig_proc = w.rig.rigway_start("rig", "--listen", f"127.0.0.1:{w.port}",
                                    *args)
    w.rig.wait_port(w.port)
    if says_code:
        return Code(w.rig_proc.wait_log(r"^(rw1[a-z0-9]+)$").group(1))


def stranger(w, name):
    d = os.path.join(w.dir, name)
    os.makedirs(d, exist_ok=True)
    return Stranger(d)


def refusal(answer):
    assert answer is not None and answer[0] == REFUSED, answer
    return struct.unpack(">H", answer[1][:2])[0], answer[1][2:].decode()


def test_the_first_start_prints_a_code_that_needs_no_relay(world):
    code = listen(world)
    w = world
    assert code.kind == 2 and code.relays == []
    assert code.addrs == [f"127.0.0.1:{w.port}"]
    me = stranger(w, "me")
    answer, tls = me.greet("127.0.0.1", w.port, invite=code.invite())
    assert answer[0] == WELCOME
    got = fields(answer[1])
    assert got[14] == f"127.0.0.1:{w.port}".encode()
    assert got[16] == b""
    assert got[12] == b"owner"
    # Known now: no code is needed any more.
    answer, again = me.greet("127.0.0.1", w.port, carrier=2)
    assert answer[0] == WELCOME
    # A second start prints nothing: somebody may come in.
    assert w.rig_proc.stop() == 0
    p = w.rig.rigway_start("rig", "--listen", f"127.0.0.1:{w.port}")
    w.rig.wait_port(w.port)
    answer, _ = me.greet("127.0.0.1", w.port, carrier=3)
    assert answer[0] == WELCOME
    assert "rw1" not in p.text()


def test_an_unknown_key_may_do_nothing_but_redeem(world):
    code = listen(world)
    w = world
    other = stranger(w, "other")
    why, text = refusal(other.greet("127.0.0.1", w.port)[0])
    assert why == 7 and "rigway rig invite" in text
    bad = (code.invite()[0], os.urandom(32))
    why, text = refusal(other.greet("127.0.0.1", w.port, invite=bad)[0])
    assert why in (6, 20)
    # Requests, streams, a second hello: before WELCOME they are not read.
    tls = other.connect("127.0.0.1", w.port)
    tls.sendall(b"\x10\0\0\x0f\0\0\0\x07\0\0\x40\0\1node2:8888")
    assert refusal(other.read_frame(tls))[0] == 1
    # Used by the first key that shows it, it is nobody else's.
    me = stranger(w, "me")
    assert me.greet("127.0.0.1", w.port, invite=code.invite())[0][0] == WELCOME
    why, text = refusal(other.greet("127.0.0.1", w.port,
                                    invite=code.invite())[0])
    assert "used" in text
    # And removed, the key is out, with its code too.
    w.rig.rigway("rig", "remove", "stranger")
    assert refusal(me.greet("127.0.0.1", w.port)[0])[0] == 7
    refusal(me.greet("127.0.0.1", w.port, invite=code.invite())[0])


def test_who_sends_nothing_or_nonsense_is_let_go_and_others_come_in(world):
    code = listen(world, settings="rig:\n  handshake_timeout: 1s\n"
                                  "  max_unproven_per_address: 4\n")
    w = world
    me = stranger(w, "me")
    assert me.greet("127.0.0.1", w.port, invite=code.invite())[0][0] == WELCOME
    garbage = [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01",
               os.urandom(4000), b"SSH-2.0-x\r\n"]
    for data in garbage:
        with socket.create_connection(("127.0.0.1", w.port), 10) as s:
            s.sendall(data)
            s.settimeout(15)
            try:
                while s.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    # TLS and then silence, or half a HELLO.
    for data in (b"", hello()[:20]):
        tls = stranger(w, "slow").connect("127.0.0.1", w.port)
        tls.sendall(data)
        assert me.read_frame(tls) is None
    assert me.greet("127.0.0.1", w.port, carrier=2)[0][0] == WELCOME


def test_an_address_may_have_so_many_unproven_connections(world):
    code = listen(world, settings="rig:\n  max_unproven_per_address: 4\n")
    w = world
    me = stranger(w, "me")
    invite = code.invite()
    assert me.greet("127.0.0.1", w.port, invite=invite)[0][0] == WELCOME
    held = [socket.create_connection(("127.0.0.1", w.port), 10)
            for _ in range(4)]
    with pytest.raises((OSError, ConnectionError)):
        me.connect("127.0.0.1", w.port)
    # Another address is not concerned.
    s = socket.create_connection(("127.0.0.1", w.port), 10,
                                 source_address=("127.0.0.7", 0))
    tls = me.ctx.wrap_socket(s)
    tls.sendall(hello(carrier=2))
    assert me.read_frame(tls)[0] == WELCOME
    # Who has shown an admitted key counts no more.
    for s in held[2:]:
        s.close()
    wait_for(lambda: can_greet(me, w.port))
    many = [me.greet("127.0.0.1", w.port, carrier=10 + i)[1]
            for i in range(6)]
    assert many
    for s in held + many:
        s.close()


def can_greet(me, port):
    try:
        answer, tls = me.greet("127.0.0.1", port, carrier=3)
        tls.close()
        return answer is not None and answer[0] == WELCOME
    except OSError:
        return False


def test_when_all_places_are_taken_the_oldest_goes(world):
    code = listen(world, settings="rig:\n  max_calls: 3\n")
    w = world
    held = [socket.create_connection(
        ("127.0.0.1", w.port), 10, source_address=(f"127.0.0.{10 + i}", 0))
        for i in range(8)]
    me = stranger(w, "me")
    answer, _ = me.greet("127.0.0.1", w.port, invite=code.invite())
    assert answer[0] == WELCOME
    held[0].settimeout(10)
    try:
        assert held[0].recv(1) == b""
    except ConnectionResetError:
        pass
    for s in held:
        s.close()


def test_wrong_codes_are_counted_by_address(world):
    code = listen(world, settings="rig:\n  guesses_per_minute: 3\n")
    w = world
    other = stranger(w, "other")
    for _ in range(3):
        refusal(other.greet("127.0.0.1", w.port,
                            invite=(os.urandom(16), os.urandom(32)))[0])
    why, text = refusal(other.greet("127.0.0.1", w.port,
                                    invite=code.invite())[0])
    assert "too many wrong codes" in text
    s = socket.create_connection(("127.0.0.1", w.port), 10,
                                 source_address=("127.0.0.7", 0))
    tls = stranger(w, "me").ctx.wrap_socket(s)
    tls.sendall(hello(invite=code.invite()))
    assert other.read_frame(tls)[0] == WELCOME


def greet_from(who, source, port, **kw):
    s = socket.create_connection(("127.0.0.1", port), 10,
                                 source_address=(source, 0))
    tls = who.ctx.wrap_socket(s)
    tls.sendall(hello(**kw))
    return who.read_frame(tls)


def test_addresses_that_guess_are_remembered_within_bounds(world):
    code = listen(world, settings="rig:\n  max_guessers: 3\n")
    w = world
    other = stranger(w, "other")
    for i in range(3):
        refusal(greet_from(other, f"127.0.0.{20 + i}", w.port,
                           invite=(os.urandom(16), os.urandom(32))))
    why, text = refusal(greet_from(other, "127.0.0.30", w.port,
                                   invite=code.invite()))
    assert "too many wrong codes" in text
    # Through a relay, or on the rig itself, nothing has changed.
    w.rig.rigway("rig", "invite")


def test_a_port_in_use_and_a_rig_that_nobody_could_reach(world):
    w = world.machines()
    busy = w.rig.service("page", 0, "x")
    w.rig.fails("rig", "--listen", f"127.0.0.1:{busy.port}",
                says=rf"port {busy.port}.*in use")
    w.laptop.fails("rig", says=r"rigway join CODE.*--listen PORT")
    w.laptop.fails("rig", "--listen", "nonsense", check=2, says=r"nonsense")
    w.laptop.fails("rig", "--public", "a.example.org", check=2,
                   says=r"--listen PORT")
    w.laptop.fails("rig", "invite", "--listen", "7443", check=2)


def test_codes_carry_what_was_told_before_what_the_machine_has(world):
    code = listen(world, None, "--public", "home.example.org:4443", "--public",
                  "203.0.113.9")
    w = world
    assert code.addrs == ["home.example.org:4443", f"203.0.113.9:{w.port}"]
    more = Code(w.rig.rigway("rig", "invite", "--guest", "ssh").out)
    assert more.addrs == code.addrs
    me = stranger(w, "guest")
    answer, _ = me.greet("127.0.0.1", w.port, invite=more.invite())
    assert fields(answer[1])[12] == b"guest"


def test_codes_without_a_running_rig(world):
    w = world.machines()
    w.rig.fails("rig", "invite", says=r"--listen PORT")
    port = freeport()
    w.rig.settings(f"rig:\n  listen: [\"127.0.0.1:{port}\"]\n")
    p = w.rig.rigway_start("rig")
    w.rig.wait_port(port)
    first = Code(p.wait_log(r"^(rw1[a-z0-9]+)$").group(1))
    assert p.stop() == 0
    code = Code(w.rig.rigway("rig", "invite").out)
    assert code.addrs == [f"127.0.0.1:{port}"] and code.relays == []
    assert code.rig_pin == first.rig_pin
    p = w.rig.rigway_start("rig")
    w.rig.wait_port(port)
    assert stranger(w, "me").greet("127.0.0.1", port,
                                   invite=code.invite())[0][0] == WELCOME


def test_where_it_listens_is_kept_for_the_next_start(world):
    first = listen(world, None, "--public", "home.example.org:4443")
    w = world
    kept = ["home.example.org:4443"]
    assert first.addrs == kept
    w.rig_proc.wait_log(r"listens on 127.0.0.1:\d+ at its next start, too")
    assert w.rig_proc.stop() == 0
    # The same in the codes of a rig that rests, and the first one is good.
    assert Code(w.rig.rigway("rig", "invite").out).addrs == kept
    w.start_rig()
    w.rig.wait_port(w.port)
    assert stranger(w, "me").greet("127.0.0.1", w.port,
                                   invite=first.invite())[0][0] == WELCOME
    assert Code(w.rig.rigway("rig", "invite").out).addrs == kept
    assert w.rig_proc.stop() == 0
    # Typed anew, it replaces both; a service's word is not kept.
    port, service = freeport(), freeport()
    for argv in (["--listen", f"127.0.0.1:{port}"],
                 ["--listen", f"127.0.0.1:{service}", "--standby"]):
        p = w.rig.rigway_start("rig", *argv)
        w.rig.wait_port(int(argv[1].split(":")[1]))
        assert p.stop() == 0
    assert Code(w.rig.rigway("rig", "invite").out).addrs \
        == [f"127.0.0.1:{port}"]


def test_a_service_that_waits_listens_where_the_rig_before_it_did(world):
    w = world.up()
    assert w.rig_proc.stop() == 0
    first, second = freeport(), freeport()
    p = w.rig.rigway_start("rig", "--listen", f"127.0.0.1:{first}")
    w.rig.wait_port(first)
    waits = w.rig.rigway_start("rig", "--standby")
    waits.wait_log("takes its place when that one ends")
    # The one that runs is started anew: stopped so that the service does not
    # come between, it says something else.
    os.kill(waits.pid, signal.SIGSTOP)
    assert p.stop() == 0
    p = w.rig.rigway_start("rig", "--listen", f"127.0.0.1:{second}")
    w.rig.wait_port(second)
    os.kill(waits.pid, signal.SIGCONT)
    assert p.stop() == 0
    w.rig.wait_port(second)
    ports = w.rig.json("rig", "status")["listens"]
    assert ports == [second], ports
    assert waits.stop() == 0


def test_the_settings_stand_above_what_was_typed_before(world):
    listen(world)
    w, port = world, freeport()
    assert w.rig_proc.stop() == 0
    w.rig.settings(f"rig:\n  listen: [\"127.0.0.1:{port}\"]\n")
    # What is typed is for this time only, then.
    once = freeport()
    p = w.rig.rigway_start("rig", "--listen", f"127.0.0.1:{once}")
    w.rig.wait_port(once)
    assert p.stop() == 0
    w.start_rig()
    w.rig.wait_port(port)
    assert w.rig_proc.stop() == 0
    w.rig.settings("")
    w.start_rig()
    w.rig.wait_port(w.port)
    assert w.rig_proc.stop() == 0


def test_a_rig_stops_to_listen_when_it_is_told(world):
    w = world.machines()
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    port = freeport()
    w.rig_proc = w.rig.rigway_start("rig", "--listen", f"127.0.0.1:{port}")
    w.rig.wait_port(port)
    assert w.rig_proc.stop() == 0
    for argv in (["--no-listen"], []):
        w.rig_proc = w.rig.rigway_start("rig", *argv)
        w.rig_proc.wait_log("connected to the relay")
        assert w.rig.json("rig", "status")["listens"] == []
        assert w.rig_proc.stop() == 0
    w.rig.fails("rig", "--no-listen", "--listen", port, check=2,
                says="opposite")
    # One that nothing else reaches is not made unreachable by mistake.
    alone = w.home("alone")
    p = alone.rigway_start("rig", "--listen", f"127.0.0.1:{port}")
    alone.wait_port(port)
    assert p.stop() == 0
    alone.fails("rig", "--no-listen", says="nobody could reach")
    p = alone.rigway_start("rig")
    alone.wait_port(port)
    assert p.stop() == 0


def test_only_a_sound_question_is_answered(world):
    port = freeport()
    code = listen(world, settings=f"rig:\n  probe_port: {port}\n"
                                  "  probes_per_minute: 20\n")
    w = world
    assert ask(bytes(32), ("127.0.0.1", port), timeout=0.3) is None
    who, at = ask(code.rig_pin, ("127.0.0.1", port))
    # It listens on loopback only, so a port was opened for who asked.
    assert at != w.port
    me = stranger(w, "me")
    assert me.greet("127.0.0.1", at, invite=code.invite())[0][0] == WELCOME
    with pytest.raises(OSError):
        s = socket.create_connection(("127.0.0.1", at), 10,
                                     source_address=("127.0.0.7", 0))
        me.ctx.wrap_socket(s)
    # The same port for who asks again; and a limit.
    assert ask(code.rig_pin, ("127.0.0.1", port))[1] == at
    n = 0
    while ask(code.rig_pin, ("127.0.0.1", port), timeout=0.3) is not None:
        n += 1
        assert n < 30
    assert n >= 10


def knocks(me, at, source, invite):
    """Whether the port that opened lets this address in."""
    try:
        return greet_from(me, source, at, invite=invite)[0] == WELCOME
    except OSError:
        return False


def test_a_port_opens_for_so_many_who_asked(world):
    port = freeport()
    code = listen(world, settings=f"rig:\n  probe_port: {port}\n")
    me, to = stranger(world, "me"), ("127.0.0.1", port)
    at = {ask(code.rig_pin, to, source=f"127.0.1.{i}")[1]
          for i in range(1, 18)}
    assert len(at) == 1, at
    at = at.pop()
    # The first of them gave way to the last.
    assert not knocks(me, at, "127.0.1.1", code.invite())
    assert knocks(me, at, "127.0.1.17", code.invite())
    assert knocks(me, at, "127.0.1.2", code.invite())


def test_a_recorded_question_opens_for_few(world):
    """Somebody hears one and sends it under many addresses: those who really
    look for the rig still find it, although few may ask."""
    port = freeport()
    code = listen(world, settings=f"rig:\n  probe_port: {port}\n"
                                  "  probes_per_minute: 10\n")
    to, heard = ("127.0.0.1", port), os.urandom(16)
    answers = [ask(code.rig_pin, to, timeout=0.3, source=f"127.0.1.{i}",
                   nonce=heard) for i in range(1, 41)]
    assert 1 <= sum(a is not None for a in answers) <= 4
    at = ask(code.rig_pin, to, source="127.0.2.1")
    assert at is not None
    assert knocks(stranger(world, "me"), at[1], "127.0.2.1", code.invite())


def test_a_device_may_have_so_many_silent_connections(world):
    code = listen(world, settings="rig:\n  handshake_timeout: 1m\n")
    w = world
    me = stranger(w, "me")
    assert me.greet("127.0.0.1", w.port, invite=code.invite())[0][0] == WELCOME
    held = [me.connect("127.0.0.1", w.port) for _ in range(33)]
    held[0].settimeout(10)
    try:
        assert held[0].recv(1) == b""
    except (ConnectionResetError, ssl.SSLError):
        pass
    held[1].settimeout(0.5)
    with pytest.raises((TimeoutError, ssl.SSLWantReadError)):
        assert held[1].recv(1) is None
    assert me.greet("127.0.0.1", w.port)[0][0] == WELCOME
