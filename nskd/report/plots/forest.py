"""Figures with their intervals, one under another: shares, or ratios on a log scale."""

from __future__ import annotations

import enum
import math
from typing import Final

import attrs

from nskd.governance.explain.page import Language, say
from nskd.packs.codebook import Text
from nskd.report import svg
from nskd.report.document import REMARK, Cell, Table
from nskd.report.markup import Markup, join
from nskd.report.plots.frame import NARROW
from nskd.report.words import decimal, percent_figure, ratio_figure
from nskd.statistics.figure import REASONS, Figure, Interval, Reason

ROWS_MAX: Final = 60
_LINE: Final = 28
_LINE_NARROW: Final = 44
_STACKED: Final = 18  # for a label above its numbers
_AXIS: Final = 46


class Kind(enum.Enum):
    """What the figures are."""

    SHARE = "share"  # 0…1, shown in per cent
    RATIO = "ratio"  # of odds or rates, compared with 1


@attrs.frozen
class Row:
    """A label, the figure, and the counts it comes from in words (may be empty)."""

    label: Text
    figure: Figure
    counts: str = ""


@attrs.frozen
class ForestPlot:
    """``level`` is that of the intervals."""

    title: Text
    axis: Text
    kind: Kind
    rows: tuple[Row, ...]
    level: float = 0.95

    def describe(self) -> Text:
        """Lowest and highest, and how many cannot be computed."""
        known = [row for row in self.rows if row.figure.value is not None]
        missing = len(self.rows) - len(known)
        nl, en = f"{len(self.rows)} groepen.", f"{len(self.rows)} groups."
        if known:
            low, high = (pick(known, key=lambda row: row.figure.value or 0.0) for pick in (min, max))
            nl += f" Laagst: {low.label.nl}, {self._shown(low, 'nl')}."
            nl += f" Hoogst: {high.label.nl}, {self._shown(high, 'nl')}."
            en += f" Lowest: {low.label.en}, {self._shown(low, 'en')}."
            en += f" Highest: {high.label.en}, {self._shown(high, 'en')}."
        if missing:
            nl += f" Niet te berekenen: {missing}."
            en += f" Not computable: {missing}."
        return Text(nl, en)

    def draw(self, width: int, language: Language) -> tuple[int, Markup]:
        """Label, interval and numbers side by side; where it is narrow the words stand above the interval."""
        beside = width >= NARROW
        labels = [say(row.label, language) for row in self.rows]
        shown = [self._shown(row, language) for row in self.rows]
        left, right, step = 8.0, width - 8.0, _LINE_NARROW
        # A label that has no room beside its numbers stands above them.
        stacked = any(svg.wide(a) > width - svg.wide(b, small=True) - 8 for a, b in zip(labels, shown, strict=True))
        if not beside and stacked:
            step += _STACKED
        if beside:
            left = min(max(map(svg.wide, labels), default=0.0), 0.3 * width) + 14
            right = width - max((svg.wide(each, small=True) for each in shown), default=0.0) - 10
            step = _LINE
        scale = self._scale(left, right)
        top = 24.0
        bottom = top + step * len(self.rows)
        # Where words stand above the intervals, the lines leave room for them.
        above = 0.0 if beside else step - 24.0
        bands = [(top + step * index + above, top + step * (index + 1)) for index in range(len(self.rows))]
        parts = self._axis(scale, bands if above else [(top, bottom)], bottom, language)
        for index, (row, label, numbers) in enumerate(zip(self.rows, labels, shown, strict=True)):
            y = top + step * index + step / 2
            if beside:
                parts.append(svg.words(left - 12, y + 4, svg.shortened(label, left - 12), anchor="end"))
                parts.append(_numbers(row, numbers, width, y + 4))
            else:
                y = top + step * (index + 1) - _LINE_NARROW / 2
                rest = width if stacked else width - svg.wide(numbers, small=True) - 8
                parts.append(svg.words(0, y - 6 - (_STACKED if stacked else 0), svg.shortened(label, rest)))
                parts.append(_numbers(row, numbers, width, y - 6))
                y += 8
            parts += (
                _whisker(scale, row.figure, y)
                if row.figure.reason is None
                else [_why(row.figure.reason, left, y, language)]
            )
        return round(bottom + (_AXIS if self._known else 4)), join(parts)

    def data(self) -> Table:
        """The figures as a table."""
        value = Text("waarde (interval)", "value (interval)")
        rows: list[tuple[Cell, ...]] = []
        for row in self.rows:
            reason = row.figure.reason
            why = Text("", "") if reason is None else REASONS[reason]
            figure = None if reason else Text(self._shown(row, "nl"), self._shown(row, "en"))
            rows.append((row.label, Text(row.counts, row.counts), why, figure))
        heads = (Text("", ""), Text("aantallen", "counts"), REMARK, value)
        return Table(self.title, heads, tuple(rows), labels=3)

    @property
    def _known(self) -> bool:
        """Whether there is anything to draw."""
        return any(row.figure.value is not None for row in self.rows)

    def _shown(self, row: Row, language: Language) -> str:
        write = percent_figure if self.kind is Kind.SHARE else ratio_figure
        return write(row.figure, language)

    def _scale(self, left: float, right: float) -> svg.Scale:
        ends = [end for row in self.rows for end in _ends(row.figure) if math.isfinite(end)]
        if self.kind is Kind.SHARE:
            return svg.Scale(0.0, min(max([*ends, 0.01]) * 1.05, 1.0), left, right)
        ratios = [end for end in ends if end > 0.0]
        return svg.Scale(min([*ratios, 0.5]) / 1.1, max([*ratios, 2.0]) * 1.1, left, right, log=True)

    def _axis(
        self, scale: svg.Scale, bands: list[tuple[float, float]], bottom: float, language: Language
    ) -> list[Markup]:
        parts = [svg.words(0, svg.FONT, say(self.axis, language), css="small")]
        if not self._known:
            return parts  # there is nothing to measure
        ticks = scale.ticks(max(int((scale.end - scale.start) / 54), 2))
        digits = svg.digits(ticks, 100.0)
        for tick in ticks:
            x = scale(tick)
            if self.kind is Kind.SHARE:
                label = f"{decimal(100.0 * tick, language, digits)}\u00a0%"
            else:
                label = decimal(tick, language, svg.digits([tick]))
            parts += [svg.line(x, top, x, end, "grid") for top, end in bands]
            parts.append(svg.words(x, bottom + 18, label, anchor="middle", css="small"))
        if self.kind is Kind.RATIO:
            parts += [svg.line(scale(1.0), top, scale(1.0), end, "ref") for top, end in bands]
        words = f"{decimal(100.0 * self.level, language, 1 if self.level * 100 % 1 else 0)}\u00a0%"
        caption = Text(f"punt: schatting; streep: {words}-interval", f"dot: estimate; bar: {words} interval")
        parts.append(svg.words(0, bottom + 38, say(caption, language), css="small muted"))
        return parts


