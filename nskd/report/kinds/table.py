"""A table as it was released: in the codebook's words, as bars, and as shares where a column says yes or no."""

from __future__ import annotations

from collections.abc import Collection

from nskd.control.render import TOTAL
from nskd.governance.explain.words import same
from nskd.governance.question import AXIS_MARK
from nskd.packs.codebook import Text
from nskd.report.document import Cell, Document, Section, Table
from nskd.report.labels import capital, number_of
from nskd.report.parts import ASKED, RESULT, View, assemble, closed, counts_section, exact_intervals, spoken
from nskd.report.plots.bars import BarChart
from nskd.report.plots.forest import ROWS_MAX, ForestPlot, Kind, Row
from nskd.report.words import count, percent
from nskd.statistics.binomial import share


def document(view: View) -> Document:
    """The page of a release without a kind."""
    tab, pair = view.released.tab, view.released.tab.pair
    sections = [Section(ASKED, tuple(_question(view)))]
    chart = _chart(view)
    if chart.readable:
        sections.append(Section(RESULT, (chart,)))
    if pair is not None and len(tab.down) <= ROWS_MAX:
        sections.append(_rates(view, pair))
    return assemble(
        view,
        summary=_summary(view, pair),
        sections=[*sections, counts_section(view, counts(view))],
        method=exact_intervals(view.released) if pair is not None else (),
    )


def _question(view: View) -> list[Text]:
    whom, tab = view.selected(), view.released.tab
    number, names = number_of(tab.measure), view.labels.variables(tab.rows + tab.columns)
    return [
        Text(f"Het gaat om {whom.nl}.", f"This is about {whom.en}."),
        Text(f"Geteld is het {number.nl} naar {names.nl}.", f"Counted is the {number.en} by {names.en}."),
    ]


def counts(view: View, *, without: Collection[tuple[str, ...]] = ()) -> Table:
    """All released counts, as the table that they are, but for the rows ``without``."""
    tab, labels, number = view.released.tab, view.labels, number_of(view.released.tab.measure)
    # A request's own axis is in the heads of the columns, in words: its caption is what it is broken down by.
    named = [each for each in tab.columns or tab.rows if not each.startswith(AXIS_MARK)]
    over = labels.variables(tuple(named or tab.rows))
    caption = number
    if tab.columns and not (named or tab.rows)[0].startswith(AXIS_MARK):
        caption = Text(f"{number.nl} naar {over.nl}", f"{number.en} by {over.en}")
    heads = [labels.variable(name) for name in tab.rows]
    heads += [labels.crossing(tab.columns, each) if tab.columns else number for each in tab.across]
    rows: list[tuple[Cell, ...]] = []
    for down in tab.down:
        if down in without:
            continue
        names = [labels.level(name, key) for name, key in zip(tab.rows, down, strict=True)]
        rows.append((*names, *(view.released.value(down, each) for each in tab.across)))
    return Table(capital(caption), tuple(heads), tuple(rows), labels=len(tab.rows))


def _chart(view: View) -> BarChart:
    """Bars of the interior: a total beside its parts would only make these small."""
    tab, labels, number = view.released.tab, view.labels, number_of(view.released.tab.measure)
    down = [each for each in tab.down if TOTAL not in each]
    across = [each for each in tab.across if TOTAL not in each]
    over = labels.variables(tab.rows)
    return BarChart(
        title=capital(Text(f"{number.nl} naar {over.nl}", f"{number.en} by {over.en}")),
        axis=number,
        groups=tuple(labels.crossing(tab.rows, each) for each in down),
        series=tuple(labels.crossing(tab.columns, each) if tab.columns else same("") for each in across),
        values=tuple(tuple(view.released.value(row, each) for each in across) for row in down),
    )


def _rates(view: View, pair: tuple[str, str]) -> Section:
    tab, labels = view.released.tab, view.labels
    yes, no = (labels.level(tab.columns[0], key) for key in pair)
    rows = []
    for down in tab.down:
        cells = [view.released.value(down, (key,)) for key in pair]
        found = share(*cells, rounding=view.released.rounding)
        shown = f"{count(cells[0])} / ({count(cells[0])} + {count(cells[1])})"
        rows.append(Row(labels.crossing(tab.rows, down), found.share, shown))
    axis = Text(f"{yes.nl} / ({yes.nl} + {no.nl})", f"{yes.en} / ({yes.en} + {no.en})")
    over = labels.variables(tab.rows)
    title = capital(Text(f"aandeel {yes.nl} naar {over.nl}", f"share of {yes.en} by {over.en}"))
    return Section(Text("Aandeel", "Share"), (ForestPlot(title, axis, Kind.SHARE, tuple(rows)),))


def _summary(view: View, pair: tuple[str, str] | None) -> list[Text]:
    tab, counted, said = view.released.tab, view.counted, _question(view)
    down, across = tuple(TOTAL for _ in tab.rows), tuple(TOTAL for _ in tab.columns)
    if (down, across) in tab.values:
        whole = view.released.value(down, across)
        said.append(
            Text(f"Samen zijn het {whole} {counted.nl}.", f"Together they are {whole} {counted.en}.")
            if whole is not None
            else Text("Hoeveel het er samen zijn, is niet getoond.", "How many they are together is not shown.")
        )
    if pair is not None:
        said += [*_overall(view, pair, down), _extremes(view, pair)]
    return [*said, closed(view)]


def _overall(view: View, pair: tuple[str, str], down: tuple[str, ...]) -> list[Text]:
    """The share of all, where their totals were asked."""
    tab = view.released.tab
    if down not in tab.down:
        return []
    yes, no = (view.labels.level(tab.columns[0], key) for key in pair)
    found = spoken(share(*(view.released.value(down, (key,)) for key in pair), rounding=view.released.rounding))
    return [
        Text(
            f"Het aandeel {yes.nl} van allen samen, van {yes.nl} en {no.nl}, is {found.nl}.",
            f"The share of {yes.en} of all, among {yes.en} and {no.en}, is {found.en}.",
        )
    ]


def _extremes(view: View, pair: tuple[str, str]) -> Text:
    """Which row has the lowest share, and which the highest, as far as these are known."""
    tab, labels = view.released.tab, view.labels
    known = []
    for down in tab.down:
        yes, no = (view.released.value(down, (key,)) for key in pair)
        if TOTAL not in down and yes is not None and no is not None and yes + no:
            known.append((yes / (yes + no), down))
    if len(known) < 2:
        return same("")
    (low, least), (high, most) = min(known), max(known)
    yes_label = labels.level(tab.columns[0], pair[0])
    at_least, at_most = labels.crossing(tab.rows, least), labels.crossing(tab.rows, most)
    return Text(
        f"Het aandeel {yes_label.nl} loopt van {percent(low, 'nl')} ({at_least.nl}) tot {percent(high, 'nl')} "
        f"({at_most.nl}). Hoe zeker dat is, staat bij de figuur.",
        f"The share of {yes_label.en} runs from {percent(low, 'en')} ({at_least.en}) to {percent(high, 'en')} "
        f"({at_most.en}). How certain that is stands beside the figure.",
    )
