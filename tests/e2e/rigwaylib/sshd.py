# SPDX-License-Identifier: MIT
"""A real sshd on the rig, found where a real one is: /etc/ssh of that machine
says its port and its host keys."""
import os

from . import proc
from .ports import freeport

_CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
X11Forwarding yes
AllowTcpForwarding yes
Subsystem sftp /usr/lib/openssh/sftp-server
LogLevel VERBOSE
AcceptEnv LANG
"""


def keygen(path, comment="test"):
    r = proc.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment,
                  "-f", path])
    assert r.rc == 0, repr(r)
    with open(path + ".pub") as f:
        return f.read().strip()


def prepare(home, port=None):
    """Gives home an /etc/ssh of its own; call it before home's first program
    starts, which then sees it too."""
    port = port or freeport()
    d = home.own_etc_ssh({"sshd_config": _CONFIG.format(port=port)})
    home.host_key = keygen(os.path.join(d, "ssh_host_ed25519_key"))
    home.sshd_port = port
    return port


def rig_up(w):
    """A relay and a rig with sshd, which no laptop has joined yet."""
    w.machines()
    prepare(w.rig)
    start(w.rig)
    w.start_relay()
    w.rig.rigway("join", w.rig_code(), "--name", "desk", "--no-start")
    w.start_rig()
    return w


def let_in(w):
    """The laptop joins, and sshd knows its key, which is returned."""
    pub = keygen(w.laptop.path(".ssh", "id_ed25519"))
    w.join_laptop()
    with open(w.rig.path(".ssh", "authorized_keys"), "w") as f:
        f.write(pub + "\n")
    return pub


def start(home):
    if os.getuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    p = home.start("/usr/sbin/sshd", "-D", "-e", name="sshd")
    p.wait_log(r"Server listening on .* port \d+")
    return p
