"""Conditions on a visit, and the ways to derive a variable from others: one meaning, rendered twice.

A pack writes `when = { nsk_status = ["complete", "partial"], age_months = { max = 47 } }`. The same object
gives the SQL that DuckDB runs over a hospital's rows and the numpy mask that the synthetic generator uses, so
a made-up extract obeys exactly the derivations that are validated when it is loaded.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]  # of a level key (str) or a whole number, one entry a visit
Mask = NDArray[np.bool_]


def identifier(name: str) -> str:
    """`name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """`value` as an SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


@attrs.frozen
class OneOf:
    """The value is one of these levels."""

    keys: tuple[str, ...]

    def sql(self, column: str) -> str:
        """Return a boolean expression; never NULL for a variable with levels."""
        return f"{identifier(column)} IN ({', '.join(text(key) for key in self.keys)})"

    def mask(self, values: Column) -> Mask:
        """Return the same over an array of level keys."""
        return np.isin(values, np.array(self.keys))


@attrs.frozen
class Within:
    """The whole number lies between two bounds, both included; None leaves a side open."""

    minimum: int | None
    maximum: int | None

    def sql(self, column: str) -> str:
        """Return a boolean expression; false where the number is missing."""
        name = identifier(column)
        parts = [f"{name} IS NOT NULL"]
        if self.minimum is not None:
            parts.append(f"{name} >= {self.minimum}")
        if self.maximum is not None:
            parts.append(f"{name} <= {self.maximum}")
        return f"({' AND '.join(parts)})"

    def mask(self, values: Column) -> Mask:
        """Return the same over an array of whole numbers."""
        result = np.ones(values.shape, np.bool_)
        if self.minimum is not None:
            result &= values >= self.minimum
        if self.maximum is not None:
            result &= values <= self.maximum
        return result


@attrs.frozen
class Condition:
    """All tests hold. An empty condition always holds."""

    tests: tuple[tuple[str, OneOf | Within], ...]

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables it reads."""
        return tuple(name for name, _ in self.tests)

    def sql(self) -> str:
        """Return a boolean expression, never NULL."""
        return "(" + (" AND ".join(test.sql(name) for name, test in self.tests) or "TRUE") + ")"

    def mask(self, columns: Mapping[str, Column], rows: int) -> Mask:
        """Return the rows on which it holds."""
        result = np.ones(rows, np.bool_)
        for name, test in self.tests:
            result &= test.mask(columns[name])
        return result


@attrs.frozen
class Cases:
    """The level of the first case that holds, else `otherwise`: total, so each row has one level."""

    cases: tuple[tuple[Condition, str], ...]
    otherwise: str

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables it reads, each once."""
        return tuple(dict.fromkeys(name for condition, _ in self.cases for name in condition.variables))

    @property
    def keys(self) -> frozenset[str]:
        """The levels it can yield."""
        return frozenset((*(level for _, level in self.cases), self.otherwise))

    def sql(self) -> str:
        """Return an SQL expression for the level."""
        whens = " ".join(f"WHEN {condition.sql()} THEN {text(level)}" for condition, level in self.cases)
        return f"CASE {whens} ELSE {text(self.otherwise)} END"

    def evaluate(self, columns: Mapping[str, Column], rows: int) -> Column:
        """Return the level of every row."""
        conditions = [condition.mask(columns, rows) for condition, _ in self.cases]
        return np.select(conditions, [np.array(level) for _, level in self.cases], np.array(self.otherwise))


class PeriodUnit(enum.Enum):
    """A coarser calendar unit than the month."""

    YEAR = "year"
    QUARTER = "quarter"


@attrs.frozen
class Period:
    """The year (`2025`) or quarter (`2025-Q3`) in which a month lies."""

    of: str
    unit: PeriodUnit

    @property
    def variables(self) -> tuple[str, ...]:
        """The month variable it reads."""
        return (self.of,)

    def level(self, month: str) -> str:
        """Return the period of one month, written `YYYY-MM`."""
        year, number = month[:4], int(month[5:7])
        return year if self.unit is PeriodUnit.YEAR else f"{year}-Q{(number + 2) // 3}"

    def sql(self) -> str:
        """Return an SQL expression for the level."""
        name = identifier(self.of)
        year = f"substr({name}, 1, 4)"
        if self.unit is PeriodUnit.YEAR:
            return year
        return f"{year} || '-Q' || ((CAST(substr({name}, 6, 2) AS INTEGER) + 2) // 3)"

    def evaluate(self, columns: Mapping[str, Column], rows: int) -> Column:
        """Return the level of every row."""
        months, index = np.unique(columns[self.of], return_inverse=True)
        return np.array([self.level(str(month)) for month in months])[index].reshape(rows)


@attrs.frozen
class Written:
    """The level of the first case that holds, else `otherwise`; cases are SQL that was checked where it was written.

    For axes that a request defines (`nskd.analysis.axes`): never in a pack, so never made up by its generator.
    """

    cases: tuple[tuple[str, str], ...]
    otherwise: str
    variables: tuple[str, ...]

    def sql(self) -> str:
        """Return an SQL expression for the level; a case that is NULL does not hold."""
        whens = " ".join(f"WHEN {condition} THEN {text(level)}" for condition, level in self.cases)
        return f"CASE {whens} ELSE {text(self.otherwise)} END"


PackDerivation = Cases | Period  # what a pack may say
Derivation = PackDerivation | Written
