# SPDX-License-Identifier: MIT
"""From samples to one table: medians, and rigway's ratio to each system."""
import statistics

# Column: title, what of which kinds, format, and whether more is better.
COLUMNS = [
    ("up 1, Gbit/s", ["up1"], "gbit", "{:.2f}", True),
    ("down 1, Gbit/s", ["down1"], "gbit", "{:.2f}", True),
    ("up 8, Gbit/s", ["up8"], "gbit", "{:.2f}", True),
    ("down 8, Gbit/s", ["down8"], "gbit", "{:.2f}", True),
    ("new conns/s", ["conns"], "per_s", "{:,.0f}", True),
    ("echo p50, us", ["echo"], "p50_us", "{:,.0f}", False),
    ("echo p99, us", ["echo"], "p99_us", "{:,.0f}", False),
    ("busy echo p50, us", ["echo_busy"], "p50_us", "{:,.0f}", False),
    ("busy echo p99, us", ["echo_busy"], "p99_us", "{:,.0f}", False),
    ("PSS busy, MiB", ["up1", "down1", "up8", "down8"], "pss_mib",
     "{:.1f}", False),
    ("CPU s/GB", ["up1", "down1"], "cpu_s_per_gb", "{:.2f}", False),
]


def figure_of_run(of_system, kinds, key, run):
    """One figure of one run: the largest PSS of the kinds, else the mean."""
    got = []
    for kind in kinds:
        entries = of_system.get(kind, [])
        if run < len(entries) and key in entries[run]:
            got.append(entries[run][key])
    if not got:
        return None
    return max(got) if key == "pss_mib" else sum(got) / len(got)


def figures(of_system, kinds, key, runs):
    got = [figure_of_run(of_system, kinds, key, r) for r in range(runs)]
    return [g for g in got if g is not None]


def ratio(samples, a, b, kinds, key, runs):
    """The median of the runs' ratios a / b: each run has both close in
    time, so that what slows the machine down slows both."""
    got = []
    for run in range(runs):
        x = figure_of_run(samples[a], kinds, key, run)
        y = figure_of_run(samples[b], kinds, key, run)
        if x is not None and y:
            got.append(x / y)
    return statistics.median(got) if got else None


def table_rows(samples, systems, runs):
    rows = [["system"] + [c[0] for c in COLUMNS]]
    for s in systems:
        row = [s.what]
        for _, kinds, key, form, _ in COLUMNS:
            got = figures(samples[s.name], kinds, key, runs)
            plain = s.name == "none" and key in ("pss_mib", "cpu_s_per_gb")
            row.append("-" if plain or not got
                       else form.format(statistics.median(got)))
        rows.append(row)
    names = [s.name for s in systems]
    if "rigway" not in names:
        return rows
    for other in (n for n in names if n != "rigway"):
        row = [f"rigway / {other}"]
        for _, kinds, key, _, _ in COLUMNS:
            r = ratio(samples, "rigway", other, kinds, key, runs)
            row.append("-" if r is None else f"{r:.2f}x")
        rows.append(row)
    return rows


def markdown(rows):
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = []
    for n, row in enumerate(rows):
        cells = [c.ljust(w) if i == 0 else c.rjust(w)
                 for i, (c, w) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(cells) + " |")
        if n == 0:
            lines.append("|" + "|".join(
                "-" * (w + 1) + ("-" if i == 0 else ":")
                for i, w in enumerate(widths)) + "|")
    return "\n".join(lines)


def verdicts(samples, runs):
    """What the spine is wanted to reach against the OpenSSH chain."""
    lines = []
    if "rigway" not in samples or "ssh" not in samples:
        return lines
    for kind, want in (("up1", 3), ("down1", 4)):
        r = ratio(samples, "rigway", "ssh", [kind], "gbit", runs)
        if r is not None:
            lines.append(f"{kind}: {r:.2f}x the OpenSSH chain, wanted "
                         f">= {want}x: {'reached' if r >= want else 'MISSED'}")
    return lines
