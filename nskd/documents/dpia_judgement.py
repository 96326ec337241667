"""Parts B to D of the assessment, points 11 to 17: lawfulness, risks and measures."""

from __future__ import annotations

from typing import Final

import attrs

from nskd.documents.facts import Facts
from nskd.documents.report import Block, Open, bullets, code, plain, table
from nskd.governance.explain.learnt import PAIR
from nskd.governance.explain.rules import DISCLOSURE


def legal_basis(facts: Facts) -> tuple[Block, ...]:
    """Point 11."""
    blocks: list[Block] = []
    for purpose in facts.charter.purposes:
        if purpose.legal_basis is None:
            blocks.append(Open(f"Rechtsgrond voor doel `{purpose.id}`: het handvest noemt er geen (AVG, artikel 6)."))
        else:
            blocks.append(f"Doel `{purpose.id}`, volgens het handvest: {plain(purpose.legal_basis)}")
    return (*blocks, Open("Toets per doel of de rechtsgrond klopt voor dit centrum, en leg uit waarom."))


def special_categories(facts: Facts) -> tuple[Block, ...]:
    """Point 12."""
    return (
        "Er worden gegevens over gezondheid verwerkt. Een burgerservicenummer wordt niet verwerkt: een bestand "
        "waarin het staat, wordt geweigerd.",
        Open("Op welke uitzondering op het verbod steunt dit (AVG, artikel 9, lid 2; UAVG, artikelen 24 en 30)?"),
        Open("Beoordeel of een vermoeden van mishandeling hier een strafrechtelijk gegeven is (AVG, artikel 10)."),
    )


def purpose_limitation(facts: Facts) -> tuple[Block, ...]:
    """Point 13."""
    return (
        "De gegevens zijn vastgelegd voor de zorg en worden hier verder verwerkt. Het programma dwingt de doelen van "
        "punt 5 af: elke kolom noemt de doelen waarvoor zij mag dienen, elk verzoek noemt één doel, en elk centrum "
        "weigert zelf wat niet past, met de naam van de regel.",
        Open(
            "Beoordeel of verdere verwerking verenigbaar is met het oorspronkelijke doel (AVG, artikelen 5 en 6, lid "
            "4)."
        ),
    )


def necessity(facts: Facts) -> tuple[Block, ...]:
    """Point 14."""
    return (
        "**Subsidiariteit.** Het gewone alternatief is een gezamenlijke database. Hier verlaat geen regel het "
        "centrum. Een ander alternatief is dat elk centrum zijn eigen cijfers geeft; dan zijn kleine aantallen en "
        "verschillen tussen centra te zien, die hier verborgen blijven.",
        "**Proportionaliteit.** Alleen gezamenlijke tellingen komen tevoorschijn, onder de regels van punt 17. Het "
        f"codeboek heeft {len(facts.pack.codebook.recorded)} kolommen; wat er niet in staat, wordt niet ingelezen.",
        Open("Beoordeel of elke kolom nodig is voor de doelen van punt 5, en of het belang opweegt tegen de inbreuk."),
    )


def rights(facts: Facts) -> tuple[Block, ...]:
    """Point 15."""
    listed = facts.config.data.opt_out
    known = [
        "Inzage, verbetering, beperking en wissen: bij het centrum, in het zorgsysteem; een nieuw bestand werkt door "
        "bij de volgende start van het programma. In een vrijgegeven totaal is geen kind aan te wijzen.",
        "Wissen in het zorgsysteem wist niet wat het programma over eerdere tabellen bewaart (`populations`, en in de "
        "reservekopie): dat het kind meetelde, als kenmerk onder een geheime sleutel. Dat blijft ook na bezwaar, zodat "
        "het verschil tussen een oude en een nieuwe tabel het kind niet verraadt.",
        "Geen besluit over een persoon volgt uit deze verwerking.",
    ]
    if listed is not None:
        known.append(
            f"Bezwaar: de lijst in {code(listed)} wordt vóór elke berekening opnieuw gelezen, en wie erop staat, telt "
            "niet mee. Kan de lijst niet gelezen worden, dan doet dit centrum niet mee. Een tabel die al is "
            "vrijgegeven, blijft."
        )
    return (
        bullets(known),
        Open("Hoe worden kinderen en ouders geïnformeerd, en door wie?"),
        Open(
            "Beoordeel of het bewaren van die kenmerken na een verzoek tot wissen of een bezwaar gerechtvaardigd is "
            "(AVG, artikelen 17, lid 3, en 21)."
        ),
        Open("Hoe maakt iemand bezwaar, en wie zet hem op de lijst?")
        if listed is not None
        else Open(
            "Er is geen lijst ingesteld van mensen die bezwaar maken (`[data] opt_out`): hoe blijven zij erbuiten?"
        ),
    )


@attrs.frozen
class _Risk:
    what: str
    source: str
    measure: str


