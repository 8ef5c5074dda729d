# SPDX-License-Identifier: MIT
"""From samples to one table."""
import statistics

SYSTEMS = ["plain", "rigway 1", "rigway 8"]


def figures(samples, cell, system, key):
    return [s[key] for s in samples.get(cell, {}).get(system, []) if key in s]


def rate(got):
    if not got:
        return "-"
    form = "{:.0f}" if statistics.median(got) >= 20 else "{:.1f}"
    text = form.format(statistics.median(got))
    if len(got) > 1:
        text += f" ({form.format(min(got))}-{form.format(max(got))})"
    return text


def delay(p50, p99):
    if not p50:
        return "-"
    return (f"{statistics.median(p50):.0f} / {statistics.median(p99):.0f}")


def rows(samples, cells):
    yield ["path", "TCP", "bulk"] + \
        [f"{s}, Mbit/s" for s in SYSTEMS] + [f"{s}, key ms" for s in SYSTEMS]
    for c in cells:
        yield [c.path.name, c.congestion, f"{c.direction} {c.streams}"] + \
            [rate(figures(samples, c.key, s, "mbit")) for s in SYSTEMS] + \
            [delay(figures(samples, c.key, s, "p50_ms"),
                   figures(samples, c.key, s, "p99_ms")) for s in SYSTEMS]


def markdown(table):
    table = list(table)
    lines = ["| " + " | ".join(r) + " |" for r in table]
    lines.insert(1, "|---|---|---|" + "---:|" * (len(table[0]) - 3))
    return "\n".join(lines)
