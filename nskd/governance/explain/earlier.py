"""How a question compares with what has been released before: same visits? finer? and what watches over that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from nskd.governance.charter import Charter
from nskd.governance.explain import words
from nskd.governance.explain.page import Question, Section
from nskd.packs.codebook import Codebook, Text

SHOWN_MAX: Final = 10  # a steward reads a page, not an archive; the ledger has the rest


@attrs.frozen
class Earlier:
    """A release on record: what was asked, when it was released (seconds since 1970), the digest of its request."""

    question: Question
    released_at: int
    request: bytes


def earlier_releases(question: Question, charter: Charter, codebook: Codebook, released: Sequence[Earlier]) -> Section:
    """List the releases closest to this question and say how they differ from it."""
    related = sorted((each for each in released if _related(question, each)), key=lambda each: _rank(question, each))
    title = Text("Vergeleken met wat eerder is vrijgegeven", "Compared with what was released before")
    if not related:
        none = Text(
            "Er is nog niets vrijgegeven met dezelfde variabelen of voor hetzelfde doel.",
            "Nothing has been released yet with the same variables or for the same purpose.",
        )
        return Section("earlier", title, (none,))
    sentences = [_told(question, each, codebook) for each in related[:SHOWN_MAX]]
    left = len(related) - SHOWN_MAX
    if left > 0:
        sentences.append(
            Text(f"En nog {left} andere, die minder lijken.", f"And {left} more, which are less like this one.")
        )
    sentences.append(_watched(charter.disclosure.differencing))
    return Section("earlier", title, tuple(sentences))


def _watched(back: int) -> Text:
    if not back:
        return Text(
            "Het handvest laat de aantallen van nu en toen niet vergelijken. Kijk zelf of het verschil maar over een "
            "paar kinderen gaat, en weiger dan.",
            "The charter does not have the numbers of then and now compared. See for yourself whether the difference "
            "is about a few children only, and then refuse.",
        )
    return Text(
        f"Bij het rekenen worden de vakjes vergeleken met die van de laatste {back} tabellen, twee aan twee. Wat "
        "uit drie tabellen of meer samen volgt, wordt niet nagegaan: alleen het afronden houdt dat onzeker.",
        f"In the computation the cells are compared with those of the last {back} tables, two by two. What follows "
        "from three or more tables together is not looked at: only rounding keeps that uncertain.",
    )


def _axes(question: Question) -> frozenset[str]:
    return frozenset(question.table.variables)


def _related(question: Question, each: Earlier) -> bool:
    shared = _axes(question) & _axes(each.question)
    return bool(shared) or question.table.purpose == each.question.table.purpose


def _rank(question: Question, each: Earlier) -> tuple[int, int, int]:
    """The closest first: what differs in little tells most about the little in which it differs."""
    then = each.question
    apart = len(_axes(question) ^ _axes(then))
    return (int(then.filter != question.filter), apart, -each.released_at)


def _told(question: Question, each: Earlier, codebook: Codebook) -> Text:
    then = each.question
    day, name = words.moment(each.released_at), each.request.hex()[:12]
    parts = [_visits(question, then), _breakdown(question, then, codebook)]
    if then.table.measure is not question.table.measure:
        parts.append(
            Text("toen werden bezoeken geteld", "visits were counted then")
            if then.table.measure.value == "visits"
            else Text("toen werden kinderen geteld", "children were counted then")
        )
    if then.table.purpose != question.table.purpose:
        parts.append(Text(f"ander doel ({then.table.purpose})", f"another purpose ({then.table.purpose})"))
    return Text(
        f"{day.nl}, “{then.table.title}” ({name}): {'; '.join(part.nl for part in parts)}.",
        f"{day.en}, “{then.table.title}” ({name}): {'; '.join(part.en for part in parts)}.",
    )


def _visits(question: Question, then: Question) -> Text:
    if question.filter == then.filter:
        return Text("dezelfde keuze van bezoeken", "the same choice of visits")
    if not then.filter:
        return Text("toen alle bezoeken", "then all visits")
    return Text(f"toen bezoeken waarvoor {then.filter}", f"then visits for which {then.filter}")


def _breakdown(question: Question, then: Question, codebook: Codebook) -> Text:
    now, before = _axes(question), _axes(then)
    if now == before:
        return Text("dezelfde uitsplitsing", "the same breakdown")
    more = [name for name in question.table.variables if name not in before]
    less = [name for name in then.table.variables if name not in now]
    if now > before:
        added = words.variables(more, codebook)
        return Text(f"nu fijner: ook naar {added.nl}", f"finer now: also by {added.en}")
    if now < before:
        left = words.variables(less, codebook)
        return Text(f"nu grover: zonder {left.nl}", f"coarser now: without {left.en}")
    was = words.variables(then.table.variables, codebook)
    return Text(f"toen uitgesplitst naar {was.nl}", f"then broken down by {was.en}")
