# SPDX-License-Identifier: MIT
"""No relay at all: a rig behind a router whose port was passed on by hand, and
a laptop behind a NAT of its own. And a relay at home, behind such a port."""
import re

import pytest

from rigwaylib.lines import Lines
from rigwaylib.poll import wait_for
from rigwaylib.proc import lib, python
from rigwaylib.stranger import Code

PORT, PUBLIC = 7443, "45.0.0.2"


def machines(w):
    """Their programs take any path."""
    w.machines()
    for h in (w.rig, w.laptop):
        h.settings("client:\n  paths: any\nrig:\n  probe_port: 7443\n")
    return w


def listen(w, *args):
    """Starts the rig; returns the code that it printed."""
    w.rig_proc = w.rig.rigway_start("rig", "--listen", PORT, "--name", "desk",
                                    *args)
    w.rig.wait_port(PORT)
    return w.rig_proc.wait_log(r"^(rw1[a-z0-9]+)$").group(1)


def use_it(w, laptop=None, n=4 << 20):
    """Bytes both ways, compared."""
    laptop = laptop or w.laptop
    for way, service in (("upload", w.rig.service("sink")),
                         ("download", w.rig.service("source", 0, n))):
        flow(laptop, way, w.forward(service.port, laptop=laptop), n)


def flow(home, way, port, n):
    r = home.exec(*python(lib("flow.py"), way, "127.0.0.1", port, n),
                  timeout=60)
    assert r.rc == 0, repr(r)


def path_of(home, rig="desk"):
    rows = home.json("status")["rigs"]
    return next(r for r in rows if r["name"] == rig)


def open_v6(net):
    """Homes with IPv6 of their own, no NAT; router A lets the rig's port in."""
    net.router_a.sh("ip addr add 2001:db8:45::2/64 dev wan0 nodad; "
                    "ip addr add 2001:db8:a::1/64 dev lan0 nodad; "
                    "sysctl -qw net.ipv6.conf.all.forwarding=1; "
                    "ip -6 route add 2001:db8:b::/64 via 2001:db8:45::3; "
                    "nft insert rule inet filter forward ip6 daddr "
                    f"2001:db8:a::2 tcp dport {PORT} accept; nft insert rule "
                    "inet filter input meta l4proto 58 accept")  # ICMPv6
    net.router_b.sh("ip addr add 2001:db8:45::3/64 dev wan0 nodad; "
                    "ip addr add 2001:db8:b::1/64 dev lan0 nodad; "
                    "sysctl -qw net.ipv6.conf.all.forwarding=1; "
                    "ip -6 route add 2001:db8:a::/64 via 2001:db8:45::2; "
                    "nft insert rule inet filter input meta l4proto "
                    "58 accept")
    net.rig.sh("ip addr add 2001:db8:a::2/64 dev eth0 nodad; "
               "ip -6 route add default via 2001:db8:a::1")
    net.laptop.sh("ip addr add 2001:db8:b::2/64 dev eth0 nodad; "
                  "ip -6 route add default via 2001:db8:b::1")


def test_a_port_passed_on_by_hand_is_enough(net_world):
    w = machines(net_world)
    w.net.pass_to_rig(2)
    code = listen(w, "--public", PUBLIC)
    inside = Code(code)
    assert inside.relays == []
    assert inside.addrs == [f"{PUBLIC}:{PORT}", f"192.168.50.2:{PORT}"]
    w.laptop.rigway("join", code, timeout=60)
    use_it(w)
    r = path_of(w.laptop)
    assert r["path"] == f"direct {PUBLIC}:{PORT}", r
    # Another laptop, invited on the first one; and a guest.
    more = w.laptop.rigway("invite").out.strip()
    assert Code(more).addrs == inside.addrs
    second = w.home("laptop2", ns=w.net.laptop)
    second.settings("client:\n  paths: any\n")
    second.rigway("join", more, timeout=60)
    use_it(w, second)
    sink = w.rig.service("sink")
    guest = w.home("guest", ns=w.net.laptop)
    guest.settings("client:\n  paths: any\n")
    guest.rigway("join", w.client_code("--guest", str(sink.port)), timeout=60)
    flow(guest, "upload", w.forward(sink.port, laptop=guest), 4 << 20)
    guest.fails("connect", "desk", "192.168.50.3:80", input="",
                says=r"not.*allow|may not")
    # The rig says who came how.
    rows = w.rig.json("rig", "devices")["devices"]
    assert sorted(d["role"] for d in rows) == ["guest", "owner", "owner"]


def test_streams_outlive_the_rigs_new_address(net_world):
    """The hand-made rule leads to another address of the rig's, and its own
    address is gone; what is open goes on."""
    w = machines(net_world)
    w.net.pass_to_rig(2)
    w.laptop.rigway("join", listen(w, "--public", PUBLIC), timeout=60)
    port = w.forward(w.rig.service("echo").port)
    with Lines(w.laptop, port) as s:
        s.ping()
        w.net.rig.sh("ip addr del 192.168.50.2/24 dev eth0; "
                     "ip addr add 192.168.50.9/24 dev eth0; "
                     "ip route add default via 192.168.50.1")
        w.net.pass_to_rig(9)
        s.ping(timeout=60)


