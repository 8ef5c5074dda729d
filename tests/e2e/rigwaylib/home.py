# SPDX-License-Identifier: MIT
"""One RIGWAY_HOME, with everything that a machine of its own would have: a
home folder (also for programs that ask the password file), /etc/ssh, hosts,
and perhaps a network namespace."""
import glob
import json
import os
import pwd
import re
import shutil
import subprocess

from . import proc
from .poll import wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__)))))


def binary():
    given = os.environ.get("RIGWAY_BIN")
    if given:
        return os.path.abspath(given)
    for d in ("build-gcc", "build"):
        path = os.path.join(ROOT, d, "src", "cmd", "rigway")
        if os.path.exists(path):
            return path
    raise RuntimeError("no binary: run ./test, or set RIGWAY_BIN")


# What tests that are not about it do without: all homes of a test, and of the
# tests beside it, are in one network.
DEFAULTS = {"rig": {"probe_port": "0"}, "client": {"paths": "relay"}}


def with_defaults(text):
    lines = text.splitlines()
    for section, rows in DEFAULTS.items():
        more = [f"  {k}: {v}" for k, v in rows.items()
                if not re.search(rf"^  {k}:", text, re.M)]
        if not more:
            continue
        if f"{section}:" not in lines:
            lines += [f"{section}:"] + more
            continue
        at = lines.index(f"{section}:") + 1
        while at < len(lines) and lines[at].startswith(" "):
            at += 1
        lines[at:at] = more
    return "\n".join(lines) + "\n"


