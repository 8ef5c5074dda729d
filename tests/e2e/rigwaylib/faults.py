# SPDX-License-Identifier: MIT
"""What goes wrong on the way between a laptop and its rig, as a table; traffic
that must outlive it (tides.py); and how long it took until bytes came again.

A fault is made where it happens in the world and not beside the programs: a
packet is dropped behind the network card, never by the sender's own kernel,
which would know.
"""
import json
import os
import random
import signal
import subprocess
import time

from . import net, proc, standstill, tides
from .poll import stays, wait_for

AWAY_S = 3.0    # an outage, where a cell does not say otherwise
FLOWS_S = 60.0  # after that a cell has failed
CALM_S = 1.0    # bytes came without a stall for so long


# Where things are

class Side:
    """One of laptop, rig, relay: its processes and its cable."""

    def __init__(self, w, name):
        self.w, self.name = w, name
        n = w.net
        self.home = getattr(w, name)
        self.ns = self.home.ns
        if name == "relay":
            self.router = None
            # What comes in, what goes out, one device each.
            self.devices = {"in": [(n.relay, "va"), (n.relay, "vb")],
                            "out": [(n.router_a, "wan0"),
                                    (n.router_b, "wan0")]}
            return
        self.router = n.router_a if name == "rig" else n.laptop_router
        port = 2 if name == "rig" else n.laptop_host
        if not hasattr(w, "hosts"):
            w.hosts = {"rig": 2, "laptop": n.laptop_host}
        self.devices = {"in": [(self.ns, "eth0")],
                        "out": [(self.router, f"p{port}")]}

    def pid(self):
        if self.name == "relay":
            return self.w.relay_proc.pid
        if self.name == "rig":
            return self.w.rig_proc.pid
        return self.home.daemon()[0]

    def frozen(self):
        """The processes that stop when this machine sleeps."""
        pids = [self.pid()]
        if self.name != "relay":
            pids += [p.pid for p in self.home.procs
                     if p.alive() and p.pid not in pids]
        return pids

    def drop(self, ways, but="ether type arp accept"):
        """A hole is farther away than the next machine, which goes on to tell
        where it is (ARP), if nothing else is said."""
        for ns, dev in [d for way in ways for d in self.devices[way]]:
            ns.sh(f'nft "add table netdev fault_{dev}; add chain netdev '
                  f"fault_{dev} i {{ type filter hook ingress device "
                  f'\\"{dev}\\" priority 0; policy drop; {but}; }}"')

    def pass_again(self, ways):
        for ns, dev in [d for way in ways for d in self.devices[way]]:
            ns.sh(f'nft "delete table netdev fault_{dev}"')

    def route(self):
        if self.name != "relay":
            n = self.w.net
            self.ns.sh(f"ip route replace default via {n.LAN}.1")


# Faults: each begins, lasts, and ends

def reset_sockets(side, state):
    """Every connection of this machine is reset, at some byte."""
    time_passes(random.random() * 0.3)
    state["t0"] = time.monotonic()
    side.ns.sh("ss -K -tn state established not src 127.0.0.0/8 >/dev/null")


def kill_relay(side, _):
    side.w.relay_proc.kill()


def start_relay(side, _):
    side.w.start_relay()


def fall_asleep(side, state):
    state["pids"] = side.frozen()
    for p in state["pids"]:
        os.kill(p, signal.SIGSTOP)
    if side.w.clock and side.name == "laptop":
        side.w.clock.stop()
    side.ns.sh("ip link set eth0 down")


def wake_up(side, state):
    side.ns.sh("ip link set eth0 up")
    side.route()
    if side.w.clock and side.name == "laptop":
        side.w.clock.go_on()
    for p in state["pids"]:
        os.kill(p, signal.SIGCONT)


def wake_up_forgotten(side, state):
    forget_mapping(side, state)
    wake_up(side, state)


def freeze(side, state):
    """The process hangs: its kernel goes on to take what comes."""
    state["pids"] = [side.pid()]
    os.kill(state["pids"][0], signal.SIGSTOP)


def thaw(_, state):
    for p in state["pids"]:
        os.kill(p, signal.SIGCONT)


def change_address(side, _):
    n, hosts = side.w.net, side.w.hosts
    old, new = hosts[side.name], (hosts[side.name] + 5) % 200 + 2
    hosts[side.name] = new
    side.ns.sh(f"ip addr del {n.LAN}.{old}/24 dev eth0; "
               f"ip addr add {n.LAN}.{new}/24 dev eth0")
    side.route()
    if side.name == "rig" and side.w.kind == "direct":
        n.pass_to_rig(new)


def change_public_address(side, _):
    """The provider gave the router another address."""
    old = side.router.sh("ip -4 -o addr show dev wan0").split()[3]
    host = int(old.split("/")[0].rpartition(".")[2])
    new = f"45.0.0.{host + 30 if host < 200 else host - 180}/24"
    side.router.sh("sysctl -qw net.netfilter.nf_conntrack_tcp_loose=1; "
                   f"ip addr del {old} dev wan0; ip addr add {new} dev wan0; "
                   "conntrack -F 2>/dev/null || true")


