"""Control chart: proportions over time with their limits, signals, and the lines of an interrupted series."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import attrs

from nskd.governance.explain.page import Language, say
from nskd.governance.explain.words import listed, same
from nskd.packs.codebook import Text
from nskd.report import svg
from nskd.report.document import REMARK, Cell, Table
from nskd.report.markup import Markup, join
from nskd.report.plots.frame import Frame, frame, upright_axis
from nskd.report.words import decimal, percent, percent_interval
from nskd.statistics.figure import REASONS
from nskd.statistics.interrupted import Interrupted
from nskd.statistics.spc import Chart, Point, Rule

_HEIGHT: Final = 340
_ROOM: Final = 1.08

RULES: Final = MappingProxyType(
    {
        Rule.BEYOND: Text("buiten de grenzen", "outside the limits"),
        Rule.RUN: Text("negen op rij aan één kant", "nine in a row on one side"),
        Rule.TREND: Text("zes op rij in één richting", "six in a row in one direction"),
        Rule.TWO_OF_THREE: Text("twee van drie dicht bij een grens", "two of three near a limit"),
    }
)
"""Each rule in a few words."""


@attrs.frozen
class ControlPlot:
    """``change`` is the index of the first period after a change, ``series`` the model fitted to it."""

    title: Text
    rate: Text
    chart: Chart
    change: int | None = None
    series: Interrupted | None = None

    def describe(self) -> Text:
        """The centre, and where signals are."""
        centre = self.chart.centre.value
        if centre is None:
            return Text("Er is geen gemiddelde te berekenen.", "No average can be computed.")
        nl = f"{len(self.chart.points)} perioden. Gemiddeld {percent(centre, 'nl')}."
        en = f"{len(self.chart.points)} periods. Average {percent(centre, 'en')}."
        for rule, meaning in RULES.items():
            names = [same(point.period.name) for point in self.chart.points if rule in point.signals]
            if names:
                nl += f" Signaal ({meaning.nl}): {listed(names).nl}."
                en += f" Signal ({meaning.en}): {listed(names).en}."
        if not self.chart.signals:
            nl, en = nl + " Geen signalen.", en + " No signals."
        hidden = sum(point.value.value is None for point in self.chart.points)
        if hidden:
            nl, en = nl + f" Zonder waarde: {hidden}.", en + f" Without a value: {hidden}."
        return Text(nl, en)

    def draw(self, width: int, language: Language) -> tuple[int, Markup]:
        """The chart; a period without a value has a dot on the axis and no point."""
        chart = self.chart
        if chart.centre.value is None:
            return 40, svg.words(0, 24, say(self.describe(), language))
        low, high = self._range(chart.centre.value)
        probe = svg.Scale(low, high, _HEIGHT, 0.0).ticks(6)
        digits = svg.digits(probe, 100.0)

        def share(tick: float) -> str:
            return f"{decimal(100.0 * tick, language, digits)}\u00a0%"

        box = frame(width, _HEIGHT, [share(tick) for tick in probe])
        y = svg.Scale(low, high, box.bottom, box.top)
        step = (box.right - box.left) / len(chart.points)
        xs = [box.left + step * (index + 0.5) for index in range(len(chart.points))]
        parts = upright_axis(box, y, y.ticks(6), share, say(self.rate, language))
        parts.append(svg.line(box.left, box.bottom, box.right, box.bottom, "axis"))
        parts += self._periods(xs, box)
        parts += self._limits(xs, step, y)
        parts.append(svg.line(box.left, y(chart.centre.value), box.right, y(chart.centre.value), "ref"))
        parts += self._model(xs, y, box, step)
        values = [point.value.value for point in chart.points]
        parts.append(svg.path([None if v is None else (x, y(v)) for x, v in zip(xs, values, strict=True)], "series"))
        for x, point in zip(xs, chart.points, strict=True):
            if point.value.value is None:
                parts.append(svg.hidden(x, box.bottom - 5, anchor="middle"))
            else:
                shape: svg.Shape = "diamond" if point.signals else "dot"
                parts.append(svg.mark(shape, x, y(point.value.value), 4, "c2" if point.signals else "c1"))
        taken, legend = svg.legend(self._legend(language), 0, _HEIGHT - 14, width)
        return round(_HEIGHT - 14 + taken), join([*parts, legend])

    def data(self) -> Table:
        """Each period with its numbers, limits and signals."""
        heads = (
            Text("periode", "period"),
            Text("aantal", "number"),
            Text("van", "of"),
            self.rate,
            Text("grenzen", "limits"),
            REMARK,
        )
        rows: list[tuple[Cell, ...]] = []
        for point in self.chart.points:
            value, within = point.value.value, point.limits
            shown = None if value is None else Text(percent(value, "nl", 2), percent(value, "en", 2))
            limits = None
            if within is not None:
                limits = Text(percent_interval(within, "nl", 2), percent_interval(within, "en", 2))
            rows.append(
                (
                    same(point.period.name),
                    point.period.events,
                    point.period.size,
                    shown,
                    limits,
                    _remark(point),
                )
            )
        return Table(self.title, heads, tuple(rows))

    def _range(self, centre: float) -> tuple[float, float]:
        shown = [centre]
        for point in self.chart.points:
            shown += [end for end in (point.value.value,) if end is not None]
            shown += [point.limits.low, point.limits.high] if point.limits is not None else []
        if self.series is not None:
            shown += [each for each in (*self.series.expected, *self.series.continued) if each is not None]
        low, high = min(shown), max(shown)
        margin = max(high - low, 1e-6) * (_ROOM - 1.0)
        # A scale from 0 is easier to trust; where the values are far from it, the detail matters more.
        return (0.0 if low < 0.5 * high else max(low - margin, 0.0)), min(high + margin, 1.0 + 1e-9)

    def _periods(self, xs: list[float], box: Frame) -> list[Markup]:
        """As many names of periods as fit, the first among them."""
        names = [point.period.name for point in self.chart.points]
        long = max(svg.wide(name, small=True) for name in names) + 12
        every = max(-(-len(names) * long // (box.right - box.left)), 1)
        parts = []
        for index, (x, name) in enumerate(zip(xs, names, strict=True)):
            if index % int(every) == 0:
                parts.append(svg.line(x, box.bottom, x, box.bottom + 4, "axis"))
                # The outermost stay inside the picture.
                half = svg.wide(name, small=True) / 2
                left = min(max(x, half), box.right + 10 - half)
                parts.append(svg.words(left, box.bottom + 18, name, anchor="middle", css="small"))
        return parts

    def _limits(self, xs: list[float], step: float, y: svg.Scale) -> list[Markup]:
        """Steps, because each period has its own size."""
        parts = []
        for end in ("low", "high"):
            points: list[tuple[float, float] | None] = []
            for x, point in zip(xs, self.chart.points, strict=True):
                if point.limits is None:
                    points.append(None)
                else:
                    at = y(getattr(point.limits, end))
                    points += [(x - step / 2, at), (x + step / 2, at)]
            parts.append(svg.path(points, "limit-outer"))
        return parts

    def _model(self, xs: list[float], y: svg.Scale, box: Frame, step: float) -> list[Markup]:
        if self.change is None:
            return []
        edge = box.left + step * self.change
        parts = [svg.line(edge, box.top, edge, box.bottom, "change")]
        if self.series is not None:
            fitted = [None if e is None else (x, y(e)) for x, e in zip(xs, self.series.expected, strict=True)]
            before, after = fitted[: self.change], fitted[self.change :]
            parts.append(svg.path([each for each in before if each], "model"))
            parts.append(svg.path([each for each in after if each], "model"))
            continued = [(x, y(e)) for x, e in zip(xs[self.change :], self.series.continued, strict=False)]
            parts.append(svg.path(continued, "model dashed"))
        return parts

    def _legend(self, language: Language) -> list[svg.LegendEntry]:
        entries = [
            svg.LegendEntry(None, "ref", say(Text("gemiddelde", "average"), language)),
            svg.LegendEntry(None, "limit-outer", say(Text("grenzen", "limits"), language)),
            svg.LegendEntry("diamond", "c2", say(Text("signaal", "signal"), language)),
        ]
        if self.change is not None:
            entries.append(svg.LegendEntry(None, "change", say(Text("verandering", "change"), language)))
        if self.series is not None:
            entries.append(svg.LegendEntry(None, "model", say(Text("model", "model"), language)))
            gone_on = Text("zonder verandering", "without the change")
            entries.append(svg.LegendEntry(None, "model dashed", say(gone_on, language)))
        return entries


def _remark(point: Point) -> Text:
    """Its signals, or why it has no value."""
    if point.value.reason is not None:
        return REASONS[point.value.reason]
    return listed([RULES[rule] for rule in point.signals]) if point.signals else Text("", "")
