"""Which rules protect the children, each in a sentence, as the charter in force sets them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import MappingProxyType
from typing import Final

from nskd.governance.charter import Charter
from nskd.governance.disclosure import DisclosureRules, HospitalPoints, Zeros
from nskd.governance.explain.page import Question, Section
from nskd.governance.limits import PER_CENT
from nskd.governance.question import Kind
from nskd.packs.codebook import Text

_PAIR: Final = 2
_OF_ONE_KIND: Final = {"hospital_points": Kind.FUNNEL, "overdispersion": Kind.FUNNEL, "models": Kind.REGRESSION}
Stated = Callable[[DisclosureRules], Text]


def rules(question: Question, charter: Charter) -> Section:
    """State every rule of the charter, and what holds in any workshop."""
    sentences = stated_rules(charter.disclosure, question.table.kind)
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


def stated_rules(agreed: DisclosureRules, kind: Kind, *, but: Collection[str] = ()) -> list[Text]:
    """State every rule that concerns this kind of request, ``but`` some."""
    return [
        stated(agreed) for key, stated in DISCLOSURE.items() if _OF_ONE_KIND.get(key, kind) is kind and key not in but
    ]


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


def _centres_min(agreed: DisclosureRules) -> Text:
    if agreed.centres_min > _PAIR:
        return Text(
            f"In een vakje dat opengaat, heeft elk van minstens {agreed.centres_min} centra een of meer kinderen.",
            f"In a cell that is opened, each of at least {agreed.centres_min} centres has a child or more.",
        )
    known = (
        Text("op de afronding na dat van het andere", "that of the other, but for rounding")
        if agreed.rounding > 1
        else Text("precies dat van het andere", "exactly that of the other")
    )
    return Text(
        "Let op: een vakje mag ook opengaan als er maar twee centra kinderen in hebben. Elk van die twee kan dan zijn "
        f"eigen aantal aftrekken en weet zo {known.nl}.",
        "Mind: a cell may be opened when only two centres have children in it. Each of those two can then subtract its "
        f"own number and so knows {known.en}.",
    )


def _dominance(agreed: DisclosureRules) -> Text:
    if agreed.dominance < PER_CENT:
        return Text(
            f"Gaat het om bezoeken, dan komt van één centrum hoogstens {agreed.dominance} % van een vakje.",
            f"Where visits are counted, one centre has at most {agreed.dominance} % of a cell.",
        )
    return Text(
        "Let op: van een aantal bezoeken mag één centrum bijna alles hebben; het totaal zegt dan bijna wat dat centrum "
        "heeft.",
        "Mind: one centre may have nearly all of a number of visits; the total then nearly tells what that centre has.",
    )


def _nk(agreed: DisclosureRules) -> Text:
    if agreed.nk < PER_CENT:
        return Text(
            f"Twee centra samen hebben er hoogstens {agreed.nk} % van.",
            f"Two centres together have at most {agreed.nk} % of it.",
        )
    return Text(
        "Hoeveel twee centra samen van een aantal bezoeken hebben, maakt niet uit.",
        "How much of a number of visits two centres have together does not matter.",
    )


def _p_percent(agreed: DisclosureRules) -> Text:
    if agreed.p_percent:
        return Text(
            f"Wat de overige centra bij elkaar hebben, is minstens {agreed.p_percent} % van wat welk ander centrum ook "
            "heeft: geen centrum kan dat van een ander nauwkeuriger schatten.",
            f"What the remaining centres have together is at least {agreed.p_percent} % of what any other centre has: "
            "no centre can estimate another's more closely.",
        )
    return Text(
        "Hoe goed één centrum dat van een ander zou kunnen schatten, wordt niet nagegaan.",
        "How well one centre could estimate another's is not looked at.",
    )


def _rounding(agreed: DisclosureRules) -> Text:
    if agreed.rounding > 1:
        return Text(
            f"Elk getal wordt afgerond op een veelvoud van {agreed.rounding} voordat het opengaat: het precieze "
            "aantal ziet niemand. Totalen worden apart afgerond en zijn dus niet altijd de som van hun delen.",
            f"Each number is rounded to a multiple of {agreed.rounding} before it is opened: nobody sees the exact "
            "one. Totals are rounded by themselves and so are not always the sum of their parts.",
        )
    return Text(
        "Let op: getallen worden niet afgerond. Uit verschillende tabellen samen is een gesloten vakje dan soms "
        "precies te berekenen.",
        "Mind: numbers are not rounded. From several tables together a closed cell can then sometimes be worked out "
        "exactly.",
    )


def _zeros(agreed: DisclosureRules) -> Text:
    if agreed.zeros is Zeros.SUPPRESS:
        return Text(
            "Ook een nul is een klein aantal en blijft dicht, tenzij zij al uit de vraag zelf volgt.",
            "A zero is a small number too and stays closed, unless it follows from the question itself.",
        )
    return Text(
        "Een vakje waarin geen enkel centrum een kind heeft, wordt als 0 getoond. Van een punt weet men dan dat er wel "
        "kinderen zijn.",
        "A cell in which no centre has a child is shown as 0. Of a dot one then knows that there are children.",
    )


def _differencing(agreed: DisclosureRules) -> Text:
    if not agreed.differencing:
        return Text(
            "Let op: een tabel wordt niet vergeleken met eerdere. Wie twee tabellen naast elkaar legt, kan een paar "
            "kinderen te weten komen waarin zij verschillen.",
            "Mind: a table is not compared with earlier ones. Whoever puts two beside each other can come to know of a "
            "few children by whom they differ.",
        )
    return Text(
        f"Een vakje blijft dicht als het maar een paar kinderen, minder dan {agreed.threshold}, scheelt met een vakje "
        f"van een van de laatste {agreed.differencing} tabellen. Elk centrum telt dat verschil op zijn eigen rijen, "
        "zoals ze toen waren en zoals ze nu zijn; wat alle centra samen verschillen, ziet niemand.",
        f"A cell stays closed when it differs by a few children only, fewer than {agreed.threshold}, from a cell of "
        f"one of the last {agreed.differencing} tables. Each centre counts that difference on its own rows, as they "
        "were then and as they are now; by how much all centres together differ, nobody sees.",
    )


def _hospital_points(agreed: DisclosureRules) -> Text:
    if agreed.hospital_points is HospitalPoints.OWN:
        return Text(
            "In een trechterfiguur ziet een ziekenhuis alleen zijn eigen punt, dat het zelf berekent.",
            "In a funnel plot a hospital sees its own point only, which it works out by itself.",
        )
    return Text(
        f"Let op: in een trechterfiguur zien alle centra van elk ziekenhuis met minstens {agreed.threshold} kinderen "
        "mét en evenveel zonder de gebeurtenis het afgeronde punt, zonder naam en door elkaar geschud. Haalt één "
        "ziekenhuis dat niet, dan blijven ook punten van andere weg, zodat het niet uit de som volgt.",
        f"Mind: in a funnel plot all centres see the rounded point of each hospital that has at least "
        f"{agreed.threshold} children with the event and as many without, unnamed and shuffled. If a hospital has not, "
        "points of others are left out as well, so that it does not follow from the sum.",
    )


def _overdispersion(agreed: DisclosureRules) -> Text:
    if not agreed.overdispersion:
        return Text(
            "Hoeveel ziekenhuizen meer van elkaar verschillen dan door toeval, wordt niet berekend.",
            "By how much hospitals differ more than by chance is not computed.",
        )
    return Text(
        "Let op: bij een trechterfiguur wordt berekend hoeveel ziekenhuizen meer van elkaar verschillen dan door "
        f"toeval, als elk ervan minstens {agreed.threshold} kinderen mét en evenveel zonder de gebeurtenis heeft.",
        "Mind: with a funnel plot it is computed by how much hospitals differ more than by chance, if each of them has "
        f"at least {agreed.threshold} children with the event and as many without.",
    )


def _models(agreed: DisclosureRules) -> Text:
    if not agreed.models:
        return Text("Regressiemodellen worden niet berekend.", "Regression models are not computed.")
    return Text(
        "Let op: regressiemodellen mogen. Een centrum dat tijdens zo'n berekening over zijn eigen rijen liegt, kan "
        "meer over de andere samen te weten komen dan het model zegt.",
        "Mind: regression models are allowed. A centre that lies about its own rows during such a computation can come "
        "to know more about the others together than the model says.",
    )


DISCLOSURE: Final = MappingProxyType(
    {
        "threshold": _threshold,
        "insider": _insider,
        "centres_min": _centres_min,
        "dominance": _dominance,
        "nk": _nk,
        "p_percent": _p_percent,
        "rounding": _rounding,
        "zeros": _zeros,
        "differencing": _differencing,
        "hospital_points": _hospital_points,
        "overdispersion": _overdispersion,
        "models": _models,
    }
)
"""By key of the charter's ``[disclosure]``, in the order in which they are read."""