def forget_mapping(side, _):
    """The router was restarted: what it does not know is lost on the way."""
    side.router.sh("sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0; "
                   "conntrack -F 2>/dev/null || true")


def drop_both(side, _):
    side.drop(["in", "out"])


def pass_both(side, _):
    side.pass_again(["in", "out"])


def drop_all(side, _):
    side.drop(["in", "out"], "")


def drop_in(side, _):
    side.drop(["in"])


def pass_in(side, _):
    side.pass_again(["in"])


def drop_out(side, _):
    side.drop(["out"])


def pass_out(side, _):
    side.pass_again(["out"])


ENDS = ("laptop", "rig")
ALL = ("laptop", "rig", "relay")

# name, where it can happen, begins, ends (None: it just happened, and the
# path is there), seconds in which bytes are promised to flow after that.
FAULTS = {f[0]: f[1:] for f in (
    ("connections reset", ALL, reset_sockets, None, 1),
    ("relay killed", ("relay",), kill_relay, start_relay, 1),
    ("asleep", ENDS, fall_asleep, wake_up, 3),
    ("asleep, mapping gone", ENDS, fall_asleep, wake_up_forgotten, 3),
    ("frozen", ALL, freeze, thaw, 3),
    ("new address", ENDS, change_address, None, 3),
    ("new public address", ENDS, change_public_address, None, 10),
    ("NAT forgot", ENDS, forget_mapping, None, 10),
    ("black hole", ALL, drop_both, pass_both, 1),
    # The next machine is gone, too: the kernel asks where it is once a second,
    # and has nothing sent before.
    ("gateway gone", ALL, drop_all, pass_both, 2),
    ("nothing comes in", ALL, drop_in, pass_in, 1),
    ("nothing goes out", ALL, drop_out, pass_out, 1),
)}


# Kinds of path: how the laptop stands to its rig. In all of them the relay is
# there as well; it carries on where the better path is gone.
KINDS = ("relay", "direct", "lan")


def net_for(kind, delay_ms=0, rough=()):
    n = net.Net(delay_ms=delay_ms, laptop_at="a" if kind == "lan" else "b",
                rough=rough)
    if kind == "direct":
        n.pass_to_rig(2)
    return n


def bring_up(w, kind):
    """A paired world whose session goes along such a path."""
    w.kind = kind
    w.machines()
    w.rig.settings({
        "relay": "rig:\n  probe_port: 0\n",
        "lan": "rig:\n  probe_port: 7443\n",
        "direct": f"rig:\n  probe_port: 0\n  listen: {w.net.RIG_PORT}\n"
                  f"  public: 45.0.0.2:{w.net.RIG_PORT}\n"}[kind])
    if kind != "relay":   # which a test's home has by itself
        w.laptop.settings("client:\n  paths: any\n")
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    w.join_laptop()
    w.forward(9)   # nobody looks for a better path that nobody wants
    wait_for(lambda: path_of(w).startswith(kind), 60, f"path is {kind}")
    return w


def move_clock(w):
    """From here on the laptop's clock stands still while it sleeps."""
    w.clock = standstill.Clock(w.dir)
    assert proc.end(w.laptop.daemon()) == []
    w.laptop.rigway("ls", env=w.clock.env())
    w.wait_online()
    return w


def path_of(w):
    return w.laptop.json("status")["rigs"][0]["path"] or "none"


def possible(name, side, kind):
    """Where the laptop is at home, one router serves both."""
    return not (kind == "lan" and side == "laptop"
                and name in ("new public address", "NAT forgot"))


def promise(name):
    return FAULTS[name][3]


def cells(faults=FAULTS):
    """(fault, side) of the whole table."""
    return [(f, s) for f in faults for s in FAULTS[f][0]]


def time_passes(seconds, meanwhile=lambda: True):
    stays(meanwhile, seconds)


# Traffic

