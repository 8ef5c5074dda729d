# SPDX-License-Identifier: MIT
"""Random faults from a seed under steady traffic, for a given time; the memory
and the descriptors of relay, rig and laptop are sampled all the while, and are
what they were when it is over."""
import json
import os
import random
import subprocess
import time

from . import faults, proc
from .poll import stays, wait_for

SAMPLE_S = 1.0
BASE_S = 5.0     # with nothing open, before and after
RETURN_S = 150.0
# What may stay of a process's own memory, all found in a soak: 0.4 MiB that all
# reads share, once they used it, and the allocator's pages in which a few small
# blocks that live (the newest connection's TLS) lie between freed ones. A leak
# of 256 bytes for each of 10,000 connections is more.
SLACK_MIB, SLACK_FDS = 2.0, 8


class Options:
    def __init__(self, **kw):
        self.seconds, self.seed = 600.0, 1
        self.touches, self.touch_rate, self.how = 10_000, 22.0, "both"
        self.knock_rate = 20.0
        self.plan = {"up": 2, "down": 2, "both": 1, "idle": 100,
                     "rate": 1_000_000}
        self.calm = (2.0, 6.0)     # between faults
        self.away = (0.3, 12.0)
        self.faults = list(faults.FAULTS)
        self.say = lambda text: None
        for k, v in kw.items():
            assert hasattr(self, k), k
            setattr(self, k, v)


class Samples:
    """Own memory, descriptors and memory that is files' of the three processes
    over time."""

    ROLES = ("relay", "rig", "laptop")

    def __init__(self, w):
        self.w, self.t0, self.rows, self.marks = w, time.monotonic(), [], []
        self.next = 0.0

    def pid(self, role):
        if role == "relay":
            return self.w.relay_proc.pid
        if role == "rig":
            return self.w.rig_proc.pid
        return self.w.laptop.daemon()[0]

    def now(self):
        return time.monotonic() - self.t0

    def take(self):
        """One sample, if it is time."""
        if self.now() < self.next:
            return True
        self.next = self.now() + SAMPLE_S
        row = {"t": round(self.now(), 2)}
        for role in self.ROLES:
            try:
                pid = self.pid(role)
                own, file = proc.memory_mib(pid)
                row[role] = [round(own, 2), len(os.listdir(f"/proc/{pid}/fd")),
                             round(file, 2)]
            except (OSError, IndexError, AttributeError):
                row[role] = None   # it is being restarted
        self.rows.append(row)
        return True

    def pass_time(self, seconds):
        stays(self.take, seconds)

    def mark(self, text):
        self.marks.append((round(self.now(), 2), text))

    def figures(self, since, until=1e9):
        """{role: (least MiB, most MiB, least fds, most fds, least MiB of
        files, most)} of a time."""
        out = {}
        for role in self.ROLES:
            rows = [r[role] for r in self.rows
                    if since <= r["t"] <= until and r[role]]
            out[role] = tuple(f(r[i] for r in rows)
                              for i in range(3) for f in (min, max))
        return out


def last_line(p):
    lines = [x for x in p.text().splitlines()
             if x.startswith("{") and x.endswith("}")]
    return json.loads(lines[-1]) if lines else {}


class Visitors:
    """The short connections: knocks all the time, touches once so many."""

    def __init__(self, w, opt):
        lib = proc.lib("visits.py")
        self.silent = w.rig.start(*proc.python(lib, "silent", "127.0.0.1", 0),
                                  name="silent")
        port = int(self.silent.wait_log(r"^ready (\d+)").group(1))
        self.silent_port = w.forward(port)
        echo = w.rig.service("echo")
        self.knock = w.laptop.start(
            *proc.python(lib, "knock", "127.0.0.1", w.forward(echo.port),
                         opt.knock_rate), name="knock", stdin=subprocess.PIPE)
        self.knock.wait_log("^ready")
        self.w, self.opt, self.touch = w, opt, None

    def begin_touches(self):
        self.touch = self.w.laptop.start(
            *proc.python(proc.lib("visits.py"), "touch", "127.0.0.1",
                         self.silent_port, self.opt.touches,
                         self.opt.touch_rate, self.opt.how),
            name="touch", stdin=subprocess.PIPE)

    def touches_over(self):
        return last_line(self.touch).get("over")

    def all_gone(self):
        """Whether the silent service was told of every end."""
        return last_line(self.silent).get("held") == 0

    def end(self):
        """What they did; nothing failed."""
        self.knock.p.stdin.close()
        self.touch.p.stdin.close()
        assert self.knock.reap(120) == 0 and self.touch.reap(30) == 0
        k, t = last_line(self.knock), last_line(self.touch)
        assert k["bad"] == 0 and k["running"] == 0 and k["good"] > 0, k
        assert t["failed"] == 0 and t["touched"] == self.opt.touches, t
        return k, t


class Soak:
    def __init__(self, w, opt):
        self.w, self.opt = w, opt
        self.random = random.Random(opt.seed)
        self.samples, self.cells = Samples(w), []

    def one_fault(self):
        o = self.opt
        name, side = self.random.choice(faults.cells(o.faults))
        c = faults.Cell(self.w, self.traffic, name, side,
                        round(self.random.uniform(*o.away), 1))
        c.meanwhile = self.samples.take
        self.samples.mark(f"{name} ({side})")
        c.run()
        self.cells.append(c)
        o.say(f"{self.samples.now():6.1f} s  {c}")
        # What was killed or hit must look as before to the next one.
        self.samples.pass_time(self.random.uniform(*o.calm))

    def run(self):
        """Everything; returns the facts, or fails."""
        o, s = self.opt, self.samples
        s.pass_time(BASE_S)
        base = s.figures(1.0)
        self.traffic = faults.Traffic(self.w, **o.plan)
        visitors = Visitors(self.w, o)
        s.mark("traffic")
        s.pass_time(BASE_S)
        self.base_t = s.now()
        visitors.begin_touches()
        end = s.now() + o.seconds
        while s.now() < end:
            self.one_fault()
        wait_for(lambda: s.take() and visitors.touches_over(),
                 o.touches / o.touch_rate + 60, "all touches")
        wait_for(lambda: s.take() and visitors.all_gone(), RETURN_S,
                 "the last of what was touched has gone")
        k, t = visitors.end()
        total = self.traffic.end()
        self.over_t = s.now()
        s.mark("all has ended")
        worst = s.figures(self.base_t)

        def returned():
            s.take()
            return not self.above(base)
        try:
            wait_for(returned, RETURN_S, "back to the base")
        except AssertionError:
            pass
        self.back_t = s.now()
        s.pass_time(BASE_S)
        last = s.figures(self.back_t)
        left = self.above(base)
        return {"left": left, "bytes": total, "knocks": k["good"], "touches": t["touched"],
                "faults": len(self.cells), "base": base, "worst": worst,
                "last": last, "seconds": s.now(), "seed": o.seed,
                "after_s": self.back_t - self.over_t}

    def above(self, base):
        """What the newest sample has more than the base."""
        row, wrong = self.samples.rows[-1], []
        for role in Samples.ROLES:
            if row[role] is None:
                wrong.append(f"{role} is away")
                continue
            mib, fds, _ = row[role]
            if mib > base[role][1] + SLACK_MIB:
                wrong.append(f"{role}: {mib} MiB, was {base[role][1]}")
            if fds > base[role][3] + SLACK_FDS:
                wrong.append(f"{role}: {fds} descriptors, was {base[role][3]}")
        return wrong