class Home:
    def __init__(self, base, name, ns=None, user=None, hosts=None):
        self.name, self.ns, self.user = name, ns, user
        self.dir = os.path.join(base, name)
        self.rigway_home = os.path.join(self.dir, "r")
        self.home = os.path.join(self.dir, "home")
        self.logs = os.path.join(self.dir, "log")
        for d in (self.dir, self.home, self.logs):
            os.makedirs(d)
            os.chmod(d, 0o755)
        os.chmod(self.home, 0o700)
        os.mkdir(self.path(".ssh"), 0o700)
        if user is not None:
            for d in (self.dir, self.home, self.path(".ssh")):
                os.chown(d, user, user)
        self.bin = binary()
        if user is not None:
            # Where this user may not look, the program cannot lie.
            self.bin = shutil.copy(self.bin, os.path.join(self.dir, "rigway"))
        self.procs, self.binds = [], []
        if proc.can_mount():
            self._own_passwd()
        if hosts:
            self.bind("hosts", "/etc/hosts", hosts)

    def path(self, *parts):
        return os.path.join(self.home, *parts)

    def bind(self, name, place, text):
        """This machine has a file of its own at that place."""
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)
        self.binds.append((path, place))

    def _own_passwd(self):
        me = pwd.getpwuid(self.user if self.user is not None else os.getuid())
        lines = []
        with open("/etc/passwd") as f:
            for line in f:
                part = line.rstrip("\n").split(":")
                if part[0] == me.pw_name:
                    part[5], part[6] = self.home, "/bin/sh"
                lines.append(":".join(part))
        self.bind("passwd", "/etc/passwd", "\n".join(lines) + "\n")
        self.user_name = me.pw_name

    def settings(self, text):
        """Writes rigway.yml: text, and DEFAULTS for what it leaves open."""
        os.makedirs(self.rigway_home, mode=0o700, exist_ok=True)
        if self.user is not None:
            os.chown(self.rigway_home, self.user, self.user)
        with open(os.path.join(self.rigway_home, "rigway.yml"), "w") as f:
            f.write(with_defaults(text))

    def is_untouched(self):
        """Whether nothing is there but what settings() wrote."""
        return (not os.path.exists(self.rigway_home) or
                os.listdir(self.rigway_home) == ["rigway.yml"])

    def other_machine(self, machine_id):
        """Makes this home's programs believe in another machine."""
        d = os.path.join(self.dir, "etc")
        shutil.copytree("/etc", d, symlinks=True,
                        ignore=shutil.ignore_patterns("shadow*", "gshadow*"))
        path = os.path.join(d, "machine-id")
        if os.path.lexists(path):
            os.unlink(path)
        with open(path, "w") as f:
            f.write(machine_id + "\n")
        self.binds.insert(0, (d, "/etc"))

    def clone_client(self, other, key_of=None):
        """Takes what another laptop knows, and its key or that of key_of."""
        state = os.path.join(self.rigway_home, "state")
        shutil.copytree(os.path.join(other.rigway_home, "state"), state)
        for path in glob.glob(os.path.join(state, "*", "client", "forwards")):
            os.unlink(path)
        if key_of is not None:
            mine, = glob.glob(os.path.join(state, "*", "client", "key"))
            theirs, = glob.glob(os.path.join(key_of.rigway_home, "state", "*",
                                             "client", "key"))
            shutil.copy(theirs, mine)

    def own_etc_ssh(self, files):
        """Gives the home an /etc/ssh of its own with these files."""
        d = os.path.join(self.dir, "etc-ssh")
        os.mkdir(d, 0o755)
        for name in ("ssh_config", "moduli"):
            if os.path.exists(f"/etc/ssh/{name}"):
                shutil.copy(f"/etc/ssh/{name}", d)
        for name, text in files.items():
            with open(os.path.join(d, name), "w") as f:
                f.write(text)
        self.binds.append((d, "/etc/ssh"))
        return d

    def env(self, **more):
        return proc.base_env(**{
            "RIGWAY_HOME": self.rigway_home,
            "HOME": self.home,
            "PATH": os.path.dirname(self.bin) + ":" + proc.PATH,
            "USER": getattr(self, "user_name", "root"),
            "SHELL": "/bin/sh",
            **more})

    def log(self, name):
        n = sum(1 for x in os.listdir(self.logs) if x.startswith(name))
        return os.path.join(self.logs, f"{name}.{n}.log")

    # Programs

    def exec(self, *argv, env=None, check=None, timeout=30.0, **kw):
        """Any program, on this machine, to its end."""
        return proc.run(argv, env=self.env(**(env or {})), ns=self.ns,
                        binds=self.binds, user=self.user, timeout=timeout,
                        check=check, **kw)

    def start(self, *argv, env=None, name=None, **kw):
        """Any program, on this machine, in the background."""
        name = name or os.path.basename(str(argv[0]))
        p = proc.Proc(argv, self.log(name), env=self.env(**(env or {})),
                      ns=self.ns, binds=self.binds, user=self.user, name=name,
                      **kw)
        self.procs.append(p)
        return p

    def popen(self, *argv, env=None, **kw):
        """A program whose pipes the test itself holds."""
        kw.setdefault("stdin", subprocess.PIPE)
        kw.setdefault("stdout", subprocess.PIPE)
        kw.setdefault("stderr", subprocess.PIPE)
        p = subprocess.Popen(
            proc.wrap(argv, self.ns, self.binds, self.user),
            env=self.env(**(env or {})), **kw)
        self.procs.append(_Held(p))
        return p

    def rigway(self, *args, check=0, **kw):
        """A rigway command to its end; it must end with check (None: any)."""
        return self.exec(self.bin, *args, check=check, **kw)

    def fails(self, *args, check=1, says=None, **kw):
        """A command that must fail, in words."""
        r = self.rigway(*args, check=check, **kw)
        assert r.err.strip(), f"failed without a word\n{r!r}"
        if says is not None:
            assert re.search(says, r.err, re.I | re.S), \
                f"stderr says nothing like {says!r}\n{r!r}"
        return r

    def rigway_start(self, *args, **kw):
        return self.start(self.bin, *args, name="-".join(
            ["rigway", *[a for a in args[:2] if re.match(r"[a-z]+$", a)]]),
            **kw)

    def json(self, *args, **kw):
        r = self.rigway(*args, "--json", **kw)
        return json.loads(r.out)

    # Servers of this machine

    def service(self, kind, port=0, *args, host="127.0.0.1"):
        p = self.start(*proc.python(proc.lib("servers.py"), kind, host, port,
                                    *args), name=kind)
        p.port = int(p.wait_log(r"^ready (\d+)").group(1))
        return p

    def port_open(self, port, host="127.0.0.1"):
        if self.ns is None:
            from .ports import is_open
            return is_open(port, host)
        return self.exec("nc", "-z", "-w", "1", host, port).rc == 0

    def wait_port(self, port, host="127.0.0.1", timeout=15.0):
        wait_for(lambda: self.port_open(port, host), timeout,
                 f"port {port} of {self.name}")

    def socket_path(self, role):
        found = glob.glob(os.path.join(self.rigway_home, "run", "*",
                                       f"{role}.sock"))
        assert len(found) == 1, found
        return found[0]

    # Background processes that rigway started by itself

    def background(self):
        mine = {p.pid for p in self.procs}
        return [p for p in proc.find(RIGWAY_HOME=self.rigway_home)
                if p not in mine]

    def daemon(self):
        """The pids of the client's background process."""
        return [p for p in self.background() if "daemon" in proc.describe(p)]

    def close(self):
        """Ends what runs here; returns what went wrong with that."""
        wrong = []
        for p in reversed(self.procs):
            try:
                if p.alive():
                    p.stop()
            except AssertionError as e:
                wrong.append(str(e))
        left = proc.find(RIGWAY_HOME=self.rigway_home)
        names = {p: proc.describe(p) for p in left}
        for p in proc.end(left):
            wrong.append(f"did not end by SIGTERM: {names[p]}")
        return wrong

    def logged(self, pattern):
        """The line of this machine's logs that says so, or None."""
        for line in self.all_logs(1 << 22).splitlines():
            if re.search(pattern, line):
                return line
        return None

    def all_logs(self, tail=6000):
        found = []
        for base in (self.logs, self.rigway_home):
            for d, _, files in os.walk(base):
                for f in sorted(files):
                    if base == self.logs or "log" in f:
                        found.append(os.path.join(d, f))
        text = ""
        for path in found:
            with open(path, errors="replace") as f:
                t = f.read()
            if t.strip():
                text += f"---- {path}\n{t[-tail:]}\n"
        return text


class _Held:
    """popen's program, with the calls that close() needs."""

    def __init__(self, p):
        self.p, self.pid = p, p.pid

    def alive(self):
        return self.p.poll() is None

    def stop(self, timeout=10.0):
        for f in (self.p.stdin, self.p.stdout, self.p.stderr):
            try:
                if f:
                    f.close()
            except OSError:
                pass
        self.p.terminate()
        try:
            self.p.wait(timeout)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
