# SPDX-License-Identifier: MIT
"""A relay, a rig and a laptop: by themselves on loopback, or each in its own
namespace (net.Homes)."""
import os
import re
import shutil
import socket
import tempfile

from . import flow
from .home import Home
from .poll import wait_for
from .ports import freeport


class World:
    def __init__(self, net=None):
        self.dir = tempfile.mkdtemp(prefix="rw")
        os.chmod(self.dir, 0o755)
        self.homes, self.others, self.net = [], [], net
        self.relay_port = None
        self.kind, self.clock = "relay", None
        self.relay_args = []
        self.relay_proc = self.rig_proc = None

    # Machines

    def home(self, name, **kw):
        h = Home(self.dir, name, **kw)
        if name != "relay":
            h.settings("")
        self.homes.append(h)
        return h

    def also(self, thing):
        """Something else to close() at the end."""
        self.others.append(thing)
        return thing

    def machines(self, **rig):
        """The three homes, nothing started."""
        ns = {}
        if self.net is not None:
            ns = {"relay": self.net.relay, "rig": self.net.rig,
                  "laptop": self.net.laptop}
        self.relay = self.home("relay", ns=ns.get("relay"))
        self.rig = self.home("rig", ns=ns.get("rig"), **rig)
        self.laptop = self.home("laptop", ns=ns.get("laptop"))
        return self

    # The relay

    def start_relay(self, *args):
        if self.relay_port is None:
            self.relay_port = 443 if self.net else freeport()
        if not self.relay_args:
            if self.net:
                self.relay_args = ["--name", self.net.RELAY]
            else:
                self.relay_args = ["--listen", f"127.0.0.1:{self.relay_port}"]
            self.relay_args += args
        self.relay_proc = self.relay.rigway_start("relay", *self.relay_args)
        self.relay.wait_port(self.relay_port)
        return self.relay_proc

    def rig_code(self, *args):
        return self.relay.rigway("relay", "invite", *args).out.strip()

    # The rig

    def start_rig(self):
        self.rig_proc = self.rig.rigway_start("rig")
        return self.rig_proc

    def client_code(self, *args):
        return self.rig.rigway("rig", "invite", *args).out.strip()

    # All of it

    def up(self, *relay_args, name="desk", rig=None):
        """From nothing to a paired laptop and a rig that is online."""
        if not hasattr(self, "relay"):
            self.machines(**(rig or {}))
        self.start_relay(*relay_args)
        self.rig.rigway("join", self.rig_code(), "--name", name, "--no-start")
        self.start_rig()
        self.join_laptop()
        return self

    def join_laptop(self, laptop=None, name=None):
        laptop = laptop or self.laptop
        wait_for(lambda: self.rig.rigway("rig", "invite", check=None).rc == 0,
                 what="rig's process answers")
        laptop.rigway("join", self.client_code(),
                      *(["--name", name] if name else []))
        return laptop

    def new_laptop(self, name="laptop2"):
        return self.join_laptop(self.home(
            name, ns=self.net.laptop if self.net else None))

    def forward(self, spec_port, *, laptop=None, host="127.0.0.1", rig="desk",
                port=None):
        """Forwards a fresh port of the laptop to a port of the rig; returns
        the laptop's port."""
        laptop = laptop or self.laptop
        port = port or freeport()
        laptop.rigway("forward", rig, f"{port}:{host}:{spec_port}")
        return port

    def echo_through(self, port, data=b"hello through the relay"):
        with flow.connect(port) as s:
            flow.ping(s, data)
            s.shutdown(socket.SHUT_WR)
            assert flow.read_all(s) == b""

    def online(self, rig="desk", laptop=None):
        """Whether ls says that the rig is there."""
        rows = rows_of((laptop or self.laptop).json("ls"), "rigs")
        return any(r.get("name") == rig and is_online(r) for r in rows)

    def wait_online(self, rig="desk", laptop=None, timeout=15.0):
        wait_for(lambda: self.online(rig, laptop), timeout, f"{rig} online")

    def close(self):
        wrong = []
        for t in reversed(self.others):
            t.close()
        for h in reversed(self.homes):
            wrong += h.close()
        for f in sanitizer_reports(self.dir):
            wrong.append(f)
        return wrong

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def logs(self):
        return "".join(h.all_logs() for h in self.homes)


REPORT = re.compile(
    r"ERROR: (Address|Leak|Thread)Sanitizer|runtime error: |"
    r"SUMMARY: \w+Sanitizer|Assertion .* failed|check failed")


def sanitizer_reports(base):
    for d, _, files in os.walk(base):
        for name in files:
            if "log" not in name and not name.startswith("asan"):
                continue
            path = os.path.join(d, name)
            try:
                with open(path, errors="replace") as f:
                    text = f.read()
            except OSError:
                continue
            m = REPORT.search(text)
            if m:
                yield f"{path}:\n{text[m.start():m.start() + 4000]}"


def rows_of(doc, key):
    """ls and status print a list, or an object that holds one."""
    if isinstance(doc, list):
        return doc
    return doc.get(key, [])


def is_online(row):
    v = row.get("online", row.get("state"))
    return v is True or v in ("online", "up", "connected")
