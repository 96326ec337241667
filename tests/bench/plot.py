"""``bench.svg``: what grows with what, on logarithmic scales; a small panel each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import attrs

from tests.bench.figures import Findings, number

_WIDTH, _HEIGHT = 360, 250  # of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 30, 40  # of what is around its axes
_COLUMNS: Final = 2
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")  # apart for colour-blind eyes too
Series = Mapping[int, float]


@attrs.frozen
class Panel:
    """Lines over one pair of axes."""

    title: str
    across: str
    lines: Mapping[str, Series]


def panels(findings: Findings) -> list[Panel]:
    """Every panel that has a line of two points or more."""
    counts = sorted({figure.parties for figure in findings.figures if figure.parties})
    rates = {
        "triples": "triples_per_s",
        "bits": "bits_per_s",
        "products online": "mults_per_s",
        "comparisons online": "comparisons_online_per_s",
    }
    by_size = (
        ("Triples a second", "triples a batch", "triples_per_s"),
        ("Products a second, online", "products at once", "mults_per_s"),
        ("Comparisons a second, online", "comparisons at once", "comparisons_online_per_s"),
        ("Seconds of a table, from stock", "cells", "table_stock_s"),
    )
    drawn = [Panel("Items a second", "centres", {label: findings.by_parties(name) for label, name in rates.items()})]
    for title, across, name in by_size:
        drawn.append(Panel(title, across, {f"n = {count}": findings.series(name, count) for count in counts}))
    cleaned = (attrs.evolve(panel, lines={k: v for k, v in panel.lines.items() if len(v) > 1}) for panel in drawn)
    return [panel for panel in cleaned if panel.lines]


def write(findings: Findings, path: Path) -> None:
    """Draw what was found; nothing, if nothing has two points."""
    drawn = panels(findings)
    if drawn:
        path.write_text(_svg(drawn), encoding="utf-8")


def _svg(drawn: Sequence[Panel]) -> str:
    rows = -(-len(drawn) // _COLUMNS)
    size = f'width="{_COLUMNS * _WIDTH}" height="{rows * _HEIGHT}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">']
    parts.append('<rect width="100%" height="100%" fill="white"/>')
    for k, panel in enumerate(drawn):
        parts.append(f'<g transform="translate({k % _COLUMNS * _WIDTH} {k // _COLUMNS * _HEIGHT})">')
        parts += [*_drawn(panel), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _drawn(panel: Panel) -> list[str]:
    xs = sorted({x for line in panel.lines.values() for x in line})
    ys = [y for line in panel.lines.values() for y in line.values()]
    ticks = [10.0**k for k in range(math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys))) + 1)]
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def across(x: float) -> float:
        return _LEFT + (right - _LEFT) * _part(x, xs[0], xs[-1])

    def up(y: float) -> float:
        return bottom - (bottom - _TOP) * _part(y, ticks[0], ticks[-1])

    parts = [f'<text x="{_LEFT}" y="16" font-size="13">{escape(panel.title)}</text>']
    parts.append(f'<text x="{right}" y="{_HEIGHT - 8}" text-anchor="end">{escape(panel.across)}</text>')
    for tick in ticks:
        y = up(tick)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    for x in xs:
        parts.append(f'<text x="{across(x):.1f}" y="{bottom + 15}" text-anchor="middle">{number(x)}</text>')
    for k, (label, line) in enumerate(panel.lines.items()):
        colour = _COLOURS[k % len(_COLOURS)]
        points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in sorted(line.items()))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{_LEFT + 6}" y="{_TOP + 12 + 13 * k}" fill="{colour}">{escape(label)}</text>')
    return parts


def _part(value: float, least: float, most: float) -> float:
    """Where a value lies between two, on a logarithmic scale."""
    return 0.5 if least == most else math.log(value / least) / math.log(most / least)