def test_ipv6_needs_no_router_to_pass_anything_on(net_world):
    w = machines(net_world)
    open_v6(w.net)
    code = listen(w)
    assert f"[2001:db8:a::2]:{PORT}" in Code(code).addrs
    w.laptop.rigway("join", code, timeout=60)
    use_it(w)
    assert path_of(w.laptop)["path"] == f"direct [2001:db8:a::2]:{PORT}"


def test_the_wrong_machine_is_named(net_world):
    w = machines(net_world)
    w.net.pass_to_rig(2)
    code = listen(w, "--public", PUBLIC)
    r = w.rig.fails("join", code)
    assert re.search(r"laptop", r.err), repr(r)


def test_whoever_is_in_the_network_may_ask_for_the_rig(net_world):
    """By multicast, IPv4 and IPv6; a rig without a port of its own opens one
    for who asked, and for nobody else."""
    w = machines(net_world)
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    wait_for(lambda: w.rig.rigway("rig", "invite", check=None).rc == 0)
    pin = Code(w.client_code()).rig_pin.hex()
    asker = w.home("asker", ns=w.net.node2)

    def ask(pin, to, *more):
        return asker.exec(*python(lib("stranger.py"), "ask", pin, to, 7443,
                                  *more), check=0).out.split()
    who, port = ask(pin, "239.255.82.87")
    assert who == "192.168.50.2"
    assert asker.port_open(port, "192.168.50.2")
    # For everybody else it closes at once, without a word.
    other = w.home("other", ns=w.net.router_a)
    r = other.exec(*python(lib("stranger.py"), "hello", "192.168.50.2", port,
                           other.dir), check=0)
    assert r.out.startswith("closed"), repr(r)
    for ns in (w.net.node2, w.net.rig):
        wait_for(lambda ns=ns: not ns.sh("ip -6 addr show dev eth0 tentative"))
    who6, port6 = ask(pin, "ff02::5257", "eth0")
    assert who6.startswith("fe80:") and port6 == port
    assert ask("00" * 32, "239.255.82.87") == ["silence"]
    assert ask(pin, "192.168.50.2")[1] == port
    # A network that comes later is heard, too, and however many came and
    # went before: a socket hears 20 at a time.
    w.net.rig.sh("for i in $(seq 24); do ip link add d$i type veth peer name "
                 "e$i; ip addr add 10.77.$i.1/24 dev d$i; ip link set d$i up; "
                 "done")
    wait_for(lambda: groups(w.net.rig) == 20, 20)
    w.rig_proc.wait_log(r"not heard on \d+ addresses.*igmp_max_memberships")
    w.net.rig.sh("for i in $(seq 24); do ip link del d$i; done")
    w.net.node2.sh("ip link add vz type veth peer name vz "
                   f"netns {w.net.rig.pid}; ip addr add 10.9.0.2/24 dev vz; "
                   "ip link set vz up; ip route add 239.255.82.87 dev vz")
    w.net.rig.sh("ip addr add 10.9.0.1/24 dev vz; ip link set vz up")
    wait_for(lambda: ask(pin, "239.255.82.87")[0] == "10.9.0.1", 20)


def groups(ns):
    """In how many IPv4 networks discovery's group is heard there."""
    return ns.sh("cat /proc/net/igmp").count("5752FFEF")


@pytest.mark.parametrize("hairpin", ["refused", "silent"])
def test_a_relay_at_home_behind_one_port(net_world, hairpin):
    """The outside port is another one than the relay's; a rig in the relay's
    own network, whose router leads nobody back in, finds it all the same."""
    w = machines(net_world)
    w.relay = w.home("nas", ns=w.net.node2)
    w.net.router_a.sh(
        "nft 'add chain inet filter pre { type nat hook prerouting priority "
        "-100; }'; nft add rule inet filter pre iifname wan0 tcp dport 8443 "
        "dnat ip to 192.168.50.3:7443; nft insert rule inet filter forward "
        "ip daddr 192.168.50.3 tcp dport 7443 accept")
    if hairpin == "silent":
        w.net.router_a.sh("nft add rule inet filter input iifname lan0 tcp "
                          "dport 8443 drop")
    w.relay_port = 7443
    w.relay_args = ["--listen", "0.0.0.0:7443", "--name", f"{PUBLIC}:8443",
                    "--name", "192.168.50.3:7443"]
    w.start_relay()
    code = w.rig_code()
    assert Code(code).relays == [f"{PUBLIC}:8443", "192.168.50.3:7443"]
    for h in (w.rig, w.laptop):
        h.settings("")
    w.rig.rigway("join", code, "--name", "desk", "--no-start", timeout=60)
    w.start_rig()
    w.join_laptop()
    use_it(w)
    # The relay restarted, both find it again by themselves.
    assert w.relay_proc.stop() == 0
    w.start_relay()
    use_it(w)
