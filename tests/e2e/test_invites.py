# SPDX-License-Identifier: MIT
"""A code is used by one key, expires, and says what is wrong with it."""
import os
import re
import shutil
import string
import time

import pytest

from rigwaylib import hostile
from rigwaylib.poll import wait_for
from rigwaylib.ports import freeport


@pytest.mark.sanitizer
def test_a_used_code_tells_another_key_who_used_it(world):
    w = world.up()
    code = w.client_code()
    first = w.home("first")
    first.rigway("join", code)
    r = w.home("second").fails("join", code, says=r"used")
    # "used at TIME by FINGERPRINT; if that was not you: rigway rig remove ..."
    assert re.search(r"rig remove", r.err), repr(r)
    assert re.search(r"\d\d:\d\d", r.err), repr(r)


@pytest.mark.parametrize("relay", [True, False], ids=["relay", "rig"])
@pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
def test_a_removed_laptops_codes_die_with_it(world, runs, relay):
    """Who removes a stolen laptop is rid of the codes that it made as well; at
    the relay too, and where the rig did not run just then."""
    w = world
    if relay:
        w.up()
    else:
        w.machines()
        w.laptop.settings("client:\n  paths: any\n")
        port = freeport()
        w.rig_proc = w.rig.rigway_start("rig", "--listen", f"127.0.0.1:{port}")
        w.laptop.rigway("join", w.rig_proc.wait_log(r"^(rw1\w+)$").group(1))
    who = w.rig.json("rig", "devices")["devices"][0]["fingerprint"]
    code = w.laptop.rigway("invite", "--uses", "2").out.strip()
    friend, thief = w.home("friend"), w.home("thief")
    for h in friend, thief:
        h.settings("client:\n  paths: any\n")
    friend.rigway("join", code)
    if not runs:
        assert w.rig_proc.stop() == 0
    w.rig.rigway("rig", "remove", who)
    if not runs:
        w.rig_proc = w.rig.rigway_start(
            "rig", *([] if relay else ["--listen", f"127.0.0.1:{port}"]))
        if relay:
            w.rig_proc.wait_log("connected to the relay")
        else:
            w.rig.wait_port(port)
    thief.fails("join", code, says=r"expired|was removed")
    if relay:  # which hears of it in a moment
        wait_for(lambda: "expired" in thief.fails("join", code).err)
    # Whoever came in before stays; and the rig makes codes as ever.
    w.echo_through(w.forward(w.rig.service("echo").port, laptop=friend,
                             rig=friend.json("ls")["rigs"][0]["name"]))


def test_the_same_key_may_use_its_code_again(world):
    w = world.up()
    code = w.client_code()
    h = w.home("again")
    h.rigway("join", code)
    h.rigway("join", code)
    echo = w.rig.service("echo")
    w.echo_through(w.forward(echo.port, laptop=h))


def test_a_rig_code_is_used_by_one_rig(world):
    w = world.machines()
    w.start_relay()
    code = w.rig_code()
    w.rig.rigway("join", code, "--name", "desk", "--no-start")
    w.rig.rigway("join", code, "--name", "desk", "--no-start")
    w.home("rig2").fails("join", code, "--name", "x", "--no-start",
                         says=r"used")


def test_uses_serves_several_machines(world):
    w = world.up()
    code = w.client_code("--uses", "2")
    for i in range(2):
        w.home(f"l{i}").rigway("join", code)
    w.home("l3").fails("join", code, says=r"used")


def test_an_expired_code_says_so(world):
    w = world.up()
    code = w.client_code("--expires", "1s")
    rig_code = w.rig_code("--expires", "1s")
    end = time.time() + 2
    wait_for(lambda: time.time() > end, what="both expire")
    w.home("late").fails("join", code, says="expired")
    w.home("rig2").fails("join", rig_code, "--name", "b", "--no-start",
                         says="expired")


