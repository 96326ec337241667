"""The rows of a model, in the hospital's own engine: visits that have all covariates alike, counted together."""

from __future__ import annotations

import attrs
import numpy as np
from numpy.typing import NDArray

from nskd.analysis.design import Design
from nskd.analysis.table import TablePlan
from nskd.data.load import Dataset
from nskd.governance.question import YES, AsRegression, ModelFamily
from nskd.packs.conditions import identifier, text

Whole = NDArray[np.int64]


@attrs.frozen(eq=False, repr=False)
class Patterns:
    """One centre's, not to be shown: its repr is empty.

    ``places`` int64[k, groups]: the place of a pattern's level among those of each group; ``size`` int64[k]: visits;
    ``total``: those with the outcome, or of a linear model the sum of their numbers, and ``squares`` that of squares.
    """

    places: Whole
    size: Whole
    total: Whole
    squares: Whole


def local_patterns(dataset: Dataset | None, plan: TablePlan, design: Design) -> Patterns:
    """Group the visits that the model is of; none of a centre without data."""
    reading = plan.reading
    if dataset is None or not isinstance(reading, AsRegression):
        return Patterns(np.zeros((0, len(design.groups)), np.int64), *(np.zeros(0, np.int64) for _ in range(3)))
    names = ", ".join(identifier(group.name) for group in design.groups)
    (event,) = (f"{identifier(name)} = {text(YES)}" for name in plan.columns)
    if design.family is ModelFamily.LINEAR:
        number = f"CAST({identifier(reading.number or '')} AS HUGEINT)"
        summed, where = f"sum({number}), sum({number} * {number})", f"({plan.filter.sql}) AND {event}"
    else:
        summed, where = f"count(*) FILTER ({event}), 0", plan.filter.sql
    rows = dataset.fetch(
        f"SELECT {names}, count(*), {summed} FROM {plan.source} WHERE {where} GROUP BY {names} ORDER BY {names}"  # noqa: S608
    )
    index = [{level: place for place, level in enumerate(group.levels)} for group in design.groups]
    places = [[where[level] for where, level in zip(index, row, strict=False)] for row in rows]
    numbers = np.array([row[-3:] for row in rows], dtype=np.int64).reshape(-1, 3)
    return Patterns(np.array(places, dtype=np.int64).reshape(-1, len(design.groups)), *np.ascontiguousarray(numbers.T))
