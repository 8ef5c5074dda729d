# SPDX-License-Identifier: MIT
"""Nothing, plain copies and rigway; and all systems, in the table's order."""
import json
import os

from peerlib import ssh, tunnels
from peerlib.processes import free_ports, wait_for
from peerlib.system import System


class Direct(System):
    name = "none"
    what = "no tunnel"
    idle_most = 0           # it has no process that would hold them

    def start(self):
        self.front = self.service


class Socat(System):
    name = "socat"
    what = "three plain copies (socat)"
    needs = {"socat": "socat"}
    idle_most = 100         # three processes each

    def start(self):
        ports = free_ports(3)
        hops = zip(ports, ports[1:] + [self.service])
        for label, (here, there) in zip(("laptop", "relay", "rig"), hops):
            self.spawn(
                label, "socat", "-b", self.args.socat_buffer,
                f"TCP-LISTEN:{here},bind=127.0.0.1,fork,reuseaddr,"
                "backlog=128,nodelay", f"TCP:127.0.0.1:{there},nodelay")
        self.front = ports[0]
        self.listens(*ports)


class Rigway(System):
    """The laptop's part is the daemon that join starts."""
    name = "rigway"
    what = "rigway, through its relay"

    def missing(self):
        if os.access(self.args.rigway, os.X_OK):
            return ""
        return f"no program {self.args.rigway} (build it, or --rigway PATH)"

    def program(self, name):
        return self.args.rigway

    def home(self, name):
        """The environment of one of the three machines."""
        home = self.path(name)
        if not os.path.isdir(home):
            os.mkdir(home, mode=0o700)
            # Rig and laptop share this machine: the relay is what is measured.
            self.file(name + "/rigway.yml",
                      "rig:\n  probe_port: 0\nclient:\n  paths: relay\n")
        return {"RIGWAY_HOME": home}

    def code(self, text):
        """The code in the last line, if that is there yet."""
        lines = text.split()
        if text.endswith("\n") and lines and len(lines[-1]) >= 40:
            return lines[-1]
        return ""

    def relay_code(self):
        with open(self.path("relay.out")) as f:
            return self.code(f.read())

    def start(self):
        relay, self.front = free_ports(2)
        with open(self.path("relay.out"), "wb") as f:
            self.spawn("relay", "rigway", "relay", "--listen",
                       f"127.0.0.1:{relay}", stdout=f, **self.home("relay"))
        code = wait_for("the relay's code", lambda: self.check_alive() and
                        self.relay_code())
        self.listens(relay)
        said = self.run("rigway", "join", code, "--no-start", "--name",
                        "desk", **self.home("rig"))
        self.spawn("rig", "rigway", "rig", **self.home("rig"))
        lap = self.home("lap")
        self.run("rigway", "join", self.code(said), **lap)
        self.run("rigway", "forward", "desk",
                 f"{self.front}:127.0.0.1:{self.service}", **lap)
        self.listens(self.front)

    def windows(self):
        """Of laptop and rig; the relay has none."""
        lap = json.loads(self.run("rigway", "status", "--json",
                                  **self.home("lap")))
        rig = json.loads(self.run("rigway", "rig", "status", "--json",
                                  **self.home("rig")))
        return sum(session["buffered"]
                   for session in lap["rigs"] + rig["sessions"])

    def stdio(self, port):
        return ([self.args.rigway, "connect", "desk", str(port)],
                self.env(**self.home("lap")))


SYSTEMS = [Direct, Socat, ssh.Ssh, ssh.Jump, tunnels.V2ray,
           tunnels.Shadowsocks, tunnels.Stunnel, tunnels.Frp, tunnels.Rathole,
           tunnels.Chisel, Rigway]
