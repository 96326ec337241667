"""Columns that identify a person outright. They are refused by name, whatever a pack says."""

from __future__ import annotations

import re

from nskd.packs.codebook import Codebook

# Dutch and English words of column names, by the reason to refuse them. A word counts when it is the whole
# name or one of its parts ("patient_name", "postcode4"); variables of the codebook are never looked at.
_REASONS = {
    "identifies a person": (
        "bsn burgerservicenummer sofinummer ssn name naam voornaam achternaam firstname lastname surname "
        "patientnummer patientnr patientid mrn initials voorletters phone telefoon email"
    ),
    "tells a person's birthday": "birthdate birthday geboortedatum geboortedag dob",
    "tells where a person lives": "postcode postalcode zip zipcode address adres street straat huisnummer",
    "holds free text": (
        "text tekst freetext vrijetekst note notes notitie notities comment comments opmerking opmerkingen "
        "remark remarks toelichting beschrijving description anamnese narrative verslag"
    ),
}
_REASON_OF_WORD = {word: reason for reason, words in _REASONS.items() for word in words.split()}


def why_forbidden(column: str, codebook: Codebook) -> str | None:
    """Why a column that the codebook does not know may not be in a file at all, or None."""
    folded = column.strip().casefold()
    parts = [part.rstrip("0123456789") for part in re.split(r"[^a-z0-9]+", folded)]
    for word in (folded, "".join(parts), *parts):
        if word in codebook.forbidden:
            return codebook.forbidden[word].en
        if word in _REASON_OF_WORD:
            return f"It {_REASON_OF_WORD[word]} and never leaves the hospital's own systems."
    return None
