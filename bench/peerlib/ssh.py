# SPDX-License-Identifier: MIT
"""OpenSSH, with throw-away keys and servers on loopback."""
import getpass
import os

from peerlib.processes import free_ports
from peerlib.system import System


class Ssh(System):
    """The box keeps ssh -R to the relay's sshd; the laptop goes with
    ssh -L to the relay and with a second ssh, started there, through the
    reverse port to the box's sshd and -L to the service."""
    name = "ssh"
    what = "OpenSSH: reverse tunnel, ssh in ssh"
    needs = {"ssh": "openssh-client", "ssh-keygen": "openssh-client",
             "sshd": "openssh-server"}

    def sshd(self, label, name, port):
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                 self.path("hk_" + name))
        conf = self.file(
            name + ".conf",
            f"ListenAddress 127.0.0.1\nPort {port}\n"
            f"HostKey {self.path('hk_' + name)}\n"
            f"AuthorizedKeysFile {self.path('id.pub')}\n"
            "PidFile none\nStrictModes no\nUsePAM no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\n")
        with open(self.path("hk_" + name + ".pub")) as f:
            key = " ".join(f.read().split()[:2])
        # the box is met as the relay's reverse port; its key as an alias
        with open(self.path("known_hosts"), "a") as f:
            f.write(f"{name} {key}\n")
        self.spawn(label, "sshd", "-D", "-e", "-f", conf)

    def config(self, hosts):
        return self.file("config", "".join(
            f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n"
            f"  HostKeyAlias {name}\n" for name, port in hosts.items()) +
            f"Host *\n  User {getpass.getuser()}\n"
            f"  IdentityFile {self.path('id')}\n"
            "  IdentitiesOnly yes\n  BatchMode yes\n"
            f"  UserKnownHostsFile {self.path('known_hosts')}\n"
            "  GlobalKnownHostsFile /dev/null\n"
            "  StrictHostKeyChecking yes\n  ExitOnForwardFailure yes\n")

    def start(self):
        relay, box, reverse = free_ports(3)
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                 self.path("id"))
        self.sshd("relay", "relay", relay)
        self.sshd("box", "box", box)
        self.listens(relay, box)
        self.ssh = ["ssh", "-F", self.config({"relay": relay, "box": reverse})]
        self.spawn("box-keeps-R", *self.ssh, "-N", "-R",
                   f"127.0.0.1:{reverse}:localhost:{box}", "relay")
        self.listens(reverse)
        self.laptop()

    def laptop(self):
        self.front, middle = free_ports(2)
        inner = " ".join([*self.ssh, "-N", "-L",
                          f"{middle}:localhost:{self.service}", "box"])
        self.spawn("laptop", *self.ssh, "-L",
                   f"{self.front}:localhost:{middle}", "relay", inner)
        self.listens(middle, self.front)


class Jump(Ssh):
    """The same reverse port; the laptop goes to the box with ProxyJump, and
    keeps one connection for all (ControlMaster)."""
    name = "jump"
    what = "OpenSSH: reverse tunnel, ProxyJump"

    def laptop(self):
        self.front, = free_ports(1)
        self.to_box = [*self.ssh, "-J", "relay", "-S", self.path("master")]
        self.spawn("laptop", *self.to_box, "-M", "-N", "-L",
                   f"{self.front}:localhost:{self.service}", "box")
        self.listens(self.front)

    def stdio(self, port):
        return [*self.to_box, "-W", f"127.0.0.1:{port}", "box"], self.env()
