# SPDX-License-Identifier: MIT
"""Bad peers, bad files, full disks: a message in words, the right exit
status, nothing lost, no crash."""
import errno
import glob
import json
import os
import random
import re
import socket
import stat
import struct

import pytest

from rigwaylib import disk, flow
from rigwaylib.home import Home
from rigwaylib.poll import stays, wait_for
from rigwaylib.ports import freeport

CLIENT_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(range(256)) * 2


def garbage():
    rnd = random.Random(7)
    yield "http", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield "ssh", b"SSH-2.0-OpenSSH_9.2\r\n"
    yield "zeros", bytes(70000)
    yield "random", rnd.randbytes(70000)
    yield "half a hello", CLIENT_HELLO[:200]
    yield "a long record", b"\x16\x03\x01\xff\xff" + rnd.randbytes(70000)
    yield "hello and noise", CLIENT_HELLO + rnd.randbytes(5000)
    yield "nothing", b""
    yield "one byte", b"\x16"


def throw(port, data, host="127.0.0.1", how="end"):
    """Sends data; waits until the other side has closed, or closes first."""
    with socket.create_connection((host, port), 5) as s:
        s.settimeout(30)
        try:
            s.sendall(data)
            if how == "reset":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
                return
            if how == "end":
                s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except (ConnectionResetError, BrokenPipeError):
            pass
        except OSError as e:
            if e.errno != errno.ENOTCONN:   # reset before the end was said
                raise


def tls_throw(port, lines):
    """Real TLS with a key of one's own, then garbage where messages belong."""
    import ssl
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ctx.check_hostname = False
    ctx.verify_mode = ssl.CERT_NONE
    ctx.set_alpn_protocols(["rigway-relay/1"])
    if lines.get("cert"):
        ctx.load_cert_chain(*lines["cert"])
    with socket.create_connection(("127.0.0.1", port), 5) as raw:
        raw.settimeout(30)
        try:
            with ctx.wrap_socket(raw) as s:
                s.sendall(lines["data"])
                while s.recv(65536):
                    pass
        except (ssl.SSLError, OSError):
            pass


def stranger(folder):
    import subprocess
    key, cert = os.path.join(folder, "s.key"), os.path.join(folder, "s.crt")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes",
                    "-keyout", key, "-out", cert, "-subj", "/CN=rigway",
                    "-days", "2"], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return cert, key


@pytest.mark.sanitizer
@pytest.mark.parametrize("how", ["end", "wait", "reset"])
def test_garbage_at_the_relays_port(world, how):
    if how == "wait":   # until the relay has had enough
        world.machines().relay.settings("relay:\n  handshake_timeout: 1s\n")
    w = world.up()
    port = w.forward(w.rig.service("echo").port)
    with flow.connect(port) as s:
        flow.ping(s, b"before")
        for _, data in garbage():
            throw(w.relay_port, data, how=how)
        flow.ping(s, b"after")
    assert w.relay_proc.alive() and w.rig_proc.alive()
    w.echo_through(port)


@pytest.mark.sanitizer
def test_garbage_inside_tls(world):
    """Strangers who get as far as the relay's messages."""
    w = world.up()
    cert = stranger(w.dir)
    rnd = random.Random(11)
    hello = bytes([0x40, 0, 0, 4, 0, 0, 0, 0])
    for data in (b"GET / HTTP/1.1\r\n\r\n", rnd.randbytes(20000), hello,
                 hello + b"\xff\xff\xff\xff", bytes([0x40, 0, 255, 255, 0, 0,
                 0, 0]) + bytes(65535), bytes([0x44, 0, 0, 0, 0, 0, 0, 0]),
                 bytes([0x43, 0, 0, 0, 0, 0, 0, 1]), b"\0" * 8):
        tls_throw(w.relay_port, {"data": data, "cert": cert})
        tls_throw(w.relay_port, {"data": data})
    w.echo_through(w.forward(w.rig.service("echo").port))


