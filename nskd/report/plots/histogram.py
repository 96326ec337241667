"""A histogram: a column a bin, as wide as the bin, so that its area is its count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from nskd.governance.explain.page import Language, say
from nskd.governance.explain.words import same
from nskd.packs.codebook import Text
from nskd.report import svg
from nskd.report.document import REMARK, Cell, Table
from nskd.report.markup import Markup, join
from nskd.report.plots.frame import frame, level_axis, most_ticks, upright_axis
from nskd.report.words import count, decimal
from nskd.statistics.binned import Bin
from nskd.statistics.figure import REASONS, Reason

_HEIGHT: Final = 300
_ROOM: Final = 1.08
_EDGES_GAP: Final = 30  # pixels between the labels of two edges


@attrs.frozen
class Histogram:
    """``unit`` is what is on the level axis, ``counted`` what is in the columns."""

    title: Text
    unit: Text
    counted: Text
    bins: tuple[Bin, ...]

    @property
    def even(self) -> bool:
        """Whether all bins are as wide, so that heights are counts."""
        return len({high - low for low, high in self._ends()}) == 1

    def describe(self) -> Text:
        """Where most are, and how many bins are missing."""
        known = [(each.count, each) for each in self.bins if each.count is not None]
        nl, en = f"{len(self.bins)} klassen.", f"{len(self.bins)} bins."
        if known:
            most, where = max(known, key=lambda each: each[0])
            nl += f" De meeste ({count(most)}) van {name(where).nl}."
            en += f" Most ({count(most)}) from {name(where).en}."
        if len(known) < len(self.bins):
            nl += f" Niet getoond: {len(self.bins) - len(known)}."
            en += f" Not shown: {len(self.bins) - len(known)}."
        return Text(nl, en)

    def draw(self, width: int, language: Language) -> tuple[int, Markup]:
        """Columns on a common scale; where widths differ the height is the count for each unit of width."""
        edges = self._ends()
        widths = [high - low for low, high in edges]
        shown = [
            None if each.count is None else each.count / (1 if self.even else wide)
            for each, wide in zip(self.bins, widths, strict=True)
        ]
        top = max((each for each in shown if each is not None), default=0.0) or 1.0
        probe = svg.Scale(0.0, top * _ROOM, _HEIGHT, 0.0).ticks(5)
        digits = svg.digits(probe)

        def amount(tick: float) -> str:
            return decimal(tick, language, digits) if digits else count(round(tick))

        box = frame(width, _HEIGHT, [amount(tick) for tick in probe], right=20)
        x = svg.Scale(float(edges[0][0]), float(edges[-1][1]), box.left, box.right)
        y = svg.Scale(0.0, top * _ROOM, box.bottom, box.top)
        each_unit = Text(f"{self.counted.nl} per eenheid", f"{self.counted.en} for each unit")
        parts = upright_axis(
            box, y, y.ticks(most_ticks(box)[1]), amount, say(self.counted if self.even else each_unit, language)
        )
        for each, height, (low, high) in zip(self.bins, shown, edges, strict=True):
            left, right = x(float(low)), x(float(high))
            if height is None:
                parts.append(svg.hidden((left + right) / 2, box.bottom - 5, anchor="middle"))
            else:
                parts.append(svg.box(left + 0.75, y(height), right - left - 1.5, box.bottom - y(height), "c1"))
                parts += self._number(each.count, left, right, y(height))
        ticks = self._ticks(x, edges)
        parts += level_axis(box, x, ticks, lambda tick: count(round(tick)), say(self.unit, language))
        return _HEIGHT, join(parts)

    def data(self) -> Table:
        """The bins as a table."""
        rows: list[tuple[Cell, ...]] = []
        for each in self.bins:
            remark = Text("", "") if each.count is not None else REASONS[Reason.SUPPRESSED]
            rows.append((name(each), remark, each.count))
        return Table(self.title, (self.unit, REMARK, self.counted), tuple(rows), labels=2)

    def _ends(self) -> list[tuple[int, int]]:
        """Where each column begins and ends; one without an end is drawn as wide as the one before."""
        found: list[tuple[int, int]] = []
        for each in self.bins:
            wide = found[-1][1] - found[-1][0] if found else 1
            found.append((each.low, each.low + wide if each.high is None else each.high + 1))
        return found

    def _number(self, value: int | None, left: float, right: float, top: float) -> list[Markup]:
        """The count above its column, where it fits."""
        words = count(value)
        if svg.wide(words, small=True) > right - left - 2:
            return []
        return [svg.words((left + right) / 2, top - 4, words, anchor="middle", css="small")]

    def _ticks(self, x: svg.Scale, edges: Sequence[tuple[int, int]]) -> list[float]:
        """As many edges of bins as have room for their labels, the outermost among them."""
        last = float(edges[-1][1])
        kept: list[float] = []
        for low, _ in edges:
            at = float(low)
            far = not kept or x(at) - x(kept[-1]) >= _EDGES_GAP
            if far and (not kept or x(last) - x(at) >= _EDGES_GAP):
                kept.append(at)
        return kept if self.bins[-1].high is None else [*kept, last]


def name(each: Bin) -> Text:
    """From–to, both included."""
    if each.high is None:
        return same(f"≥ {each.low}")
    return same(str(each.low) if each.low == each.high else f"{each.low}–{each.high}")
