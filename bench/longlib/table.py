# SPDX-License-Identifier: MIT
"""From samples to two tables: all figures, and what is wanted of them."""
import statistics

SYSTEMS = ["plain", "rigway 1", "rigway 9"]
LONG_RTT_MS = 100
LONG_RATIO = 0.9
SLOW_MBIT = 20
SLOW_KEY_MS = 20        # beyond the round trip


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


def rows(samples, cells, systems):
    yield ["path", "TCP", "bulk"] + \
        [f"{s}, Mbit/s" for s in systems] + [f"{s}, key ms" for s in systems]
    for c in cells:
        yield [c.path.name, c.congestion, f"{c.direction} {c.streams}"] + \
            [rate(figures(samples, c.key, s, "mbit")) for s in systems] + \
            [delay(figures(samples, c.key, s, "p50_ms"),
                   figures(samples, c.key, s, "p99_ms")) for s in systems]


def verdict(cell, of):
    """What is wanted of a cell, what it is, and whether that is reached; None
    where nothing is wanted. of(system, key) is a median, or None."""
    if cell.path.mbit <= SLOW_MBIT:
        most, got = cell.path.rtt_ms + SLOW_KEY_MS, of("rigway 9", "p99_ms")
        if got is not None:
            return f"key <= {most} ms", f"{got:.0f} ms", got <= most
    elif cell.path.rtt_ms >= LONG_RTT_MS:
        ours, plain = of("rigway 9", "mbit"), of("plain", "mbit")
        if ours is not None and plain:
            got = ours / plain
            return (f"bulk >= {LONG_RATIO:.2f}x", f"{got:.2f}x",
                    got >= LONG_RATIO)
    return None


def judged(samples, cells):
    yield ["path", "TCP", "bulk", "wanted", "measured", ""]
    for c in cells:
        def of(system, key):
            got = figures(samples, c.key, system, key)
            return statistics.median(got) if got else None
        said = verdict(c, of)
        if said:
            yield [c.path.name, c.congestion, f"{c.direction} {c.streams}",
                   said[0], said[1], "reached" if said[2] else "**missed**"]