@pytest.mark.long
def test_a_slow_and_a_silent_peer_are_closed(world):
    """Half-open peers hold a place for seconds, not for ever."""
    w = world.up()
    silent = socket.create_connection(("127.0.0.1", w.relay_port))
    partial = socket.create_connection(("127.0.0.1", w.relay_port))
    partial.sendall(CLIENT_HELLO[:100])
    for s in (silent, partial):
        s.settimeout(60)
        try:
            assert s.recv(1) == b""
        except ConnectionResetError:
            pass
        s.close()
    # One byte at a time is no way to stay either.
    slow = socket.create_connection(("127.0.0.1", w.relay_port))
    slow.setblocking(False)
    at = [0]

    def closed():
        try:
            slow.send(CLIENT_HELLO[at[0] % 400:][:1])
            at[0] += 1
            return slow.recv(1) == b""
        except BlockingIOError:
            return False
        except (ConnectionResetError, BrokenPipeError):
            return True
    wait_for(closed, 60, "the slow peer is closed", step=0.2)
    slow.close()
    w.echo_through(w.forward(w.rig.service("echo").port))


def test_many_half_open_peers_do_not_stop_the_others(world):
    """Counted per address: a stranger's thousand does not lock a device
    out."""
    w = world.up()
    port = w.forward(w.rig.service("echo").port)
    w.echo_through(port)
    held = []
    try:
        for i in range(1000):
            s = socket.socket()
            s.bind(("127.0.0.9", 0))
            s.setblocking(False)
            try:
                s.connect(("127.0.0.1", w.relay_port))
            except BlockingIOError:
                pass
            held.append(s)
        w.echo_through(port)
        w.new_laptop()
    finally:
        for s in held:
            s.close()
    wait_for(lambda: len(os.listdir(f"/proc/{w.relay_proc.pid}/fd")) < 100,
             60, "the relay's descriptors come back")


@pytest.mark.sanitizer
@pytest.mark.parametrize("role", ["relay", "rig", "client"])
def test_garbage_at_the_control_sockets(world, role):
    w = world.up()
    home = {"relay": w.relay, "rig": w.rig, "client": w.laptop}[role]
    w.laptop.rigway("ls")
    path = home.socket_path(role)
    assert stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0
    for data in (b"hello\n", b"{}\n", b"[]\n", b"null\n", b'{"do":7}\n',
                 b'{"do":"no-such-verb"}\n', b'{"do":"forward"}\n',
                 b'{"do":"forward","do":"ls"}\n', b"{" * 5000 + b"\n",
                 b'{"do":"connect","rig":{"a":[]},"target":-1}\n',
                 b"\xff\xfe\0\0\n", b"x" * 200_000, b'{"do":"ls"',
                 bytes(100_000), b'{"do":"forward","rig":"desk","bind":"'
                 b'127.0.0.1","port":99999,"target":"x"}\n'):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(10)
        s.connect(path)
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except (BrokenPipeError, ConnectionResetError):
            pass
        s.close()
    # More askers than there are places, and all of them silent.
    many = []
    for _ in range(80):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        try:
            s.connect(path)
        except BlockingIOError:
            pass
        many.append(s)
    for s in many:
        s.close()
    w.echo_through(w.forward(w.rig.service("echo").port))


# Files

def user_home(w, name):
    """A home of an ordinary user; None where there can be none."""
    if os.getuid() != 0:
        return Home(w.dir, name)
    h = Home(w.dir, name, user=65534)
    w.homes.append(h)
    return h


def state_file(home, role, name):
    found = glob.glob(os.path.join(home.rigway_home, "state", "*", role, name))
    assert len(found) == 1, (role, name, found)
    return found[0]


@pytest.fixture
def user_laptop(world):
    w = world.up()
    h = user_home(w, "user")
    w.join_laptop(h)
    stop(h)
    w.user = h
    return w


def stop(h):
    from rigwaylib import proc
    proc.end(h.background())


def test_a_loosely_permitted_key_is_refused(user_laptop):
    w, h = user_laptop, user_laptop.user
    key = state_file(h, "client", "key")
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    for mode in (0o644, 0o640, 0o606, 0o620):
        os.chmod(key, mode)
        r = h.fails("connect", "desk", "127.0.0.1:1", input="", says="key")
        assert key in r.err and "others" in r.err, repr(r)
    os.chmod(key, 0o600)
    echo = w.rig.service("echo")
    r = h.rigway("connect", "desk", f"127.0.0.1:{echo.port}", input="x")
    assert r.out == "x"


def test_an_unreadable_key_is_called_so(user_laptop):
    h = user_laptop.user
    key = state_file(h, "client", "key")
    os.chmod(key, 0)
    r = h.fails("connect", "desk", "127.0.0.1:1", input="", says="key")
    assert key in r.err and "ermission" in r.err, repr(r)
    os.chmod(key, 0o600)


