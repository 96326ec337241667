"""Axes that a request defines by conditions, as variables of a codebook that holds for this request only.

Laid out so, a group that an analyst writes down is a level like any other: the same cells, the same tests for cells
that nobody can be in, the same rules.  Conditions are checked as filters are (:mod:`nskd.data.where`); what runs is the
checked rendering.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from nskd.data.errors import RequestError
from nskd.data.where import parse_where
from nskd.governance.question import AXIS_MARK, YES, AskedAxis, AskedLevel
from nskd.packs.codebook import Codebook, Level, Variable, VariableType
from nskd.packs.conditions import Written


def with_axes(codebook: Codebook, axes: Sequence[AskedAxis]) -> Codebook:
    """The codebook with a derived variable for each axis; raises :class:`RequestError` for a wrong condition."""
    if not axes:
        return codebook
    return attrs.evolve(
        codebook, variables={**codebook.variables, **{axis.name: _variable(codebook, axis) for axis in axes}}
    )


def _variable(codebook: Codebook, axis: AskedAxis) -> Variable:
    rest = next(level.key for level in axis.levels if not level.conditions)
    used: dict[str, None] = {}
    cases = []
    for level in reversed(axis.levels):  # the last that holds counts
        if level.conditions:
            sql, names = _checked(codebook, axis, level)
            used |= dict.fromkeys(names)
            cases.append((sql, level.key))
    return Variable(
        name=axis.name,
        type=VariableType.CATEGORY,
        label=axis.label,
        levels=tuple(Level(level.key, level.label.nl, level.label.en) for level in axis.levels),
        derivation=Written(tuple(cases), rest, tuple(name for name in codebook.variables if name in used)),
    )


def _checked(codebook: Codebook, axis: AskedAxis, level: AskedLevel) -> tuple[str, tuple[str, ...]]:
    filters = []
    for condition in level.conditions:
        try:
            filters.append(parse_where(condition, codebook))
        except RequestError as error:
            at = "" if error.position is None else f", character {error.position + 1}"
            raise RequestError(error.what, where=f"{_place(axis, level)}{at}", remedy=error.remedy) from error
    if not any(each.variables for each in filters):
        remedy = "Write a condition on a variable of the codebook."
        what = "the condition is the same for every visit"
        raise RequestError(what, where=_place(axis, level), remedy=remedy)
    sql = " AND ".join(f"({each.sql})" for each in filters) if len(filters) > 1 else filters[0].sql
    return sql, tuple(name for each in filters for name in each.variables)


def _place(axis: AskedAxis, level: AskedLevel) -> str:
    """Where in the request's text a level is defined."""
    key = axis.name.removeprefix(AXIS_MARK)
    return key if level.key == YES else f"{key} {level.key}"


def definitions(codebook: Codebook, names: Sequence[str]) -> dict[str, list[dict[str, str | None]]]:
    """What each level of an axis among ``names`` stands for: its key, and its condition (None: the rest)."""
    found = {}
    for name in names:
        variable = codebook.variables[name]
        if isinstance(variable.derivation, Written):
            stands = {key: sql for sql, key in variable.derivation.cases}
            found[name] = [{"key": level.key, "where": stands.get(level.key)} for level in variable.levels]
    return found
