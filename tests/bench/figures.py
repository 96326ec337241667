"""What a benchmark found: one row a figure, as a table for people and as ``bench.json`` for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One measured value."""

    name: str
    parties: int
    value: float
    unit: str
    note: str = ""


def write(figures: Sequence[Figure], path: Path) -> None:
    """A list of objects with exactly the fields of :class:`Figure`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(figures)), indent=2) + b"\n")


def table(figures: Sequence[Figure]) -> str:
    """Names down, parties across."""
    counts = sorted({figure.parties for figure in figures})
    names = list(dict.fromkeys((figure.name, figure.unit) for figure in figures))
    cells = {(figure.name, figure.parties): figure for figure in figures}
    lines = ["".join([f"{'figure':26}{'unit':>12}", *(f"{f'n = {count}':>14}" for count in counts)])]
    for name, unit in names:
        row = [cells.get((name, count)) for count in counts]
        values = ["–" if figure is None else number(figure.value) for figure in row]
        lines.append("".join([f"{name:26}{unit:>12}", *(f"{value:>14}" for value in values)]))
    return "\n".join(lines)


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
