# SPDX-License-Identifier: MIT
"""A rig is reached along the best path there is, and the session moves to a
better one while connections are open, and back when it dies."""
import json
import re

import pytest

from rigwaylib import net, proc
from rigwaylib.lines import Lines
from rigwaylib.poll import wait_for
from rigwaylib.ports import freeport
from rigwaylib.servers import pattern_hash

RIG = "192.168.50.2"
RELAY = "relay 45.0.0.10:443"
ANY = "client:\n  paths: any\n"
PROBED = "rig:\n  probe_port: 7443\n"
N = 160_000_000
RATE = 8_000_000


def state(w, laptop=None):
    return (laptop or w.laptop).json("status")["rigs"][0]


def path(w):
    return state(w)["path"] or ""


def wait_path(w, what, timeout=30):
    try:
        wait_for(lambda: re.search(what, path(w)), timeout, f"path {what}")
    except AssertionError as e:
        raise AssertionError(f"{e}\n{json.dumps(state(w), indent=1)}") from None


def up(w, rig=PROBED, laptop=ANY, *rig_args):
    """As World.up(), but paths are what the test is about."""
    w.machines()
    w.start_relay()
    w.rig.settings(rig)
    w.laptop.settings(laptop)
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.rig_proc = w.rig.rigway_start("rig", *rig_args)
    w.join_laptop()
    w.forward(9)  # nobody looks for a better path to what is not used
    return w


class Download:
    """Bytes on their way from the rig to the laptop, compared as they come."""

    def __init__(self, w, n=N, rate=RATE):
        self.w, self.n = w, n
        self.service = w.rig.service("source", 0, n, rate)
        self.port = w.forward(self.service.port)
        self.p = w.laptop.start(*proc.python(
            proc.lib("flow.py"), "download", "127.0.0.1", self.port, n))

    def at(self):
        return state(self.w)["bytes_in"]

    def goes_on(self, more=2_000_000, timeout=30):
        at = self.at()
        wait_for(lambda: self.at() > at + more, timeout, "bytes flow")

    def end(self, timeout=120):
        m = self.p.wait_log(r"^(\{.*\})$", timeout)
        r = json.loads(m.group(1))
        assert r["whole"] and r["hash"] == pattern_hash(self.n), r
        lines = wait_for(lambda: [
            x for x in self.service.text().splitlines()
            if x.startswith(("sent", "eof", "broken"))], 20)
        assert len(lines) == 1 and "broken" not in lines[0], lines


def enter_rigs_network(w):
    """The laptop is carried into the rig's home: another cable, another
    address, another router."""
    n = w.net
    n.laptop.sh("ip link del eth0")
    n.laptop.link("eth1", n.router_a, "p9")
    n.router_a.sh("ip link set p9 master lan0")
    n.laptop.sh("ip addr add 192.168.50.9/24 dev eth1; "
                "ip route add default via 192.168.50.1")


def hole(w, on=True):
    """Between laptop and rig nothing arrives any more, without a word."""
    w.net.laptop.sh(
        "nft -f - <<'R'\ntable inet hole {\n chain out { type filter hook "
        f"output priority 0; ip daddr {RIG} drop; "
        "ip6 daddr { fe80::/10, ff02::/16 } drop; }\n}\nR"
        if on else "nft delete table inet hole")


@pytest.mark.long
def test_the_session_moves_into_the_rigs_network_and_back(net_world):
    w = up(net_world)
    d = Download(w)
    wait_path(w, "^relay ")
    d.goes_on()
    enter_rigs_network(w)
    wait_path(w, "^lan ")
    d.goes_on()
    hole(w)
    wait_path(w, "^relay ")
    d.goes_on()
    hole(w, on=False)
    wait_path(w, "^lan ", timeout=60)
    d.end()
    assert state(w)["moved"] >= 2


