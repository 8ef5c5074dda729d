# SPDX-License-Identifier: MIT
"""A machine that boots: systemd, or cron beneath a small init, as process 1 of
namespaces of its own, over a copy-on-write view of this machine's files. It can
be rebooted; nothing outside is touched, and it is gone with its last process."""
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile

from . import proc
from .home import binary
from .poll import wait_for

# Inside: the files of the machine, kept over reboots, until it is closed.
_HOLD = r"""
set -e
d=$1
mount -t tmpfs -o mode=755 tmpfs "$d"
mount --make-private "$d"
mkdir "$d/up" "$d/work" "$d/root" "$d/cg"
mount -t overlay overlay -o "lowerdir=/,upperdir=$d/up,workdir=$d/work" "$d/root"
mount -t cgroup2 cgroup2 "$d/cg"
for f in root:700 home:755 var/spool/cron:755 var/lib/systemd:755; do
	[ -d "$d/root/${f%:*}" ] || mkdir -p "$d/root/${f%:*}"
	mount -t tmpfs -o "mode=${f#*:}" tmpfs "$d/root/${f%:*}"
done
echo up
read x
"""

# Inside, at each boot: what a kernel would have mounted, then process 1.
_BOOT = r"""
set -e
d=$1 group=$2 how=$3
shift 3
cd "$d/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys && mount -o remount,ro,bind proc/sys
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mkdir -p run/systemd
mount -t tmpfs -o mode=755 tmpfs dev
for n in null zero full random urandom tty; do
	: >dev/$n
	mount --bind /dev/$n dev/$n
done
ln -s /proc/self/fd dev/fd
mkdir dev/shm dev/pts
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs var/log
mount -t cgroup2 cgroup2 sys/fs/cgroup
ip link set lo up
mkdir -p .old
if pivot_root . .old 2>/dev/null; then
	umount -l /.old
	exec env -i container=rigway-test PATH=%(path)s "$@"
fi
exec chroot . env -i container=rigway-test PATH=%(path)s "$@"
""" % {"path": proc.PATH}

# Units of this machine that are needed to log in; all others stay away.
_KEEP = {"sockets.target.wants": ["dbus.socket", "systemd-journald.socket"],
         "sysinit.target.wants": ["systemd-journald.service"],
         "multi-user.target.wants": ["dbus.service", "systemd-logind.service",
                                     "systemd-user-sessions.service"],
         "timers.target.wants": [], "local-fs.target.wants": [],
         "basic.target.wants": [], "graphical.target.wants": [],
         "default.target.wants": [], "remote-fs.target.wants": [],
         "network-online.target.wants": [], "getty.target.wants": []}

LIB = "/usr/local/lib/rigway-test"
SYSTEMD = "/lib/systemd/systemd"


def reason_without(*programs):
    if os.getuid() != 0:
        return "only root may boot a machine of its own"
    if not proc.can_mount():
        return "no mounts of one's own here"
    for p in programs:
        if not (shutil.which(p, path=proc.PATH) or os.path.exists(p)):
            return f"{p} is not installed"
    with open("/proc/filesystems") as f:
        known = f.read()
    for fs in ("overlay", "cgroup2"):
        if fs not in known:
            return f"this kernel has no {fs}"
    return None