def _risks(facts: Facts) -> tuple[_Risk, ...]:
    charter = facts.charter
    agreed = charter.disclosure
    risks = [
        _Risk(
            "Een klein aantal in een tabel wijst naar één kind.",
            "een vakje met weinig kinderen",
            f"Een vakje met minder dan {agreed.threshold} verschillende kinderen gaat niet open; dat wordt op geheime "
            "delen beslist, voordat iemand het getal kan zien.",
        ),
        _Risk(
            "Een centrum trekt zijn eigen cijfers af en houdt een klein aantal van anderen over.",
            "elk centrum kent zijn eigen rijen",
            f"Ook zonder de kinderen van één centrum moeten het er {agreed.threshold} zijn."
            if agreed.insider
            else "Geen: het handvest zet deze regel uit.",
        ),
        _Risk(
            "Twee tabellen verschillen in een paar kinderen, en het verschil verraadt hen.",
            "herhaalde of bijna gelijke verzoeken",
            f"Een vakje dat minder dan {agreed.threshold} kinderen scheelt met een vakje van een van de laatste "
            f"{agreed.differencing} tabellen, gaat niet open; elk centrum bewaart daarvoor wie er toen meetelde. Wat "
            "uit drie of meer tabellen samen volgt, wordt niet nagegaan. De pagina bij elk verzoek noemt eerdere "
            "tabellen die erop lijken."
            if agreed.differencing
            else "Het handvest laat tabellen niet vergelijken. De pagina bij elk verzoek noemt eerdere tabellen die "
            "erop lijken, en het verschil.",
        ),
        _Risk(
            "Alle andere centra spannen samen en leren het cijfer van dit centrum in een open vakje.",
            "aftrekken van het totaal; geen techniek voorkomt dat",
            "Vertrouwen en afspraken tussen de centra.",
        ),
        _Risk(
            "Een centrum geeft valse aantallen op, zodat een tabel niet klopt of een klein vakje opengaat.",
            "niemand kan een ander zijn gegevens controleren",
            "Eén leugenaar opent door de regel hierboven geen klein vakje; verder afspraken."
            if agreed.insider
            else "Afspraken tussen de centra.",
        ),
        _Risk(
            "Het bestand of de machine van dit centrum komt in verkeerde handen.",
            "inbraak, verlies, fout bij beheer",
            "Het bestand heeft geen namen, adressen of geboortedatums; wie in eerdere tabellen meetelde, is "
            "versleuteld en ook daarin alleen een kenmerk; sleutels zijn aan de machine gebonden; eigen beveiliging.",
        ),
        _Risk(
            "Een groep kinderen krijgt een stempel door een cijfer.",
            "uitleg van een tabel",
            "De steward leest vooraf wat gevraagd wordt; publicatie volgt eigen afspraken.",
        ),
        _Risk(
            "Een steward keurt iets goed dat hij niet begrijpt.",
            "tijdsdruk, techniek",
            "De pagina bij elk verzoek zegt in gewone taal wat er weggaat en wat iemand eruit kan afleiden.",
        ),
    ]
    if len(charter.contributors) <= PAIR:
        risks.append(
            _Risk(
                "Er brengen maar twee centra gegevens in: elk kent na aftrek het cijfer van het andere, "
                + ("op de afronding na." if agreed.rounding > 1 else "precies."),
                "het handvest",
                "Geen, behalve meer centra.",
            )
        )
    return tuple(risks)


def risks(facts: Facts) -> tuple[Block, ...]:
    """Point 16."""
    rows = [(str(number), risk.what, risk.source) for number, risk in enumerate(_risks(facts), 1)]
    return (
        table(("nr", "risico", "oorsprong"), rows),
        Open("Schat per risico de kans en de gevolgen in (laag, midden, hoog), met motivering, en vul de lijst aan."),
    )


_ALWAYS: Final = (
    "Elk verzoek wordt door elk centrum dat gegevens inbrengt apart goedgekeurd; elk centrum controleert elke "
    "handtekening vóórdat zijn gegevens meedoen.",
    "Wie wat deed, wanneer en voor welk doel, staat in een logboek dat niet ongemerkt te veranderen is.",
    "Centra met een ander handvest kunnen geen verbinding maken.",
    "Een bestand met namen, nummers van personen, geboortedatums, adressen of vrije tekst wordt geweigerd.",
)


def measures(facts: Facts) -> tuple[Block, ...]:
    """Point 17."""
    agreed = facts.charter.disclosure
    rows = [(str(number), risk.measure) for number, risk in enumerate(_risks(facts), 1)]
    return (
        "De regels van het handvest, zoals ze nu gelden:",
        bullets([*(stated(agreed).nl for stated in DISCLOSURE.values()), *_ALWAYS]),
        table(("risico", "maatregel"), rows),
        Open("Beschrijf de beveiliging van de machine en van het bestand in dit centrum (NEN 7510)."),
        Open("Welk risico blijft per regel over, wie beheert de maatregel, en wie aanvaardt het restrisico?"),
    )