def barred(w):
    """The relay's owner takes the laptop out: there it hears no from now."""
    row = next(d for d in w.relay.json("relay", "devices")["devices"]
               if d["role"] == "laptop")
    w.relay.rigway("relay", "remove", row["fingerprint"])


def failure(w, label):
    return next(p["text"] for p in state(w)["paths"] if p["path"] == label)


def test_a_relays_no_ends_nothing_that_came_without_it(net_world):
    """The rig was reached in its own network; while that path is down the
    only relay refuses."""
    w = up(net_world)
    port = w.forward(w.rig.service("echo").port)
    enter_rigs_network(w)
    wait_path(w, "^lan ")
    with Lines(w.laptop, port) as s:
        s.ping()
        lan = path(w)
        barred(w)
        hole(w)
        wait_for(lambda: "not know" in (failure(w, RELAY) or ""), 30, "a no")
        wait_for(lambda: "not answer" in (failure(w, lan) or ""), 60, "a hole")
        assert state(w)["state"] == "connecting", state(w)
        hole(w, on=False)
        s.ping(timeout=60)


def test_whom_a_relay_refuses_finds_the_rig_in_its_network(net_world):
    """Nothing is left but a relay that refuses: that is told, until the laptop
    comes into another network."""
    w = up(net_world)
    port = w.forward(w.rig.service("echo").port)
    barred(w)
    wait_for(lambda: state(w)["state"] == "ended", 30, "the refusal is final")
    enter_rigs_network(w)
    wait_path(w, "^lan ")
    with Lines(w.laptop, port) as s:
        s.ping()


def test_status_and_ls_tell_the_path_and_what_was_tried(net_world):
    w = up(net_world)
    wait_for(lambda: "failed" in [p["state"] for p in state(w)["paths"]], 30,
             "the network was asked")
    s = state(w)
    assert s["path"] == "relay 45.0.0.10:443", s
    assert s["why"] == "no direct path answered", s
    rows = {p["path"]: p for p in s["paths"]}
    assert rows["relay 45.0.0.10:443"]["state"] == "in use", s
    assert rows["this network"]["text"] == "the rig is not in this network", s
    text = w.laptop.rigway("status").out
    assert re.search(r"path +relay 45\.0\.0\.10:443 \(no direct path", text), text
    assert re.search(r"also +this network: the rig is not in", text), text
    assert "relay 45.0.0.10:443" in w.laptop.rigway("ls").out


def test_a_setting_leaves_paths_out(net_world):
    w = up(net_world, laptop="client:\n  paths: relay\n")
    enter_rigs_network(w)
    w.laptop.rigway("reconnect")
    wait_path(w, "^relay ")
    assert [p["kind"] for p in state(w)["paths"]] == ["relay"]
    assert state(w)["why"] == "client.paths allows relays only"


def test_a_setting_may_leave_no_path_and_that_is_said(world):
    w = world.machines()
    w.laptop.settings(ANY)
    port = freeport()
    w.rig.rigway_start("rig", "--listen", f"127.0.0.1:{port}").wait_log(
        r"^(rw1[a-z0-9]+)$")
    code = w.client_code()
    w.laptop.rigway("join", code)
    w.laptop.settings("client:\n  paths: relay\n  wait: 1s\n")
    w.laptop.rigway("daemon", "--stop")
    w.laptop.fails("join", w.client_code(), says="client.paths does not allow")
    w.laptop.rigway("forward", state(w)["name"], str(freeport()))
    wait_for(lambda: "leaves no path" in (state(w)["text"] or ""), 20)