@pytest.mark.parametrize("role", ["relay", "rig", "client"])
def test_a_missing_key_beside_state_is_not_a_new_key(world, role):
    w = world.up()
    home = {"relay": w.relay, "rig": w.rig, "client": w.laptop}[role]
    w.relay_proc.stop()
    w.rig_proc.stop()
    stop(w.laptop)
    key = state_file(home, role, "key")
    os.rename(key, key + ".kept")
    argv = {"relay": ["relay", *w.relay_args], "rig": ["rig"],
            "client": ["connect", "desk", "127.0.0.1:1"]}[role]
    r = home.fails(*argv, input="", says="key")
    assert key in r.err and not os.path.exists(key), repr(r)
    os.rename(key + ".kept", key)


@pytest.mark.parametrize("text", ["", "garbage\n", "-----BEGIN PRIVATE KEY---"
                                  "--\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_broken_key_file_is_called_so(world, text):
    w = world.up()
    w.rig_proc.stop()
    key = state_file(w.rig, "rig", "key")
    with open(key, "w") as f:
        f.write(text)
    r = w.rig.fails("rig", says="key")
    assert key in r.err


STATE = [("relay", "devices"), ("relay", "invites"), ("rig", "devices"),
         ("rig", "invites"), ("rig", "relays"), ("client", "rigs"),
         ("client", "forwards")]


@pytest.mark.parametrize("role,name", STATE)
@pytest.mark.parametrize("how", ["cut", "word", "version", "binary"])
def test_a_broken_state_file_is_named_with_its_line(world, role, name, how):
    w = world.up()
    w.forward(w.rig.service("echo").port)
    w.client_code()
    w.rig_code()
    w.relay_proc.stop()
    w.rig_proc.stop()
    stop(w.laptop)
    home = {"relay": w.relay, "rig": w.rig, "client": w.laptop}[role]
    path = state_file(home, role, name)
    with open(path, "rb") as f:
        text = f.read()
    bad = {"cut": text[:-3], "word": text + b"no-such-word=1\n",
           "version": text.replace(b" 1\n", b" 99\n", 1),
           "binary": text + b"\0\1\2\n"}[how]
    with open(path, "wb") as f:
        f.write(bad)
    argv = {"relay": ["relay", *w.relay_args], "rig": ["rig"],
            "client": ["connect", "desk", "127.0.0.1:1"]}[role]
    r = home.fails(*argv, input="", timeout=20)
    assert re.search(re.escape(path) + r":\d+", r.err), repr(r)
    with open(path, "rb") as f:
        assert f.read() == bad, "a broken file was written over"


def test_a_world_writable_folder_is_refused(user_laptop):
    h = user_laptop.user
    run = os.path.dirname(glob.glob(os.path.join(
        h.rigway_home, "run", "*", ""))[0])
    os.chmod(run, 0o777)
    r = h.fails("ls")
    assert run in r.err
    os.chmod(run, 0o700)
    h.rigway("ls")


# Full disks

@pytest.fixture
def small(world):
    why = disk.reason_without()
    if why:
        pytest.skip(why)
    w = world.machines()
    w.disks = {}
    for h in (w.relay, w.rig, w.laptop):
        w.disks[h.name] = w.also(disk.Disk(h.rigway_home))
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    w.join_laptop()
    return w


def rewritten(d):
    """The state of a home: path and bytes of each file, sockets left out."""
    found = {}
    for base, _, files in os.walk(d):
        for f in files:
            p = os.path.join(base, f)
            if os.path.isfile(p) and "log" not in f and f != "lock" \
                    and "filler" not in p:
                with open(p, "rb") as fh:
                    found[p] = fh.read()
    return found


def settled(d):
    """The same once nothing writes any more: what commands() started may
    still register its codes."""
    seen = []

    def is_still():
        seen.append(rewritten(d))
        return len(seen) > 25 and all(s == seen[-1] for s in seen[-25:])

    wait_for(is_still, what="the state to settle")
    return seen[-1]


def commands(w):
    """Every command that writes state, and whose disk it needs."""
    second = w.new_laptop("second")
    gone = second.rigway("status", "--json").out
    gone = json.loads(gone)["daemon"]["fingerprint"]
    stop(second)
    code, rig_code = w.client_code(), w.rig_code()
    local = freeport()
    relay = f"127.0.0.1:{w.relay_port}"
    w.forward(1, port=local)
    fresh, rig2, rig3 = w.home("fresh"), w.home("rig2"), w.home("rig3")
    w.disks["rig3"] = w.also(disk.Disk(rig3.rigway_home))
    w.disks["ssh"] = w.also(disk.Disk(w.laptop.path(".ssh")))
    with open(w.laptop.path(".ssh", "config"), "w") as f:
        f.write("Host mine\n\tUser me\n")
    rig3.rigway("join", w.rig_code(), "--name", "three", "--no-start")
    rig3.rigway_start("rig")
    wait_for(lambda: rig3.rigway("rig", "invite", check=None).rc == 0)
    third = rig3.rigway("rig", "invite").out.strip()
    return {
        "relay invite": ("relay", lambda: w.relay.rigway(
            "relay", "invite", check=None)),
        "relay admits a rig": ("relay", lambda: rig2.rigway(
            "join", rig_code, "--name", "two", "--no-start", check=None,
            timeout=60)),
        "relay remove": ("relay", lambda: w.relay.rigway(
            "relay", "remove", gone, check=None)),
        "rig invite": ("rig", lambda: w.rig.rigway(
            "rig", "invite", check=None)),
        "rig remove": ("rig", lambda: w.rig.rigway(
            "rig", "remove", gone, check=None)),
        "rig leave": ("rig3", lambda: rig3.rigway(
            "rig", "leave", relay, check=None)),
        "rig admits a laptop": ("rig", lambda: fresh.rigway(
            "join", code, check=None, timeout=60)),
        "laptop joins": ("laptop", lambda: w.laptop.rigway(
            "join", third, check=None, timeout=60)),
        "forward": ("laptop", lambda: w.laptop.rigway(
            "forward", "desk", f"{freeport()}:127.0.0.1:1", check=None)),
        "unforward": ("laptop", lambda: w.laptop.rigway(
            "unforward", "desk", str(local), check=None)),
        "ssh-config, rigway's part": ("laptop", lambda: w.laptop.rigway(
            "ssh-config", "--install", check=None)),
        "ssh-config, ssh's part": ("ssh", lambda: w.laptop.rigway(
            "ssh-config", "--install", check=None)),
    }


@pytest.mark.parametrize("what", [
    "relay invite", "relay admits a rig", "relay remove", "rig invite",
    "rig remove", "rig leave", "rig admits a laptop", "laptop joins",
    "forward", "unforward", "ssh-config, rigway's part",
    "ssh-config, ssh's part"])
@pytest.mark.parametrize("full", ["blocks", "inodes"])
def test_a_full_disk_loses_nothing(small, what, full):
    w = small
    where, command = commands(w)[what]
    d = w.disks[where]
    before = settled(d.path)
    d.fill() if full == "blocks" else d.fill_inodes()
    r = command()
    assert r.rc == 1, f"{what} with a full disk\n{r!r}"
    assert re.search(r"no space|disk is full|full disk", r.err, re.I), repr(r)
    assert rewritten(d.path) == before, "state was changed or lost"
    d.free()
    r = command()
    assert r.rc == 0, f"{what} with room again\n{r!r}"
    # Everything that ran goes on running.
    assert w.relay_proc.alive() and w.rig_proc.alive()
    w.echo_through(w.forward(w.rig.service("echo").port))


def test_what_a_rig_says_on_a_full_disk_is_written_later(small):
    w = small
    d = w.disks["laptop"]
    echo = w.forward(w.rig.service("echo").port)
    rigs, = glob.glob(os.path.join(d.path, "state", "*", "client", "rigs"))

    def is_written():
        with open(rigs) as f:
            return "desk.example.org" in f.read()
    d.fill()
    assert w.rig_proc.stop() == 0
    port = freeport()
    w.rig.settings(f"rig:\n  listen: {port}\n"
                   f"  public: desk.example.org:{port}\n")
    w.start_rig()
    w.echo_through(echo)
    # It hears all of it, and nothing is news when there is room again.
    for _ in range(2):
        w.laptop.rigway("reconnect")
        w.echo_through(echo)
    assert not is_written()
    d.free()
    w.laptop.rigway("reconnect")
    wait_for(is_written, what="the rig's new address in the file")


@pytest.mark.parametrize("role", ["relay", "rig", "client"])
def test_a_first_start_on_a_full_disk(world, role):
    why = disk.reason_without()
    if why:
        pytest.skip(why)
    w = world.machines()
    w.start_relay()
    code = w.rig_code()
    h = w.home("full")
    d = w.also(disk.Disk(h.rigway_home))
    d.fill()
    argv = {"relay": ["relay", "--listen", f"127.0.0.1:{freeport()}"],
            "rig": ["join", code, "--name", "x", "--no-start"],
            "client": ["forward", "desk", "80"]}[role]
    r = h.rigway(*argv, check=None)
    assert r.rc == 1 and r.err.strip(), repr(r)
    assert re.search(r"no space|full", r.err, re.I), repr(r)
    d.free()
    if role == "rig":
        h.rigway(*argv)


def test_a_read_only_home_is_called_so(world):
    why = disk.reason_without()
    if why:
        pytest.skip(why)
    h = world.home("frozen")
    world.also(disk.Disk(h.rigway_home)).freeze()
    for argv in (["ls"], ["ssh-config", "--install"],
                 ["relay", "--listen", f"127.0.0.1:{freeport()}"]):
        h.fails(*argv, says="read-only")


# Configuration

def test_all_mistakes_are_reported_at_once(world):
    w = world.machines()
    os.makedirs(w.laptop.rigway_home, exist_ok=True)
    path = os.path.join(w.laptop.rigway_home, "rigway.yml")
    with open(path, "w") as f:
        f.write("session:\n  flor: 16KiB\n  budget: lots\n"
                "  max_streams: 010\nrelais:\n  x: 1\n")
    r = w.laptop.fails("config", "check")
    lines = re.findall(re.escape(path) + r":(\d+):(\d+): ", r.err + r.out)
    assert {int(a) for a, _ in lines} >= {2, 3, 4, 5}, repr(r)
    assert "session.floor" in r.err or "'floor'" in r.err, repr(r)
    assert "relay" in r.err.replace("relais", ""), repr(r)
    # Nothing starts with a configuration that has a mistake in it.
    for argv in (["rig"], ["relay", "--listen", f"127.0.0.1:{freeport()}"],
                 ["ls"]):
        w.laptop.fails(*argv, says=r"rigway\.yml:2:")
    os.unlink(path)
    w.laptop.rigway("config", "check")


@pytest.mark.parametrize("text", [
    "a: [1", "session: {floor: 16KiB, floor: 32KiB}\n", "&a x: *a\n", "\t\n",
    "- 1\n- 2\n", "\0", "session: null\nsession: {}\n", "x" * 100000])
def test_yaml_that_makes_no_sense(world, text):
    w = world.machines()
    os.makedirs(w.laptop.rigway_home, exist_ok=True)
    with open(os.path.join(w.laptop.rigway_home, "rigway.yml"), "w") as f:
        f.write(text)
    w.laptop.fails("config", "check", says=r"rigway\.yml:\d+")


# The relay's own mistakes

def test_a_port_that_the_relay_cannot_have(world):
    w = world.machines()
    busy = w.relay.service("page", 0, "x")
    w.relay.fails("relay", "--listen", f"127.0.0.1:{busy.port}",
                  says=rf"{busy.port}.*in use|in use.*{busy.port}")
    for bad in ("nonsense", "1.2.3.4:0x", "127.0.0.1:70000", ":", "[::1"):
        w.relay.fails("relay", "--listen", bad, check=2)


def test_a_second_process_of_a_role_is_refused(world):
    w = world.up()
    w.relay.fails("relay", "--listen", f"127.0.0.1:{freeport()}",
                  says=r"runs|running|already")
    w.rig.fails("rig", says=r"runs|running|already")
    assert w.relay_proc.alive() and w.rig_proc.alive()


def test_a_rig_that_never_joined_says_what_to_do(world):
    w = world.machines()
    w.rig.fails("rig", says=r"join")
    w.rig.fails("rig", "invite", says=r"join")


def test_a_private_address_is_no_address_for_a_code(net_world):
    """A relay at home whose only address nobody outside can reach: the code
    is refused, and the flag to add is named."""
    w = net_world.machines()
    p = w.rig.rigway_start("relay")
    p.wait_log(r"no public address.*--name")
    w.rig.fails("relay", "invite", says="--name")
    stays(p.alive, 0.5)


def test_an_ordinary_users_relay_takes_7443(net_world):
    """443 where allowed, else 7443."""
    if os.getuid() != 0:
        pytest.skip("another user is needed")
    w = net_world
    w.net.relay.sh("sysctl -q -w net.ipv4.ip_unprivileged_port_start=1024")
    h = w.home("relay", ns=w.net.relay, user=65534)
    w.relay, w.relay_port = h, 7443
    w.relay_args = ["--name", w.net.RELAY]
    w.start_relay()
    rig = w.home("rig", ns=w.net.rig)
    rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
