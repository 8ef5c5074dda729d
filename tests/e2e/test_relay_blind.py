# SPDX-License-Identifier: MIT
"""The relay, and anyone on the wire, sees only ciphertext; what a hostile
relay changes closes a connection, and is never a wrong byte."""
import base64
import os
import re

import pytest

from rigwaylib import flow, hostile
from rigwaylib.poll import wait_for
from rigwaylib.ports import freeport


@pytest.fixture
def watched(world):
    """Rig and laptop reach the relay only through a proxy: all that passes
    the relay passes here."""
    w = world
    real, shown = freeport(), freeport()
    w.proxy = w.also(hostile.Proxy(real, shown, record=True))
    w.relay_port = real
    w.relay_args = ["--listen", f"127.0.0.1:{real}", "--name",
                    f"127.0.0.1:{shown}"]
    w.up()
    return w


PLAIN = b"the quick brown fox reads my thesis; "


@pytest.mark.sanitizer
def test_no_plaintext_passes_the_relay(watched):
    w = watched
    echo = w.rig.service("echo")
    port = w.forward(echo.port)
    data = PLAIN * 3000
    with flow.connect(port) as s:
        flow.ping(s, data)
    up, down = w.proxy.recorded()
    # The rig's and the laptop's bytes both pass the proxy, both ways.
    assert len(up) > 2 * len(data) and len(down) > 2 * len(data)
    for way in (up, down):
        for i in range(0, len(PLAIN) - 8):
            assert PLAIN[i:i + 9] not in way
        # Where the stream goes is between laptop and rig as well.
        for word in (b"127.0.0.1:%d" % echo.port, b"desk"):
            assert word not in way, word


def test_the_code_never_passes_the_relay_in_the_clear(watched):
    w = watched
    code = w.client_code()
    w.home("second").rigway("join", code)
    up, down = w.proxy.recorded()
    for n in range(0, len(code) - 12, 4):
        piece = code[n:n + 12].encode()
        assert piece not in up and piece not in down


@pytest.mark.parametrize("way", [hostile.UP, hostile.DOWN])
@pytest.mark.parametrize("fault", hostile.FAULTS)
def test_what_the_relay_changes_is_never_a_wrong_byte(watched, fault, way):
    """A download and an upload at once, and one fault in each direction of
    one carrier: that carrier closes, both transfers end right."""
    w = watched
    n = 30_000_000
    down = w.forward(w.rig.service("source", 0, n).port)
    up = w.forward(w.rig.service("sink").port)
    once = hostile.Once(fault, way, 40)
    w.proxy.fault = once
    a = flow.Background(flow.download, down, n)
    b = flow.Background(flow.upload, up, n)
    ra, rb = a.end(), b.end()
    assert once.done, "the fault never happened"
    wait_for(lambda: all(c.number != once.number for c in w.proxy.live()),
             15, "the carrier with the fault is closed")
    assert ra["right"], ra
    assert ra["whole"], ra
    assert rb["right"], rb


def test_a_relay_that_cuts_again_and_again_loses_nothing(watched):
    w = watched
    n = 120_000_000
    down = w.forward(w.rig.service("source", 0, n).port)
    t = flow.Background(flow.download, down, n)
    cuts = 0
    while t.is_alive() and cuts < 25:
        at = t.at
        wait_for(lambda: t.at > at + 1_000_000 or not t.is_alive(), 60,
                 "bytes flow")
        w.proxy.cut(reset=bool(cuts % 2))
        cuts += 1
    r = t.end()
    assert cuts > 5 and r["whole"], (cuts, r)


def test_a_swapped_key_gets_nothing(watched):
    """The relay answers the laptop's end-to-end handshake itself, with a key
    of its own."""
    w = watched
    echo = w.rig.service("echo")
    evil = hostile.SwappedKey(w.dir)
    w.proxy.takeover = evil
    w.proxy.cut()
    p = w.laptop.start(*connect(w, echo.port), name="connect")
    wait_for(lambda: evil.tries >= 3, 30, "the laptop tried")
    assert evil.plain == b""
    assert p.alive() or p.returncode != 0
    # The true relay again: the laptop gets through.
    w.proxy.takeover = None
    port = w.forward(echo.port)
    w.echo_through(port)
    assert evil.plain == b""


def connect(w, port):
    from rigwaylib.home import binary
    return [binary(), "connect", "desk", f"127.0.0.1:{port}"]


def test_a_relay_with_another_key_is_refused(watched):
    """Somebody else's relay at the same address: rig and laptop say that its
    key is wrong, and tell it nothing."""
    w = watched
    w.relay_proc.stop()
    other = w.home("evil-relay")
    other.rigway_start("relay", "--listen", f"127.0.0.1:{w.relay_port}")
    other.wait_port(w.relay_port)
    wait_for(lambda: re.search(r"\bkey\b", w.rig_proc.text()), 20,
             "the rig says that the relay's key is wrong")
    # The right one is back: so is the rig, by itself.
    other.close()
    w.start_relay()
    w.echo_through(w.forward(w.rig.service("echo").port))


def test_the_relay_keeps_no_secret_that_opens_a_rig(watched):
    """What the relay has on disk: nothing of the secret bits of a code, as
    text or as hex, and none of the devices' private keys. What two codes of
    one rig have in common is no secret: addresses and keys."""
    w = watched
    one, two = decode(w.client_code()), decode(w.client_code())
    w.home("second").rigway("join", w.client_code())
    secret = [one[i:i + 8] for i in range(len(one) - 7)
              if all(a != b for a, b in zip(one[i:i + 8], two[i:i + 8]))]
    assert secret, "two codes are alike"
    looked = 0
    for d, _, files in os.walk(w.relay.rigway_home):
        for f in files:
            path = os.path.join(d, f)
            if not os.path.isfile(path):
                continue
            with open(path, "rb") as fh:
                text = fh.read()
            looked += 1
            for s in secret:
                assert s not in text and s.hex().encode() not in text, path
    assert looked >= 3
    for h in (w.rig, w.laptop):
        for key in private_keys(h):
            for k in private_keys(w.relay):
                assert key != k


def decode(code):
    """The bytes of a code: base32 in small letters behind a prefix."""
    text = code.removeprefix("rw1").upper()
    return base64.b32decode(text + "=" * (-len(text) % 8))


def private_keys(home):
    for d, _, files in os.walk(home.rigway_home):
        for f in files:
            if f == "key" or f.endswith(".key"):
                with open(os.path.join(d, f), "rb") as fh:
                    yield fh.read()


def test_ready_and_the_first_inner_bytes_in_one_segment(watched):
    """The end of what the relay says and the beginning of what the laptop
    says reach the rig with one read."""
    w = watched
    port = w.forward(w.rig.service("echo").port)
    for _ in range(3):
        before = w.proxy.glued
        w.proxy.glue(0.15)
        w.proxy.cut()
        w.echo_through(port)
        w.proxy.glue(0)
        assert w.proxy.glued > before, "they came in two"
