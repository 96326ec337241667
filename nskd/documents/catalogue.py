"""This centre's data set as an entry for a catalogue of health data, in Turtle.

The properties are those that the Health-RI core metadata schema v2.0.0 (5 June 2025), a profile of HealthDCAT-AP and
DCAT-AP NL, makes mandatory for a data set, its catalogue, their publisher and their contact point, and some recommended
ones that the live state knows.  The data set is not public: nobody is given rows, and totals only through the workshop.
"""

from __future__ import annotations

from typing import Final

from nskd.config import Catalogue
from nskd.documents.facts import Facts
from nskd.documents.turtle import A, Blank, Iri, Literal, Name, Object, document
from nskd.errors import OperatorError
from nskd.packs.codebook import Text

PREFIXES: Final = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dcatap": "http://data.europa.eu/r5r/",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
NON_PUBLIC: Final = Iri("http://publications.europa.eu/resource/authority/access-right/NON_PUBLIC")
EHDS: Final = Iri("http://data.europa.eu/eli/reg/2025/327/oj")
HEALTH: Final = Iri("http://publications.europa.eu/resource/authority/data-theme/HEAL")
LANGUAGES: Final = (
    Iri("http://publications.europa.eu/resource/authority/language/NLD"),
    Iri("http://publications.europa.eu/resource/authority/language/ENG"),
)

Properties = list[tuple[Name, Object]]


class CatalogueError(OperatorError):
    """Something a catalogue entry must have is not configured."""


def catalogue(facts: Facts) -> str:
    """Write the entry; :class:`CatalogueError` names the key of ``[catalogue]`` that is missing."""
    settings = facts.config.catalogue
    subject = _required(settings.dataset, "dataset", '"https://ziekenhuis.example/data/nsk"')
    entry = Iri(subject)
    shelf = Iri(f"{subject}#catalogue")
    return document(PREFIXES, [(shelf, _shelf(facts, entry)), (entry, _dataset(facts, subject))])


def _shelf(facts: Facts, entry: Iri) -> Properties:
    """The catalogue that holds the entry: a harvester reads from there."""
    title = Text(f"Gegevens van {facts.centre.title}", f"Data of {facts.centre.title}")
    about = Text(
        f"Gegevens waarmee {facts.centre.title} meedoet aan workshop {facts.charter.workshop}.",
        f"Data with which {facts.centre.title} takes part in workshop {facts.charter.workshop}.",
    )
    return [
        (A, Name("dcat", "Catalog")),
        *_both("title", title),
        *_both("description", about),
        (Name("dct", "publisher"), _agent(facts)),
        (Name("dcat", "contactPoint"), _contact(facts)),
        (Name("dcat", "dataset"), entry),
    ]


def _dataset(facts: Facts, identifier: str) -> Properties:
    pack = facts.pack
    title = Text(f"{pack.title.nl} – {facts.centre.title}", f"{pack.title.en} – {facts.centre.title}")
    return [
        (A, Name("dcat", "Dataset")),
        *_both("title", title),
        *_both("description", _description(facts)),
        (Name("dct", "identifier"), Literal(identifier, datatype=Name("xsd", "anyURI"))),
        *((Name("dcat", "keyword"), word) for word in _keywords(facts)),
        (Name("dcat", "theme"), HEALTH),
        (Name("dct", "accessRights"), NON_PUBLIC),
        (Name("dcatap", "applicableLegislation"), EHDS),
        (Name("dct", "creator"), _agent(facts)),
        (Name("dct", "publisher"), _agent(facts)),
        (Name("dcat", "contactPoint"), _contact(facts)),
        *((Name("dct", "language"), language) for language in LANGUAGES),
        (Name("dcat", "version"), Literal(pack.version)),
    ]


def _description(facts: Facts) -> Text:
    pack, columns = facts.pack, len(facts.pack.codebook.recorded)
    purposes = len(facts.charter.purposes)
    return Text(
        f"{pack.title.nl}, bij {facts.centre.title}. Eén rij per bezoek, {columns} kolommen volgens codeboek "
        f"{pack.name}, versie {pack.version}. De rijen verlaten het centrum niet. Gezamenlijke tellingen met andere "
        f"centra zijn mogelijk binnen workshop {facts.charter.workshop}, voor de {purposes} doelen van haar handvest, "
        "na goedkeuring per verzoek.",
        f"{pack.title.en}, at {facts.centre.title}. One row per visit, {columns} columns as in codebook {pack.name}, "
        f"version {pack.version}. The rows do not leave the centre. Joint counts with other centres are possible "
        f"within workshop {facts.charter.workshop}, for the {purposes} purposes of its charter, after approval of "
        "each request.",
    )


def _keywords(facts: Facts) -> list[Literal]:
    """The pack's own, in both languages; its name where it gives none."""
    words = facts.pack.keywords or (Text(facts.pack.name, facts.pack.name),)
    return [literal for word in words for literal in (Literal(word.nl, "nl"), Literal(word.en, "en"))]


def _agent(facts: Facts) -> Blank:
    settings = facts.config.catalogue
    publisher = _required(settings.publisher, "publisher", '"https://ror.org/…", or another IRI that names your centre')
    return Blank(
        (
            (A, Name("foaf", "Agent")),
            (Name("foaf", "name"), Literal(facts.centre.title)),
            (Name("dct", "identifier"), Literal(publisher)),
            (Name("foaf", "mbox"), _mailbox(settings)),
            (Name("foaf", "homepage"), Iri(_required(settings.homepage, "homepage", '"https://ziekenhuis.example"'))),
        )
    )


def _contact(facts: Facts) -> Blank:
    settings = facts.config.catalogue
    return Blank(
        (
            (A, Name("vcard", "Kind")),
            (Name("vcard", "fn"), Literal(settings.contact or facts.centre.title)),
            (Name("vcard", "hasEmail"), _mailbox(settings)),
        )
    )


def _mailbox(settings: Catalogue) -> Iri:
    return Iri("mailto:" + _required(settings.email, "email", '"gegevens@ziekenhuis.example"'))


def _both(name: str, text: Text) -> Properties:
    return [(Name("dct", name), Literal(text.nl, "nl")), (Name("dct", name), Literal(text.en, "en"))]


def _required(value: str | None, key: str, example: str) -> str:
    if value is None:
        raise CatalogueError(
            "a catalogue entry needs this key",
            where=f"[catalogue] {key}",
            remedy=f"Add to nskd.toml, under [catalogue]: {key} = {example}",
        )
    return value
