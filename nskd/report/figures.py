"""The figures of a page as a tidy table for programs: a row a figure, under the keys of the codebook.

Counts as they were released are another table: this one holds what was computed from them.
"""

from __future__ import annotations

import csv
import io
from typing import Final

import attrs

from nskd.statistics.binned import Bounds
from nskd.statistics.binomial import Proportion
from nskd.statistics.figure import Count, Figure, Interval, Reason

_COLUMNS: Final = ("figure", "numerator", "denominator", "value", "low", "high", "level", "note")


@attrs.frozen
class FigureRow:
    """A figure of the group with these ``keys``; ``level`` that of its interval.  ``note`` has the reason of none."""

    keys: tuple[str, ...]
    name: str
    value: float | None
    within: Interval | None = None
    level: float | None = None
    numerator: Count = None
    denominator: Count = None
    note: str = ""

    @classmethod
    def of(cls, keys: tuple[str, ...], name: str, figure: Figure, *, level: float | None = None) -> FigureRow:
        """From a figure; without a value its note is the reason."""
        interval = figure.interval
        return cls(
            keys, name, figure.value, interval, level if interval is not None else None, note=_note(figure.reason)
        )

    @classmethod
    def share(cls, keys: tuple[str, ...], name: str, found: Proportion) -> FigureRow:
        """From a proportion, with its counts."""
        row = cls.of(keys, name, found.share, level=found.level)
        return attrs.evolve(row, numerator=found.successes, denominator=found.trials)

    @classmethod
    def bounds(cls, keys: tuple[str, ...], name: str, found: Bounds, size: Count) -> FigureRow:
        """From bounds: no value, no level, since they hold for certain."""
        return cls(keys, name, None, found.within, denominator=size, note=_note(found.reason) or "bounds")


@attrs.frozen
class Figures:
    """Rows, and the names of the variables that their keys are of."""

    by: tuple[str, ...]
    rows: tuple[FigureRow, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What each row of :meth:`lines` holds."""
        return (*self.by, *_COLUMNS)

    def lines(self) -> list[tuple[str | float | None, ...]]:
        """A line a figure, None where there is nothing."""
        found: list[tuple[str | float | None, ...]] = []
        for row in self.rows:
            keys = row.keys or ("total",) * len(self.by)
            low, high = (None, None) if row.within is None else (row.within.low, row.within.high)
            numbers = (row.numerator, row.denominator, row.value, low, high, row.level)
            found.append((*keys, row.name, *numbers, row.note))
        return found

    def to_csv(self) -> str:
        """A line a figure; empty where there is nothing, numbers with all their digits."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.columns)
        for line in self.lines():
            writer.writerow(["" if each is None else each if isinstance(each, str) else repr(each) for each in line])
        return out.getvalue()


def _note(reason: Reason | None) -> str:
    return "" if reason is None else reason.value
