"""Counts as level bars, grouped: a row of a table is a group, its columns are the bars."""

from __future__ import annotations

from typing import Final

import attrs

from nskd.governance.explain.page import Language, say
from nskd.packs.codebook import Text
from nskd.report import svg
from nskd.report.document import Table
from nskd.report.markup import Markup, join
from nskd.report.plots.frame import NARROW
from nskd.report.words import count
from nskd.statistics.figure import Count

SERIES_MAX: Final = 6  # as many colours as can be told apart
BARS_MAX: Final = 72  # more is a wall, and the table says it better
_BAR: Final = 15
_GAP: Final = 2
_BETWEEN: Final = 14
_LABEL_LINE: Final = 18


@attrs.frozen
class BarChart:
    """``values`` by group and series; None is suppressed and has no bar."""

    title: Text
    axis: Text
    groups: tuple[Text, ...]
    series: tuple[Text, ...]
    values: tuple[tuple[Count, ...], ...]

    @property
    def readable(self) -> bool:
        """Whether it is small enough to be a picture."""
        return 0 < len(self.series) <= SERIES_MAX and 0 < len(self.groups) * len(self.series) <= BARS_MAX

    def describe(self) -> Text:
        """The largest bar, and how many are missing."""
        known = [
            (value, group, one)
            for group, row in zip(self.groups, self.values, strict=True)
            for one, value in zip(self.series, row, strict=True)
            if value is not None
        ]
        hidden = len(self.groups) * len(self.series) - len(known)
        nl, en = f"{len(self.groups)} groepen.", f"{len(self.groups)} groups."
        if known:
            most, group, one = max(known, key=lambda each: each[0])
            nl += f" Het hoogste aantal is {count(most)}: {_both(group.nl, one.nl)}."
            en += f" The largest number is {count(most)}: {_both(group.en, one.en)}."
        if hidden:
            nl += f" Niet getoond: {hidden}."
            en += f" Not shown: {hidden}."
        return Text(nl, en)

    def draw(self, width: int, language: Language) -> tuple[int, Markup]:
        """Labels stand left of the bars, or above them where it is narrow."""
        beside = width >= NARROW
        labels = [say(group, language) for group in self.groups]
        left = min(max(map(svg.wide, labels), default=0.0) + 10, 0.36 * width) if beside else 0.0
        largest = max((value for row in self.values for value in row if value is not None), default=0)
        room = svg.wide(count(largest), small=True) + 8
        scale = svg.Scale(0.0, float(max(largest, 1)), left, width - room)
        entries = [
            svg.LegendEntry("square", f"c{index + 1}", say(one, language)) for index, one in enumerate(self.series)
        ]
        taken, head = svg.legend(entries if len(entries) > 1 else (), 0, 22, width)
        y = 22 + taken + (8 if taken else 2)
        parts = [svg.words(0, svg.FONT, say(self.axis, language), css="small"), head]
        thick = len(self.series) * (_BAR + _GAP) - _GAP
        for label, row in zip(labels, self.values, strict=True):
            if beside:
                middle = y + thick / 2 + 4
                parts.append(svg.words(left - 8, middle, svg.shortened(label, left - 8), anchor="end"))
            else:
                parts.append(svg.words(0, y + 12, svg.shortened(label, width)))
                y += _LABEL_LINE
            parts.append(svg.line(left, y - 2, left, y + thick + 2, "axis"))
            for index, value in enumerate(row):
                long = scale(float(value or 0)) - left
                if value is None:
                    parts.append(svg.hidden(left + 5, y + 11))
                else:
                    parts.append(svg.box(left, y, long, _BAR, f"c{index + 1}"))
                    parts.append(svg.words(left + long + 5, y + 12, count(value), css="small"))
                y += _BAR + _GAP
            y += _BETWEEN - _GAP
        return round(y - _BETWEEN + 8), join(parts)

    def data(self) -> Table:
        """The bars as a table."""
        rows = tuple((group, *row) for group, row in zip(self.groups, self.values, strict=True))
        return Table(self.title, (Text("", ""), *self.series), rows)


def _both(group: str, one: str) -> str:
    return f"{group}, {one}" if group and one else group or one
