# SPDX-License-Identifier: MIT
"""A path on which large packets vanish without a word: a tunnel behind a router
whose "too big" is filtered. What is small passes, so everything greets well."""
import pytest

from rigwaylib import faults, flow, proc
from rigwaylib.poll import wait_for

N = 3_000_000


def narrow(router, device):
    router.sh("nft 'add chain inet filter out { type filter hook output "
              "priority 0; }'; nft add rule inet filter out icmp type "
              "destination-unreachable drop; "
              f"ip link set {device} mtu 1200")


@pytest.mark.parametrize("who", ["rig", "laptop"])
@pytest.mark.parametrize("what", ["download", "upload"])
def test_bytes_flow_where_large_packets_vanish(net_world, who, what):
    w = net_world.up()
    service = ("source", 0, N) if what == "download" else ("sink",)
    port = w.forward(w.rig.service(*service).port)
    out = (who == "rig") == (what == "download")
    narrow(w.net.router_a if who == "rig" else w.net.router_b,
           "wan0" if out else "lan0")
    r = w.laptop.exec(*proc.python(flow.__file__, what, "127.0.0.1", port, N),
                      check=0, timeout=60)
    assert '"right": true' in r.out, repr(r)
    # It stays so: what is dialled from now on needs not learn it again.
    cuts = w.laptop.json("status")["rigs"][0]["resumed"]
    assert cuts > 0, "the path was not narrow"
    said = w.laptop.rigway("status").out
    if who == "laptop":
        assert "in small packets: large ones vanish on it" in said, said
        assert w.laptop.logged("large packets vanish on the path"), said
    else:
        said = w.rig.rigway("rig", "status").out
        assert "in small packets: large ones vanish on it" in said, said
        assert w.rig.logged("large packets vanish on the path"), said
    w.laptop.rigway("reconnect")
    wait_for(lambda: w.online(), 15)
    before = w.laptop.json("status")["rigs"][0]["resumed"]
    w.laptop.exec(*proc.python(flow.__file__, what, "127.0.0.1", port, N),
                  check=0, timeout=60)
    assert w.laptop.json("status")["rigs"][0]["resumed"] == before


def test_outages_in_a_row_are_not_taken_for_it(net_world):
    """Large packets passed on each connection before its outage."""
    w = net_world.up()
    t = faults.Traffic(w, up=1, down=1, idle=1)
    for _ in range(4):
        faults.Cell(w, t, "black hole", "laptop", 4).run()
    assert t.end() > 0
    assert w.laptop.json("status")["rigs"][0]["resumed"] > 0
    for home in w.laptop, w.rig:
        assert not home.logged("large packets vanish|large ones vanish")
    assert "small packets" not in w.laptop.rigway("status").out
