# SPDX-License-Identifier: MIT
"""Samples as an SVG: own memory above, descriptors below, faults as thin
lines. No library draws it."""

WIDTH, HEIGHT, LEFT, TOP, GAP = 900, 230, 60, 30, 60
COLOURS = {"relay": "#1b6ca8", "rig": "#c0392b", "laptop": "#2e8b57"}


def nice(most):
    """A round step for about five lines."""
    step = 1.0
    while most / step > 5:
        step *= 2 if str(step)[0] in "15" else 2.5
    return step


class Panel:
    def __init__(self, y, title, rows, index, end):
        self.y, self.title, self.rows, self.index = y, title, rows, index
        self.end = end
        self.most = max(r[role][index] for r in rows for role in COLOURS
                        if r[role]) * 1.05

    def point(self, t, v):
        return (LEFT + (WIDTH - LEFT - 10) * t / self.end,
                self.y + HEIGHT * (1 - v / self.most))

    def lines(self):
        out = [f'<text x="{LEFT}" y="{self.y - 8}" class="t">{self.title}'
               "</text>"]
        step, v = nice(self.most), 0.0
        while v <= self.most:
            x, y = self.point(0, v)
            out.append(f'<path d="M{x:.1f} {y:.1f}H{WIDTH - 10}" class="g"/>'
                       f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" class="n">'
                       f"{v:g}</text>")
            v += step
        for role, colour in COLOURS.items():
            d, pen = [], "M"
            for r in self.rows:
                if not r[role]:
                    pen = "M"
                    continue
                x, y = self.point(r["t"], r[role][self.index])
                d.append(f"{pen}{x:.1f} {y:.1f}")
                pen = "L"
            out.append(f'<path d="{"".join(d)}" fill="none" '
                       f'stroke="{colour}" stroke-width="1.5"/>')
        return out


def legend():
    out = []
    for i, (role, colour) in enumerate(COLOURS.items()):
        x = WIDTH - 260 + i * 85
        out.append(f'<path d="M{x} 12h18" stroke="{colour}" '
                   f'stroke-width="3"/><text x="{x + 23}" y="16">{role}'
                   "</text>")
    return out


def time_axis(y, end):
    out, step, t = [], nice(end), 0.0
    while t <= end:
        x = LEFT + (WIDTH - LEFT - 10) * t / end
        out.append(f'<text x="{x:.1f}" y="{y}" class="m">{t:g} s</text>')
        t += step
    return out


def page(width, height, body):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}">',
        "<style>text{font:12px sans-serif}.t{font-weight:bold}"
        ".n{text-anchor:end;fill:#555}.m{text-anchor:middle;fill:#555}"
        ".g{stroke:#ddd}.f{stroke:#f0b27a;stroke-width:.7}</style>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
        *body, "</svg>"]) + "\n"


def svg(rows, marks, roles):
    assert set(roles) == set(COLOURS)
    end = rows[-1]["t"]
    height = TOP + 2 * HEIGHT + GAP + 30
    panels = [Panel(TOP, "own memory, MiB", rows, 0, end),
              Panel(TOP + HEIGHT + GAP, "open descriptors", rows, 1, end)]
    out = []
    for t, text in marks:
        x = LEFT + (WIDTH - LEFT - 10) * t / end
        out.append(f'<path d="M{x:.1f} {TOP}V{height - 30}" class="f">'
                   f"<title>{text}</title></path>")
    for p in panels:
        out += p.lines()
    return page(WIDTH, height, out + legend() + time_axis(height - 10, end))
