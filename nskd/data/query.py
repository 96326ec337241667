"""The local part of a table: one query in the hospital's own engine, two vectors of public shape out."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from nskd.analysis.table import TablePlan
from nskd.data.errors import RequestError
from nskd.data.load import Dataset
from nskd.governance.question import Measure
from nskd.packs.codebook import TOTAL
from nskd.packs.conditions import identifier, text
from protocol.online.disclosure import value_max

Counts = NDArray[np.uint64]


@attrs.frozen(eq=False, repr=False)
class LocalTable:
    """One centre's contribution, uint64 [K] in the order of `plan.cells`. Not to be shown: its repr is empty.

    `values` holds the measure; `children` the distinct children behind each cell, on which the disclosure
    rules work. A margin counts its own distinct children: a child with visits in two cells is one child in
    their total.
    """

    values: Counts
    children: Counts


def local_table(dataset: Dataset, plan: TablePlan) -> LocalTable:
    """Count the visits and the distinct children of every cell."""
    visits, children = np.zeros(plan.size, np.uint64), np.zeros(plan.size, np.uint64)
    index = {tuple(cell.values()): k for k, cell in enumerate(plan.cells)}
    for sets in plan.groupings:
        for *levels, visit_count, child_count in dataset.fetch(_query(plan, sets)):
            k = index[tuple(levels)]
            visits[k], children[k] = visit_count, child_count
    return LocalTable(children if plan.measure is Measure.CHILDREN else visits, children)


def check_values(own: LocalTable, plan: TablePlan, parties: int) -> None:
    """Refuse numbers that are too large to be computed with; raises :class:`RequestError`."""
    most = value_max(parties)
    for cell, value in zip(plan.cells, own.values.tolist(), strict=True):
        if value > most:
            raise RequestError(
                f"a cell counts more than the {most:,} here that can be computed with",
                where=", ".join(f"{name} = {level}" for name, level in cell.items()),
                remedy="Ask for a shorter period, or for finer groups.",
            )


def local_members(dataset: Dataset, plan: TablePlan) -> list[tuple[int, str, int]]:
    """Who is where: (interior cell, pseudonym, visits), one for each child in a cell."""
    index = {tuple(cell.values()): k for k, cell in enumerate(plan.cells[: plan.shape.interior])}
    person = identifier(dataset.codebook.person_link)
    found = []
    for sets in plan.groupings if plan.stacked else plan.groupings[:1]:
        rows = dataset.fetch(
            f"SELECT {_levels(plan, sets)}, {person}, count(*) FROM {plan.source}"  # noqa: S608
            f" WHERE {plan.filter.sql} GROUP BY ALL"
        )
        found += [(index[tuple(row[:-2])], row[-2], row[-1]) for row in rows]
    return found


def _levels(plan: TablePlan, grouped: frozenset[str]) -> str:
    """A column for each variable and axis: its level, or the word for all of them."""
    return ", ".join(identifier(name) if name in grouped else text(TOTAL) for name in plan.names)


def _query(plan: TablePlan, grouped: frozenset[str]) -> str:
    by = ", ".join(identifier(name) for name in plan.names if name in grouped)
    counted = f"count(*), count(DISTINCT {identifier(plan.codebook.person_link)})"
    group = f" GROUP BY {by}" if by else ""
    return f"SELECT {_levels(plan, grouped)}, {counted} FROM {plan.source} WHERE {plan.filter.sql}{group}"  # noqa: S608
