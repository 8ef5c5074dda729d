# SPDX-License-Identifier: MIT
"""A laptop, a relay and a rig with a long way between laptop and relay, and
what is measured over it.

  laptop 45.0.0.3 ==far== 45.0.0.10 relay 45.0.1.1 -- 45.0.1.2 rig
"""
import os
import subprocess

from peerlib.samples import NO_END
from rigwaylib import net, proc
from rigwaylib.poll import wait_for
from rigwaylib.world import World

HERE = os.path.dirname(os.path.abspath(__file__))
# Each place has namespaces of its own, so all may use the same ports.
FRONT, SERVICE, AT_RELAY, AT_RIG = 20001, 20002, 20003, 20004
LAPTOP, RELAY, RIG = "45.0.0.3", "45.0.0.10", "45.0.1.2"
KEY_EVERY_MS = 40


class Failed(Exception):
    """A sample could not be taken."""


def build(folder):
    """The programs: the load, and the long way."""
    for name, source in (("load", os.path.join(HERE, "..", "load.c")),
                         ("link", os.path.join(HERE, "link.c"))):
        subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-pthread",
                        "-o", os.path.join(folder, name), source], check=True)


class FarNet:
    RELAY = RELAY

    def __init__(self, folder):
        self.all = [net.Ns(n) for n in ("relay", "rig", "laptop")]
        self.relay, self.rig, self.laptop = self.all
        self.link = subprocess.Popen(
            proc.wrap([os.path.join(folder, "link"), self.laptop.path,
                       self.relay.path]),
            env=proc.base_env(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self._answer("ready")
        self.relay.link("near", self.rig, "eth0")
        up = "ip link set far up txqueuelen 5000; "
        self.laptop.sh(up + f"ip addr add {LAPTOP}/24 dev far")
        self.relay.sh(up + f"ip addr add {RELAY}/24 dev far; "
                      "ip addr add 45.0.1.1/24 dev near")
        self.rig.sh(f"ip addr add {RIG}/24 dev eth0; "
                    "ip route add default via 45.0.1.1")
        for ns in self.all:
            ns.sh("sysctl -qw net.ipv4.tcp_no_metrics_save=1")

    def _answer(self, want):
        got = self.link.stdout.readline().strip()
        if got != want:
            raise Failed(f"the long way says {got!r}")

    def way(self, rtt_ms, loss, mbit, queue):
        self.link.stdin.write(f"{rtt_ms / 2} {loss} {mbit} {queue}\n")
        self.link.stdin.flush()
        self._answer("set")

    def congestion(self, name):
        """For the way: a namespace may not choose it for all it does."""
        for ns in (self.laptop, self.relay):
            ns.sh(f"ip route replace 45.0.0.0/24 dev far congctl {name}")

    def close(self):
        for n in reversed(self.all):
            n.close()
        self.link.stdin.close()
        self.link.wait()
        self.link.stdout.close()


class Place:
    def __init__(self, folder):
        self.load = os.path.join(folder, "load")
        self.net = FarNet(folder)
        self.w = World(self.net).up()
        self.w.wait_online()
        # Its own process, as for a forward in the foreground.
        proc.end(self.w.laptop.daemon())
        rig = self.w.rig
        service = rig.start(self.load, "serve", SERVICE, name="service")
        service.wait_log("ready")
        self.counts = rig.popen(self.load, "count", SERVICE, text=True)
        self.plain = 0

    def close(self):
        wrong = self.w.close()
        self.net.close()
        self.w.remove()
        return wrong

    # Systems

    def _start_rigway(self, most):
        self.w.laptop.settings(f"session:\n  carriers_max: {most}\n")
        p = self.w.laptop.rigway_start("forward", "--foreground", "desk",
                                       f"{FRONT}:127.0.0.1:{SERVICE}")

        def stop():
            p.stop()
            proc.end(self.w.laptop.background())
        return stop

    def _start_plain(self):
        self.plain += 1
        mark = {"LONGPATH": f"{id(self)}-{self.plain}"}
        w = self.w
        for home, here, there in (
                (w.rig, AT_RIG, f"127.0.0.1:{SERVICE}"),
                (w.relay, AT_RELAY, f"{RIG}:{AT_RIG}"),
                (w.laptop, FRONT, f"{RELAY}:{AT_RELAY}")):
            home.start("socat", "-b", "65536",
                       f"TCP-LISTEN:{here},fork,reuseaddr,nodelay,"
                       "backlog=128",
                       f"TCP:{there},nodelay", env=mark)
            home.wait_port(here)
        return lambda: proc.end(proc.find(**mark))

    def start(self, system):
        stop = (self._start_plain() if system == "plain"
                else self._start_rigway(int(system.split()[1])))
        try:
            self.w.laptop.wait_port(FRONT)

            def works():
                return self.w.laptop.exec(
                    self.load, "keys", 10, FRONT, "0.01").rc == 0
            wait_for(works, 30, f"{system} works")
        except BaseException:
            stop()
            raise
        return stop

    def _is_quiet(self):
        """Nothing is left of what was on its way."""
        return not any(
            ns.sh(f"ss -Htn state connected exclude time-wait dst {peer}")
            for ns, peer in ((self.net.laptop, RELAY),
                             (self.net.relay, LAPTOP)))

    # Samples

    def _count(self):
        self.counts.stdin.write("\n")
        self.counts.stdin.flush()
        swallowed, at_ns = self.counts.stdout.readline().split()
        return int(swallowed), int(at_ns)

    def _bulk_and_keys(self, cell, seconds, warmup):
        """Both at once; the bulk has run for a while by then."""
        lap = self.w.laptop
        bulk = lap.popen(self.load, "bulk", cell.direction, cell.streams,
                         FRONT, 0, seconds, warmup, NO_END, text=True)
        keys = None
        try:
            if bulk.stdout.readline().strip() != "begin":
                raise Failed(f"bulk: {bulk.stderr.read().strip()}")
            first, began = self._count()
            wire = self._wire()
            keys = lap.popen(self.load, "keys", KEY_EVERY_MS, FRONT,
                             seconds, text=True)
            end = bulk.stdout.readline().split()
            last, ended = self._count()
            wire = self._wire() - wire
            connections = self.connections(cell.congestion)
            if len(end) != 3:
                raise Failed(f"bulk: {bulk.stderr.read().strip()}")
            out, err = keys.communicate(timeout=30)
            if keys.returncode != 0:
                raise Failed(f"keys: {err.strip()}")
        finally:
            for p in filter(None, (bulk, keys)):
                p.kill()
                p.communicate()
        n, _, p50, p99, _ = out.split()
        got = {"connections": connections, "keys": int(n),
               "p50_ms": float(p50) / 1e3, "p99_ms": float(p99) / 1e3,
               "wire_mbit": wire * 8e3 / (ended - began)}
        if cell.direction == "up":
            got["mbit"] = (last - first) * 8e3 / (ended - began)
        else:
            got["mbit"] = int(end[1]) * 8 / float(end[2]) / 1e6
        return got

    def _wire(self):
        """Bytes that have left on the way, both directions, and arrived."""
        text = self.net.laptop.sh("cat /proc/net/dev")
        row = next(r for r in text.splitlines() if "far:" in r).split()
        return int(row[1]) + int(row[9])

    def connections(self, congestion):
        """Between laptop and relay."""
        rows = self.net.laptop.sh(
            f"ss -HOtni state established dst {RELAY}").splitlines()
        if not all(f" {congestion} " in r for r in rows):
            raise Failed(f"not all with {congestion}: {rows}")
        return len(rows)

    def sample(self, cell, system, seconds, warmup):
        p = cell.path
        self.net.congestion(cell.congestion)
        try:
            # A program takes the least round trip it has seen for the way's.
            self.net.way(p.rtt_ms, p.loss, p.mbit, p.queue)
            stop = self.start(system)
            try:
                return self._bulk_and_keys(cell, seconds, warmup)
            finally:
                self.net.way(0, 0, 1000, 4_000_000)
                stop()
        finally:
            self.net.way(0, 0, 1000, 4_000_000)
            wait_for(self._is_quiet, 20, "the way is empty")
