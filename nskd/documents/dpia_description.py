"""Part A of the assessment, points 1 to 10: what is done, with which data, by whom, where and how long."""

from __future__ import annotations

from typing import Final

from nskd.documents.facts import Facts
from nskd.documents.report import Block, Open, bullets, code, plain, table
from nskd.governance.charter import Role
from nskd.governance.explain.words import EHDS, date
from nskd.governance.lifecycle import State
from nskd.packs.codebook import Codebook, Variable, VariableType

_ROLES: Final = {Role.COMPUTE: "rekent mee", Role.CONTRIBUTE: "brengt gegevens in", Role.REQUEST: "mag vragen stellen"}
_STATES: Final = {
    State.SUBMITTED: "ingediend",
    State.APPROVED: "goedgekeurd",
    State.RUNNING: "bezig",
    State.DONE: "vrijgegeven",
    State.REFUSED: "geweigerd",
    State.FAILED: "mislukt",
    State.EXPIRED: "verlopen",
}
_RIGHTS: Final = (
    ("read", "toestand en vrijgegeven tabellen bekijken"),
    ("operate", "verzoeken indienen en laten rekenen"),
    ("approve", "verzoeken voor dit centrum goedkeuren of weigeren"),
    ("admin", "de daemon beheren"),
)


def proposal(facts: Facts) -> tuple[Block, ...]:
    """Point 1."""
    charter = facts.charter
    return (
        f"{len(charter.centres)} centra willen samen tellingen maken over hun gegevens "
        f"({plain(facts.pack.title.nl)}), zonder die gegevens aan elkaar of aan een ander te laten zien. Elk centrum "
        "houdt zijn eigen gegevens op zijn eigen machine. Daar draait het programma `nskd`. De programma's rekenen "
        "samen, op getallen die elk voor zich willekeurig zijn, en alleen het gezamenlijke totaal komt tevoorschijn. "
        "Er is geen centrale database, geen derde partij die de gegevens ziet, en geen leverancier met toegang.",
        "Wat gerekend wordt, ligt niet vooraf vast. Elk verzoek is een klein ondertekend document, dat elk centrum dat "
        "gegevens inbrengt apart moet goedkeuren.",
        Open(
            "Beschrijf de aanleiding, en wie wanneer over deelname heeft besloten (bestuur, met datum van het besluit)."
        ),
    )


def personal_data(facts: Facts) -> tuple[Block, ...]:
    """Point 2."""
    book = facts.pack.codebook
    rows = [
        (
            f"`{variable.name}`",
            plain(variable.label.nl),
            _kind(variable, book),
            "vastgelegd" if variable.derivation is None else "afgeleid uit andere kolommen",
        )
        for variable in book.variables.values()
    ]
    blocks: list[Block] = [
        f"Eén rij is één bezoek. {_period(book)} Het gaat om gegevens die bij de zorg zijn vastgelegd; alle kolommen "
        "samen gelden daarom als gegevens over gezondheid, een bijzonder persoonsgegeven.",
        table(("kolom", "betekenis", "soort", "herkomst"), rows),
        "Deze kolommen weigert het programma, ook als ze in het bestand staan: "
        + ", ".join(f"`{name}`" for name in book.forbidden)
        + "; en verder alles wat niet in het codeboek staat.",
    ]
    if facts.activity is not None and facts.activity.visits is not None:
        blocks.append(f"Het programma heeft nu {facts.activity.visits} bezoeken van dit centrum ingelezen.")
    if facts.config.data.origin is None:
        blocks.append("Dit centrum brengt volgens zijn configuratie zelf geen gegevens in.")
    else:
        blocks.append(f"De gegevens van dit centrum staan in {code(facts.config.data.origin)}.")
        blocks.append(
            "Van elk kind dat in een tabel meetelde, bewaart het programma in dit centrum een kenmerk van het "
            "pseudoniem onder een geheime sleutel, met het vakje waarin het zat (punt 10)."
        )
    return (
        *blocks,
        Open(
            "Uit welk systeem (EPD) komt het bestand, wie maakt het, en met welk oorspronkelijk doel zijn de gegevens "
            "vastgelegd?"
        ),
        Open(
            "Om hoeveel kinderen gaat het ongeveer per jaar, en zijn ook gegevens van ouders of medewerkers betrokken?"
        ),
    )