def test_every_changed_character_is_noticed(world):
    """A mangled code is refused before anything is sent: the relay is gone
    while this test types."""
    w = world.up()
    code = w.client_code()
    w.relay_proc.stop()
    h = w.home("typo")
    step = max(1, len(code) // 12)
    for i in range(len(code) - 1, 0, -step):
        c = code[i]
        for other in string.ascii_lowercase + string.digits:
            if other != c.lower() and other not in "o01il":
                break
        bad = code[:i] + other + code[i + 1:]
        h.fails("join", bad, says=r"code")


def test_a_truncated_code_is_called_incomplete(world):
    w = world.up()
    code = w.client_code()
    h = w.home("short")
    for n in (1, 8, len(code) // 2, len(code) - 1):
        r = h.rigway("join", code[:n], check=None)
        assert r.rc in (1, 2) and "code" in r.err.lower(), repr(r)
    r = h.rigway("join", "hello", check=None)
    assert r.rc in (1, 2) and "code" in r.err.lower(), repr(r)


def test_a_lost_answer_locks_nobody_out(world):
    """The relay admits a laptop, the answer is cut off on the way: the same
    command again succeeds."""
    w = world.machines()
    real, shown = freeport(), freeport()
    proxy = w.also(hostile.Proxy(real, shown))
    w.relay_port = real
    w.relay_args = ["--listen", f"127.0.0.1:{real}", "--name",
                    f"127.0.0.1:{shown}"]
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    wait_for(lambda: w.rig.rigway("rig", "invite", check=None).rc == 0)
    for after in range(1, 8):
        code = w.client_code()
        h = w.home(f"cut{after}")
        cutter = CutDown(proxy, after)
        h.rigway("join", code, check=None, timeout=60)
        cutter.off()
        h.rigway("join", code, timeout=60)


class CutDown:
    """Cuts each new connection after so many records from the relay."""

    def __init__(self, proxy, after):
        self.proxy, self.n = proxy, 0
        self.first = proxy.count + 1
        self.after = after
        self.real = proxy._record
        proxy._record = self._record

    def _record(self, c, way, rec):
        if way == "down" and c.number >= self.first and self.n < 2:
            if c.records["down"] + 1 >= self.after:
                self.n += 1
                return None
        return self.real(c, way, rec)

    def off(self):
        self.proxy._record = self.real


def test_any_laptop_of_the_owner_can_invite_another(world):
    w = world.up()
    code = w.laptop.rigway("invite").out.strip()
    second = w.home("second")
    second.rigway("join", code)
    echo = w.rig.service("echo")
    w.echo_through(w.forward(echo.port, laptop=second))


def test_a_guest_reaches_only_its_services(world):
    w = world.up()
    echo = w.rig.service("echo")
    code = w.client_code("--guest", "ssh")
    guest = w.home("guest")
    guest.rigway("join", code)
    r = guest.fails("connect", "desk", f"127.0.0.1:{echo.port}", input="x")
    assert re.search(r"not allowed|may not", r.err, re.I), repr(r)


def test_a_relay_cannot_admit_a_key_to_a_rig(world):
    """Whoever runs the relay can admit devices there; the rig's own list is
    what counts. A stranger whom the relay introduces, with all that the
    laptop knows but its key, gets nothing."""
    w = world.up()
    echo = w.rig.service("echo")
    w.echo_through(w.forward(echo.port))
    # The relay's operator makes a code for the owner's own fleet.
    rows = w.relay.json("relay", "devices")
    rows = rows if isinstance(rows, list) else rows["devices"]
    fleet = rows[0]["fleet"]
    thief = w.home("thief")
    thief.rigway("join", w.rig_code("--fleet", fleet), "--name", "thief",
                 "--no-start")
    # ... and copies the laptop's pairings, all but the key.
    copied = 0
    for d, _, files in os.walk(w.laptop.rigway_home):
        for f in files:
            src = os.path.join(d, f)
            rel = os.path.relpath(src, w.laptop.rigway_home)
            if "client" not in rel or "key" in f or "log" in f or "sock" in f:
                continue
            dst = os.path.join(thief.rigway_home, rel)
            os.makedirs(os.path.dirname(dst), mode=0o700, exist_ok=True)
            shutil.copy(src, dst)
            copied += 1
    assert copied
    r = thief.rigway("connect", "desk", f"127.0.0.1:{echo.port}", input="x",
                     check=None, timeout=60)
    assert r.rc == 1 and r.out == "", repr(r)


def wrong_codes(w):
    """Makes codes for this relay that it never gave out: a twin with the same
    key, whose disk was copied, makes them."""
    twin = w.home("twin", ns=w.relay.ns)
    shutil.copytree(w.relay.rigway_home, twin.rigway_home, dirs_exist_ok=True,
                    ignore=lambda d, names: [n for n in names
                                             if n in ("run", "log", "lock")])
    while True:
        yield twin.rigway("relay", "invite").out.strip()


def test_a_code_that_was_never_given_out_is_refused(world):
    w = world.up()
    code = next(wrong_codes(w))
    h = w.home("guesser")
    h.fails("join", code, "--name", "g", "--no-start", says="code")
    rows = w.relay.json("relay", "devices")
    assert "guesser" not in repr(rows)
    h.rigway("join", w.rig_code(), "--name", "g", "--no-start")


def test_guessing_is_limited_by_address_and_hurts_nobody_else(net_world):
    w = net_world.machines()
    w.relay.settings("relay:\n  guesses_per_minute: 3\n")
    w.start_relay()
    good = w.rig_code()
    codes = wrong_codes(w)
    said = []
    for i in range(6):
        r = w.laptop.fails("join", next(codes), "--name", "g", "--no-start")
        said.append(r.err)
    assert re.search(r"too many|later|wait|limit", said[-1], re.I), said
    assert said[0] != said[-1]
    # Somebody else, at another address, is not concerned, nor is the code.
    w.rig.rigway("join", good, "--name", "desk", "--no-start")