@pytest.mark.long
def test_a_forwarded_port_needs_no_relay(net_world):
    """What a person does at home: forwards a port of the router by hand."""
    w = net_world.machines()
    w.net.pass_to_rig(2)
    w.laptop.settings(ANY)
    w.rig_proc = w.rig.rigway_start(
        "rig", "--listen", "7443", "--public", "45.0.0.2:7443", "--name",
        "desk")
    code = w.rig_proc.wait_log(r"^(rw1[a-z0-9]+)$").group(1)
    w.laptop.rigway("join", code)
    wait_path(w, "^direct 45.0.0.2:7443")
    assert state(w)["why"] == "no relay is needed"
    assert state(w)["relay"] is None
    d = Download(w, n=40_000_000)
    d.goes_on()
    # The rig goes, and the laptop's address too.
    w.net.laptop.sh("ip addr del 192.168.50.2/24 dev eth0; "
                    "ip addr add 192.168.50.77/24 dev eth0; "
                    "ip route add default via 192.168.50.1")
    d.goes_on()
    d.end()
    r = w.laptop.json("ls")["rigs"][0]
    assert r["online"] is True, r
    assert w.rig_proc.stop() == 0
    wait_for(lambda: w.laptop.json("ls")["rigs"][0]["online"] is None, 30)


SIX = """
sysctl -q -w net.ipv6.conf.all.forwarding=1
ip -6 addr add 2001:db8::{n}/64 dev wan0 nodad
ip -6 addr add 2001:db8:{n}::1/64 dev lan0 nodad
ip -6 route add 2001:db8:{o}::/64 via 2001:db8::{o}
nft add rule inet filter forward meta nfproto ipv6 accept
nft insert rule inet filter postrouting meta nfproto ipv6 accept
"""


@pytest.mark.long
def test_ipv6_needs_no_relay_and_falls_back_to_it(net_world):
    w = net_world
    n = w.net
    n.router_a.sh(SIX.format(n=2, o=3))
    n.router_b.sh(SIX.format(n=3, o=2))
    n.rig.sh("ip -6 addr add 2001:db8:2::2/64 dev eth0 nodad; "
             "ip -6 route add default via 2001:db8:2::1")
    n.laptop.sh("ip -6 addr add 2001:db8:3::2/64 dev eth0 nodad; "
                "ip -6 route add default via 2001:db8:3::1")
    up(w, "rig:\n  listen: [7443]\n")
    wait_path(w, r"^direct \[2001:db8:2::2\]:7443")
    d = Download(w, n=40_000_000)
    d.goes_on()
    n.router_b.sh("nft insert rule inet filter forward meta nfproto ipv6 drop")
    wait_path(w, "^relay ")
    d.goes_on()
    d.end()


def test_another_machine_at_the_rigs_address_is_not_believed(net_world):
    """The café's network has the addresses of the one at home: what listens
    there is not the rig, and learns nothing."""
    w = up(net_world, "rig:\n  listen: [7443]\n")
    w.laptop.service("echo", 7443, host="0.0.0.0")
    w.laptop.rigway("reconnect")
    wait_path(w, "^relay ")
    wait_for(lambda: [p for p in state(w)["paths"] if p["kind"] == "lan"
                      and p["state"] == "failed"
                      and "not a rig" in (p["text"] or "")], 40,
             "what answers there is not the rig")


class TwoRelays:
    """A rig of two relays; the laptop's code names the first one only."""

    def __init__(self, w):
        self.w = w.up()
        self.second = w.home("relay2")
        self.port = freeport()
        self.start_second()
        code = self.second.rigway("relay", "invite").out.strip()
        w.rig.rigway("join", code, "--no-start")
        self.names = [f"relay 127.0.0.1:{p}" for p in (w.relay_port, self.port)]
        # It tells of the second when it next welcomes the laptop.
        wait_for(self.learned, 30, "the laptop knows both relays")

    def start_second(self):
        self.proc = self.second.rigway_start("relay", "--listen",
                                             f"127.0.0.1:{self.port}")
        self.second.wait_port(self.port)

    def learned(self):
        self.w.laptop.rigway("reconnect")
        return sorted(p["path"] for p in state(self.w)["paths"]) == \
            sorted(self.names)

    def kill_the_one_in_use(self):
        at = self.names.index(path(self.w))
        (self.w.relay_proc, self.proc)[at].kill()
        return self.names[1 - at]


