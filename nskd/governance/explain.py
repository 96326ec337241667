"""A request in plain Dutch and English, for the steward who has to decide on it.  A first cut."""

from __future__ import annotations

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
        f"Alleen bezoeken waarvoor geldt: {table.where}" if table.where else "Alle bezoeken tellen mee.",
        f"Wat dit huis verlaat: uitsluitend totalen over alle {centres} centra samen; geen regels, geen "
        "kinderen, geen cijfers van dit huis apart.",
        f"Een vakje met minder dan {threshold} verschillende kinderen blijft dicht en wordt een punt: "
        "niemand krijgt het aantal te zien.",
    ]
    en = [
        f"Question: {table.title}",
        f"Asked by: {asker}",
        f"Purpose: {table.purpose} – {why}",
        f"Asked: {counted_en}, broken down by {_axes(table, labels, 1)}{_margins(table, 1)}.",
        f"Only visits for which: {table.where}" if table.where else "All visits count.",
        f"What leaves this house: only totals over all {centres} centres together; no rows, no children, "
        "no figure of this house alone.",
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
    return Plain(nl="\n".join(nl) + "\n", en="\n".join(en) + "\n")


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
