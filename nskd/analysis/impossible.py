"""Cells that no visit can be in, by the codebook or by the request's own condition: zeros that everybody knows.

``nsk_positive = not_screened`` with ``screened = ja`` is one, and every row but one of a table by ``sex`` where
``sex = 'M'``.  Nothing is disclosed by showing such a zero, and closing it protects nobody.  Found by trying: every
combination of the recorded values that the table's variables come from, through the very SQL that counts visits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from nskd.analysis.table import TablePlan
from nskd.data import engine
from nskd.packs.codebook import TOTAL, Codebook, Rule, Variable
from nskd.packs.conditions import identifier, text

# A second's work.  Variables that together have more are taken to go with everything: then a zero stays closed that
# might be shown, and might be taken for protection where it is none, which rounding blurs as any other sum.
COMBINATIONS_MAX: Final = 500_000


@attrs.frozen
class _Part:
    """Recorded variables that are tied to each other, and what ties them."""

    roots: frozenset[str]
    rules: tuple[Rule, ...] = ()
    filtered: bool = False

    def __or__(self, other: _Part) -> _Part:
        return _Part(self.roots | other.roots, self.rules + other.rules, self.filtered or other.filtered)


def impossible_cells(plan: TablePlan) -> NDArray[np.bool_]:
    """Bool [plan.size]: the same at every centre, whatever their data."""
    possible = np.ones(plan.size, np.bool_)
    codebook, names = plan.codebook, plan.names
    for part in _parts(plan):
        grouped = tuple(name for name in names if _roots(codebook, name) <= part.roots)
        found = _combinations(plan, part, grouped)
        projections: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        for k, cell in enumerate(plan.cells):
            fixed = tuple(name for name in grouped if cell[name] != TOTAL)
            if fixed not in projections:
                projections[fixed] = {tuple(row[grouped.index(name)] for name in fixed) for row in found}
            possible[k] &= tuple(cell[name] for name in fixed) in projections[fixed]
    return ~possible


def _roots(codebook: Codebook, name: str) -> frozenset[str]:
    """The recorded variables that a variable comes from."""
    derivation = codebook.variables[name].derivation
    if derivation is None:
        return frozenset((name,))
    return frozenset().union(*(_roots(codebook, each) for each in derivation.variables))


def _roots_of(codebook: Codebook, names: Iterable[str]) -> frozenset[str]:
    return frozenset().union(*(_roots(codebook, name) for name in names))


def _parts(plan: TablePlan) -> list[_Part]:
    """The table's variables in groups that have nothing to do with each other; those with too many values left out."""
    codebook = plan.codebook
    parts = [_Part(_roots(codebook, name)) for name in plan.names]
    if plan.filter.variables:
        parts.append(_Part(_roots_of(codebook, plan.filter.variables), filtered=True))
    parts = [part for part in _joined(parts) if _size(codebook, part) <= COMBINATIONS_MAX]
    for rule in codebook.rules:
        if rule.fatal:
            tie = _Part(_roots_of(codebook, [n for c in (rule.when, *rule.then) for n in c.variables]), (rule,))
            touched = [part for part in parts if part.roots & tie.roots]
            joined = _joined([*touched, tie])
            if touched and all(_size(codebook, part) <= COMBINATIONS_MAX for part in joined):
                parts = [part for part in parts if part not in touched] + joined
    return parts


def _joined(parts: Iterable[_Part]) -> list[_Part]:
    result: list[_Part] = []
    for part in parts:
        tied = [each for each in result if each.roots & part.roots]
        result = [each for each in result if each not in tied]
        result.append(reduce(or_, tied, part))
    return result


def _size(codebook: Codebook, part: _Part) -> int:
    return math.prod(_count(codebook.variables[name]) for name in part.roots)


def _count(variable: Variable) -> int:
    if variable.levels:
        return len(variable.levels)
    if variable.minimum is None or variable.maximum is None:
        return COMBINATIONS_MAX + 1  # an identifier; conditions cannot be about one
    return variable.maximum - variable.minimum + 1 + variable.missing


def _values(variable: Variable) -> str:
    if variable.levels:
        return f"[{', '.join(text(key) for key in variable.keys)}]"
    numbers = f"range({variable.minimum}, {variable.maximum} + 1)"
    return f"list_append({numbers}, NULL)" if variable.missing else numbers


def _combinations(plan: TablePlan, part: _Part, grouped: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The levels of ``grouped`` variables that go together."""
    codebook = plan.codebook
    tables = ", ".join(
        f"(SELECT unnest({_values(codebook.variables[name])}) AS {identifier(name)})" for name in sorted(part.roots)
    )
    query = f"SELECT * FROM {tables}"  # noqa: S608
    for variable in codebook.derived:
        if variable.derivation is not None and _roots(codebook, variable.name) <= part.roots:
            query = f"SELECT *, {variable.derivation.sql()} AS {identifier(variable.name)} FROM ({query})"  # noqa: S608
    holds = [plan.filter.sql] if part.filtered else []
    for rule in part.rules:
        holds.append(f"(NOT {rule.when.sql()} OR {' OR '.join(each.sql() for each in rule.then)})")
    shown = ", ".join(identifier(name) for name in grouped) or "1"
    with engine.connect() as connection:
        engine.lock(connection)
        return connection.execute(
            f"SELECT DISTINCT {shown} FROM ({query}) WHERE {' AND '.join(holds) or 'TRUE'}"  # noqa: S608
        ).fetchall()
