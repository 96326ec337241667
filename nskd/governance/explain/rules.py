"""Which rules protect the children, each in a sentence, as the charter in force sets them."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from nskd.governance.charter import Charter, DisclosureRules
from nskd.governance.explain.page import Question, Section
from nskd.packs.codebook import Text

Stated = Callable[[DisclosureRules], Text]


def rules(question: Question, charter: Charter) -> Section:
    """State every rule of the charter, and what holds in any workshop."""
    sentences = [stated(charter.disclosure) for stated in DISCLOSURE.values()]
    if question.table.margins:
        sentences.append(
            Text(
                "Uit de totalen valt geen gesloten vakje te berekenen: daarvoor gaan zo veel andere vakjes dicht als "
                "nodig.",
                "No closed cell can be worked out from the totals: as many other cells are closed as that takes.",
            )
        )
    needed = len(charter.contributors)
    sentences += [
        Text(
            f"Er wordt pas gerekend als alle {needed} centra die gegevens inbrengen, het verzoek goedkeuren. Elk "
            "centrum controleert zelf elke handtekening.",
            f"Nothing is computed until all {needed} centres that bring data approve the request. Each centre checks "
            "every signature by itself.",
        ),
        Text(
            "Speelt een centrum bij het rekenen vals, dan merken de andere dat voordat er een vakje opengaat, en stopt "
            "alles.",
            "If a centre cheats in the computation, the others notice before any cell is opened, and everything stops.",
        ),
    ]
    return Section("rules", Text("Welke regels beschermen", "Which rules protect"), tuple(sentences))


def _threshold(agreed: DisclosureRules) -> Text:
    return Text(
        f"Een vakje gaat alleen open als er minstens {agreed.threshold} verschillende kinderen in zitten. Een kind met "
        "twaalf bezoeken is één kind.",
        f"A cell is opened only when it counts at least {agreed.threshold} distinct children. A child with twelve "
        "visits is one child.",
    )


def _insider(agreed: DisclosureRules) -> Text:
    if agreed.insider:
        return Text(
            f"Ook zonder de kinderen van één centrum, welk ook, moeten het er nog {agreed.threshold} zijn.",
            f"Without the children of any one centre, whichever, there must still be {agreed.threshold}.",
        )
    return Text(
        "Let op: het handvest vraagt niet dat er zonder de kinderen van één centrum nog genoeg zijn. Een centrum kan "
        "zo van een klein aantal elders weten.",
        "Mind: the charter does not ask that enough are left without any one centre's children. A centre may so come "
        "to know of a small number elsewhere.",
    )


DISCLOSURE: Final = MappingProxyType({"threshold": _threshold, "insider": _insider})
"""By key of the charter's ``[disclosure]``, in the order in which they are read."""
