# SPDX-License-Identifier: MIT
"""The results as a table, as JSON, and as a plot of the storms."""
import json
import os

from peerlib.results import write

WIDTH, HEIGHT, LEFT, TOP = 900, 300, 60, 30
COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad")


def mib(kib):
    return kib / 1024


def checks(got, opt):
    """What is promised of 10,000 rigs and 1,000 sessions: name,
    figure, the most or least, and whether it is so."""
    worst = max(got["storms"], key=lambda s: s["all_s"], default=None)
    memory = max([got["all"]["pss"]] +
                 [s["memory"]["pss"] for s in got["storms"]])
    out = [("memory, PSS, after it all", f"{mib(memory):.0f} MiB",
            "<= 200 MB", memory * 1024 <= 200e6),
           ("processor, idle", f"{got['idle']['cpu_percent']:.1f} % of a core",
            "<= 5 %", got["idle"]["cpu_percent"] <= 5)]
    if worst:
        slowest = min(s["rigs_per_s"] for s in got["storms"])
        out += [("rigs admitted after a restart", f"{slowest:.0f} a second",
                 ">= 500", slowest >= 500),
                ("all rigs and sessions back", f"{worst['all_s']:.1f} s",
                 "<= 60 s", worst["all_s"] <= 60)]
    return out


def each(got, opt):
    """KiB of one idle rig, and of one session; and after the last storm."""
    m = got["rigs"]["pss"] - got["empty"]["pss"]
    out = {"rig_kib": m / opt.rigs}
    if opt.sessions:
        out["session_kib"] = (got["all"]["pss"] - got["rigs"]["pss"]
                              ) / opt.sessions
    if got["storms"]:
        after = got["storms"][-1]["memory"]["pss"] - got["empty"]["pss"]
        out["rig_after_storms_kib"] = after / opt.rigs
    return out


def storm_rows(storms):
    yield ("| storm | half | 90 % | 99 % | all rigs | all sessions | rigs/s |"
           " rigs/s until 99 % | relay's CPU | a rig | connections begun |"
           " most descriptors | peak memory |")
    yield "|---|" + "---:|" * 12
    for i, s in enumerate(storms, 1):
        at = s["rigs_s"]
        yield ("| " + " | ".join([str(i)] + [f"{t:.1f} s"
                                             for t in at.values()]) + " | "
               f"{s['sessions_s']:.1f} s | {s['rigs_per_s']:.0f} | "
               f"{s['rigs_per_s_99']:.0f} | {s['cpu_s']:.1f} s | "
               f"{s['cpu_ms_per_rig']:.2f} ms | "
               f"{s['dials']} | {s['peak_fds']} | "
               f"{mib(s['memory']['rss_peak']):.0f} MiB |")