class Traffic:
    """tides.py at both ends, through one forward."""

    def __init__(self, w, **plan):
        self.w = w
        path = os.path.join(w.dir, f"clocks{len(w.others)}")
        self.clocks = tides.make_clocks(path)
        self.server = w.rig.start(
            *proc.python(proc.lib("tides.py"), "serve", "127.0.0.1", 0, path),
            name="tides-rig")
        port = int(self.server.wait_log(r"^ready (\d+)").group(1))
        self.port = w.forward(port)
        self.driver = w.laptop.start(
            *proc.python(proc.lib("tides.py"), "drive", "127.0.0.1",
                         self.port, path, json.dumps(plan)),
            name="tides-laptop", stdin=subprocess.PIPE)
        self.driver.wait_log(r'"ready": true', 60)
        self.streams = [(e["opened"], way) for e in self.events(self.driver)
                        if "opened" in e for way in e["ways"]]
        self.idle = plan.get("idle", 0)

    @staticmethod
    def events(p):
        return [json.loads(x) for x in p.text().splitlines()
                if x.startswith("{") and x.endswith("}")]

    def tell(self, word):
        self.driver.p.stdin.write(word.encode() + b"\n")
        self.driver.p.stdin.flush()

    def flows(self, since):
        """Whether bytes came on every stream since then, and just now."""
        now = time.monotonic()
        for number, way in self.streams:
            last = self.clocks.get(number, way)
            if last <= since or now - last > tides.STALL_S:
                return False
        return True

    def waiting(self, since):
        return [s for s in self.streams if self.clocks.get(*s) <= since]

    def wait_calm(self, since, meanwhile=lambda: True, timeout=FLOWS_S):
        end = time.monotonic() + timeout
        last, self.stutter = time.monotonic(), 0.0

        def flows():
            nonlocal last
            meanwhile()
            now = time.monotonic()
            self.stutter = max(self.stutter, now - last)
            last = now
            return self.flows(since)

        def calm():
            wait_for(flows, end - time.monotonic(),
                     f"bytes flow again; {len(self.waiting(since))} of "
                     f"{len(self.streams)} streams wait")
            try:
                stays(flows, CALM_S)
            except AssertionError:
                return False
            return True
        try:
            wait_for(calm, timeout, "calm")
        except AssertionError:
            # On a busy machine it stutters; whoever got nothing has failed.
            assert not self.waiting(since), self.waiting(since)

    def stalls(self, since):
        """{stream: seconds from then until its bytes came without a stall}."""
        found = {}
        for p in (self.driver, self.server):
            for e in self.events(p):
                if "gap" not in e or e["t"] <= since:
                    continue
                late = e["t"] - since
                # A stall that began later and was short is the machine's.
                if e["t"] - e["gap"] > since + 0.1 and e["gap"] < 0.5:
                    continue
                key = (e["id"], e["way"])
                found[key] = max(found.get(key, 0), late)
        return found

    def worst(self, since):
        """{"up", "down", "echo": seconds}: the worst stream of each."""
        stalls = self.stalls(since)
        out = {}
        for s in self.streams:
            kind = "echo" if s[0] == 0 else ("up", "down")[s[1]]
            out[kind] = max(out.get(kind, 0.0), stalls.get(s, 0.0))
        return out

    def poke(self):
        """Every idle connection answers, with its own words."""
        n = self.driver.text().count('"poked"')
        self.tell("poke")
        wait_for(lambda: self.driver.text().count('"poked"') > n, 90, "poked")
        last = [e for e in self.events(self.driver) if "poked" in e][-1]
        assert last["poked"] == self.idle and last["wrong"] == 0, last

    def end(self):
        """Both ends saw the same bytes, all of them, each once, and the right
        ones; nothing ended before. Returns how many."""
        self.poke()
        broken = [e for e in self.events(self.server)
                  if "end" in e or "broken" in e]
        assert not broken, f"ended before the test did: {broken[:3]}"
        self.tell("stop")
        assert self.driver.reap(120) == 0, self.driver.text()[-3000:]
        wait_for(lambda: len([e for e in self.events(self.server)
                              if "end" in e]) ==
                 len({s[0] for s in self.streams}) + self.idle, 60,
                 "every connection ended at the rig")
        rig = {e["id"]: e for e in self.events(self.server) if "end" in e}
        total = 0
        for e in self.events(self.driver):
            if e.get("end") != "laptop":
                continue
            other = rig[e["id"]]
            assert not other["err"], other
            if "ticks" in e:
                assert e["wrong"] is None and e["ticks"] == e["came"], e
                assert other["echoed"] == 16 * e["ticks"], (e, other)
                continue
            assert not e["err"] and not e["stuck"], e
            for way in ("up", "down"):
                # Bytes and hash are the same where they went in and came out;
                # no sender broke, and every block was the expected one.
                assert e[way][:2] == other[way][:2], (way, e, other)
                assert e[way][2] is None and other[way][2] is None, (e, other)
                total += e[way][0]
        return total


class Cell:
    """One fault, here and now, under traffic."""

    def __init__(self, w, traffic, name, side, seconds=AWAY_S):
        self.name, self.side, self.seconds = name, side, seconds
        self.w, self.traffic = w, traffic
        self.took, self.stutter = {}, 0.0
        self.meanwhile = lambda: True

    def run(self):
        sides, begin, heal, _ = FAULTS[self.name]
        assert self.side in sides, (self.name, self.side)
        s, state = Side(self.w, self.side), {}
        t0 = time.monotonic()
        begin(s, state)
        t0 = state.get("t0", t0)
        if heal is not None:
            time_passes(self.seconds, self.meanwhile)
            heal(s, state)
            t0 = time.monotonic()
        self.traffic.wait_calm(t0, self.meanwhile)
        self.took = self.traffic.worst(t0)
        self.stutter = self.traffic.stutter
        return self

    def is_late(self):
        return max(self.took.values()) > promise(self.name)

    def __str__(self):
        took = ", ".join(f"{k} {v:.2f}" for k, v in sorted(self.took.items()))
        away = f" for {self.seconds:g} s" if FAULTS[self.name][2] else ""
        return (f"{self.name} ({self.side}){away}: bytes again after, in s: "
                f"{took}; promised: {promise(self.name)}")
