"""A rate: which share meets a condition, of all and by group, each with its exact interval."""

from __future__ import annotations

from typing import Final

from nskd.governance.explain.words import same
from nskd.governance.question import OF
from nskd.packs.codebook import Text
from nskd.report.document import Block, Document, Section
from nskd.report.figures import FigureRow, Figures
from nskd.report.kinds import table
from nskd.report.kinds.shares import (
    SHARE,
    asked,
    beside,
    calendar,
    counted_how,
    groups,
    left_off,
    overall,
    row,
    share_of,
    trimmed,
)
from nskd.report.labels import capital
from nskd.report.parts import RESULT, View, assemble, closed, counts_section, exact_intervals
from nskd.report.plots.forest import ROWS_MAX, ForestPlot, Kind
from nskd.report.released import Group, everybody
from nskd.report.words import percent

ALL: Final = Text("allen samen", "all together")


def document(view: View) -> Document:
    """The page of a rate."""
    found, by = groups(view), view.released.by(OF)
    parts = tuple(group for group in found if not group.everybody)
    ordered = len(by) == 1 and calendar(by[0], view.context.codebook)
    shown = trimmed(parts) if ordered else parts
    whole = everybody(found)
    rows = [row(view.labels.crossing(by, group.keys), share_of(group, view.released)) for group in shown]
    if whole is not None:
        rows.append(row(ALL, share_of(whole, view.released)))
    names = view.labels.variables(by)
    title = Text(f"aandeel naar {names.nl}", f"share by {names.en}") if by else SHARE
    plot = ForestPlot(capital(title), SHARE, Kind.SHARE, tuple(rows))
    blocks: list[Block] = [plot if 0 < len(rows) <= ROWS_MAX else plot.data()]
    if ordered:
        blocks += [each for each in (left_off(parts, shown),) if each.nl]
    off = beside(parts, shown) if shown else frozenset()
    return assemble(
        view,
        summary=[*_whole(view, whole), _extremes(view, shown), closed(view, off)],
        sections=[
            asked(view),
            Section(RESULT, tuple(blocks)),
            counts_section(view, table.counts(view, without=beside(parts, shown))),
        ],
        method=[*counted_how(view), *exact_intervals(view.released), *_many(rows_shown=len(rows))],
        without=off,
    )


def figures(view: View) -> Figures:
    """The share of each group."""
    rows = (FigureRow.share(group.keys, "share", share_of(group, view.released)) for group in groups(view))
    return Figures(view.released.by(OF), tuple(rows))


def _whole(view: View, whole: Group | None) -> list[Text]:
    return [] if whole is None else overall(view, share_of(whole, view.released))


def _extremes(view: View, shown: tuple[Group, ...]) -> Text:
    """The lowest and the highest share of a group."""
    found = [(share_of(group, view.released).share.value, group.keys) for group in shown]
    known = [(value, keys) for value, keys in found if value is not None]
    if len(known) < 2:
        return same("")
    (low, least), (high, most) = min(known), max(known)
    by = view.released.by(OF)
    at_least, at_most = view.labels.crossing(by, least), view.labels.crossing(by, most)
    return Text(
        f"Het loopt van {percent(low, 'nl')} ({at_least.nl}) tot {percent(high, 'nl')} ({at_most.nl}). Hoe zeker elk "
        "aandeel is, staat bij de figuur.",
        f"It runs from {percent(low, 'en')} ({at_least.en}) to {percent(high, 'en')} ({at_most.en}). How certain each "
        "share is stands beside the figure.",
    )


def _many(*, rows_shown: int) -> list[Text]:
    """That among many intervals some miss by chance."""
    if rows_shown < 3:
        return []
    return [
        Text(
            "Elk interval staat op zichzelf: van twintig mist er gemiddeld hoogstens één. Dat twee intervallen elkaar "
            "niet raken, is sterker dan een gewone toets; dat zij elkaar raken, zegt niet dat er geen verschil is.",
            "Each interval stands by itself: of twenty at most one misses on average. That two intervals do not touch "
            "says more than the usual test; that they touch does not say that there is no difference.",
        )
    ]