def markdown(got, opt):
    m, idle, per = got["machine"], got["idle"], each(got, opt)
    lines = [
        "# One relay at scale", "",
        f"{opt.rigs} rigs, {opt.sessions} sessions, {opt.fleets} owners; "
        f"each rig and laptop from an address of its own, in "
        f"{opt.processes} processes on the same machine.", "",
        "| what | measured | wanted | |", "|---|---:|---:|---|",
    ]
    lines += [f"| {a} | {b} | {c} | {'yes' if d else 'no'} |"
              for a, b, c, d in checks(got, opt)]
    lines += [
        "", "| memory | PSS | anonymous | descriptors |",
        "|---|---:|---:|---:|"]
    for name, key in (("the book read, nobody there", "empty"),
                      ("all rigs", "rigs"), ("and all sessions", "all")):
        lines.append(f"| {name} | {mib(got[key]['pss']):.1f} MiB | "
                     f"{mib(got[key]['anon']):.1f} MiB | {got[key]['fds']} |")
    for i, s in enumerate(got["storms"], 1):
        lines.append(f"| after storm {i} | {mib(s['memory']['pss']):.1f} MiB |"
                     f" {mib(s['memory']['anon']):.1f} MiB | "
                     f"{s['memory']['fds']} |")
    lines += ["", f"A rig: {per['rig_kib']:.1f} KiB" + (
        f"; a session: {per['session_kib']:.1f} KiB more"
        if "session_kib" in per else "") + (
        f"; after the last storm, all over the number of rigs: "
        f"{per['rig_after_storms_kib']:.1f} KiB"
        if "rig_after_storms_kib" in per else "") + ".", "",
        f"Idle for {idle['seconds']:.0f} s: {idle['cpu_percent']:.2f} % of a "
        f"core, {idle['wakings_per_s']:.0f} wakings a second; never fewer "
        f"than {idle['least_rigs']} rigs and {idle['least_sessions']} "
        "sessions connected.", ""]
    if got["storms"]:
        lines += [
            f"Storms: the relay is killed, is away for "
            f"{got['storms'][0]['away_s']:g} s, and starts again; times are "
            "from its start.", ""] + list(storm_rows(got["storms"])) + [
            "", "![rigs and sessions after a restart](relay-scale.svg)", ""]
    lines += [
        f"{m['cores']} cores, {m['cpu']}, Linux {m['kernel']}; niceness "
        f"{m['nice']}. Before it began others kept {got['busy_before']:.1f} "
        f"cores busy, and the load average was {m['load']}. The load shares "
        "the cores with the relay: it runs with a niceness of 4 more.", ""]
    return "\n".join(lines)


def svg(got, opt):
    end = max(s["timeline"][-1][0] for s in got["storms"]) * 1.02
    most = max(opt.rigs, 1) * 1.05
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
           f'height="{TOP + HEIGHT + 40}">',
           "<style>text{font:12px sans-serif}.n{text-anchor:end;fill:#555}"
           ".m{text-anchor:middle;fill:#555}.g{stroke:#ddd}</style>",
           f'<rect width="{WIDTH}" height="{TOP + HEIGHT + 40}" '
           'fill="white"/>']

    def point(t, v):
        return (LEFT + (WIDTH - LEFT - 10) * t / end,
                TOP + HEIGHT * (1 - v / most))

    for part in range(5):
        x, y = point(0, opt.rigs * part / 4)
        out.append(f'<path d="M{x:.1f} {y:.1f}H{WIDTH - 10}" class="g"/>'
                   f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" class="n">'
                   f"{opt.rigs * part // 4}</text>")
        x, y = point(end * part / 4, 0)
        out.append(f'<text x="{x:.1f}" y="{y + 20:.1f}" class="m">'
                   f"{end * part / 4:.1f} s</text>")
    for i, s in enumerate(got["storms"]):
        colour = COLOURS[i % len(COLOURS)]
        out.append(f'<text x="{LEFT + 10 + i * 230}" y="16" fill="{colour}">'
                   f"storm {i + 1}: rigs; dashed: sessions</text>")
        for key, dash in ((1, ""), (2, ' stroke-dasharray="5 3"')):
            d = "L".join("%.1f %.1f" % point(row[0], row[key])
                         for row in s["timeline"])
            out.append(f'<path d="M{d}" fill="none" stroke="{colour}" '
                       f'stroke-width="1.5"{dash}/>')
    return "\n".join(out + ["</svg>"]) + "\n"


def report(got, opt):
    """Prints and writes the results. Whoever reads them judges: a machine that
    is busy with other things makes no figure wrong."""
    text = markdown(got, opt)
    print(text, end="")
    os.makedirs(opt.results, exist_ok=True)
    into = os.path.join(opt.results, "relay-scale")
    write(into + ".md", text)
    write(into + ".json", json.dumps(
        {"options": {k: v for k, v in vars(opt).items()
                     if k not in ("rigway", "results", "build", "keep")},
         **got}, indent=1) + "\n")
    if got["storms"]:
        write(into + ".svg", svg(got, opt))
