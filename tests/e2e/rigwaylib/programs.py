# SPDX-License-Identifier: MIT
"""Programs that people leave running over the tunnel: an ssh login, scp, rsync
and a Jupyter kernel. Each is started, told how the faults went, and must end
as if nothing had happened."""
import filecmp
import json
import os
import re
import subprocess
import time

from . import jupyter, proc, sshd
from .poll import wait_for

MIB = 1 << 20
BATCH = ["-o", "BatchMode=yes"]


def prepare(w):
    """A rig with sshd and a laptop whose key it knows."""
    sshd.rig_up(w)
    sshd.let_in(w)
    w.laptop.rigway("ssh-config", "--install")
    return w


def random_file(path, n):
    """n bytes that no compression makes small, quickly."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    piece = os.urandom(MIB)
    with open(path, "wb") as f:
        for i in range(0, n, MIB):
            f.write(i.to_bytes(8, "big") + piece[8:min(MIB, n - i)])


class Login:
    """`ssh -tt` with a program that counts on its screen."""

    def __init__(self, w):
        self.p = w.laptop.start(
            "ssh", "-tt", *BATCH, "desk.rig", "stty -echo; exec "
            + " ".join(proc.python(proc.lib("count.py"))),
            name="ssh-login", stdin=subprocess.PIPE)
        self.p.wait_log(r"^count 3\b", 30)
        self.words = 0

    def type(self, word):
        self.p.p.stdin.write(word.encode() + b"\n")
        self.p.p.stdin.flush()

    def after_fault(self):
        self.words += 1
        self.type(f"word-{self.words}")
        self.p.wait_log(rf"^heard word-{self.words}\r?$", 60)

    def end(self):
        self.type("enough")
        assert self.p.reap(30) == 0, self.p.text()[-2000:]
        text = self.p.text().replace("\r", "")
        seen = [int(n) for n in re.findall(r"^count (\d+)$", text, re.M)]
        assert seen == list(range(1, len(seen) + 1)), "the count has a gap"
        assert f"counted {len(seen)}" in text
        return f"{len(seen)} counts without a gap"


def _still(p):
    assert p.alive() or p.returncode == 0, p.text()
    return p.alive()


class Copy:
    """scp of one file, slow enough that it is still on its way."""

    def __init__(self, w, n, seconds):
        self.src = w.laptop.path("out", "big")
        self.dst = w.rig.path("big")
        random_file(self.src, n)
        self.n, self.outlived = n, 0
        self.p = w.laptop.start(
            "scp", "-q", *BATCH, "-l", int(n * 8 / 1000 / seconds), self.src,
            f"desk.rig:{self.dst}", name="scp")
        wait_for(lambda: os.path.getsize(self.dst) > 0, 30, "scp began")

    def after_fault(self):
        self.outlived += _still(self.p)

    def end(self):
        assert self.p.reap(600) == 0, self.p.text()
        assert self.outlived >= 2, "it was over before the faults"
        assert filecmp.cmp(self.src, self.dst, shallow=False)
        return f"{self.n / MIB:g} MiB, the same"


class Sync:
    """rsync of a tree, down to the laptop."""

    def __init__(self, w, n, seconds):
        self.src, self.dst = w.rig.path("tree"), w.laptop.path("tree")
        self.w, self.n, self.outlived = w, n, 0
        for i in range(8):
            random_file(f"{self.src}/d{i % 3}/f{i}", n // 8)
        for i in range(200):
            with open(f"{self.src}/d{i % 3}/small{i}", "w") as f:
                f.write(f"{i}\n" * i)
        self.p = w.laptop.start(
            "rsync", "-a", f"--bwlimit={n / 1024 / seconds:.0f}", "-e",
            "ssh " + " ".join(BATCH), f"desk.rig:{self.src}/", self.dst + "/",
            name="rsync")
        wait_for(lambda: os.path.isdir(self.dst), 30, "rsync began")

    def after_fault(self):
        self.outlived += _still(self.p)

    def end(self):
        assert self.p.reap(600) == 0, self.p.text()
        assert self.outlived >= 2, "it was over before the faults"
        r = self.w.laptop.exec("diff", "-r", self.src, self.dst, timeout=120)
        assert r.rc == 0 and r.out == "", repr(r)
        return f"{self.n / MIB:g} MiB in 208 files, the same"


class Kernel:
    """A Jupyter kernel that remembers, behind one WebSocket for all of it."""

    def __init__(self, w):
        jupyter.start(w.rig, 8888)
        w.laptop.rigway("forward", "desk", "8888")
        self.p = w.laptop.start(
            *proc.python(proc.lib("jupyter.py"), "--keep", "localhost:8888",
                         jupyter.TOKEN), name="kernel", stdin=subprocess.PIPE)
        self.asked = 0
        self.ask("x = [0]", "")

    def ask(self, code, want):
        self.asked += 1
        self.p.p.stdin.write(json.dumps(code).encode() + b"\n")
        self.p.p.stdin.flush()
        m = self.p.wait_log(rf"^{self.asked} (.*)$", 90)
        assert json.loads(m.group(1)) == want, self.p.text()[-2000:]

    def after_fault(self):
        n = self.asked
        self.ask(f"x.append({n}); print(x[-2:])",
                 f"[{n - 1 if n > 1 else 0}, {n}]\n")

    def end(self):
        self.ask("print(len(x))", f"{self.asked}\n")
        self.p.p.stdin.close()
        assert self.p.reap(60) == 0, self.p.text()
        return f"{self.asked} cells in one kernel, over one WebSocket"


def go_through(w, programs, cells):
    """Each fault in turn, while all programs run. Returns [[fault, side, away,
    seconds until every program had gone on]], and what the programs say."""
    from . import faults
    found = []
    for name, side, *away in cells:
        sides, begin, heal, _ = faults.FAULTS[name]
        assert side in sides
        s, state = faults.Side(w, side), {}
        begin(s, state)
        if heal is not None:
            faults.time_passes(away[0] if away else faults.AWAY_S)
            heal(s, state)
        t0 = time.monotonic()
        for p in programs:
            p.after_fault()
        took = time.monotonic() - t0
        found.append([name, side, away[0] if heal and away else 0.0, took])
        print(f"{name} ({side}): every program went on, {took:.2f} s after "
              "the path was there", flush=True)
    said = [f"{type(p).__name__}: {p.end()}" for p in programs]
    print("\n".join(said))
    return found, said
