"""A released table → its document: the table in the codebook's words, a bar chart, and rates where it has any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from nskd.control.render import TOTAL, Crosstab
from nskd.errors import OperatorError
from nskd.governance.charter import Charter
from nskd.governance.disclosure import DisclosureRules
from nskd.governance.explain.rules import DISCLOSURE
from nskd.governance.explain.words import listed, moment, same
from nskd.packs.codebook import Codebook, Text
from nskd.report.document import Cell, Digest, Document, Section, Table
from nskd.report.model import model_sections
from nskd.report.plots.bars import BarChart
from nskd.report.plots.forest import ROWS_MAX, ForestPlot, Kind, Row
from nskd.report.words import count, percent
from nskd.statistics.binomial import share
from nskd.statistics.figure import Count
from nskd.statistics.rounding import Rounding

_EVERYBODY: Final = "TRUE"  # the filter of a request without one
_TOTAL: Final = Text("totaal", "total")
_MEASURES: Final = {
    "children": Text("aantal kinderen", "number of children"),
    "visits": Text("aantal bezoeken", "number of visits"),
}


class ReportError(OperatorError):
    """A release that no page can be made of."""


@attrs.frozen
class Context:
    """What a release does not say itself.  ``released_at`` in seconds since 1970; digests in hexadecimal."""

    codebook: Codebook
    centres: tuple[str, ...]
    purpose: str
    rules: DisclosureRules
    request_digest: str
    result_digest: str
    charter_digest: str
    released_at: int | None = None

    @classmethod
    def of(
        cls, charter: Charter, codebook: Codebook, *, purpose: str, request: str, result: str, released_at: int | None
    ) -> Context:
        """From the charter in force; ``purpose`` is the id of one of its purposes."""
        known = charter.purpose(purpose)
        titles = {centre.name: centre.title for centre in charter.centres}
        return cls(
            codebook=codebook,
            centres=tuple(titles[name] for name in charter.contributors),
            purpose=purpose if known is None else known.text,
            rules=charter.disclosure,
            request_digest=request,
            result_digest=result,
            charter_digest=charter.digest.hex(),
            released_at=released_at,
        )


def table_document(release: Mapping[str, Any], context: Context) -> Document:
    """Make the document of a release of kind ``table``, as ``result.show`` gives it; raises :class:`ReportError`."""
    if release.get("format") != 1 or not isinstance(release.get("cells"), list):
        raise ReportError(
            "the release is in no form known here", where="report", remedy="Use the version of nskd that made it."
        )
    tab = Crosstab.of(release)
    about = _Labels(context.codebook)
    base = release.get("rounding", 1)
    rounding = Rounding(base if isinstance(base, int) else 1)
    pair = tab.pair
    blocks: list[Table | BarChart | Text] = [_table(tab, about)]
    if not rounding.exact:
        blocks.append(_rounded(rounding.base))
    chart = _chart(tab, about)
    if chart.readable:
        blocks.append(chart)
    sections = [Section(Text("Uitkomst", "Result"), tuple(blocks))]
    sections += model_sections(
        release, lambda name, level: about.variable(name) if level is None else about.level(name, level)
    )
    if pair is not None and len(tab.down) <= ROWS_MAX:
        sections.append(_rates(tab, about, pair, rounding))
    return Document(
        title=str(release.get("title", "")),
        purpose=same(context.purpose),
        centres=context.centres,
        summary=_summary(tab, about, pair, context),
        sections=tuple(sections),
        method=_method(release, pair is not None, rounding),
        disclosure=tuple(stated(context.rules) for stated in DISCLOSURE.values()),
        digests=(
            Digest(Text("uitkomst", "result"), context.result_digest),
            Digest(Text("verzoek", "request"), context.request_digest),
            Digest(Text("handvest", "charter"), context.charter_digest),
        ),
        released=None if context.released_at is None else moment(context.released_at),
    )


class _Labels:
    """The codebook's words for the names and keys of a release; a name it does not know stands for itself."""

    def __init__(self, codebook: Codebook) -> None:
        self._variables = codebook.variables

    def variable(self, name: str) -> Text:
        known = self._variables.get(name)
        return same(name) if known is None else known.label

    def level(self, name: str, key: str) -> Text:
        if key == TOTAL:
            return _TOTAL
        levels = self._variables[name].levels if name in self._variables else ()
        found = next((level for level in levels if level.key == key), None)
        return same(key) if found is None else Text(found.nl, found.en)

    def crossing(self, names: tuple[str, ...], keys: tuple[str, ...]) -> Text:
        """One level of each variable, or once the word for the total."""
        labels = [self.level(name, key) for name, key in zip(names, keys, strict=True)]
        if TOTAL in keys:
            labels = list(dict.fromkeys(labels))
        return Text(" × ".join(label.nl for label in labels), " × ".join(label.en for label in labels))

    def variables(self, names: tuple[str, ...]) -> Text:
        """Several, inside a sentence."""
        return listed([_inside(self.variable(name)) for name in names]) if names else same("")


