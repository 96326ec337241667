"""A request in plain Dutch and English, for the steward who has to decide on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import attrs

from nskd.governance.charter import Charter
from nskd.governance.request import Measure, TableRequest

Labels = Callable[[str], tuple[str, str] | None]
"""A codebook variable's (Dutch, English) label, or ``None`` for an unknown one."""


@attrs.frozen
class Plain:
    """The same text twice; lines end in a newline."""

    nl: str
    en: str


_PAIR: Final = 2  # contributors whose sum is no secret between them

_COUNTED: Final = {
    Measure.VISITS: ("aantallen bezoeken", "numbers of visits"),
    Measure.CHILDREN: ("aantallen verschillende kinderen", "numbers of distinct children"),
}


def explain(table: TableRequest, *, requester: str, charter: Charter, labels: Labels) -> Plain:
    """Say what is asked, by whom, for what, and what can leave this centre."""
    centre = charter.find(requester)
    asker = f"{centre.title} ({requester})" if centre is not None else requester
    purpose = charter.purpose(table.purpose)
    why = purpose.text.strip() if purpose is not None else "?"
    threshold = charter.disclosure.threshold
    centres = len(charter.contributors)
    counted_nl, counted_en = _COUNTED[table.measure]
    nl = [
        f"Vraag: {table.title}",
        f"Gesteld door: {asker}",
        f"Doel: {table.purpose} – {why}",
        f"Gevraagd: {counted_nl}, uitgesplitst naar {_axes(table, labels, 0)}{_margins(table, 0)}.",
        f"Alleen bezoeken waarvoor geldt: {table.where}{_read(table, labels, 0)}"
        if table.where
        else "Alle bezoeken tellen mee.",
        f"Wat dit ziekenhuis verlaat: uitsluitend totalen over alle {centres} centra samen; geen regels, geen "
        "kinderen, geen cijfers van dit ziekenhuis apart.",
        f"Een vakje met minder dan {threshold} verschillende kinderen blijft dicht en wordt een punt: "
        "niemand krijgt het aantal te zien.",
    ]
    en = [
        f"Question: {table.title}",
        f"Asked by: {asker}",
        f"Purpose: {table.purpose} – {why}",
        f"Asked: {counted_en}, broken down by {_axes(table, labels, 1)}{_margins(table, 1)}.",
        f"Only visits for which: {table.where}{_read(table, labels, 1)}" if table.where else "All visits count.",
        f"What leaves this hospital: only totals over all {centres} centres together; no rows, no children, "
        "no figure of this hospital alone.",
        f"A cell of fewer than {threshold} distinct children stays shut and becomes a dot: nobody gets "
        "to see the number.",
    ]
    if charter.disclosure.insider:
        nl.append(
            f"Dat geldt ook als een centrum zijn eigen kinderen aftrekt: wat dan overblijft, zijn er "
            f"{threshold} of meer."
        )
        en.append(
            f"That also holds when a centre subtracts its own children: what is then left is {threshold} or more."
        )
    if table.margins:
        nl.append("Er gaan zo veel andere vakjes dicht dat geen gesloten vakje uit de totalen te berekenen is.")
        en.append("Further cells stay shut, so that none can be worked out from the totals.")
    if centres <= _PAIR:
        nl.append(
            "Let op: met twee centra kan elk zijn eigen cijfer van een getoond totaal aftrekken en zo dat van het "
            "andere kennen."
        )
        en.append(
            "Mind: with two centres each can subtract its own figure from a total shown, and so know the other's."
        )
    return Plain(nl="\n".join(nl) + "\n", en="\n".join(en) + "\n")


def _read(table: TableRequest, labels: Labels, language: int) -> str:
    """Say what the variables in the condition are called."""
    words = dict.fromkeys(re.findall(r"\w+", re.sub(r"'[^']*'", " ", table.where or "")))
    known = [f"{word}: {label[language]}" for word in words if (label := labels(word)) is not None]
    return f" ({'; '.join(known)})" if known else ""


def _axes(table: TableRequest, labels: Labels, language: int) -> str:
    joiner = (" en ", " and ")[language]

    def axis(names: Sequence[str]) -> str:
        return joiner.join(_label(name, labels, language) for name in names)

    if not table.columns:
        return axis(table.rows)
    return f"{axis(table.rows)}{(', tegen ', ', against ')[language]}{axis(table.columns)}"


def _label(name: str, labels: Labels, language: int) -> str:
    label = labels(name)
    return f"{label[language]} ({name})" if label is not None else name


def _margins(table: TableRequest, language: int) -> str:
    return (", met randtotalen", ", with totals of rows and columns")[language] if table.margins else ""
