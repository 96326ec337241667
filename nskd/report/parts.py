"""What the pages of every kind share: what is said of counting, hiding and rounding, and the document around it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import attrs

from nskd.governance.disclosure import Zeros
from nskd.governance.explain.page import LANGUAGES
from nskd.governance.explain.rules import stated_rules
from nskd.governance.explain.words import moment, same
from nskd.governance.question import Kind
from nskd.packs.codebook import Text
from nskd.report.conditions import in_words
from nskd.report.context import Context
from nskd.report.document import Digest, Document, Section, Table
from nskd.report.labels import Labels, counted
from nskd.report.released import Released
from nskd.report.words import percent, percent_interval, share_digits
from nskd.statistics.binomial import Proportion
from nskd.statistics.figure import REASONS, Reason

LEVEL: Final = 0.95
ASKED: Final = Text("Wat is gevraagd", "What was asked")
RESULT: Final = Text("Uitkomst", "Result")
NOT_SHOWN: Final = Text("Wat niet te zien is, en waarom", "What is not shown, and why")


@attrs.frozen
class View:
    """A release with all that its page is made of."""

    released: Released
    context: Context
    labels: Labels

    @classmethod
    def of(cls, released: Released, context: Context, *, own: Mapping[str, Mapping[str, Text]] | None = None) -> View:
        """Put them together; ``own`` are words for the levels of the request's own axes."""
        return cls(released, context, Labels(context.codebook, own))

    @property
    def counted(self) -> Text:
        """Whom it counts: children, visits."""
        return counted(self.released.tab.measure)

    def said(self, where: str | None) -> Text:
        """A condition in words."""
        return Text("alle andere", "all others") if where is None else in_words(where, self.context.codebook)

    def selected(self) -> Text:
        """Whom the request is about, inside a sentence."""
        who = self.counted
        if not self.released.where:
            return Text(f"alle {who.nl}", f"all {who.en}")
        if self.released.children:
            visits = self.said(self.released.where)
            return Text(f"kinderen met een bezoek waarvoor geldt: {visits.nl}", f"children with a visit: {visits.en}")
        said = self.said(self.released.where)
        return Text(f"bezoeken waarvoor geldt: {said.nl}", f"visits for which: {said.en}")


def assemble(
    view: View,
    *,
    summary: Sequence[Text],
    sections: Sequence[Section],
    method: Sequence[Text] = (),
    not_shown: Sequence[Text] = (),
    without: Collection[tuple[str, ...]] = (),
) -> Document:
    """The document: what every page says, around what only this one does.  Empty sentences are left out.

    ``without`` are the rows that the page leaves off.
    """
    released, context = view.released, view.context
    hidden = [each for each in (_hidden(view, without), *not_shown) if each.nl]
    around = [Section(NOT_SHOWN, tuple(hidden))] if hidden else []
    return Document(
        title=released.title,
        purpose=same(context.purpose),
        centres=context.centres,
        summary=tuple(each for each in (*summary, together(context)) if each.nl),
        sections=(*sections, *around),
        method=(*_counting(released), *(each for each in method if each.nl)),
        disclosure=tuple(stated_rules(context.rules, _kind(released))),
        digests=(
            Digest(Text("uitkomst", "result"), context.result_digest),
            Digest(Text("verzoek", "request"), context.request_digest),
            Digest(Text("handvest", "charter"), context.charter_digest),
        ),
        released=None if context.released_at is None else moment(context.released_at),
    )


def _kind(released: Released) -> Kind:
    """The kind whose rules a page states; one that the rules know nothing of has those of a table."""
    return Kind(released.kind) if released.kind in tuple(Kind) else Kind.TABLE


def together(context: Context) -> Text:
    """Who counted, and that nobody saw anybody's numbers."""
    centres = len(context.centres)
    return Text(
        f"{centres} centra hebben samen geteld; geen van hen heeft rijen of aantallen van een ander gezien.",
        f"{centres} centres counted together; none of them saw another's rows or numbers.",
    )


def closed(view: View, without: Collection[tuple[str, ...]] = ()) -> Text:
    """How much is not shown, in a sentence of the summary; nothing if all is."""
    hidden, cells = view.released.hidden(without)
    if not hidden:
        return same("")
    of = Text(" in de perioden op deze pagina", " in the periods on this page") if without else same("")
    return Text(
        f"Niet getoond: {hidden} van de {cells} vakjes{of.nl}, om kinderen in kleine groepen te beschermen.",
        f"Not shown: {hidden} of the {cells} cells{of.en}, to protect children in small groups.",
    )