def _period(book: Codebook) -> str:
    month = book.variables.get(book.month) if book.month else None
    if month is None:
        return ""
    return f"Het codeboek kent de maanden {month.keys[0]} tot en met {month.keys[-1]}."


def _kind(variable: Variable, book: Codebook) -> str:
    if variable.name == book.person_link:
        return "pseudoniem"
    if variable.type is VariableType.IDENTIFIER:
        return "willekeurig kenmerk"
    return "gezondheid"


def operations(facts: Facts) -> tuple[Block, ...]:
    """Point 3."""
    blocks: list[Block] = [
        table(
            ("nr", "verwerking", "waar", "welke gegevens"),
            (
                ("1", "bestand maken uit het zorgsysteem", "in het centrum", "alle kolommen van punt 2"),
                ("2", "bestand controleren en inlezen (`nskd check`, `nskd run`)", "in het centrum", "idem"),
                (
                    "3",
                    "verzoek indienen, tonen, goedkeuren of weigeren",
                    "alle centra",
                    "geen persoonsgegevens van kinderen",
                ),
                (
                    "4",
                    "per vakje tellen: bezoeken en verschillende kinderen",
                    "in het centrum",
                    "kolommen van het verzoek",
                ),
                (
                    "5",
                    "elk getal in willekeurige delen splitsen en de delen versturen",
                    "alle centra",
                    "delen waaruit geen ander iets kan lezen",
                ),
                ("6", "op de delen beslissen welke vakjes veilig zijn", "alle centra", "idem"),
                ("7", "veilige totalen openen en bij elk centrum bewaren", "alle centra", "gezamenlijke totalen"),
            ),
        ),
        "Een steward leest vóór de goedkeuring met `nskctl request show` wat er van dit verzoek het centrum verlaat, "
        "in welke vorm, voor wie, en wat iemand eruit kan afleiden.",
    ]
    if facts.activity is not None:
        states = ", ".join(f"{count} {_STATES[state]}" for state, count in facts.activity.requests.items() if count)
        blocks.append(f"Verzoeken bij dit centrum tot nu toe: {states or 'geen'}.")
    return (
        *blocks,
        Open("Voeg zo nodig een stroomschema toe van de weg van zorgsysteem naar bestand in dit centrum."),
    )


def techniques(facts: Facts) -> tuple[Block, ...]:
    """Point 4."""
    return (
        bullets(
            (
                "Rekenen onder geheimhouding (*secure multi-party computation*): additieve delen met een "
                f"echtheidscode, veilig zolang één van de {len(facts.charter.centres)} centra eerlijk is. Wie vals "
                "speelt, wordt gemerkt voordat er iets opengaat; dan stopt alles.",
                "Onderweg: versleuteld en wederzijds geverifieerd (Noise, X25519 met ML-KEM-768, AES-256-GCM), ook "
                "bestand tegen wie nu opneemt en later een quantumcomputer heeft.",
                "In rust: de voorraad geheim materiaal, wie in eerdere tabellen meetelde en de reservekopie zijn "
                "versleuteld met AES-256-GCM onder een sleutel die het besturingssysteem bij de start aanreikt.",
                "Logboek: elk centrum houdt bij wie wat deed, wanneer en voor welk doel. Elke regel is ondertekend "
                "en aan de vorige gebonden, en centra bewaren elkaars laatste kenmerk, zodat een verandering "
                "achteraf opvalt. Het logboek bevat geen gegevens van kinderen en is uit te voeren als FHIR "
                "`AuditEvent` (NEN 7513).",
                "Geen geautomatiseerde besluitvorming over personen, geen profilering, geen kunstmatige intelligentie.",
                "Geen clouddienst vanuit het programma zelf.",
            )
        ),
    )