@pytest.mark.sanitizer
def test_when_a_relay_goes_for_good_the_other_carries_on(world):
    w = world
    two = TwoRelays(w)
    d = Download(w, n=40_000_000)
    d.goes_on()
    other = two.kill_the_one_in_use()
    wait_for(lambda: path(w) == other, 20, f"path {other}")
    d.goes_on()
    d.end()
    # One dead relay is told, and holds up nobody.
    r = w.laptop.json("ls")["rigs"][0]
    assert r["online"] is True and r["path"] == other, r
    w.laptop.rigway("reconnect")
    assert path(w) == other
    dead = [p for p in state(w)["paths"] if p["path"] != other]
    assert dead[0]["state"] == "failed" and "port" in dead[0]["text"], dead


def test_a_relay_dies_while_the_rig_is_away(world):
    """The laptop stands in line at both; the one that is left tells it."""
    w = world
    two = TwoRelays(w)
    service = w.rig.service("echo")
    port = w.forward(service.port)
    w.echo_through(port)
    assert w.rig_proc.stop() == 0
    wait_for(lambda: [p["state"] for p in state(w)["paths"]] ==
             ["in line", "in line"], 30, "in line at both relays")
    w.relay_proc.kill()
    wait_for(lambda: "failed" in [p["state"] for p in state(w)["paths"]], 30)
    assert state(w)["waits_at_relay"] is True
    assert "the rig is away" in state(w)["text"]
    assert w.laptop.json("ls")["rigs"][0]["online"] is False
    w.start_rig()
    wait_for(lambda: path(w) == two.names[1], 30, "the other relay")
    w.echo_through(port)


PINGS = """
import json, socket, sys, time
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
s.settimeout(30)
took = []
for i in range(int(sys.argv[2])):
    t = time.monotonic()
    s.sendall(b"k")
    assert s.recv(1) == b"k"
    took.append(time.monotonic() - t)
print(json.dumps(sorted(took)))
"""


@pytest.fixture
def slow_world(request):
    """As net_world: 50 ms away, and 20 Mbit/s down to the laptop."""
    from conftest import world_on
    for w in world_on(request, lambda: net.Net(delay_ms=12.5), True):
        w.net.relay.sh("tc qdisc add dev vb root tbf rate 20mbit burst 32k "
                       "latency 100ms")
        yield w


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.parametrize("most", [1, 9])
def test_keystrokes_under_bulk_on_a_slow_line(slow_world, most):
    """Prints what a keystroke takes while two downloads fill the line, over
    one connection and over as many as are of use."""
    w = up(slow_world, laptop="client:\n  paths: relay\n"
           f"session:\n  carriers_max: {most}\n")
    echo = w.forward(w.rig.service("echo").port)
    source = w.forward(w.rig.service("source", 0, 1 << 30).port)
    bulk = [w.laptop.start(*proc.python(
        proc.lib("flow.py"), "download", "127.0.0.1", source, 1 << 30))
        for _ in range(2)]
    at = state(w)["bytes_in"]
    wait_for(lambda: state(w)["bytes_in"] > at + 8_000_000, 60, "bulk flows")
    before = state(w)
    r = w.laptop.exec(*proc.python("-c", PINGS, echo, 150), check=0,
                      timeout=120)
    took, after = json.loads(r.out), state(w)
    rate = (after["bytes_in"] - before["bytes_in"]) * 8 / sum(took)
    print(f"\nat most {most} connections ({after['carriers']} used): keystroke "
          f"median {took[75] * 1000:.0f} ms, p95 {took[142] * 1000:.0f}, most "
          f"{took[-1] * 1000:.0f}; bulk {rate / 1e6:.1f} Mbit/s")
    assert 1 <= after["carriers"] <= most, after
    assert took[75] < 1.0, took
    for p in bulk:
        p.kill()
