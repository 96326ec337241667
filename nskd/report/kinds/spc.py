"""A control chart: a share by month or quarter, which periods stand out, and what a change did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from nskd.governance.explain.page import LANGUAGES
from nskd.governance.explain.words import listed, same
from nskd.governance.question import OF
from nskd.packs.codebook import MISSING, Text
from nskd.report.context import unreadable
from nskd.report.document import Block, Document, Section
from nskd.report.figures import FigureRow, Figures
from nskd.report.kinds import table
from nskd.report.kinds.shares import (
    SHARE,
    asked,
    beside,
    counted_how,
    groups,
    left_off,
    overall,
    share_of,
    size_of,
    trimmed,
)
from nskd.report.kinds.spc_words import CHARTS, change_summary, interrupted_section, method, signals, spans
from nskd.report.parts import RESULT, View, assemble, closed, counts_section
from nskd.report.plots.spc import ControlPlot
from nskd.report.released import Group, everybody
from nskd.report.words import percent
from nskd.statistics.interrupted import Interrupted, interrupted_series
from nskd.statistics.spc import Chart, Period, ewma_chart, p_chart


@attrs.frozen
class _Series:
    """The periods on the chart and what is read from them; ``change`` is the index of the first one after it."""

    parts: tuple[Group, ...]
    shown: tuple[Group, ...]
    whole: Group | None
    kind: str
    chart: Chart | None
    change: int | None
    series: Interrupted | None

    @property
    def off(self) -> frozenset[tuple[str, ...]]:
        """The periods that are not on the chart: a codebook has more than there are visits of."""
        return beside(self.parts, self.shown) if self.shown else frozenset()


def document(view: View) -> Document:
    """The page of a control chart."""
    found = _series(view)
    sections = [asked(view, more=_asked_more(view, found)), Section(RESULT, tuple(_blocks(view, found)))]
    change = view.released.reading.get("change")
    if change is not None:
        sections.append(interrupted_section(str(change), found.change, found.series))
    sections.append(counts_section(view, table.counts(view, without=beside(found.parts, found.shown))))
    return assemble(
        view,
        summary=_summary(view, found),
        sections=sections,
        without=found.off,
        method=[*counted_how(view), *method(found.kind, view.released.rounding, change is not None)],
    )


def figures(view: View) -> Figures:
    """The share of each period, the limits of the chart and the changes of an interrupted series."""
    found = _series(view)
    rows = [FigureRow.share(group.keys, "share", share_of(group, view.released)) for group in groups(view)]
    if found.chart is not None:
        rows.append(FigureRow.of((), "centre", found.chart.centre))
        for group, point in zip(found.shown, found.chart.points, strict=True):
            note = " ".join(rule.value for rule in point.signals)
            value = point.value.value
            rows.append(FigureRow(group.keys, f"chart-{found.kind}", value, point.limits, note=note))
    if found.series is not None:
        for name, each in (("level-change", found.series.level_change), ("slope-change", found.series.slope_change)):
            rows.append(FigureRow.of((), f"odds-ratio-{name}", each.ratio, level=found.series.model.level))
    return Figures(view.released.by(OF), tuple(rows))


def _series(view: View) -> _Series:
    found, by, reading = groups(view), view.released.by(OF), view.released.reading
    if len(by) != 1:
        raise unreadable("the release has a control chart over more or less than one variable")
    kind = reading.get("chart", "p")
    if not isinstance(kind, str) or kind not in CHARTS:
        raise unreadable(f"the release asks for a chart {kind!r}")
    parts = tuple(group for group in found if not group.everybody and group.keys[0] != MISSING)
    shown, names = trimmed(parts), [group.keys[0] for group in parts]
    baseline, change = (_index(reading.get(key), names, key) for key in ("baseline", "change"))
    first = names.index(shown[0].keys[0]) if shown else 0
    chart, series, at = None, None, None
    if shown:
        periods = [Period(g.keys[0], g.count("yes"), size_of(g, view.released)) for g in shown]
        until = None if baseline is None else min(max(baseline + 1 - first, 1), len(periods))
        chart = _chart(kind, periods, until)
        if change is not None and 0 < change - first < len(periods):
            at = change - first
            series = interrupted_series(periods, at, quasi=True)
    return _Series(parts, shown, everybody(found), kind, chart, at, series)


def _index(name: object, names: Sequence[str], key: str) -> int | None:
    if name is None:
        return None
    if name not in names:
        raise unreadable(f"the release has {name!r} for a {key}, which is no period of it")
    return names.index(str(name))


def _chart(kind: str, periods: Sequence[Period], baseline: int | None) -> Chart:
    if kind == "ewma":
        return ewma_chart(periods, baseline=baseline)
    return p_chart(periods, baseline=baseline, laney=kind == "laney")


_AVERAGE: Final = Text("voortschrijdend gemiddelde van het aandeel", "moving average of the share")


def _blocks(view: View, found: _Series) -> list[Block]:
    if found.chart is None or found.chart.centre.value is None:
        nothing = Text(
            "Er is geen grafiek: van geen enkele periode zijn genoeg aantallen getoond.",
            "There is no chart: of no period enough counts are shown.",
        )
        return [nothing]
    rate = _AVERAGE if found.kind == "ewma" else SHARE
    title = Text("Verloop in de tijd", "Course over time")
    plot = ControlPlot(title, rate, found.chart, found.change, found.series)
    off = left_off(found.parts, found.shown)
    return [plot, *signals(found.chart), *((off,) if off.nl else ())]


def _asked_more(view: View, found: _Series) -> list[Text]:
    said = [CHARTS[found.kind]]
    baseline, change = (view.released.reading.get(key) for key in ("baseline", "change"))
    if baseline is not None:
        said.append(
            Text(
                f"Gemiddelde en grenzen komen uit de perioden tot en met {baseline}.",
                f"Average and limits come from the periods up to and including {baseline}.",
            )
        )
    if change is not None:
        said.append(
            Text(
                f"Een verandering is opgegeven; {change} is de eerste periode erna.",
                f"A change was given; {change} is the first period after it.",
            )
        )
    return said


def _beside_the_whole(view: View, found: _Series, centre: str) -> Text:
    """Why the centre line is not the share of all that stands above it; nothing if it is."""
    whole = None if found.whole is None else share_of(found.whole, view.released).share.value
    if whole is None or percent(whole, "nl") == centre:
        return same("")
    why = []
    if not view.released.rounding.exact:
        why.append(Text("getallen zijn elk apart afgerond", "numbers are rounded one by one"))
    if view.released.children:
        why.append(Text("een kind telt in elke periode waarin het kwam", "a child counts in each period it came in"))
    if any(size_of(group, view.released) is None for group in groups(view)):
        why.append(Text("perioden die niet getoond zijn, tellen niet mee", "periods that are not shown do not count"))
    if any(group.keys[0] == MISSING for group in groups(view)):
        why.append(Text("bezoeken zonder periode tellen niet mee", "visits without a period do not count"))
    if not why:
        return same("")
    because = listed(why)
    return Text(
        f"Dat verschilt van het aandeel van allen samen: {because.nl}.",
        f"It differs from the share of all together: {because.en}.",
    )


def _summary(view: View, found: _Series) -> list[Text]:
    said = [] if found.whole is None else overall(view, share_of(found.whole, view.released))
    chart = found.chart
    if chart is None or chart.centre.value is None:
        return [*said, Text("Er is geen verloop te tonen.", "There is no course to show."), closed(view, found.off)]
    first, last = found.shown[0].keys[0], found.shown[-1].keys[0]
    until = view.released.reading.get("baseline")
    over = Text("de getoonde perioden samen", "the periods shown together")
    if until is not None:
        over = Text(f"de perioden tot en met {until} samen", f"the periods up to and including {until} together")
    nl, en = (percent(chart.centre.value, each) for each in LANGUAGES)
    said.append(
        Text(
            f"Getoond is {first} tot en met {last}. De middellijn is het aandeel over {over.nl}: {nl}.",
            f"Shown is {first} to {last}. The centre line is the share over {over.en}: {en}.",
        )
    )
    if until is None:
        said.append(_beside_the_whole(view, found, nl))
    stand_out = spans(chart, lambda point: bool(point.signals))
    if stand_out is not None:
        said.append(
            Text(
                f"Opvallend, meer dan door toeval te verwachten: {stand_out.nl}.",
                f"Standing out, more than chance would make: {stand_out.en}.",
            )
        )
    elif chart.spread.value is not None:
        said.append(
            Text(
                "Geen periode valt op: de schommelingen passen bij toeval.",
                "No period stands out: the ups and downs are such as chance makes.",
            )
        )
    if found.series is not None and found.change is not None:
        said += change_summary(found.shown[found.change].keys[0], found.series)
    return [*said, closed(view, found.off)]
