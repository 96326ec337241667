"""What a benchmark found: figures, and the traffic behind them, from which a wide-area network is computed.

A figure's name is that of ``bench.json``; one that belongs to a size has it behind an ``@``: ``mults_per_s@1000``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs
import msgspec

from nskd.errors import OperatorError


class BenchError(OperatorError):
    """A measurement did not come about."""


class Figure(msgspec.Struct, frozen=True):
    """One measured value; ``parties`` is 0 for what spans several numbers of them."""

    name: str
    parties: int
    value: float
    unit: str
    note: str = ""


@attrs.frozen
class Traffic:
    """What making ``units`` of something took one party of ``parties``: time on loopback, rounds, bytes to all peers.

    ``name`` is that of its figure: items per second, or, where ``units`` is None, seconds in all.
    """

    name: str
    parties: int
    units: float | None
    seconds: float
    rounds: int
    bytes_sent: int


@attrs.define
class Findings:
    """Everything found so far."""

    figures: list[Figure] = attrs.field(factory=list)
    traffic: list[Traffic] = attrs.field(factory=list)

    def value(self, name: str, parties: int) -> float | None:
        """The value of a figure, if it was measured."""
        found = (figure.value for figure in self.figures if (figure.name, figure.parties) == (name, parties))
        return next(found, None)

    def series(self, name: str, parties: int) -> dict[int, float]:
        """The values of ``name@size`` by size."""
        sizes: dict[int, float] = {}
        for figure in self.figures:
            base, _, size = figure.name.partition("@")
            if base == name and size.isdecimal() and figure.parties == parties:
                sizes[int(size)] = figure.value
        return dict(sorted(sizes.items()))

    def by_parties(self, name: str) -> dict[int, float]:
        """The values of ``name`` by number of parties."""
        return dict(sorted((figure.parties, figure.value) for figure in self.figures if figure.name == name))


def write(figures: Sequence[Figure], path: Path) -> None:
    """A list of objects with exactly the fields of :class:`Figure`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(list(figures)), indent=2) + b"\n")


def number(value: float) -> str:
    """Three significant digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(figures: Sequence[Figure]) -> str:
    """Names down, parties across; what spans several numbers of parties stands under ``all``."""
    counts = sorted({figure.parties for figure in figures})
    names = list(dict.fromkeys((figure.name, figure.unit) for figure in figures))
    cells = {(figure.name, figure.parties): figure for figure in figures}
    heads = [f"n = {count}" if count else "all" for count in counts]
    lines = ["".join([f"{'figure':38}{'unit':>6}", *(f"{head:>14}" for head in heads)])]
    for name, unit in names:
        row = [cells.get((name, count)) for count in counts]
        values = ["–" if figure is None else number(figure.value) for figure in row]
        lines.append("".join([f"{name:38}{unit:>6}", *(f"{value:>14}" for value in values)]))
    return "\n".join(lines)