def _count(value: Any) -> Count:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise ReportError(
        f"the release has {value!r} for a count", where="report", remedy="Use the version of nskd that made it."
    )


def _value(tab: Crosstab, row: tuple[str, ...], column: tuple[str, ...]) -> Count:
    return _count(tab.values.get((row, column)))


def _measure(tab: Crosstab) -> Text:
    return _MEASURES.get(tab.measure, same(tab.measure))


def _table(tab: Crosstab, about: _Labels) -> Table:
    over, counted = about.variables(tab.columns), _measure(tab)
    caption = Text(f"{counted.nl} naar {over.nl}", f"{counted.en} by {over.en}") if tab.columns else counted
    heads = [about.variable(name) for name in tab.rows]
    heads += [about.crossing(tab.columns, each) if tab.columns else counted for each in tab.across]
    rows: list[tuple[Cell, ...]] = []
    for down in tab.down:
        labels = [about.level(name, key) for name, key in zip(tab.rows, down, strict=True)]
        rows.append((*labels, *(_value(tab, down, each) for each in tab.across)))
    return Table(_capital(caption), tuple(heads), tuple(rows), labels=len(tab.rows))


def _chart(tab: Crosstab, about: _Labels) -> BarChart:
    """Bars of the interior: a total beside its parts would only make these small."""
    down = [each for each in tab.down if TOTAL not in each]
    across = [each for each in tab.across if TOTAL not in each]
    over, counted = about.variables(tab.rows), _measure(tab)
    return BarChart(
        title=_capital(Text(f"{counted.nl} naar {over.nl}", f"{counted.en} by {over.en}")),
        axis=counted,
        groups=tuple(about.crossing(tab.rows, each) for each in down),
        series=tuple(about.crossing(tab.columns, each) for each in across),
        values=tuple(tuple(_value(tab, row, each) for each in across) for row in down),
    )


def _rates(tab: Crosstab, about: _Labels, pair: tuple[str, str], rounding: Rounding) -> Section:
    yes, no = (about.level(tab.columns[0], key) for key in pair)
    rows = []
    for down in tab.down:
        cells = [_value(tab, down, (key,)) for key in pair]
        found = share(*cells, rounding=rounding)
        counts = f"{count(cells[0])} / ({count(cells[0])} + {count(cells[1])})"
        rows.append(Row(about.crossing(tab.rows, down), found.share, counts))
    axis = Text(f"{yes.nl} / ({yes.nl} + {no.nl})", f"{yes.en} / ({yes.en} + {no.en})")
    over = about.variables(tab.rows)
    title = _capital(Text(f"aandeel {yes.nl} naar {over.nl}", f"share of {yes.en} by {over.en}"))
    return Section(Text("Aandeel", "Share"), (ForestPlot(title, axis, Kind.SHARE, tuple(rows)),))