class Machine:
    """init: the command line of process 1."""

    def __init__(self, init):
        self.init = init
        self.dir = tempfile.mkdtemp(prefix="rv")
        self.group = "rigway-test-" + os.path.basename(self.dir)
        self.boot_proc = self.pid = None
        self.boots = 0
        self.holder = subprocess.Popen(
            [*proc.mount_prefix(), "setpriv", "--pdeathsig", "KILL", "--",
             "sh", "-c", _HOLD, "sh", self.dir], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=proc.base_env())
        if self.holder.stdout.readline() != "up\n":
            why = self.holder.stderr.read().strip()
            self.close()
            raise CannotBoot(why)
        # Its files as this process sees them.
        self.root = f"/proc/{self.holder.pid}/root{self.dir}/root"
        self._prepare()

    def path(self, *parts):
        return os.path.join(self.root, *[p.lstrip("/") for p in parts])

    def write(self, path, text, mode=0o644):
        path = self.path(path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)

    def read(self, path):
        with open(self.path(path)) as f:
            return f.read()

    def exists(self, path):
        return os.path.lexists(self.path(path))

    def _prepare(self):
        for base in ("etc/systemd/system", "usr/lib/systemd/system"):
            for d, keep in _KEEP.items():
                wants = self.path(base, d)
                for name in os.listdir(wants) if os.path.isdir(wants) else []:
                    if name not in keep:
                        os.unlink(os.path.join(wants, name))
        for d in ("etc/systemd/user", "etc/cron.d"):
            shutil.rmtree(self.path(d), ignore_errors=True)
        for name in ("etc/fstab", "etc/crontab", "usr/sbin/policy-rc.d"):
            if os.path.lexists(self.path(name)):
                os.unlink(self.path(name))
        for name in ("systemd-logind.service", "systemd-user-sessions.service",
                     "dbus.service"):
            if not self.exists(f"/usr/lib/systemd/system/{name}"):
                continue
            link = self.path("etc/systemd/system/multi-user.target.wants", name)
            os.makedirs(os.path.dirname(link), exist_ok=True)
            if not os.path.lexists(link):
                os.symlink(f"/usr/lib/systemd/system/{name}", link)
        self.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n")
        shutil.copy(binary(), self.path("usr/local/bin/rigway"))
        os.chmod(self.path("usr/local/bin/rigway"), 0o755)
        shutil.copytree(os.path.dirname(os.path.abspath(__file__)),
                        self.path(LIB, "rigwaylib"))

    # Life

    def boot(self):
        assert self.pid is None
        cg = f"/proc/{self.holder.pid}/root{self.dir}/cg/{self.group}"
        os.makedirs(cg, exist_ok=True)
        self.boots += 1
        self.boot_log = open(os.path.join(self.dir, f"boot.{self.boots}"), "w+b")
        self.boot_proc = subprocess.Popen(
            ["sh", "-c", 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"', "sh",
             cg, "setpriv", "--pdeathsig", "KILL", "--", "nsenter", "-t",
             str(self.holder.pid), "--mount", "--root", "--",
             "unshare", "--cgroup", "--pid", "--fork", "--uts", "--ipc",
             "--net", "--mount", "--propagation", "unchanged",
             "--kill-child=KILL", "sh", "-c", _BOOT, "sh", self.dir,
             self.group, "x", *self.init],
            stdin=subprocess.DEVNULL, stdout=self.boot_log,
            stderr=self.boot_log, env=proc.base_env())

        def child():
            assert self.boot_proc.poll() is None, self.boot_text()
            path = f"/proc/{self.boot_proc.pid}/task/{self.boot_proc.pid}" \
                "/children"
            with open(path) as f:
                kids = f.read().split()
            return int(kids[0]) if kids else None
        self.pid = wait_for(child, 15, "process 1")

        def is_init():
            assert self.boot_proc.poll() is None, self.boot_text()
            with open(f"/proc/{self.pid}/environ", "rb") as f:
                return b"container=rigway-test" in f.read().split(b"\0")
        wait_for(is_init, 15, "init")
        return self

    def boot_text(self):
        self.boot_log.seek(0)
        return self.boot_log.read().decode(errors="replace")[-4000:]

    def gone(self, timeout=60):
        """Waits until process 1 has ended."""
        try:
            self.boot_proc.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError("the machine does not go down") from None
        self.pid = None
        self.boot_log.close()

    def pull_the_plug(self):
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.gone()

    def close(self):
        try:
            if self.pid is not None:
                self.pull_the_plug()
        finally:
            self._close()

    def _close(self):
        if self.holder.poll() is None:
            top = f"/proc/{self.holder.pid}/root{self.dir}/cg/{self.group}"

            def swept():
                for d, _, _ in os.walk(top, topdown=False):
                    try:
                        os.rmdir(d)
                    except OSError:
                        return False
                return True
            wait_for(swept, 20, "end of its control groups")
            self.holder.stdin.close()
            self.holder.wait(10)
        for f in (self.holder.stdout, self.holder.stderr):
            f.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    # Programs

    def _argv(self, argv, user=None, env=None):
        home = f"/home/{user}" if user else "/root"
        who = [] if user is None else [
            "setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"]
        words = {"PATH": "/usr/local/bin:" + proc.PATH, "HOME": home,
                 "USER": user or "root", "LC_ALL": "C.UTF-8", "TERM": "dumb",
                 **(env or {})}
        return ["nsenter", "-t", str(self.pid), "--mount", "--uts", "--ipc",
                "--net", "--pid", "--cgroup", "--root", "--wd=/", "--",
                "env", "-i", *[f"{k}={v}" for k, v in words.items()],
                *who, *[str(a) for a in argv]]

    def run(self, *argv, user=None, check=0, env=None, **kw):
        return proc.run(self._argv(argv, user, env), check=check, **kw)

    def popen(self, *argv, user=None, **kw):
        """To be waited for before the machine goes down."""
        return subprocess.Popen(self._argv(argv, user), env=proc.base_env(),
                                **kw)

    def daemon(self, *argv):
        """In the background, as a child of process 1: one of ours would keep
        the machine from going down until we wait for it."""
        self.run("sh", "-c", 'exec setsid -f "$@" >/dev/null 2>&1 </dev/null',
                 "sh", *argv)

    def rigway(self, *args, **kw):
        return self.run("rigway", *args, **kw)

    def json(self, *args, **kw):
        return json.loads(self.rigway(*args, "--json", **kw).out)

    def pids(self, pattern):
        """Processes whose command line is like that, as the machine numbers
        them."""
        out = self.run("ps", "-eo", "pid=,args=").out
        return [int(x.split(None, 1)[0]) for x in out.splitlines()
                if re.search(pattern, x.split(None, 1)[1])
                and "ps -eo" not in x]

    def add_user(self, name):
        proc.run(["chroot", self.root, "useradd", "--create-home", "--shell",
                  "/bin/sh", name], check=0)


class CannotBoot(Exception):
    pass


def systemd():
    return Machine([SYSTEMD, "--unit=multi-user.target", "--show-status=0",
                    "--log-target=journal"])


def wait_booted(m):
    wait_for(lambda: m.run("systemctl", "is-system-running", check=None).out
             .strip() in ("running", "degraded"), 60, "booted")
    return m


def reboot(m):
    m.run("systemctl", "reboot", check=None)
    m.gone()
    return wait_booted(m.boot())