def _numbers(row: Row, numbers: str, x: float, y: float) -> Markup:
    if row.figure.value is None:
        return svg.hidden(x, y, anchor="end")
    return svg.words(x, y, numbers, anchor="end", css="small")


def _why(reason: Reason, x: float, y: float, language: Language) -> Markup:
    """The reason where the interval would be."""
    return svg.words(x + 4, y + 4, say(REASONS[reason], language), css="small muted")


def _ends(figure: Figure) -> tuple[float, ...]:
    if figure.value is None:
        return ()
    within = figure.interval or Interval(figure.value, figure.value)
    return (within.low, figure.value, within.high)


def _whisker(scale: svg.Scale, figure: Figure, y: float) -> list[Markup]:
    if figure.value is None:
        return []
    parts = []
    if figure.interval is not None:
        low, high = figure.interval.low, figure.interval.high
        parts.append(svg.line(scale(low), y, scale(high), y, "whisker"))
        # An arrow says that it goes on: a log scale has no 0, and none has an infinity.
        arrows: tuple[tuple[float, svg.Shape], ...] = ((low, "left"), (high, "right"))
        for end, arrow in arrows:
            x = scale(end)
            if scale.low <= end <= scale.high:
                parts.append(svg.line(x, y - 5, x, y + 5, "whisker"))
            else:
                parts.append(svg.mark(arrow, x, y, 4, "tip"))
    if math.isfinite(figure.value) and figure.value >= scale.low:
        parts.append(svg.mark("dot", scale(figure.value), y, 5, "c1"))
    return parts
