"""Words that several sections need: purposes of the European regulation, dates, lists, names of variables."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from types import MappingProxyType
from typing import Final

from nskd.packs.codebook import Codebook, Text

EHDS: Final = MappingProxyType(
    {
        "a": Text(
            "algemeen belang voor de volksgezondheid of de gezondheid op het werk",
            "public interest in public or occupational health",
        ),
        "b": Text(
            "beleid en toezicht door overheidsorganen in de zorg",
            "policymaking and regulatory activities of public bodies in health care",
        ),
        "c": Text("officiële statistiek over gezondheid en zorg", "official statistics on health and care"),
        "d": Text("onderwijs in de gezondheidszorg", "education in health care"),
        "e": Text("wetenschappelijk onderzoek in de gezondheidszorg", "scientific research in health care"),
        "f": Text("verbetering van de zorg aan patiënten", "improvement of the care of patients"),
    }
)
"""Article 53(1) of Regulation (EU) 2025/327 by letter, in short; the regulation has no others."""

_MONTHS: Final = (
    Text("januari", "January"),
    Text("februari", "February"),
    Text("maart", "March"),
    Text("april", "April"),
    Text("mei", "May"),
    Text("juni", "June"),
    Text("juli", "July"),
    Text("augustus", "August"),
    Text("september", "September"),
    Text("oktober", "October"),
    Text("november", "November"),
    Text("december", "December"),
)


def date(day: datetime.date) -> Text:
    """Write a day in words: 31 december 2030, 31 December 2030."""
    month = _MONTHS[day.month - 1]
    return Text(f"{day.day} {month.nl} {day.year}", f"{day.day} {month.en} {day.year}")


def moment(seconds: int) -> Text:
    """Write the day (UTC) of a time in seconds since 1970."""
    return date(datetime.datetime.fromtimestamp(seconds, datetime.UTC).date())


def listed(items: Sequence[Text]) -> Text:
    """Write a list as a person says it: a, b en c; a, b and c."""

    def joined(parts: Sequence[str], last: str) -> str:
        return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"

    return Text(joined([item.nl for item in items], "en"), joined([item.en for item in items], "and"))


def same(words: str) -> Text:
    """Make a text that reads alike in both languages: a name, an expression."""
    return Text(words, words)


def variable(name: str, codebook: Codebook) -> Text:
    """Write a variable's label and name; the name alone when the codebook does not know it."""
    known = codebook.variables.get(name)
    return same(name) if known is None else Text(f"{known.label.nl} ({name})", f"{known.label.en} ({name})")


def variables(names: Iterable[str], codebook: Codebook) -> Text:
    """Write several variables as a list."""
    return listed([variable(name, codebook) for name in names])


def legend(conditions: Sequence[str], codebook: Codebook) -> tuple[Text, ...]:
    """What the names and values in some conditions stand for: a sentence, if they stand for anything."""
    where = " ".join(conditions)
    values = dict.fromkeys(re.findall(r"'([^']*)'", where))
    names = dict.fromkeys(re.findall(r"\w+", re.sub(r"'[^']*'", " ", where)))
    read = []
    for name in names:
        variable = codebook.variables.get(name)
        if variable is not None:
            read.append(Text(f"{name} = {variable.label.nl}", f"{name} = {variable.label.en}"))
            read += [
                Text(f"'{level.key}' = {level.nl}", f"'{level.key}' = {level.en}")
                for level in variable.levels
                if level.key in values and level.nl != level.key
            ]
    if not read:
        return ()
    meaning_nl, meaning_en = "; ".join(each.nl for each in read), "; ".join(each.en for each in read)
    return (Text(f"Wat daarin staat: {meaning_nl}.", f"What that says: {meaning_en}."),)
