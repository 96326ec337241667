"""A whole-number variable from its histogram: where most are, and between which bounds mean and quantiles lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from nskd.governance.explain.words import same
from nskd.governance.question import BIN
from nskd.governance.request_text import REST
from nskd.packs.codebook import Text
from nskd.report.context import unreadable
from nskd.report.document import REMARK, Block, Cell, Document, Section, Table
from nskd.report.figures import FigureRow, Figures
from nskd.report.kinds import table
from nskd.report.labels import capital, inside, number_of
from nskd.report.parts import ASKED, RESULT, View, assemble, closed, counts_section, why
from nskd.report.plots.histogram import Histogram, name
from nskd.report.released import Group, Released, everybody
from nskd.report.words import count, decimal
from nskd.statistics.binned import Bin, BinnedSummary, Bounds, summarise_bins
from nskd.statistics.figure import REASONS, Reason

_NAMES: Final = {
    0.25: Text("een kwart is hoogstens (eerste kwartiel)", "a quarter is at most (first quartile)"),
    0.5: Text("de helft is hoogstens (mediaan)", "half is at most (median)"),
    0.75: Text("driekwart is hoogstens (derde kwartiel)", "three quarters are at most (third quartile)"),
}


@attrs.frozen
class _Bins:
    """The variable, and for each bin its key and its ends."""

    variable: str
    keys: tuple[str, ...]
    ends: tuple[tuple[int, int | None], ...]

    def of(self, group: Group) -> tuple[Bin, ...]:
        return tuple(Bin(low, high, group.count(key)) for key, (low, high) in zip(self.keys, self.ends, strict=True))


def words(released: Released) -> dict[str, dict[str, Text]]:
    """What the levels of the axis are called."""
    bins = _bins(released)
    found = {key: name(Bin(low, high, None)) for key, (low, high) in zip(bins.keys, bins.ends, strict=True)}
    return {BIN: found | {REST: Text("onbekend of lager", "missing or lower")}}


def document(view: View) -> Document:
    """The page of a summary."""
    bins, found = _bins(view.released), view.released.groups(BIN)
    by, whole = view.released.by(BIN), everybody(view.released.groups(BIN))
    number, unit = number_of(view.released.tab.measure), view.labels.variable(bins.variable)
    blocks: list[Block] = []
    if whole is not None:
        title = capital(Text(f"{number.nl} naar {inside(unit).nl}", f"{number.en} by {inside(unit).en}"))
        blocks.append(Histogram(title, unit, number, bins.of(whole)))
        if not Histogram(title, unit, number, bins.of(whole)).even:
            blocks.append(
                Text(
                    "De klassen zijn niet even breed: de oppervlakte van een kolom is het aantal, niet de hoogte.",
                    "The bins are not equally wide: the area of a column is the count, not its height.",
                )
            )
        blocks.append(_measures(unit, _summarised(whole, bins, view.released)))
        blocks += _apart(whole, bins)
    if by:
        blocks.append(_by_group(view, found, bins, by))
    return assemble(
        view,
        summary=[*_summary(view, whole, bins, unit), closed(view)],
        sections=[
            _asked(view, bins, unit, by),
            Section(RESULT, tuple(blocks)),
            counts_section(view, _counts(view, found, by) if by else table.counts(view)),
        ],
        method=_method(view.released),
    )


def figures(view: View) -> Figures:
    """Bounds of mean, standard deviation and quartiles of each group."""
    bins, rows = _bins(view.released), []
    for group in view.released.groups(BIN):
        found = _summarised(group, bins, view.released)
        rows.append(FigureRow.bounds(group.keys, "mean", found.mean, found.size))
        rows.append(FigureRow.bounds(group.keys, "standard-deviation", found.deviation, found.size))
        rows += [FigureRow.bounds(group.keys, f"quantile-{q:g}", each, found.size) for q, each in found.quantiles]
    return Figures(view.released.by(BIN), tuple(rows))


def _bins(released: Released) -> _Bins:
    reading = released.reading
    variable, edges, last = reading.get("variable"), reading.get("edges"), reading.get("last")
    if not isinstance(edges, list) or not edges or not isinstance(variable, str):
        raise unreadable("the release does not say what its bins are of")
    numbers = [*edges, *(() if last is None else (last,))]
    if not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
        raise unreadable("the release has bins that are no whole numbers")
    keys = tuple(level.key for level in released.axis(BIN) if level.key != REST)
    ends = tuple(zip(edges, [*(edge - 1 for edge in edges[1:]), last], strict=True))
    if len(keys) != len(ends) or any(high is not None and low > high for low, high in ends):
        raise unreadable("the bins of the release and its counts do not agree")
    return _Bins(variable, keys, ends)


def _summarised(group: Group, bins: _Bins, released: Released) -> BinnedSummary:
    return summarise_bins(bins.of(group), rounding=released.rounding)


def _asked(view: View, bins: _Bins, unit: Text, by: tuple[str, ...]) -> Section:
    whom = view.selected()
    first, last = bins.ends[0][0], bins.ends[-1][1]
    to = same("") if last is None else Text(f" tot en met {last}", f" to {last}")
    said = [
        Text(f"Het gaat om {whom.nl}.", f"This is about {whom.en}."),
        Text(
            f"Verdeling van: {inside(unit).nl}, vanaf {first}{to.nl} in {len(bins.ends)} klassen.",
            f"Distribution of: {inside(unit).en}, from {first}{to.en} in {len(bins.ends)} bins.",
        ),
    ]
    if by:
        names = view.labels.variables(by)
        said.append(Text(f"Uitgesplitst naar {names.nl}.", f"Broken down by {names.en}."))
    return Section(ASKED, tuple(said))


def _rows(found: BinnedSummary) -> list[tuple[Text, Bounds]]:
    return [
        (Text("gemiddelde", "mean"), found.mean),
        *((_NAMES.get(q, same(f"{q:g}")), each) for q, each in found.quantiles),
        (Text("standaardafwijking", "standard deviation"), found.deviation),
    ]


def _measures(unit: Text, found: BinnedSummary) -> Table | Text:
    """All bounds in a table; a sentence where there are none."""
    if found.mean.reason is not None:
        because = why(found.mean.reason)
        return Text(f"Gemiddelde en kwartielen zijn {because.nl}.", f"Mean and quartiles are {because.en}.")
    rows: list[tuple[Cell, ...]] = []
    for label, bounds in _rows(found):
        remark = Text("", "") if bounds.reason is None else REASONS[bounds.reason]
        rows.append((label, remark, _end(bounds, math.floor), _end(bounds, math.ceil)))
    heads = (unit, REMARK, Text("ten minste", "at least"), Text("ten hoogste", "at most"))
    return Table(Text("Wat daaruit zeker volgt", "What follows from it for certain"), heads, tuple(rows), labels=2)


def _by_group(view: View, found: Sequence[Group], bins: _Bins, by: tuple[str, ...]) -> Table:
    names = view.labels.variables(by)
    heads = [view.labels.variable(each) for each in by]
    heads += [
        REMARK,
        Text("aantal", "number"),
        Text("gemiddelde", "mean"),
        Text("mediaan", "median"),
    ]
    rows: list[tuple[Cell, ...]] = []
    for group in found:
        summary = _summarised(group, bins, view.released)
        keys = [view.labels.level(each, key) for each, key in zip(by, group.keys, strict=True)]
        median = next(each for q, each in summary.quantiles if q == 0.5)
        reason = summary.mean.reason
        remark = Text("", "") if reason is None else REASONS[reason]
        rows.append((*keys, remark, summary.size, _range(summary.mean), _range(median)))
    caption = capital(Text(f"gemiddelde en mediaan naar {names.nl}", f"mean and median by {names.en}"))
    return Table(caption, tuple(heads), tuple(rows), labels=len(by) + 1)


def _counts(view: View, found: Sequence[Group], by: tuple[str, ...]) -> Table:
    """The counts with bins down and groups across: there are many bins, and a page is narrow."""
    levels = [level.key for level in view.released.axis(BIN)]
    keys = [*levels, *(("total",) if any("total" in group.counts for group in found) else ())]
    names, number = view.labels.variables(by), number_of(view.released.tab.measure)
    heads = [view.labels.variable(BIN), *(view.labels.crossing(by, group.keys) for group in found)]
    rows: list[tuple[Cell, ...]] = [
        (view.labels.level(BIN, key), *(group.count(key) for group in found)) for key in keys
    ]
    caption = capital(Text(f"{number.nl} naar {names.nl}", f"{number.en} by {names.en}"))
    return Table(caption, tuple(heads), tuple(rows))


def _apart(whole: Group, bins: _Bins) -> list[Text]:
    """Those without a value, or with one below the first bin: in no figure."""
    without, first = whole.count(REST), bins.ends[0][0]
    if without == 0:
        return []
    if without is None:
        return [
            Text(
                f"Hoeveel er geen waarde hebben, of een onder {first}, is niet getoond; zij tellen hier niet mee.",
                f"How many have no value, or one below {first}, is not shown; these do not count here.",
            )
        ]
    return [
        Text(
            f"Geen waarde, of een onder {first}: {count(without)}. Die tellen hier niet mee.",
            f"No value, or one below {first}: {count(without)}. These do not count here.",
        )
    ]


def _summary(view: View, whole: Group | None, bins: _Bins, unit: Text) -> list[Text]:
    if whole is None:
        return []
    found, label, who = _summarised(whole, bins, view.released), inside(unit), view.counted
    median = next(each for q, each in found.quantiles if q == 0.5)
    if found.mean.within is None or median.within is None:
        because = REASONS[found.mean.reason or Reason.SUPPRESSED]
        return [
            Text(
                f"Gemiddelde en mediaan van {label.nl} zijn niet te geven: {because.nl}.",
                f"Mean and median of {label.en} cannot be given: {because.en}.",
            )
        ]
    mean, middle = _spoken(found.mean), _spoken(median)
    return [
        Text(
            f"Van {count(found.size)} {who.nl} ligt het gemiddelde ({label.nl}) {mean.nl}.",
            f"Of {count(found.size)} {who.en} the mean ({label.en}) lies {mean.en}.",
        ),
        Text(
            f"De middelste waarde (mediaan) ligt {middle.nl}.",
            f"The middle value (median) lies {middle.en}.",
        ),
        Text(
            "Bekend is alleen in welke klasse elke waarde valt; preciezer dan deze grenzen is het niet te zeggen.",
            "All that is known is in which bin each value is; nothing more precise than these bounds can be said.",
        ),
    ]


def _method(released: Released) -> list[Text]:
    said = [
        Text(
            "Grenzen: elke waarde ligt ergens in haar klasse. Het gemiddelde is het laagst als alle waarden aan het "
            "begin van hun klasse liggen, het hoogst aan het eind; zo ook elk kwartiel. Van de standaardafwijking is "
            "de kleinste en de grootste genomen die bij de klassen kan passen. Het zijn geen "
            "betrouwbaarheidsintervallen.",
            "Bounds: each value lies somewhere in its bin. The mean is lowest if all values lie at the beginning of "
            "their bin and highest at the end, and so is each quartile. Of the standard deviation the least and the "
            "greatest are taken that can fit the bins. These are no confidence intervals.",
        )
    ]
    if not released.rounding.exact:
        said.append(
            Text(
                "De grenzen gelden ook voor alle precieze aantallen die achter de afgeronde kunnen zitten.",
                "The bounds also hold for all exact counts that can lie behind the rounded ones.",
            )
        )
    return said


def _spoken(bounds: Bounds) -> Text:
    """Between which values, in a sentence."""
    low, high = _end(bounds, math.floor), _end(bounds, math.ceil)
    if low is None or high is None:
        return same("")
    return Text(f"tussen {low.nl} en {high.nl}", f"between {low.en} and {high.en}")


def _end(bounds: Bounds, outwards: Callable[[float], int]) -> Text | None:
    """One end of the bounds, rounded outwards to a tenth: what is shown still holds."""
    if bounds.within is None:
        return None
    value = bounds.within.low if outwards is math.floor else bounds.within.high
    if math.isinf(value):
        return same("∞")
    # A float beside a tenth is that tenth.
    tenths = round(10.0 * value) if math.isclose(10.0 * value, round(10.0 * value)) else outwards(10.0 * value)
    digits = 1 if tenths % 10 else 0
    return Text(decimal(tenths / 10.0, "nl", digits), decimal(tenths / 10.0, "en", digits))


def _range(bounds: Bounds) -> Cell:
    low, high = _end(bounds, math.floor), _end(bounds, math.ceil)
    return None if low is None or high is None else Text(f"{low.nl}–{high.nl}", f"{low.en}–{high.en}")
