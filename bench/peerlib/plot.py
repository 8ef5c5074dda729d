# SPDX-License-Identifier: MIT
"""The table as an SVG: a panel for each column, a bar for each system's
median, and a line from its least run to its most."""
import statistics

from faultlib.plot import page
from peerlib.table import COLUMNS, cell

ACROSS, WIDTH, ROW, TOP = 3, 400, 18, 40
LEFT, RIGHT = 90, 330       # where the bars of a panel begin and end
OURS, OTHERS = "#c0392b", "#9db4c6"


def panel(x, y, samples, systems, col):
    rows = [(s.name, samples.figures(s.name, col)) for s in systems]
    rows = [(name, got) for name, got in rows if got]
    out = [f'<text x="{x + LEFT}" y="{y - 10}" class="t">{col.title}</text>']
    most = max(max(got) for _, got in rows) or 1
    scale = (RIGHT - LEFT) / most
    for i, (name, got) in enumerate(rows):
        top, begin = y + i * ROW, x + LEFT
        mid = statistics.median(got)
        out.append(
            f'<text x="{begin - 5}" y="{top + 11}" class="n">{name}</text>'
            f'<rect x="{begin}" y="{top}" width="{mid * scale:.1f}" '
            f'height="{ROW - 5}" fill="'
            f'{OURS if name == "rigway" else OTHERS}"/>'
            f'<path d="M{begin + min(got) * scale:.1f} {top + 6.5}'
            f'H{begin + max(got) * scale:.1f}" stroke="#333"/>'
            f'<text x="{begin + max(got) * scale + 5:.1f}" '
            f'y="{top + 11}">{cell(mid, col.form)}</text>')
    return out


def svg(samples, systems):
    high = TOP + ROW * len(systems)
    body = []
    cols = [c for c in COLUMNS
            if any(samples.figures(s.name, c) for s in systems)]
    for i, col in enumerate(cols):
        down, across = divmod(i, ACROSS)
        body += panel(across * WIDTH, TOP + down * high, samples, systems, col)
    return page(ACROSS * WIDTH, -(-len(cols) // ACROSS) * high + 10, body)
