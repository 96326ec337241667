"""A release as it is read: its counts arranged, and what a request's own axes stand for.

An axis that a request defines itself has a name that begins with ``@``: ordered levels, each with the condition that
puts a visit there; the last takes the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import attrs

from nskd.control.render import TOTAL, Crosstab
from nskd.report.context import unreadable
from nskd.statistics.figure import Count, StatisticsError
from nskd.statistics.rounding import Rounding

FORMAT: Final = 1
TABLE: Final = "table"
_EVERYBODY: Final = "TRUE"  # the filter of a request without one


@attrs.frozen
class AxisLevel:
    """A level of a request's own axis; ``where`` is its condition, None for the level that holds the rest."""

    key: str
    where: str | None


@attrs.frozen
class Group:
    """The counts along a request's own axis for one group; ``keys`` are its levels of the variables broken down by.

    ``keys`` are empty where there are none, and all ``total`` in the margin.
    """

    keys: tuple[str, ...]
    counts: Mapping[str, Count]

    @property
    def everybody(self) -> bool:
        """Whether it is all that the request selects."""
        return all(key == TOTAL for key in self.keys)

    def count(self, key: str) -> Count:
        """The count at a level or ``total``; None where it is suppressed or was not asked."""
        return self.counts.get(key)


@attrs.frozen
class Released:
    """A release whose form has been checked; ``where`` is empty when all visits count.

    ``reading`` holds the kind's own keys, ``more`` the whole release for what only one kind has.
    """

    kind: str
    title: str
    tab: Crosstab
    where: str
    rounding: Rounding
    axes: Mapping[str, tuple[AxisLevel, ...]]
    reading: Mapping[str, Any]
    more: Mapping[str, Any] = attrs.field(repr=False)

    @classmethod
    def of(cls, release: Mapping[str, Any]) -> Released:
        """Check the form of a release; raises :class:`~nskd.report.context.ReportError`."""
        cells = release.get("cells")
        if release.get("format") != FORMAT or not isinstance(cells, list):
            raise unreadable("the release is in no form known here")
        if not all(isinstance(each, dict) for each in cells):
            raise unreadable("the release has cells in no form known here")
        for side in ("rows", "columns"):
            names = release.get(side) or []
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise unreadable(f"the release has {side} in no form known here")
        kind, base, reading = release.get("kind", TABLE), release.get("rounding", 1), release.get("reading") or {}
        if not isinstance(kind, str) or not isinstance(reading, dict):
            raise unreadable("the release does not say how it is to be read")
        where = str(release.get("where") or "")
        return cls(
            kind=kind,
            title=str(release.get("title", "")),
            tab=Crosstab.of(release),
            where="" if where == _EVERYBODY else where,
            rounding=_rounding(base),
            axes=_axes(release.get("axes") or {}),
            reading=reading,
            more=release,
        )

    @property
    def children(self) -> bool:
        """Whether cells count distinct children, so that one child can be in several cells and once in a total."""
        return self.tab.measure == "children"

    def hidden(self, without: Collection[tuple[str, ...]] = ()) -> tuple[int, int]:
        """How many cells are suppressed, and of how many, but for the rows ``without``."""
        values = [value for (down, _), value in self.tab.values.items() if down not in without]
        return sum(value is None for value in values), len(values)

    def value(self, row: tuple[str, ...], column: tuple[str, ...]) -> Count:
        """A cell; None where it is suppressed or is not there."""
        value = self.tab.values.get((row, column))
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
            if value is not None:
                self._multiple(value)
            return value
        raise unreadable(f"the release has {value!r} for a count")

    def axis(self, name: str, *, levels: tuple[str, ...] = ()) -> tuple[AxisLevel, ...]:
        """A request's own axis, which has the ``levels`` given, if any are."""
        found = self.axes.get(name)
        if found is None or (levels and tuple(each.key for each in found) != levels):
            raise unreadable(f"the release has no axis {name} as a {self.kind} has it")
        return found

    def by(self, axis: str) -> tuple[str, ...]:
        """The variables that the axis is broken down by; none where it stands alone."""
        tab = self.tab
        if tab.columns == (axis,) and axis not in tab.rows:
            return tab.rows
        if tab.rows == (axis,) and not tab.columns:
            return ()
        raise unreadable(f"the release has no counts along {axis} alone")

    def groups(self, axis: str) -> tuple[Group, ...]:
        """The counts along ``axis``, a group each; every level of the axis is there, suppressed or not."""
        tab, levels = self.tab, [each.key for each in self.axis(axis)]
        if self.by(axis):
            found = [Group(down, {across[0]: self.value(down, across) for across in tab.across}) for down in tab.down]
            there = {across[0] for across in tab.across}
        else:
            found = [Group((), {down[0]: self.value(down, ()) for down in tab.down})]
            there = {down[0] for down in tab.down}
        if not there.issuperset(levels):
            raise unreadable(f"the release lacks counts along {axis}")
        return tuple(found)

    def _multiple(self, value: int) -> None:
        try:
            self.rounding.counts(value)
        except StatisticsError:
            raise unreadable(f"the release has {value} where all are multiples of {self.rounding.base}") from None


def everybody(groups: tuple[Group, ...]) -> Group | None:
    """The group that holds all, if totals were asked."""
    return next((group for group in groups if group.everybody), None)


def _rounding(base: object) -> Rounding:
    if isinstance(base, int) and not isinstance(base, bool):
        try:
            return Rounding(base)
        except StatisticsError:
            pass
    raise unreadable(f"the release is rounded to multiples of {base!r}")


def _axes(axes: object) -> dict[str, tuple[AxisLevel, ...]]:
    if not isinstance(axes, dict):
        raise unreadable("the release has axes in no form known here")
    return {str(name): _levels(str(name), levels) for name, levels in axes.items()}


def _levels(name: str, levels: object) -> tuple[AxisLevel, ...]:
    if isinstance(levels, list) and levels and all(isinstance(each, dict) for each in levels):
        found = tuple(AxisLevel(str(each.get("key", "")), each.get("where")) for each in levels)
        fits = all(each.key and (each.where is None or isinstance(each.where, str)) for each in found)
        if fits and len({each.key for each in found}) == len(found):
            return found
    raise unreadable(f"the release has an axis {name} in no form known here")
