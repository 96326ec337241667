"""A funnel: the share of all together, and how far from it chance alone would bring a hospital of a given size.

A hospital's own counts are never released as such.  Whoever reads sees the limits, its own point where it is given – it
has not left the hospital – and the points of others only where the charter has these shuffled and opened.
"""

from __future__ import annotations

from typing import Final

import attrs

from nskd.packs.codebook import Text
from nskd.report.context import ReportError, unreadable
from nskd.report.document import Block, Document, Section
from nskd.report.figures import FigureRow, Figures
from nskd.report.kinds import table
from nskd.report.kinds.shares import SHARE, asked, counted_how, groups, overall, share_of
from nskd.report.labels import capital, number_of
from nskd.report.parts import RESULT, View, assemble, closed, counts_section, exact_intervals
from nskd.report.plots.funnel import OWN, FunnelPlot
from nskd.report.words import count, decimal, percent, percent_figure, percent_interval
from nskd.statistics.binomial import Proportion
from nskd.statistics.figure import Figure, Reason, missing
from nskd.statistics.funnel import Funnel, Group, Point, Position, funnel

Own = tuple[int, int]
"""Events and size at the centre that reads."""

_SMALLER: Final = 8  # sizes shown without points: from an eighth of the average hospital …
_LARGER: Final = 3  # … to three times it


def document(view: View, own: Own | None = None) -> Document:
    """The page of a funnel; ``own`` is shown beside what was released and is nowhere kept."""
    whole, found = _read(view, own)
    blocks: list[Block] = []
    if found is not None:
        plot = _plot(view, whole, found, own)
        blocks += [plot, *_said_of_points(view, found, own)]
    else:
        blocks.append(
            Text(
                "Er is geen figuur: zonder gezamenlijk aandeel tussen 0 en 100 % zijn er geen grenzen.",
                "There is no figure: without a joint share between 0 and 100 % there are no limits.",
            )
        )
    return assemble(
        view,
        summary=[*overall(view, whole), *_own_summary(view, found, own), closed(view)],
        sections=[asked(view), Section(RESULT, tuple(blocks)), counts_section(view, table.counts(view))],
        method=[*counted_how(view), *exact_intervals(view.released), *_method(view)],
        not_shown=_others(view),
    )


def figures(view: View, own: Own | None = None) -> Figures:
    """The joint share, overdispersion if it is known, and the points that were released; never one's own."""
    whole, found = _read(view, None)
    rows = [FigureRow.share((), "share", whole)]
    phi = _phi(view)
    if phi.value is not None:
        rows.append(FigureRow.of((), "overdispersion", phi))
    for point in () if found is None else found.points:
        for limits in point.limits:
            name = f"limits-{limits.level:g}"
            rows.append(
                FigureRow((), name, point.rate.value, limits.exact, None, point.group.events, point.group.size, "point")
            )
    return Figures((), tuple(rows))


def _read(view: View, own: Own | None) -> tuple[Proportion, Funnel | None]:
    """The joint share, and the points around it, one's own last; no funnel where there are no limits."""
    counts = groups(view)
    if len(counts) != 1:
        raise unreadable("the release has a funnel over more than one group")
    whole = share_of(counts[0], view.released)
    target, phi = whole.share.value, _phi(view)
    others = [Group(str(number), events, size) for number, (events, size) in enumerate(_points(view), 1)]
    if target is None or not 0.0 < target < 1.0:
        return whole, None
    found = funnel(others, target=target, phi=phi, rounding=view.released.rounding)
    if own is None:
        return whole, found
    _check_own(own)
    alone = funnel([Group("", *own)], target=target, phi=phi)
    return whole, attrs.evolve(found, points=(*found.points, *alone.points))


def _check_own(own: Own) -> None:
    events, size = own
    if not 0 <= events <= size:
        raise ReportError(
            f"{events} of {size} cannot be a hospital's own counts",
            where="report",
            remedy="Compute them anew from this hospital's own data.",
        )


def _points(view: View) -> list[tuple[int, int]]:
    points = view.released.more.get("points") or []
    if not isinstance(points, list):
        raise unreadable("the release has points in no form known here")
    found = []
    for each in points:
        numbers = [n for n in each if isinstance(n, int) and not isinstance(n, bool)] if isinstance(each, list) else []
        if len(numbers) != 2 or len(each) != 2 or not 0 <= numbers[0] <= numbers[1]:
            raise unreadable(f"the release has {each!r} for a point")
        found.append((numbers[0], numbers[1]))
    return found


