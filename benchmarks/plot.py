"""The results as a plot: one bar a row, its length the ratio on a logarithmic scale, written as SVG by hand."""

from __future__ import annotations

from html import escape
from math import log

LEFT, WIDE, HIGH = 430, 420, 18
LOW, TOP = 0.01, 10.0
COLOURS = {"floor": "#3b6ea5", "peer": "#5f9e6e"}


def across(ratio: float) -> float:
    """Where a ratio lies on the scale."""
    return LEFT + WIDE * log(min(max(ratio, LOW), TOP) / LOW) / log(TOP / LOW)


def svg(rows: list[dict]) -> str:
    """Bars from 1 to the ratio, left of 1 faster; a line for the spread, a tick for the promise."""
    bars = [
        (row["name"], kind, row[f"{kind}_ratio"], row["promise" if kind == "floor" else "peer_promise"], row)
        for row in rows
        for kind in ("floor", "peer")
        if f"{kind}_ratio" in row
    ]
    height = 60 + HIGH * len(bars)
    size = f'width="{LEFT + WIDE + 90}" height="{height}" viewBox="0 0 {LEFT + WIDE + 90} {height}"'
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="14">ratio of times; left of 1 is faster; ',
        f'<tspan fill="{COLOURS["floor"]}">to the same calls in C</tspan>, ',
        f'<tspan fill="{COLOURS["peer"]}">to the best other way</tspan>; | promised</text>',
    ]
    for value in (0.01, 0.03, 0.1, 0.3, 1, 3, 10):
        x = across(value)
        stroke = "#444" if value == 1 else "#ddd"
        out.append(f'<line x1="{x:.1f}" y1="34" x2="{x:.1f}" y2="{height - 8}" stroke="{stroke}"/>')
        out.append(f'<text x="{x:.1f}" y="30" text-anchor="middle" fill="#666">{value:g}</text>')
    one = across(1)
    for number, (name, kind, (median, lowest, highest), promised, row) in enumerate(bars):
        y = 40 + HIGH * number
        end, middle = across(median), y + HIGH / 2 - 2
        label = name if kind == "floor" else f"{name}: {row['best']}"
        out.append(f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{escape(label)}</text>')
        out.append(
            f'<rect x="{min(one, end):.1f}" y="{y + 2}" width="{abs(end - one):.1f}" height="{HIGH - 8}" '
            f'fill="{COLOURS[kind]}" fill-opacity="0.75"/>'
        )
        out.append(
            f'<line x1="{across(lowest):.1f}" y1="{middle:.1f}" x2="{across(highest):.1f}" y2="{middle:.1f}" '
            'stroke="#222"/>'
        )
        if promised is not None:
            x = across(promised)
            out.append(f'<line x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + HIGH - 4}" stroke="#c33" stroke-width="2"/>')
        out.append(f'<text x="{max(end, across(highest), one) + 6:.1f}" y="{y + 11}">{median:.2f}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"
