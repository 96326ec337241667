"""What somebody could learn from the result, honestly: insiders, two centres, small cells, liars, differences."""

from __future__ import annotations

from typing import Final

from nskd.governance.charter import Charter
from nskd.governance.disclosure import DisclosureRules, Zeros
from nskd.governance.explain.hospitals import of_others
from nskd.governance.explain.page import Question, Section
from nskd.governance.limits import PER_CENT
from nskd.governance.question import Measure
from nskd.packs.codebook import Text

PAIR: Final = 2  # contributors whose sum is no secret between them


def learnt(question: Question, charter: Charter) -> Section:
    """Say what the table tells, and to whom it tells more."""
    return Section(
        "learnt",
        Text("Wat iemand hieruit kan afleiden", "What somebody could learn from it"),
        (
            *_insiders(len(charter.contributors), charter.disclosure),
            *of_others(question, charter),
            _dot(question, charter.disclosure),
            Text(
                "Een centrum kan over zijn eigen aantallen liegen. Dan klopt het totaal niet. Andermans aantallen ziet "
                "het daardoor niet.",
                "A centre can lie about its own numbers. Then the total is wrong. It does not see anybody else's "
                "numbers by that.",
            ),
            _liars(charter),
            Text(
                "Wie deze tabel naast een eerdere legt, ziet het verschil. Of dat over genoeg kinderen gaat, staat "
                "hieronder bij de regels.",
                "Whoever puts this table beside an earlier one sees the difference. Whether enough children are "
                "concerned, the rules below say.",
            ),
        ),
    )


def _dot(question: Question, agreed: DisclosureRules) -> Text:
    """Everything that can have closed a cell under these rules: a page that names some lets a dot be misread."""
    reasons = [
        Text("te weinig kinderen, of geen enkel", "too few children, or none")
        if agreed.zeros is Zeros.SUPPRESS
        else Text("te weinig kinderen", "too few children"),
        Text("te weinig centra die er kinderen in hebben", "too few centres that have children in it"),
    ]
    shares = agreed.dominance < PER_CENT or agreed.nk < PER_CENT or agreed.p_percent
    if question.table.measure is Measure.VISITS and shares:
        reasons.append(Text("te veel van één of twee centra", "too much of one or two centres"))
    if agreed.differencing:
        reasons.append(Text("te weinig verschil met een eerdere tabel", "too little difference from an earlier table"))
    if question.table.margins:
        reasons.append(
            Text(
                "een ander gesloten vakje dat anders te berekenen was",
                "another closed cell that could have been worked out otherwise",
            )
        )
    nl, en = "; ".join(each.nl for each in reasons), "; ".join(each.en for each in reasons)
    return Text(
        f"Een punt heeft minstens één van deze redenen: {nl}. Welke, staat er niet bij.",
        f"A dot has at least one of these reasons: {en}. Which, it does not say.",
    )


def _insiders(contributors: int, agreed: DisclosureRules) -> tuple[Text, ...]:
    subtract = Text(
        "Elk centrum kent zijn eigen cijfers en kan die van een getoond totaal aftrekken.",
        "Each centre knows its own figures and can subtract them from a total shown.",
    )
    if contributors <= PAIR:
        return (
            subtract,
            Text(
                "Let op: er brengen maar twee centra gegevens in. Wie zijn eigen cijfer aftrekt, houdt op de afronding "
                "na dat van het andere centrum over.",
                "Mind: only two centres bring data. Whoever subtracts its own figure is left with the other's, but for "
                "rounding.",
            )
            if agreed.rounding > 1
            else Text(
                "Let op: er brengen maar twee centra gegevens in. Wie zijn eigen cijfer aftrekt, houdt precies dat "
                "van het andere centrum over.",
                "Mind: only two centres bring data. Whoever subtracts its own figure is left with exactly the other's.",
            ),
        )
    return (
        subtract,
        Text(
            f"Eén centrum houdt zo het totaal van de andere {contributors - 1} over. Leggen alle andere centra hun "
            "cijfers bij elkaar, dan houden zij het cijfer van dit centrum over. Dat kan geen techniek voorkomen.",
            f"One centre is so left with the total of the other {contributors - 1}. If all other centres put their "
            "figures together, they are left with this centre's. No technique can prevent that.",
        ),
    )


def _liars(charter: Charter) -> Text:
    threshold = charter.disclosure.threshold
    if charter.disclosure.insider:
        return Text(
            "Eén centrum dat te veel kinderen opgeeft, kan een klein vakje niet openen: zonder zijn kinderen moeten "
            f"het er nog steeds {threshold} zijn. Twee of meer centra die samen liegen, kunnen dat wel.",
            "One centre that reports too many children cannot open a small cell: without its children there must "
            f"still be {threshold}. Two or more centres that lie together can.",
        )
    return Text(
        "Een centrum dat te veel kinderen opgeeft, kan een vakje openen waarin er in het echt te weinig zijn.",
        "A centre that reports too many children can open a cell in which there really are too few.",
    )