def _hidden(view: View, without: Collection[tuple[str, ...]]) -> Text:
    hidden, cells = view.released.hidden(without)
    if not hidden:
        return same("")
    zeros = (
        Text("nullen zijn, en ook grotere aantallen", "zeros, and larger ones too")
        if view.context.rules.zeros is Zeros.SUPPRESS
        else Text("ook grotere aantallen zijn", "larger ones too")
    )
    return Text(
        f"{hidden} van de {cells} aantallen zijn niet getoond, om kinderen in kleine groepen te beschermen; "
        f"daaronder kunnen {zeros.nl}, waaruit een klein zou volgen. Welke regel een aantal heeft gesloten, komt "
        "niemand te weten. Wat zo'n aantal nodig heeft, is niet berekend; er is niets bijgeschat.",
        f"{hidden} of the {cells} counts are not shown, to protect children in small groups; among them there can be "
        f"{zeros.en}, from which a small one would follow. Nobody learns which rule closed a count. What needs such a "
        "count is not computed; nothing is filled in.",
    )


def _counting(released: Released) -> list[Text]:
    said = [
        Text(
            "De centra hebben hun aantallen bij elkaar geteld op geheime delen (secure multi-party computation): "
            "alleen de uitkomst is opengegaan, nadat was nagegaan dat geen centrum vals had gespeeld.",
            "The centres added up their numbers on secret shares (secure multi-party computation): only the result was "
            "opened, after checking that no centre had cheated.",
        )
    ]
    if released.children:
        said.append(
            Text(
                "Kinderen zijn per centrum geteld; een kind dat in twee centra is gezien, telt in elk één keer.",
                "Children are counted per centre; a child seen at two centres counts once in each.",
            )
        )
    if released.where:
        said.append(
            Text(f"Alleen bezoeken waarvoor geldt: {released.where}", f"Only visits for which: {released.where}")
        )
    return said


COUNTS: Final = Text("Aantallen", "Counts")


def counts_section(view: View, counts: Table, *first: Text) -> Section:
    """The counts as they were released, with what has to be known to read them."""
    after = (rounded(view.released), several(view.released))
    return Section(COUNTS, (*first, counts, *(each for each in after if each.nl)))


def several(released: Released) -> Text:
    """That a child with several visits can be in several cells, where people are counted; else nothing."""
    if not released.children:
        return same("")
    return Text(
        "Een kind dat vaker kwam, kan in meer dan één vakje staan; in een totaal telt het per centrum één keer.",
        "A child that came more often can be in more than one cell; in a total it counts once per centre.",
    )


def rounded(released: Released) -> Text:
    """That numbers are rounded; nothing if they are not."""
    base = released.rounding.base
    if released.rounding.exact:
        return same("")
    return Text(
        f"Getallen zijn afgerond op veelvouden van {base}; totalen apart, dus niet altijd de som van hun delen.",
        f"Numbers are rounded to multiples of {base}; totals by themselves, so not always the sum of their parts.",
    )


def exact_intervals(released: Released) -> list[Text]:
    """How the intervals of shares are made, and what rounding does to them."""
    said = [
        Text(
            "Bij elk aandeel staat het exacte binomiale 95 %-interval (Clopper–Pearson): de waarden waarmee de "
            "aantallen goed te rijmen zijn.",
            "Each share has its exact binomial 95 % interval (Clopper–Pearson): the values that agree well with the "
            "counts.",
        )
    ]
    if not released.rounding.exact:
        said.append(
            Text(
                "Omdat de getallen zijn afgerond, is dat interval zo ruim dat het voor elk paar precieze aantallen "
                "geldt dat erachter kan zitten.",
                "Because the numbers are rounded, that interval is wide enough for every pair of exact counts that "
                "can lie behind them.",
            )
        )
    return said


def spoken(found: Proportion) -> Text:
    """A share with its interval, as a sentence has it, or why there is none."""
    figure = found.share
    if figure.value is None:
        return why(figure.reason)
    within = figure.interval
    if within is None:
        return Text(percent(figure.value, "nl"), percent(figure.value, "en"))
    digits = share_digits(within)
    nl, en = ((percent(figure.value, each, digits), percent_interval(within, each, digits)) for each in LANGUAGES)
    return Text(f"{nl[0]} (95 %-interval {nl[1]})", f"{en[0]} (95 % interval {en[1]})")


def why(reason: Reason | None) -> Text:
    """Why a figure is missing, as a sentence has it."""
    because = REASONS[reason or Reason.SUPPRESSED]
    return Text(f"niet te berekenen: {because.nl}", f"not computable: {because.en}")
