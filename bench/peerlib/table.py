# SPDX-License-Identifier: MIT
"""From samples to tables: medians, rigway's ratio to each system, and what is
wanted of them."""
import statistics
from collections import namedtuple

# What of which kinds of sample; where several have it, the mean; and for
# memory that of the kind that takes most.
Column = namedtuple("Column", "title kinds key form")
BULK = ["up1", "down1", "up8", "down8"]
COLUMNS = [
    Column("up 1, Gbit/s", ["up1"], "gbit", "{:.2f}"),
    Column("down 1, Gbit/s", ["down1"], "gbit", "{:.2f}"),
    Column("up 8, Gbit/s", ["up8"], "gbit", "{:.2f}"),
    Column("down 8, Gbit/s", ["down8"], "gbit", "{:.2f}"),
    Column("CPU s/GB", ["up1", "down1"], "cpu_s_per_gb", "{:.2f}"),
    Column("relay CPU s/GB", ["up1", "down1"], "relay_s_per_gb", "{:.2f}"),
    Column("new conns/s", ["conns"], "per_s", "{:,.0f}"),
    Column("echo p50, us", ["echo"], "p50_us", "{:,.0f}"),
    Column("echo p99, us", ["echo"], "p99_us", "{:,.0f}"),
    Column("busy echo p50, us", ["echo_busy"], "p50_us", "{:,.0f}"),
    Column("busy echo p99, us", ["echo_busy"], "p99_us", "{:,.0f}"),
    Column("PSS busy, MiB", BULK, "pss_mib", "{:.1f}"),
    Column("of it windows, MiB", BULK, "windows_mib", "{:.1f}"),
    Column("idle stream, KiB", ["idle"], "idle_kib", "{:.1f}"),
    Column("start, us", ["start"], "p50_us", "{:,.0f}"),
]
IDLE_MOST = Column("idle stream, KiB in one process", ["idle"],
                   "idle_kib_most", "{:.2f}")

OWN = Column("PSS busy beyond the windows, MiB", BULK, "own_mib", "{:.1f}")
MEMORY = ("pss_mib", "own_mib")


def column(title):
    return next(c for c in COLUMNS if c.title == title)


# Rigway's own figure where against is None, else its ratio to that system's.
Wanted = namedtuple("Wanted", "of against sign value")
WANTED = [
    *(Wanted(COLUMNS[i], other, ">=", value) for i in range(4)
      for other, value in (("socat", 1), ("ssh", 5), ("v2ray", 3),
                           ("shadowsocks", 1.3))),
    Wanted(column("CPU s/GB"), "ssh", "<=", 0.25),
    Wanted(column("relay CPU s/GB"), None, "<=", 0.15),
    Wanted(column("new conns/s"), "shadowsocks", ">=", 0.8),
    Wanted(column("new conns/s"), "ssh", ">=", 5),
    Wanted(column("echo p50, us"), "socat", "<=", 1),
    Wanted(column("echo p99, us"), "socat", "<=", 1),
    Wanted(column("busy echo p99, us"), "none", "<=", 2),
    Wanted(column("busy echo p99, us"), None, "<=", 5000),
    Wanted(OWN, None, "<=", 14.3),      # 15 MB
    Wanted(IDLE_MOST, None, "<=", 1),
    Wanted(column("start, us"), None, "<=", 5000),
]


class Samples:
    """samples[system][kind] is a list with one entry a run; an entry is None
    where there is nothing to measure."""

    def __init__(self, samples, runs):
        self.samples, self.runs = samples, runs

    def of_run(self, system, col, run):
        entries = [self.samples.get(system, {}).get(kind, [])[run:run + 1]
                   for kind in col.kinds]
        got = [e for entry in entries for e in entry if e and col.key in e]
        if not got:
            return None
        if col.key == "windows_mib":
            return max(got, key=lambda e: e["pss_mib"])[col.key]
        if col.key in MEMORY:
            return max(e[col.key] for e in got)
        return statistics.mean(e[col.key] for e in got)

    def figures(self, system, col):
        got = [self.of_run(system, col, r) for r in range(self.runs)]
        return [g for g in got if g is not None]

    def median(self, system, col):
        got = self.figures(system, col)
        return statistics.median(got) if got else None

    def ratio(self, system, col):
        """The median of the runs' ratios of rigway to it: each run has both
        close in time, so that what slows the machine down slows both."""
        pairs = [(self.of_run("rigway", col, r), self.of_run(system, col, r))
                 for r in range(self.runs)]
        got = [x / y for x, y in pairs if x is not None and y]
        return statistics.median(got) if got else None


def cell(value, form):
    return "-" if value is None else form.format(value)


def figure_rows(samples, systems):
    yield ["system"] + [c.title for c in COLUMNS]
    for s in systems:
        yield [s.what] + [cell(samples.median(s.name, c), c.form)
                          for c in COLUMNS]


def ratio_rows(samples, systems):
    yield ["rigway to"] + [c.title.split(",")[0] for c in COLUMNS]
    for s in systems:
        if s.name != "rigway":
            yield [s.what] + [cell(samples.ratio(s.name, c), "{:.2f}x")
                              for c in COLUMNS]


def wanted_rows(samples, systems):
    what = {s.name: s.what for s in systems}
    yield ["wanted", "against", "at least or most", "measured", ""]
    for w in WANTED:
        if w.against:
            got, form = samples.ratio(w.against, w.of), "{:.2f}x"
        else:
            got, form = samples.median("rigway", w.of), w.of.form
        if got is None:
            verdict = "not measured"
        elif got >= w.value if w.sign == ">=" else got <= w.value:
            verdict = "reached"
        else:
            verdict = "**missed**"
        yield [w.of.title if not w.against else w.of.title.split(",")[0],
               what.get(w.against, w.against or "-"),
               f"{w.sign} {w.value:g}" + ("x" if w.against else ""),
               cell(got, form), verdict]


def markdown(rows, words=1):
    """So many columns on the left hold words, and the others figures."""
    rows = list(rows)
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = []
    for n, row in enumerate(rows):
        cells = [c.ljust(w) if i < words else c.rjust(w)
                 for i, (c, w) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(cells) + " |")
        if n == 0:
            lines.append("|" + "|".join(
                "-" * (w + 1) + ("-" if i < words else ":")
                for i, w in enumerate(widths)) + "|")
    return "\n".join(lines)