def _summary(tab: Crosstab, about: _Labels, pair: tuple[str, str] | None, context: Context) -> tuple[Text, ...]:
    centres, counted = len(context.centres), _measure(tab)
    names = about.variables(tab.rows + tab.columns)
    said = [
        Text(
            f"{centres} centra hebben samen geteld: {counted.nl} naar {names.nl}. Geen van hen heeft rijen of "
            "aantallen van een ander gezien.",
            f"{centres} centres counted together: {counted.en} by {names.en}. None of them saw another's rows or "
            "numbers.",
        )
    ]
    hidden = sum(value is None for value in tab.values.values())
    if hidden:
        said.append(
            Text(
                f"Niet getoond: {hidden} van de {len(tab.values)} vakjes, om kinderen in kleine groepen te beschermen.",
                f"Not shown: {hidden} of the {len(tab.values)} cells, to protect children in small groups.",
            )
        )
    if pair is not None:
        said.append(_extremes(tab, about, pair))
    return tuple(each for each in said if each.nl)


def _extremes(tab: Crosstab, about: _Labels, pair: tuple[str, str]) -> Text:
    """Which row has the lowest share, and which the highest, as far as these are known."""
    known = []
    for down in tab.down:
        yes, no = (_value(tab, down, (key,)) for key in pair)
        if TOTAL not in down and yes is not None and no is not None and yes + no:
            known.append((yes / (yes + no), down))
    if len(known) < 2:
        return same("")
    (low, least), (high, most) = min(known), max(known)
    yes_label = about.level(tab.columns[0], pair[0])
    at_least, at_most = about.crossing(tab.rows, least), about.crossing(tab.rows, most)
    return Text(
        f"Het aandeel {yes_label.nl} loopt van {percent(low, 'nl')} ({at_least.nl}) tot {percent(high, 'nl')} "
        f"({at_most.nl}). Hoe zeker dat is, staat bij de figuur.",
        f"The share of {yes_label.en} runs from {percent(low, 'en')} ({at_least.en}) to {percent(high, 'en')} "
        f"({at_most.en}). How certain that is stands beside the figure.",
    )


def _method(release: Mapping[str, Any], rates: bool, rounding: Rounding) -> tuple[Text, ...]:
    where = str(release.get("where") or "")
    said = [
        Text(
            "De centra hebben hun aantallen bij elkaar geteld op geheime delen (secure multi-party computation): "
            "alleen de uitkomst is opengegaan, nadat was nagegaan dat geen centrum vals had gespeeld.",
            "The centres added up their numbers on secret shares (secure multi-party computation): only the result was "
            "opened, after checking that no centre had cheated.",
        )
    ]
    if release.get("measure") == "children":
        said.append(
            Text(
                "Kinderen zijn per centrum geteld; een kind dat in twee centra is gezien, telt in elk één keer.",
                "Children are counted per centre; a child seen at two centres counts once in each.",
            )
        )
    if where not in ("", _EVERYBODY):
        said.append(Text(f"Alleen bezoeken waarvoor geldt: {where}", f"Only visits for which: {where}"))
    if rates:
        said.append(
            Text(
                "Bij elk aandeel staat het exacte 95 %-interval (Clopper–Pearson).",
                "Each share has its exact 95 % interval (Clopper–Pearson).",
            )
        )
        if not rounding.exact:
            said.append(
                Text(
                    "Omdat de getallen zijn afgerond, is dat interval zo ruim dat het voor elk paar precieze aantallen "
                    "geldt dat erachter kan zitten.",
                    "Because the numbers are rounded, that interval is wide enough for every pair of exact counts that "
                    "can lie behind them.",
                )
            )
    return tuple(said)


def _rounded(base: int) -> Text:
    return Text(
        f"Getallen zijn afgerond op veelvouden van {base}; totalen apart, dus niet altijd de som van hun delen.",
        f"Numbers are rounded to multiples of {base}; totals by themselves, so not always the sum of their parts.",
    )


def _inside(label: Text) -> Text:
    """A label as it is written inside a sentence: small, unless it begins with an abbreviation."""

    def small(words: str) -> str:
        return words if words[1:2].isupper() else words[:1].lower() + words[1:]

    return Text(small(label.nl), small(label.en))


def _capital(words: Text) -> Text:
    return Text(words.nl[:1].upper() + words.nl[1:], words.en[:1].upper() + words.en[1:])