def purposes(facts: Facts) -> tuple[Block, ...]:
    """Point 5."""
    blocks: list[Block] = [
        "Het handvest noemt de doelen hieronder, en geen andere. Een verzoek noemt er één; elk centrum controleert "
        "zelf of dat doel nog geldt en of elke gebruikte kolom ervoor mag dienen."
    ]
    total = len(facts.pack.codebook.variables)
    for purpose in facts.charter.purposes:
        unsuited = facts.pack.codebook.unsuited(purpose.id, facts.pack.codebook.variables)
        allowed = "alle kolommen" if not unsuited else f"{total - len(unsuited)} van de {total} kolommen"
        if unsuited and len(unsuited) < total:
            allowed += f", niet {', '.join(f'`{name}`' for name in unsuited)}"
        until = "zonder einddatum" if purpose.valid_until is None else f"tot en met {date(purpose.valid_until).nl}"
        letter = "geen letter genoemd" if purpose.ehds is None else f"letter {purpose.ehds}: {EHDS[purpose.ehds].nl}"
        blocks.append(
            bullets(
                (
                    f"`{purpose.id}`: {plain(purpose.text)}",
                    f"EHDS, artikel 53, lid 1: {letter}; {until}; {allowed}.",
                )
            )
        )
        if unsuited and len(unsuited) == total:
            blocks.append(
                Open(f"Geen enkele kolom mag voor doel `{purpose.id}` dienen: pas het handvest of het pack aan.")
            )
    return tuple(blocks)


def parties(facts: Facts) -> tuple[Block, ...]:
    """Point 6."""
    rows = [
        (
            plain(centre.title),
            f"`{centre.name}`",
            ", ".join(word for role, word in _ROLES.items() if role in centre.roles),
            ", ".join(plain(steward.name) for steward in centre.stewards) or "niet genoemd",
            str(centre.approvals_needed),
        )
        for centre in facts.charter.centres
    ]
    blocks: list[Block] = [
        table(("centrum", "naam", "rol in het handvest", "stewards", "goedkeuringen nodig"), rows),
        "Elk centrum bepaalt over zijn eigen gegevens. Gegevens van kinderen komen bij geen ander centrum terecht.",
        "In dit centrum geeft de configuratie deze rechten (een recht omvat die erboven):",
    ]
    empty = []
    listed = []
    for role, meaning in _RIGHTS:
        people = facts.config.control.roles.principals()[role]
        if not people:
            empty.append(role)
        listed.append(f"`{role}` ({meaning}): {', '.join(code(each) for each in people) or 'niemand'}")
    blocks.append(bullets(listed))
    contributes = Role.CONTRIBUTE in facts.centre.roles
    if contributes and "approve" in empty:
        blocks.append(Open("Niemand heeft in `[control.roles]` het recht `approve`: wijs stewards aan."))
    return (
        *blocks,
        Open(
            "Leg vast of de centra gezamenlijk verwerkingsverantwoordelijk zijn (AVG, artikel 26) en verwijs naar de "
            "onderlinge regeling; noem ook een verwerker die de machine beheert."
        ),
    )


def interests(facts: Facts) -> tuple[Block, ...]:
    """Point 7."""
    return (
        bullets(
            (
                "Kinderen: dat het doel van punt 5 de zorg aan hen ten goede komt, en dat niemand iets over één kind "
                "leert.",
                "Centra: leren van elkaars cijfers zonder gegevens af te staan.",
            )
        ),
        Open(
            "Beschrijf de belangen van kinderen, ouders en medewerkers, en hoe zij of hun vertegenwoordigers "
            "(cliëntenraad) zijn gehoord; of waarom niet."
        ),
    )


