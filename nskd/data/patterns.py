"""The rows of a model, in the hospital's own engine: visits that have all covariates alike, counted together."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from nskd.analysis.table import TablePlan
from nskd.data.load import Dataset
from nskd.governance.question import YES, AsRegression
from nskd.packs.conditions import identifier, text

Whole = NDArray[np.int64]


@attrs.frozen(eq=False, repr=False)
class Patterns:
    """One centre's, not to be shown: its repr is empty.

    ``places`` int64[k, covariates]: the place of a pattern's level among the codebook's; ``size`` int64[k]: visits;
    ``total``: those with the outcome, or of a linear model the sum of their numbers, and ``squares`` that of squares.
    """

    places: Whole
    size: Whole
    total: Whole
    squares: Whole

    def vectors(self) -> tuple[NDArray[np.uint64], ...]:
        """All of it, to be held fixed."""
        return tuple(
            np.ascontiguousarray(each).reshape(-1).view(np.uint64)
            for each in (self.places, self.size, self.total, self.squares)
        )


def local_patterns(dataset: Dataset | None, plan: TablePlan) -> Patterns:
    """Group the visits that the model is of, in one order; none of a centre without data."""
    reading = plan.reading
    if not isinstance(reading, AsRegression):
        raise TypeError(f"a {reading.kind} has no model")
    if dataset is None:
        return Patterns(np.zeros((0, len(plan.rows)), np.int64), *(np.zeros(0, np.int64) for _ in range(3)))
    names = ", ".join(identifier(name) for name in plan.rows)
    (event,) = (f"{identifier(name)} = {text(YES)}" for name in plan.columns)
    summed, where = f"count(*) FILTER ({event}), 0", plan.filter.sql
    if reading.number is not None:
        number = f"CAST({identifier(reading.number)} AS HUGEINT)"
        summed, where = f"sum({number}), sum({number} * {number})", f"({where}) AND {event}"
    rows = dataset.fetch(
        f"SELECT {names}, count(*), {summed} FROM {plan.source} WHERE {where} GROUP BY {names} ORDER BY {names}"  # noqa: S608
    )
    index = [{key: place for place, key in enumerate(plan.codebook.variables[name].keys)} for name in plan.rows]
    places = [[known[level] for known, level in zip(index, row, strict=False)] for row in rows]
    numbers = np.array([row[-3:] for row in rows], dtype=np.int64).reshape(-1, 3)
    return Patterns(np.array(places, dtype=np.int64).reshape(-1, len(plan.rows)), *np.ascontiguousarray(numbers.T))
