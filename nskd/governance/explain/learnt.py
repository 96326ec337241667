"""What somebody could learn from the result, honestly: insiders, two centres, small cells, liars, differences."""

from __future__ import annotations

from typing import Final

from nskd.governance.charter import Charter
from nskd.governance.explain.hospitals import of_others
from nskd.governance.explain.page import Question, Section
from nskd.packs.codebook import Text

PAIR: Final = 2  # contributors whose sum is no secret between them


def learnt(question: Question, charter: Charter) -> Section:
    """Say what the table tells, and to whom it tells more."""
    return Section(
        "learnt",
        Text("Wat iemand hieruit kan afleiden", "What somebody could learn from it"),
        (
            *_insiders(len(charter.contributors)),
            *of_others(question, charter),
            Text(
                "Een punt zegt: hier gaat het om weinig kinderen, of om een vakje dat andere vakjes beschermt. Welke "
                "van de twee, staat er niet bij.",
                "A dot says: few children are concerned here, or a cell that protects other cells. Which of the two, "
                "it does not say.",
            )
            if question.table.margins
            else Text(
                "Een punt zegt: hier gaat het om weinig kinderen. Hoe weinig, staat er niet bij.",
                "A dot says: few children are concerned here. How few, it does not say.",
            ),
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


def _insiders(contributors: int) -> tuple[Text, ...]:
    subtract = Text(
        "Elk centrum kent zijn eigen cijfers en kan die van een getoond totaal aftrekken.",
        "Each centre knows its own figures and can subtract them from a total shown.",
    )
    if contributors <= PAIR:
        return (
            subtract,
            Text(
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