def locations(facts: Facts) -> tuple[Block, ...]:
    """Point 8."""
    config = facts.config
    return (
        bullets(
            (
                f"Eigen gegevens: {code(config.data.origin)}"
                if config.data.origin is not None
                else "Eigen gegevens: geen bestand ingesteld",
                f"Voorraad, verzoeken, vrijgegeven tabellen, wie daarin meetelde en de reservekopie: "
                f"{code(config.state.directory)}",
                f"Bereikbaar voor de andere centra op {code(config.network.listen)}",
                *(f"{plain(centre.title)}: {code(centre.address)}" for centre in facts.charter.centres),
            )
        ),
        Open(
            "Waar staan de machines van alle centra (land, rekencentrum, beheerder)? Bevestig dat er geen doorgifte "
            "is buiten de Europese Economische Ruimte."
        ),
    )


def framework(facts: Facts) -> tuple[Block, ...]:
    """Point 9."""
    return (
        "Te toetsen, naast wat het centrum zelf noemt:",
        bullets(
            (
                "Algemene verordening gegevensbescherming (AVG) en Uitvoeringswet AVG",
                "Geneeskundige behandelingsovereenkomst (Burgerlijk Wetboek, boek 7, artikelen 446–468) en medisch "
                "beroepsgeheim",
                "Verordening (EU) 2025/327 betreffende de Europese ruimte voor gezondheidsgegevens (EHDS)",
                *(plain(law.nl) for law in facts.pack.framework),
                "NEN 7510 (informatiebeveiliging in de zorg) en NEN 7513 (logging)",
            )
        ),
        Open("Welke wetten, richtlijnen en eigen regels gelden voor dit centrum, en met welke gevolgen?"),
    )


def retention(facts: Facts) -> tuple[Block, ...]:
    """Point 10."""
    listed = facts.config.data.opt_out
    objections = [] if listed is None else [("lijst van wie bezwaar maakt", code(listed), "bepaalt het centrum")]
    return (
        table(
            ("wat", "waar", "hoe lang"),
            (
                ("bestand met bezoeken", "bestand van het centrum", "bepaalt het centrum"),
                *objections,
                ("delen van de getallen", "geheugen", "tot het einde van de berekening"),
                ("voorraad geheim materiaal", "`stock`, versleuteld", "tot gebruik; nooit twee keer gebruikt"),
                (
                    "wie in welke tabel meetelde: per verzoek en kind een kenmerk van het pseudoniem onder een geheime "
                    "sleutel, het vakje en het aantal bezoeken",
                    "`populations`, versleuteld",
                    "zolang het centrum de map bewaart; het programma wist er niets uit",
                ),
                (
                    "per verzoek een kenmerk van de bijgedragen aantallen; niets per kind",
                    "`contributions`",
                    "zolang het centrum de map bewaart, of tot een vergunning wissen eist",
                ),
                (
                    "reservekopie van deze map, zonder voorraad",
                    "`backup`, versleuteld, en waar het centrum haar heen kopieert",
                    "de laatste, of tot een vergunning wissen eist; wat elders staat, bepaalt het centrum",
                ),
                (
                    "verzoeken, goedkeuringen, vrijgegeven tabellen",
                    "`ledger.sqlite`",
                    "zolang het centrum de map bewaart",
                ),
                ("logboek", "`audit.ndjson`", "zolang het centrum de map bewaart; wordt niet ingekort"),
            ),
        ),
        "Wie in eerdere tabellen meetelde, is een gepseudonimiseerd persoonsgegeven. Het dient om elke nieuwe tabel "
        "met eerdere te vergelijken: anders zou een verschil van een paar kinderen hen kunnen verraden."
        + ("" if facts.charter.disclosure.differencing else " Het handvest van nu laat dat vergelijken achterwege."),
        Open(
            "Stel een bewaartermijn vast voor het bestand, de vrijgegeven tabellen, `populations`, reservekopieën en "
            "het logboek, met motivering."
        ),
    )
