"""A release of any kind → its page, and its figures for programs: one module a kind.

Each has ``document(view)`` and, but for a plain table, ``figures(view)``; a new kind is a module and a line in
``_PAGES`` and ``_FIGURES``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from nskd.governance.question import Kind
from nskd.packs.codebook import Codebook, Text
from nskd.report.context import Context, unreadable
from nskd.report.document import Document
from nskd.report.figures import Figures
from nskd.report.kinds import association, cascade, funnel, rate, regression, spc, summary, table
from nskd.report.labels import Labels
from nskd.report.parts import View
from nskd.report.released import Released
from nskd.statistics.figure import StatisticsError

_T = TypeVar("_T")
Words = dict[str, dict[str, Text]]

_PAGES: Final[Mapping[str, Callable[[View], Document]]] = MappingProxyType(
    {
        Kind.TABLE: table.document,
        Kind.RATE: rate.document,
        Kind.SPC: spc.document,
        Kind.CASCADE: cascade.document,
        Kind.ASSOCIATION: association.document,
        Kind.SUMMARY: summary.document,
        Kind.REGRESSION: regression.document,
    }
)
_FIGURES: Final[Mapping[str, Callable[[View], Figures]]] = MappingProxyType(
    {
        Kind.RATE: rate.figures,
        Kind.SPC: spc.figures,
        Kind.CASCADE: cascade.figures,
        Kind.ASSOCIATION: association.figures,
        Kind.SUMMARY: summary.figures,
        Kind.FUNNEL: funnel.figures,
        Kind.REGRESSION: regression.figures,
    }
)
_WORDS: Final[Mapping[str, Callable[[Released], Words]]] = MappingProxyType(
    {Kind.CASCADE: cascade.words, Kind.ASSOCIATION: association.words, Kind.SUMMARY: summary.words}
)


def document(
    release: Mapping[str, Any],
    context: Context,
    *,
    own: tuple[int, int] | None = None,
    case_mix: tuple[float, float, float] | None = None,
) -> Document:
    """Make the page of a release, as ``result.show`` gives it; raises :class:`~nskd.report.context.ReportError`.

    ``own`` are events and size at the centre that reads, for a funnel's own point; no other kind takes them.
    ``case_mix``: of a regression, events observed and expected there, and their variance.
    """
    view = _view(release, context)
    if view.released.kind == Kind.FUNNEL:
        return _checked(lambda: funnel.document(view, own))
    if view.released.kind == Kind.REGRESSION:
        return _checked(lambda: regression.document(view, case_mix))
    return _checked(lambda: _PAGES[view.released.kind](view))


def figures(release: Mapping[str, Any], context: Context) -> Figures | None:
    """What was computed from the counts, None for a plain table; raises :class:`~nskd.report.context.ReportError`."""
    view = _view(release, context)
    make = _FIGURES.get(view.released.kind)
    return None if make is None else _checked(lambda: make(view))


def labels(release: Mapping[str, Any], codebook: Codebook) -> Labels:
    """The words for its names and keys; raises :class:`~nskd.report.context.ReportError`."""
    return _view(release, Context.bare(codebook)).labels


def _view(release: Mapping[str, Any], context: Context) -> View:
    released = Released.of(release)
    if released.kind not in _PAGES and released.kind != Kind.FUNNEL:
        raise unreadable(f"the release is of a kind {released.kind!r} that is not known here")
    words = _WORDS.get(released.kind)
    return View.of(released, context, own=None if words is None else words(released))


def _checked(make: Callable[[], _T]) -> _T:
    """Turn counts that contradict each other into an error that says so."""
    try:
        return make()
    except StatisticsError as error:
        raise unreadable(f"the counts contradict each other: {error.what}") from error
