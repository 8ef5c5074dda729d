# SPDX-License-Identifier: MIT
"""Processes that the tests start, and only those.

Every one carries the mark of this test run in its environment, dies with the
test process (setpriv --pdeathsig), writes to a log of its own, and is ended by
its pid. Programs that put themselves into the background are found again by
the mark, so that a test can end them and the run can prove that none is left.
"""
import functools
import os
import re
import signal
import subprocess
import sys

from . import mounts
from .poll import wait_for

# ./test gives the run a name, and looks for it when all is over.
RUN = os.environ.get("RIGWAY_TEST_RUN", "by-hand")
MARK_NAME = "RIGWAY_TEST_MARK"
MARK = f"{RUN}.{os.getpid()}.{os.urandom(4).hex()}"

PYTHON = "/usr/bin/python3"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_env(**more):
    env = {
        "PATH": PATH,
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        MARK_NAME: MARK,
    }
    for k in ("TMPDIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS",
              "LD_PRELOAD"):
        if k in os.environ:
            env[k] = os.environ[k]
    env.update({k: str(v) for k, v in more.items() if v is not None})
    return env


def memory_mib(pid):
    """(own, file): what the process holds, and what it has mapped of files:
    pages of the program and its libraries since their first use, which it
    shares and the system takes back when it wants."""
    with open(f"/proc/{pid}/status") as f:
        kib = {k: int(v) / 1024 for k, v in
               re.findall(r"(Rss\w+):\s+(\d+) kB", f.read())}
    return kib["RssAnon"], kib["RssFile"] + kib["RssShmem"]


def can_mount():
    """Whether a process may have a mount namespace of its own here."""
    return mount_prefix() is not None


@functools.cache
def mount_prefix():
    return mounts.prefix()


_BIND = ('while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 126; '
         'shift 2; done; shift; exec "$@"')


def wrap(argv, ns=None, binds=(), user=None, die_with_us=True):
    """argv, run in network namespace ns, with files bound over others (pairs
    of source and place, in a mount namespace of its own), as another user."""
    argv = [str(a) for a in argv]
    drop = []
    if user is not None:
        drop += ["--reuid", str(user), "--regid", str(user), "--clear-groups"]
    if die_with_us:
        drop += ["--pdeathsig", "KILL"]
    if drop:
        argv = ["setpriv", *drop, "--", *argv]
    if binds:
        flat = [str(x) for pair in binds for x in pair]
        argv = [*mount_prefix(), "sh", "-c", _BIND, "sh", *flat, "--", *argv]
    if ns is not None:
        argv = ["nsenter", f"--net={ns.path}", *argv]
    return argv


