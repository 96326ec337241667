"""What a funnel tells of single hospitals, as the charter has it: what leaves each, and what others learn by it."""

from __future__ import annotations

from nskd.governance.charter import Charter
from nskd.governance.disclosure import HospitalPoints
from nskd.governance.explain.page import Question
from nskd.governance.question import Kind
from nskd.packs.codebook import Text


def point_is_shown(question: Question, charter: Charter) -> bool:
    """Whether a figure of a single hospital may leave it."""
    return question.table.kind is Kind.FUNNEL and charter.disclosure.hospital_points is HospitalPoints.SHUFFLED


def of_this_hospital(question: Question, charter: Charter) -> tuple[Text, ...]:
    """What leaves of its point; nothing is said of a request that is no funnel."""
    if question.table.kind is not Kind.FUNNEL:
        return ()
    agreed = charter.disclosure
    said = []
    if not point_is_shown(question, charter):
        said.append(
            Text(
                "Het punt van dit ziekenhuis in de trechterfiguur blijft hier: het staat alleen op de eigen pagina.",
                "This hospital's point in the funnel plot stays here: it is on its own page only.",
            )
        )
    else:
        said.append(
            Text(
                "Let op: het handvest zegt dat de punten van ziekenhuizen in de trechterfiguur getoond worden. Van dit "
                "ziekenhuis komen twee afgeronde getallen bij alle centra: hoeveel de gebeurtenis hadden, en van "
                f"hoeveel. Dat gebeurt alleen als het minstens {agreed.threshold} kinderen met en "
                f"{agreed.threshold} zonder heeft, en niet maar een paar kinderen scheelt met een eerdere "
                "trechterfiguur. De centra schudden de punten eerst op geheime delen door elkaar: er staat geen naam "
                "bij, en bij het rekenen komt niemand te weten welk punt van wie is.",
                "Mind: the charter says that hospitals' points in the funnel plot are shown. Two rounded numbers of "
                "this hospital reach all centres: how many had the event, and out of how many. That happens only if it "
                f"has at least {agreed.threshold} children with and {agreed.threshold} without, and does not differ by "
                "a few children from an earlier funnel plot. The centres first shuffle the points on secret shares: "
                "there is no name, and in computing nobody learns which point is whose.",
            )
        )
    if agreed.overdispersion:
        said.append(
            Text(
                "Elk ziekenhuis brengt ook in, in geheime delen, hoe ver het van het gemiddelde ligt (z², afgekapt). "
                "Alleen de som over alle ziekenhuizen komt tevoorschijn, afgerond.",
                "Each hospital also contributes, in secret shares, how far from the mean it lies (z², clipped). Only "
                "the sum over all hospitals comes to light, rounded.",
            )
        )
    return tuple(said)


def of_others(question: Question, charter: Charter) -> tuple[Text, ...]:
    """What somebody could learn of a single hospital; nothing is said of a request that is no funnel."""
    if question.table.kind is not Kind.FUNNEL:
        return ()
    agreed = charter.disclosure
    said = []
    if point_is_shown(question, charter):
        said.append(
            Text(
                "Let op: door elkaar schudden verbergt weinig. Een punt zegt hoe groot het ziekenhuis is, en wie "
                "ongeveer weet hoe groot ieder ziekenhuis is, weet welk punt van wie is. Reken erop dat elk centrum "
                "het aandeel van elk ander kan kennen. Ontbreekt een punt, dan had dat ziekenhuis te weinig kinderen, "
                "of het bleef weg om er een te beschermen.",
                "Mind: shuffling hides little. A point says how large the hospital is, and whoever knows about how "
                "large each hospital is knows which point is whose. Count on each centre being able to know the share "
                "of every other. If a point is missing, that hospital had too few children, or it was left out to "
                "protect one that had.",
            )
        )
    if agreed.overdispersion:
        count = len(charter.contributors)
        said.append(
            Text(
                f"Let op: de spreiding is één getal over {count} ziekenhuizen. Leggen alle andere centra hun cijfers "
                "bij elkaar, dan weten zij er hoe ver dit ziekenhuis van het gemiddelde ligt; zijn aandeel weten zij "
                "dan ook al uit het totaal. Eén centrum alleen leert er weinig uit, maar iets: wie ook weet hoe groot "
                "de andere zijn, kan hun aandelen samen inperken.",
                f"Mind: the variation is one number over {count} hospitals. If all other centres put their figures "
                "together, they know from it how far from the mean this hospital lies; its share they then know from "
                "the total as well. One centre alone learns little from it, but something: if it also knows how large "
                "the others are, it can narrow down their shares together.",
            )
        )
    return tuple(said)
