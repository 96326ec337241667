"""Funnel plot: a mark per group against its limits; shape, not colour alone, says where it lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from nskd.governance.explain.page import Language, say
from nskd.governance.explain.words import listed, same
from nskd.packs.codebook import Text
from nskd.report import svg
from nskd.report.document import Cell, Table
from nskd.report.markup import Markup, join
from nskd.report.plots.frame import Frame, frame, level_axis, most_ticks, upright_axis
from nskd.report.words import count, decimal, percent, percent_figure, percent_interval
from nskd.statistics.funnel import Funnel, Limits, Point, Position

_HEIGHT: Final = 380
_CURVE: Final = 80  # sizes at which the limits are drawn
_ABOVE: Final = 1.08
_SIZES: Final = 6  # at which limits are listed where there is no group
OWN: Final = Text("eigen ziekenhuis", "own hospital")
_LINES: Final = ("limit-outer", "limit-inner")  # from the widest level to the narrowest


@attrs.frozen
class FunnelPlot:
    """``size`` and ``rate`` name the axes: what a group is measured in, and what the share is of.

    ``own`` is the index of the point of whoever reads, if it is there; the others have no names.  ``sizes``, from–to,
    are shown whether or not there is a point.
    """

    title: Text
    size: Text
    rate: Text
    funnel: Funnel
    own: int | None = None
    sizes: tuple[int, int] | None = None

    def describe(self) -> Text:
        """The target, and who is outside which limits."""
        found = self.funnel
        if found.target.value is None:
            return Text("Er is geen gezamenlijk percentage te berekenen.", "No joint rate can be computed.")
        if not found.points:
            nl, en = percent(found.target.value, "nl"), percent(found.target.value, "en")
            return Text(f"Alleen grenzen, geen punten. Samen: {nl}.", f"Limits alone, no points. Together: {en}.")
        nl = f"{len(found.points)} groepen. Samen: {percent(found.target.value, 'nl')}."
        en = f"{len(found.points)} groups. Together: {percent(found.target.value, 'en')}."
        for level in found.levels:
            names = [self._name(point) for point in found.outside(level)]
            who = listed(names) if names else Text("geen", "none")
            nl += f" Buiten de {_level(level, 'nl')}-grenzen: {who.nl}."
            en += f" Outside the {_level(level, 'en')} limits: {who.en}."
        if found.phi.value is not None and found.phi.value > 1.0:
            nl += f" De verschillen zijn groter dan door toeval (overdispersie {decimal(found.phi.value, 'nl', 2)})."
            en += f" Differences exceed what chance makes (overdispersion {decimal(found.phi.value, 'en', 2)})."
        return Text(nl, en)

    def draw(self, width: int, language: Language) -> tuple[int, Markup]:
        """The plot; groups without a rate are not in it, but in its table."""
        found = self.funnel
        seen = [point for point in found.points if point.limits]
        sizes = [*(point.group.size or 1 for point in seen), *(self.sizes or ())]
        if not sizes or not found.limits_at(1):
            return 40, svg.words(0, 24, svg.shortened(say(self.describe(), language), width))
        target = found.target.value or 0.0
        largest, smallest = max(sizes) * _ABOVE, max(min(sizes), 1)
        high = self._highest(seen, max(smallest // 2, 1))
        probe = svg.Scale(0.0, high, _HEIGHT, 0.0).ticks(6)
        digits = svg.digits(probe, 100.0)

        def share(tick: float) -> str:
            return f"{decimal(100.0 * tick, language, digits)}\u00a0%"

        entries = self._legend(language)
        # The legend stands below, and its height depends on the width only.
        box = frame(width, _HEIGHT, [share(tick) for tick in probe])
        x = svg.Scale(0.0, largest, box.left, box.right)
        y = svg.Scale(0.0, high, box.bottom, box.top)
        many_x, many_y = most_ticks(box)
        parts = upright_axis(box, y, y.ticks(many_y), share, say(self.rate, language))
        parts += level_axis(box, x, x.ticks(many_x), lambda tick: count(round(tick)), say(self.size, language))
        parts += self._curves(x, y, max(smallest // 4, 1), largest)
        parts.append(svg.line(box.left, y(target), box.right, y(target), "ref"))
        own = None if self.own is None else found.points[self.own]
        parts += _marks(seen, own, x, y)
        named = [(point, say(self._name(point), language)) for point in seen if point is own or _outside(point)]
        parts += _names(seen, named, x, y, box)
        taken, legend = svg.legend(entries, 0, _HEIGHT + 6, width)
        return round(_HEIGHT + 6 + taken), join([*parts, legend])

    def data(self) -> Table:
        """Each group with its numbers, limits and position; the limits at some sizes where there is no group."""
        levels = self.funnel.levels
        if not self.funnel.points:
            return self._limits()
        heads = [Text("groep", "group"), Text("aantal", "number"), Text("van", "of")]
        heads += [Text("percentage (95 %-interval)", "rate (95 % interval)")]
        heads += [Text(f"{_level(level, 'nl')}-grenzen", f"{_level(level, 'en')} limits") for level in levels]
        heads += [Text("ligging", "position")]
        rows = tuple(self._row(point) for point in self.funnel.points)
        return Table(self.title, tuple(heads), rows)

    def _limits(self) -> Table:
        low, high = self.sizes or (1, 1)
        steps = sorted({max(round(low * (high / low) ** (index / _SIZES)), 1) for index in range(_SIZES + 1)})
        found = [(size, self.funnel.limits_at(size)) for size in steps]
        rows: list[tuple[Cell, ...]] = []
        for size, limits in found:
            if limits:
                shown = (Text(percent_interval(e.exact, "nl"), percent_interval(e.exact, "en")) for e in limits)
                rows.append((same(count(size)), *shown))
        heads = [Text(f"{_level(e, 'nl')}-grenzen", f"{_level(e, 'en')} limits") for e in self.funnel.levels]
        return Table(self.title, (self.size, *heads), tuple(rows))

    def _name(self, point: Point) -> Text:
        if self.own is not None and point is self.funnel.points[self.own]:
            return OWN
        return same(point.group.name)

    def _row(self, point: Point) -> tuple[Cell, ...]:
        rate = point.rate
        shown = None if rate.value is None else Text(percent_figure(rate, "nl"), percent_figure(rate, "en"))
        limits: list[Cell] = [
            Text(percent_interval(each.exact, "nl"), percent_interval(each.exact, "en")) for each in point.limits
        ]
        limits = limits or [None] * len(self.funnel.levels)
        return (self._name(point), point.group.events, point.group.size, shown, *limits, self._position(point))

    def _position(self, point: Point) -> Cell:
        if not point.limits:
            return None
        for level, position in sorted(zip(self.funnel.levels, point.exact, strict=True), reverse=True):
            if position is Position.ABOVE:
                return Text(f"boven de {_level(level, 'nl')}-grens", f"above the {_level(level, 'en')} limit")
            if position is Position.BELOW:
                return Text(f"onder de {_level(level, 'nl')}-grens", f"below the {_level(level, 'en')} limit")
        return Text("binnen de grenzen", "inside the limits")

    def _highest(self, seen: Sequence[Point], size: int) -> float:
        ends = [limits.exact.high for limits in self.funnel.limits_at(size)]
        rates = [point.rate.value for point in seen if point.rate.value is not None]
        return min(max([*rates, *ends, 1e-6]) * _ABOVE, 1.0)

    def _curves(self, x: svg.Scale, y: svg.Scale, first: float, last: float) -> list[Markup]:
        sizes = sorted({max(round(first * (last / first) ** (i / _CURVE)), 1) for i in range(_CURVE + 1)})
        at = [(size, self.funnel.limits_at(size)) for size in sizes]
        order = sorted(range(len(self.funnel.levels)), key=lambda index: -self.funnel.levels[index])
        parts = []
        for place, index in enumerate(order):
            css = _LINES[min(place, len(_LINES) - 1)]
            for pick in (_exact_low, _exact_high, _widened_low, _widened_high):
                ends = [(size, pick(limits[index])) for size, limits in at]
                points = [None if end is None or end > y.high else (x(size), y(end)) for size, end in ends]
                parts.append(svg.path(points, css if pick in (_exact_low, _exact_high) else f"{css} widened"))
        return [part for part in parts if part]

    def _legend(self, language: Language) -> list[svg.LegendEntry]:
        levels = sorted(self.funnel.levels, reverse=True)
        entries = [svg.LegendEntry(None, "ref", say(Text("samen", "together"), language))]
        for level, css in zip(levels, _LINES, strict=False):
            words = Text(f"{_level(level, 'nl')}-grens", f"{_level(level, 'en')} limit")
            entries.append(svg.LegendEntry(None, css, say(words, language)))
        if self.funnel.phi.value is not None and self.funnel.phi.value > 1.0:
            words = Text("grens met overdispersie", "limit with overdispersion")
            entries.append(svg.LegendEntry(None, "limit-outer widened", say(words, language)))
        others = [point for index, point in enumerate(self.funnel.points) if index != self.own]
        if others:
            entries.append(svg.LegendEntry("dot", "c1", say(Text("binnen", "inside"), language)))
            entries.append(svg.LegendEntry("up", "c2", say(Text("erbuiten", "outside"), language)))
        if self.own is not None:
            entries.append(svg.LegendEntry("diamond", "c3", say(OWN, language)))
        return entries


def _level(level: float, language: Language) -> str:
    per_cent = 100.0 * level
    return f"{decimal(per_cent, language, 0 if abs(per_cent - round(per_cent)) < 1e-9 else 1)}\u00a0%"


def _exact_low(limits: Limits) -> float | None:
    return limits.exact.low


def _exact_high(limits: Limits) -> float | None:
    return limits.exact.high


def _widened_low(limits: Limits) -> float | None:
    return None if limits.widened is None else limits.widened.low


def _widened_high(limits: Limits) -> float | None:
    return None if limits.widened is None else limits.widened.high


def _outside(point: Point) -> Position | None:
    return next((position for position in point.exact if position is not Position.INSIDE), None)


def _marks(seen: Sequence[Point], own: Point | None, x: svg.Scale, y: svg.Scale) -> list[Markup]:
    parts = []
    for point in seen:
        if point is own:
            continue
        where = _outside(point)
        shape: svg.Shape = "dot" if where is None else "up" if where is Position.ABOVE else "down"
        css = "c1" if where is None else "c2"
        parts.append(svg.mark(shape, x(point.group.size or 1), y(point.rate.value or 0.0), 5, css))
    if own is not None and own.limits:  # last, so that nothing covers it
        parts.append(svg.mark("diamond", x(own.group.size or 1), y(own.rate.value or 0.0), 6, "c3"))
    return parts


def _names(
    seen: Sequence[Point], named: Sequence[tuple[Point, str]], x: svg.Scale, y: svg.Scale, box: Frame
) -> list[Markup]:
    """Names, each where it hides no other name; left out where there is no such place."""
    parts: list[Markup] = []
    taken: list[tuple[float, float, float, float]] = []
    for point in seen:
        taken.append(_around(x(point.group.size or 1) - 5, y(point.rate.value or 0.0) + 5, 10, 10))
    for point, words in named:
        px, py = x(point.group.size or 1), y(point.rate.value or 0.0)
        name = svg.shortened(words, 0.4 * (box.right - box.left), small=True)
        long = svg.wide(name, small=True)
        for left, base in (
            (px + 9, py + 4),
            (px - 9 - long, py + 4),
            (px - long / 2, py - 9),
            (px - long / 2, py + 20),
        ):
            here = _around(left, base, long, 13)
            inside = left >= box.left and left + long <= box.right and box.top <= base - 10 and base <= box.bottom
            if inside and not any(_meet(here, other) for other in taken):
                taken.append(here)
                parts.append(svg.words(left, base, name, css="small"))
                break
    return parts


def _around(left: float, base: float, width: float, height: float) -> tuple[float, float, float, float]:
    return left, base - height, left + width, base


def _meet(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