class Proc:
    """One program in the background."""

    def __init__(self, argv, log, env=None, ns=None, binds=(), user=None,
                 cwd=None, stdin=subprocess.DEVNULL, stdout=None, name=None):
        self.argv = [str(a) for a in argv]
        self.name = name or os.path.basename(self.argv[0])
        self.log = str(log)
        with open(self.log, "ab") as f:
            self.p = subprocess.Popen(
                wrap(argv, ns, binds, user), env=env or base_env(), cwd=cwd,
                stdin=stdin, stdout=f if stdout is None else stdout, stderr=f)
        self.pid = self.p.pid

    @property
    def returncode(self):
        return self.p.poll()

    def alive(self):
        return self.p.poll() is None

    def text(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def wait_log(self, pattern, timeout=15.0):
        def seen():
            m = re.search(pattern, self.text(), re.M)
            if m is None and not self.alive():
                m = re.search(pattern, self.text(), re.M)
                assert m, (f"{self.name} ended with {self.returncode} before "
                           f"{pattern!r}:\n{self.text()[-3000:]}")
            return m
        return wait_for(seen, timeout, f"{pattern!r} in the log of "
                        f"{self.name}: {self.argv}")

    def signal(self, sig):
        if self.alive():
            self.p.send_signal(sig)

    def stop(self, timeout=10.0):
        """SIGTERM, then the exit status; SIGKILL if it does not go."""
        if self.alive():
            _term(self.pid, signal.SIGTERM)
        return self.reap(timeout)

    def interrupt(self, timeout=10.0):
        self.signal(signal.SIGINT)
        return self.reap(timeout)

    def reap(self, timeout=10.0):
        try:
            return self.p.wait(timeout)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            raise AssertionError(
                f"{self.name} (pid {self.pid}) did not end within {timeout} s"
                f"\n{self.text()[-3000:]}")

    def kill(self):
        if self.alive():
            self.p.kill()
        self.p.wait()


class Result:
    def __init__(self, argv, rc, out, err):
        self.argv, self.rc, self.out, self.err = argv, rc, out, err

    @property
    def last(self):
        lines = [x for x in self.out.splitlines() if x.strip()]
        return lines[-1].strip() if lines else ""

    def __repr__(self):
        return (f"$ {' '.join(self.argv)}\nexit {self.rc}\n"
                f"-- stdout\n{self.out}\n-- stderr\n{self.err}")


def run(argv, env=None, ns=None, binds=(), user=None, input=None, timeout=30.0,
        cwd=None, check=None, binary=False):
    """Runs a program to its end. check: the exit status that it must have."""
    argv = [str(a) for a in argv]
    data = input.encode() if isinstance(input, str) else input
    p = subprocess.Popen(
        wrap(argv, ns, binds, user), env=env or base_env(), cwd=cwd,
        stdin=subprocess.PIPE if data is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = p.communicate(data, timeout)
    except subprocess.TimeoutExpired:
        p.kill()
        try:
            out, err = p.communicate(timeout=2)
        except subprocess.TimeoutExpired:
            out, err = b"", b"(its pipes are held open by another process)"
        raise AssertionError(
            f"still running after {timeout} s: {' '.join(argv)}\n"
            f"-- stdout\n{out.decode(errors='replace')}\n"
            f"-- stderr\n{err.decode(errors='replace')}") from None
    if not binary:
        out = out.decode(errors="replace")
    r = Result(argv, p.returncode, out, err.decode(errors="replace"))
    if check is not None:
        assert r.rc == check, f"wanted exit {check}\n{r!r}"
    return r


def _environ(pid):
    """What a process was started with. For a moment while a program replaces
    another nothing is there to read; kernel threads never have anything."""
    try:
        for _ in range(100):
            with open(f"/proc/{pid}/environ", "rb") as f:
                text = f.read()
            if text or not os.readlink(f"/proc/{pid}/exe"):
                return text.split(b"\0")
    except OSError:
        pass
    return []


def _state(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _is_zombie(pid):
    return _state(pid) in "ZX"


def find(**env):
    """The live pids of this test run that were started with these values in
    their environment."""
    want = {f"{k}={v}".encode() for k, v in env.items()}
    want.add(f"{MARK_NAME}={MARK}".encode())
    found = []
    for d in os.listdir("/proc"):
        if d.isdigit() and int(d) != os.getpid():
            if want <= set(_environ(d)) and not _is_zombie(d):
                found.append(int(d))
    return found


def _term(pid, sig):
    """A signal, also to a process that a test has stopped."""
    os.kill(pid, sig)
    if _state(pid) == "T":
        os.kill(pid, signal.SIGCONT)


def describe(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f"{pid}: " + f.read().replace(b"\0", b" ").decode(
                errors="replace")
    except OSError:
        return f"{pid}: gone"


def end(pids, timeout=5.0):
    """Ends processes found by find(): SIGTERM, then SIGKILL. Returns those
    that needed SIGKILL."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        pids = [p for p in pids if not _is_zombie(p)]
        for p in pids:
            try:
                _term(p, sig)
            except ProcessLookupError:
                pass
        try:
            wait_for(lambda: all(_is_zombie(p) for p in pids), timeout,
                     "end of processes")
            return [] if sig == signal.SIGTERM else pids
        except AssertionError:
            if sig == signal.SIGKILL:
                raise
    return pids


def python(path, *args):
    return [PYTHON, path, *[str(a) for a in args]]


def lib(name):
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), name)


def say(text):
    print(text, file=sys.stderr)
