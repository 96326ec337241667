"""What is asked, by whom, for what."""

from __future__ import annotations

from typing import Final

from nskd.governance.charter import Charter
from nskd.governance.explain import words
from nskd.governance.explain.meant import meant, named
from nskd.governance.explain.page import Question, Section
from nskd.governance.question import AsRegression, Measure, TableRequest
from nskd.packs.codebook import Codebook, Text

_COUNTED: Final = {
    Measure.VISITS: Text("aantallen bezoeken", "numbers of visits"),
    Measure.CHILDREN: Text("aantallen verschillende kinderen", "numbers of distinct children"),
}
_AGAIN: Final = {
    Measure.VISITS: Text(
        "Een kind dat vaker kwam, telt met elk bezoek mee.", "A child that came more often counts with every visit."
    ),
    Measure.CHILDREN: Text(
        "Een kind dat vaker kwam, telt in een vakje één keer. Kwam het in twee centra, dan telt het in elk één keer.",
        "A child that came more often counts once in a cell. One that came to two centres counts once in each.",
    ),
}


def asked(question: Question, codebook: Codebook) -> Section:
    """Say what is counted, of which visits, and how finely."""
    table = question.table
    sentences = [
        Text(f"Vraag: {table.title}", f"Question: {table.title}"),
        *meant(table, codebook),
        _counts(table, codebook),
        _AGAIN[table.measure],
        *_condition(table, codebook),
    ]
    if question.cells is not None:
        many = question.cells != 1
        sentences.append(
            Text(
                f"De tabel heeft {question.cells} vakje{'s' * many}.",
                f"The table has {question.cells} cell{'s' * many}.",
            )
        )
    return Section("asked", Text("Wat er gevraagd wordt", "What is asked"), tuple(sentences))


def purpose(question: Question, charter: Charter) -> Section:
    """Say who asks and what the data may be used for."""
    sentences = [_asker(question.requester, charter)]
    name = question.table.purpose
    known = charter.purpose(name)
    if known is None:
        sentences.append(
            Text(
                f"Doel: {name}. Dat doel staat niet in het handvest.", f"Purpose: {name}. The charter has no such one."
            )
        )
    else:
        aim = " ".join(known.text.split())
        sentences += [
            Text(f"Doel: {aim} ({name})", f"Purpose: {aim} ({name})"),
            _basis(known.legal_basis),
            _letter(known.ehds),
        ]
        if known.valid_until is None:
            sentences.append(Text("Dit doel heeft geen einddatum.", "This purpose has no last day."))
        else:
            day = words.date(known.valid_until)
            sentences.append(Text(f"Dit doel geldt tot en met {day.nl}.", f"This purpose holds until {day.en}."))
    return Section("purpose", Text("Door wie en waarvoor", "By whom, and what for"), tuple(sentences))


def _asker(name: str, charter: Charter) -> Text:
    centre = charter.find(name)
    if centre is None:
        return Text(
            f"Gevraagd door: {name}. Dat centrum staat niet in het handvest.", f"Asked by: {name}, not a centre."
        )
    return Text(f"Gevraagd door: {centre.title} ({name})", f"Asked by: {centre.title} ({name})")


def _basis(legal_basis: str | None) -> Text:
    if legal_basis is None:
        return Text(
            "Het handvest noemt voor dit doel geen juridische grondslag.", "The charter names no legal basis for it."
        )
    basis = " ".join(legal_basis.split())
    return Text(f"Juridische grondslag volgens het handvest: {basis}", f"Legal basis, says the charter: {basis}")


def _letter(letter: str | None) -> Text:
    if letter is None:
        return Text(
            "Het handvest noemt voor dit doel geen letter van artikel 53, lid 1, van de EHDS-verordening.",
            "The charter names no letter of Article 53(1) of the EHDS regulation for it.",
        )
    meaning = words.EHDS[letter]
    return Text(
        f"Letter {letter} van artikel 53, lid 1, van de EHDS-verordening: {meaning.nl}.",
        f"Letter {letter} of Article 53(1) of the EHDS regulation: {meaning.en}.",
    )


def _counts(table: TableRequest, codebook: Codebook) -> Text:
    counted = _COUNTED[table.measure]
    if isinstance(table.reading, AsRegression):
        names, event = named(table, table.rows, codebook), named(table, table.columns, codebook)
        return Text(
            f"Eerst worden {counted.nl} geteld, naar {names.nl}, elk apart, en naar {event.nl}. Kan daarvan één vakje "
            "niet open, dan komt er geen model en ook geen enkel aantal.",
            f"First {counted.en} are counted, by {names.en}, each by itself, and by {event.en}. If one of these cells "
            "cannot be opened, there is no model, and no number either.",
        )
    axes = _axes(table, codebook)
    totals = Text(", met totalen", ", with totals") if table.margins else Text("", "")
    return Text(
        f"Gevraagd worden {counted.nl}, uitgesplitst naar {axes.nl}{totals.nl}.",
        f"Asked are {counted.en}, broken down by {axes.en}{totals.en}.",
    )


def _axes(table: TableRequest, codebook: Codebook) -> Text:
    rows = named(table, table.rows, codebook)
    if not table.columns:
        return rows
    columns = named(table, table.columns, codebook)
    return Text(f"{rows.nl}, en naar {columns.nl}", f"{rows.en}, and by {columns.en}")


def _condition(table: TableRequest, codebook: Codebook) -> tuple[Text, ...]:
    """The condition as it was written, and what the names and values in it stand for."""
    if table.where is None:
        return (Text("Alle bezoeken tellen mee.", "All visits count."),)
    where = " ".join(table.where.split())
    told = Text(f"Alleen bezoeken tellen mee waarvoor geldt: {where}", f"Only visits count for which: {where}")
    return (told, *words.legend((where,), codebook))
