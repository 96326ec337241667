"""The local part of a table: one query in the hospital's own engine, two vectors of public shape out."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from nskd.analysis.table import Measure, TablePlan
from nskd.data.load import Dataset
from nskd.packs.codebook import TOTAL, Codebook
from nskd.packs.conditions import identifier, text

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
    for sets in _grouping_sets(plan):
        for *levels, visit_count, child_count in dataset.fetch(_query(dataset.codebook, plan, sets)):
            k = index[tuple(levels)]
            visits[k], children[k] = visit_count, child_count
    return LocalTable(children if plan.measure is Measure.CHILDREN else visits, children)


def _grouping_sets(plan: TablePlan) -> list[frozenset[str]]:
    """Return what to group by: all variables, and for margins what remains when a side is totalled."""
    rows, columns = frozenset(plan.rows), frozenset(plan.columns)
    sets = [rows | columns]
    if plan.margins:
        sets += [rows, columns, frozenset()] if columns else [frozenset()]
    return sets


def _query(codebook: Codebook, plan: TablePlan, grouped: frozenset[str]) -> str:
    names = (*plan.rows, *plan.columns)
    shown = ", ".join(identifier(name) if name in grouped else text(TOTAL) for name in names)
    by = ", ".join(identifier(name) for name in names if name in grouped)
    counted = f"count(*), count(DISTINCT {identifier(codebook.person_link)})"
    group = f" GROUP BY {by}" if by else ""
    return f"SELECT {shown}, {counted} FROM visits WHERE {plan.filter.sql}{group}"  # noqa: S608
