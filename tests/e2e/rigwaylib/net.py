# SPDX-License-Identifier: MIT
"""Network namespaces, held by a process each: when the process is gone, so are
the namespace and its links. Nothing is mounted and nothing has a name.

                 public net 45.0.0.0/24
      relay 45.0.0.10 --+-- 45.0.0.2 router A -- 192.168.50.0/24 -- rig, node2
                        +-- 45.0.0.3 router B -- 192.168.50.0/24 -- laptop

Both homes use the same private addresses, as real ones do, and each router
masquerades and lets nothing in that was not asked for.
"""
import os
import subprocess

from . import proc
from .poll import wait_for


class Ns:
    """One network namespace."""

    def __init__(self, name):
        self.name, self.cables = name, []
        ours = os.readlink("/proc/self/ns/net")
        self.p = subprocess.Popen(
            proc.wrap(["unshare", "--net", "sleep", "infinity"]),
            env=proc.base_env(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.pid = self.p.pid
        self.path = f"/proc/{self.pid}/ns/net"

        def apart():
            if self.p.poll() is not None:
                raise RuntimeError("no network namespace: "
                                   + self.p.stderr.read().decode())
            return os.readlink(self.path) != ours
        wait_for(apart, 5, f"namespace {name}")
        # As Debian 12's kernel dials: after 1, 3, 7 s.
        self.sh("ip link set lo up; sysctl -qw "
                "net.ipv4.tcp_syn_linear_timeouts=0 2>/dev/null || true")

    def sh(self, script):
        r = proc.run(["sh", "-ec", script], ns=self)
        assert r.rc == 0, repr(r)
        return r.out

    def link(self, mine, other, theirs, delay_ms=0, rough=()):
        """A cable from my interface to another namespace's."""
        if delay_ms or rough:
            self.long_link(mine, other, theirs, delay_ms, rough)
            return
        self.sh(f"ip link add {mine} type veth peer name {theirs} "
                f"netns {other.pid}; ip link set {mine} up")
        other.sh(f"ip link set {theirs} up")

    def long_link(self, mine, other, theirs, delay_ms, rough=()):
        """One on which everything is under way for so long, each way, and of
        a hundred frames so many are lost, come twice, or late."""
        p = subprocess.Popen(
            proc.wrap(proc.python(proc.lib("cable.py"), self.path, mine,
                                  other.path, theirs, delay_ms,
                                  *rough)),
            env=proc.base_env(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.cables.append(p)
        if p.stdout.readline() != b"ready\n":
            p.kill()
            raise RuntimeError("no cable: " + p.communicate()[1].decode())
        self.sh(f"ip link set {mine} up")
        other.sh(f"ip link set {theirs} up")

    def close(self):
        for p in self.cables:
            p.kill()
            p.communicate()
        # What still runs in here ends first, so that no program outlives
        # its network.
        inside = []
        mark = os.readlink(self.path) if self.p.poll() is None else None
        for d in os.listdir("/proc"):
            if mark and d.isdigit() and int(d) != self.pid:
                try:
                    if os.readlink(f"/proc/{d}/ns/net") == mark:
                        inside.append(int(d))
                except OSError:
                    pass
        ours = set(proc.find())
        proc.end([p for p in inside if p in ours])
        self.p.kill()
        self.p.wait()
        self.p.stderr.close()


_ROUTER = """
sysctl -q -w net.ipv4.ip_forward=1
nft -f - <<'R'
table inet filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan0" accept
  }
  chain input {
    type filter hook input priority 0; policy accept;
    iifname "wan0" ct state new drop
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    oifname "wan0" masquerade
  }
}
R
"""


class Net:
    """laptop_at a: it is at home, in the rig's network."""
    RELAY = "45.0.0.10"
    LAN = "192.168.50"
    RIG_PORT = 7443  # where router A passes it to the rig, if it is told to

    def __init__(self, node2=False, delay_ms=0, laptop_at="b", rough=()):
        """delay_ms: from each home to the relay, one way. rough: all cables
        are, see cable.py."""
        self.all, self.delay_ms, self.rough = [], delay_ms, rough
        self.relay = self.ns("relay")
        self.relay.sh("ip link add br0 type bridge; ip link set br0 up; "
                      f"ip addr add {self.RELAY}/24 dev br0")
        self.router_a, self.rig = self._home("a", "45.0.0.2", "rig")
        self.router_b, self.laptop = self._home("b", "45.0.0.3", "laptop")
        self.laptop_router, self.laptop_host = self.router_b, 2
        if laptop_at == "a":
            self.laptop = self._station(self.router_a, "laptop-a", 4)
            self.laptop_router, self.laptop_host = self.router_a, 4
        if node2:
            self.node2 = self._station(self.router_a, "node2", 3)

    def ns(self, name):
        n = Ns(name)
        self.all.append(n)
        return n

    def _home(self, letter, public, name):
        router = self.ns(f"router-{letter}")
        router.link("wan0", self.relay, f"v{letter}", self.delay_ms,
                    self.rough)
        self.relay.sh(f"ip link set v{letter} master br0")
        router.sh(f"ip addr add {public}/24 dev wan0; "
                  "ip link add lan0 type bridge; ip link set lan0 up; "
                  f"ip addr add {self.LAN}.1/24 dev lan0")
        router.sh(_ROUTER)
        return router, self._station(router, name, 2)

    def _station(self, router, name, host):
        ns = self.ns(name)
        ns.link("eth0", router, f"p{host}", rough=self.rough)
        router.sh(f"ip link set p{host} master lan0")
        ns.sh(f"ip addr add {self.LAN}.{host}/24 dev eth0; "
              f"ip route add default via {self.LAN}.1")
        return ns

    def pass_to_rig(self, host):
        """What a person types into the router's page: the port of the rig."""
        self.router_a.sh(
            "nft 'add chain inet filter pre { type nat hook prerouting "
            "priority -100; }'; nft flush chain inet filter pre; "
            f"nft add rule inet filter pre iifname wan0 tcp dport "
            f"{self.RIG_PORT} dnat ip to {self.LAN}.{host}; "
            "nft insert rule inet filter input iifname wan0 tcp dport "
            f"{self.RIG_PORT} accept; nft insert rule inet filter forward "
            f"tcp dport {self.RIG_PORT} accept")

    def close(self):
        for n in reversed(self.all):
            n.close()


def reason_without():
    """Why this machine cannot have namespaces, or None."""
    for argv in (["unshare", "--net", "true"], ["nft", "--version"],
                 ["ip", "-V"], ["nsenter", "--version"]):
        try:
            r = proc.run(argv)
        except FileNotFoundError:
            return f"no program {argv[0]} here"
        if r.rc != 0:
            return f"{' '.join(argv)}: {r.err.strip()}"
    return None
