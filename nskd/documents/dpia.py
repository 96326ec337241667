"""The data protection impact assessment of one centre: what the live state says, and gaps where people must judge.

In Dutch, in the order of the 17 points of the *Model DPIA Rijksdienst*, version 3.0 (September 2023); parts A to D.
Nothing here is a legal opinion: what follows from law or weighs interests is a gap for the centre to fill.
"""

from __future__ import annotations

from typing import Final

from nskd.documents import dpia_description as description
from nskd.documents import dpia_judgement as judgement
from nskd.documents.facts import Facts
from nskd.documents.report import MARK, Part, Point, Report, plain
from nskd.governance.explain.words import date

MODEL: Final = "Model DPIA Rijksdienst, versie 3.0 (september 2023)"

_DESCRIPTION: Final = (
    ("Voorstel", description.proposal),
    ("Persoonsgegevens", description.personal_data),
    ("Gegevensverwerkingen", description.operations),
    ("Technieken en methoden van de gegevensverwerkingen", description.techniques),
    ("Verwerkingsdoeleinden", description.purposes),
    ("Betrokken partijen", description.parties),
    ("Belangen bij de gegevensverwerkingen", description.interests),
    ("Verwerkingslocaties", description.locations),
    ("Juridisch en beleidsmatig kader", description.framework),
    ("Bewaartermijnen", description.retention),
)
_LAWFULNESS: Final = (
    ("Rechtsgrond", judgement.legal_basis),
    (
        "Bijzondere persoonsgegevens, strafrechtelijke persoonsgegevens en nationale identificatienummers",
        judgement.special_categories,
    ),
    ("Doelbinding", judgement.purpose_limitation),
    ("Noodzaak en evenredigheid", judgement.necessity),
    ("Rechten van de betrokkenen", judgement.rights),
)
_RISKS: Final = (("Risico's voor betrokkenen", judgement.risks),)
_MEASURES: Final = (("Maatregelen", judgement.measures),)
_PARTS: Final = (
    ("A", "Beschrijving kenmerken gegevensverwerkingen", _DESCRIPTION),
    ("B", "Beoordeling rechtmatigheid gegevensverwerkingen", _LAWFULNESS),
    ("C", "Beschrijving en beoordeling risico's voor de betrokkenen", _RISKS),
    ("D", "Beschrijving voorgenomen maatregelen", _MEASURES),
)


def dpia(facts: Facts) -> Report:
    """Write the report for this centre."""
    parts = []
    number = 0
    for letter, title, points in _PARTS:
        written = []
        for name, write in points:
            number += 1
            written.append(Point(number, name, write(facts)))
        parts.append(Part(letter, title, tuple(written)))
    return Report(
        title=f"DPIA (concept): {plain(facts.charter.title)} – {plain(facts.centre.title)}",
        preface=_preface(facts),
        parts=tuple(parts),
    )


def _preface(facts: Facts) -> tuple[str, ...]:
    charter, pack = facts.charter, facts.pack
    return (
        f"Geschreven op {date(facts.today).nl} door `nskctl dpia`, uit het handvest van workshop `{charter.workshop}` "
        f"(versie {charter.version}, kenmerk `{charter.digest.hex()[:16]}`), het codeboek van pack `{pack.name}` "
        f"(versie {plain(pack.version)}, kenmerk `{pack.digest.hex()[:16]}`) en de configuratie van centrum "
        f"`{facts.config.centre.name}`.",
        f"De indeling is die van het {MODEL}. Wat dit programma niet kan weten, of wat mensen moeten afwegen, is "
        f"gemerkt als {MARK}; achteraan staan alle open punten bij elkaar. Dit is een concept: de "
        "verwerkingsverantwoordelijke stelt de DPIA vast, na advies van de functionaris voor gegevensbescherming.",
    )