def _phi(view: View) -> Figure:
    phi = view.released.more.get("phi")
    if phi is None:
        return missing(Reason.TOO_FEW)
    if isinstance(phi, bool) or not isinstance(phi, int | float) or not 0.0 <= phi < float("inf"):
        raise unreadable(f"the release has {phi!r} for overdispersion")
    return Figure(float(phi))


def _plot(view: View, whole: Proportion, found: Funnel, own: Own | None) -> FunnelPlot:
    number = number_of(view.released.tab.measure)
    size = capital(Text(f"{number.nl} per ziekenhuis", f"{number.en} of a hospital"))
    average = max((whole.trials or 0) // max(len(view.context.centres), 1), 1)
    sizes = None
    if own is not None and len(found.points) == 1:
        sizes = max(min(average, own[1]) // 2, 1), max(average, own[1], 2)
    elif not found.points:
        sizes = max(average // _SMALLER, 1), max(average * _LARGER, 2)
    title = Text("Hoe ver een ziekenhuis door toeval kan afwijken", "How far chance can bring a hospital")
    return FunnelPlot(title, size, SHARE, found, None if own is None else len(found.points) - 1, sizes)


def _said_of_points(view: View, found: Funnel, own: Own | None) -> list[Text]:
    said = []
    if own is not None:
        said += [_own_place(found.points[-1]), _at_home(view)]
    others = len(found.points) - (own is not None)
    if others:
        said.append(
            Text(
                f"De {others} punten zonder naam zijn die van de ziekenhuizen zelf, door elkaar geschud; ook "
                "dat van dit ziekenhuis kan erbij zijn. Aan zijn grootte kan een ziekenhuis te herkennen zijn.",
                f"The {others} points without a name are those of the hospitals themselves, shuffled; that of "
                "this hospital can be among them. By its size a hospital may be recognised.",
            )
        )
    if found.phi.value is not None:
        nl, en = decimal(found.phi.value, "nl", 2), decimal(found.phi.value, "en", 2)
        more = Text("de verschillen zijn groter dan door toeval alleen", "differences exceed what chance alone makes")
        what = more if found.phi.value > 1.0 else Text("niet meer dan toeval", "no more than chance")
        said.append(Text(f"Overdispersie φ = {nl}: {what.nl}.", f"Overdispersion φ = {en}: {what.en}."))
    return said


def _own_place(point: Point) -> Text:
    group = point.group
    numbers = Text(f"{count(group.events)} van {count(group.size)}", f"{count(group.events)} of {count(group.size)}")
    rate = Text(percent_figure(point.rate, "nl"), percent_figure(point.rate, "en"))
    if not point.limits:
        return Text(f"{OWN.nl}: geen aandeel ({numbers.nl}).", f"{OWN.en}: no share ({numbers.en}).")
    place = _place(point)
    inner = point.limits[0].exact
    nl, en = percent_interval(inner, "nl"), percent_interval(inner, "en")
    return capital(
        Text(
            f"{OWN.nl}: {rate.nl}, {numbers.nl}. Dat ligt {place.nl}; de 95 %-grenzen bij deze grootte zijn {nl}.",
            f"{OWN.en}: {rate.en}, {numbers.en}. That lies {place.en}; the 95 % limits at this size are {en}.",
        )
    )


def _place(point: Point) -> Text:
    """Where a point lies, by the widest limits that it is beyond."""
    for limits, position in sorted(zip(point.limits, point.exact, strict=True), key=lambda each: -each[0].level):
        if position is Position.INSIDE:
            continue
        level = 100.0 * limits.level
        nl, en = decimal(level, "nl", 1 if level % 1 > 1e-9 else 0), decimal(level, "en", 1 if level % 1 > 1e-9 else 0)
        if position is Position.ABOVE:
            return Text(f"boven de {nl} %-grens", f"above the {en} % limit")
        return Text(f"onder de {nl} %-grens", f"below the {en} % limit")
    return Text("binnen de grenzen: zoals door toeval te verwachten is", "inside the limits: as chance would have it")


def _at_home(view: View) -> Text:
    if _points(view):
        return Text(
            "Het eigen punt met de precieze aantallen is in dit ziekenhuis zelf berekend en heeft het niet verlaten. "
            "Afgerond kan het tussen de punten zonder naam staan, die alle ziekenhuizen zien.",
            "One's own point with the exact counts was computed in this hospital and has not left it. Rounded, it can "
            "be among the points without a name, which all hospitals see.",
        )
    return Text(
        "Het eigen punt is in dit ziekenhuis zelf berekend en heeft het niet verlaten; geen ander ziekenhuis ziet het.",
        "One's own point was computed in this hospital and has not left it; no other hospital sees it.",
    )


def _own_summary(view: View, found: Funnel | None, own: Own | None) -> list[Text]:
    if found is None or own is None or not found.points[-1].limits:
        return []
    point = found.points[-1]
    value, place = point.rate.value or 0.0, _place(point)
    if _points(view):
        return [
            Text(
                f"Dit ziekenhuis: {percent(value, 'nl')}, {place.nl}.",
                f"This hospital: {percent(value, 'en')}, {place.en}.",
            )
        ]
    return [
        Text(
            f"Dit ziekenhuis: {percent(value, 'nl')}, {place.nl}. Dat getal heeft het ziekenhuis niet verlaten.",
            f"This hospital: {percent(value, 'en')}, {place.en}. That number has not left the hospital.",
        )
    ]


def _others(view: View) -> list[Text]:
    """Which hospitals are not there, and why; and what is not known of how much they differ."""
    released, shown = view.released.more, len(_points(view))
    said = []
    if "phi" in released and released["phi"] is None:
        said.append(
            Text(
                "Hoeveel ziekenhuizen van elkaar verschillen, is niet getoond: bij minstens één waren de aantallen te "
                "klein, of het gezamenlijke aandeel is niet getoond.",
                "By how much hospitals differ is not shown: at one of them at least the counts were too small, or the "
                "joint share is not shown.",
            )
        )
    if "points" in released:
        absent = len(view.context.centres) - shown
        if absent > 0:
            said.append(
                Text(
                    f"Ziekenhuizen zonder punt: {absent}. Daar waren de aantallen te klein, of het punt beschermt er "
                    "een waar dat zo was.",
                    f"Hospitals without a point: {absent}. Their counts were too small, or the point protects one "
                    "whose counts were.",
                )
            )
        return said
    return [
        *said,
        Text(
            "Punten van andere ziekenhuizen staan er niet: volgens het handvest ziet elk ziekenhuis alleen zijn eigen "
            "punt.",
            "Points of other hospitals are not there: by the charter each hospital sees its own point only.",
        ),
    ]


def _method(view: View) -> list[Text]:
    said = [
        Text(
            "Grenzen: exact binomiaal, geïnterpoleerd (Spiegelhalter 2005), bij 95 % en 99,8 %, rond het gezamenlijke "
            "aandeel. Van twintig ziekenhuizen zonder enig verschil valt er gemiddeld één buiten de 95 %-grenzen.",
            "Limits: exact binomial, interpolated (Spiegelhalter 2005), at 95 % and 99.8 %, around the joint share. Of "
            "twenty hospitals without any difference one falls outside the 95 % limits on average.",
        ),
        Text(
            "De grenzen houden geen rekening met verschillen tussen de kinderen die een ziekenhuis ziet. Een punt "
            "buiten de grenzen is een vraag, geen oordeel.",
            "The limits do not allow for differences between the children that a hospital sees. A point outside the "
            "limits is a question, no verdict.",
        ),
    ]
    if view.released.more.get("phi") is not None:
        said.append(
            Text(
                "Overdispersie φ: het gemiddelde van z² over de ziekenhuizen, elk afgekapt bij 102,3 en op tienden "
                "afgerond; de som is op geheime delen op halven afgerond. Spiegelhalter winsoriseert; dat is hier niet "
                "gedaan, dus één ver ziekenhuis telt zwaarder.",
                "Overdispersion φ: the mean of z² over the hospitals, each clipped at 102.3 and rounded to tenths; "
                "the sum is rounded to halves on secret shares. Spiegelhalter winsorises; that was not done here, so "
                "one hospital far off counts more.",
            )
        )
    if not view.released.rounding.exact:
        said.append(
            Text(
                "Het gezamenlijke aandeel is dat van de afgeronde aantallen. Een afgerond punt heet pas buiten de "
                "grenzen als het dat is bij alle precieze aantallen die erachter kunnen zitten.",
                "The joint share is that of the rounded counts. A rounded point is said to be outside the limits only "
                "if it is for all exact counts that can lie behind it.",
            )
        )
    return said
