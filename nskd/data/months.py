"""From which months a condition can select a visit: what tells whether a request keeps to a permit's period.

For each month of the codebook the condition is evaluated with that month, and the year and quarter derived from it, in
place, and everything else unknown (Kleene's three-valued logic).  A month counts unless the condition is certainly
false there, so nothing outside the result can be selected, whatever the rest of a visit is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Final

import sqlglot
from sqlglot import exp

from nskd.data.where import Filter
from nskd.packs.codebook import MISSING, Codebook
from nskd.packs.conditions import Period

_Value = str | int | None
_COMPARISONS: Final[dict[type[exp.Expression], Callable[[str, str], bool]]] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}


def months_selected(condition: Filter, codebook: Codebook) -> tuple[str, ...] | None:
    """The months that are not excluded, in codebook order; None for a codebook without a month."""
    if codebook.month is None:
        return None
    months = codebook.variables[codebook.month].keys
    try:
        tree = sqlglot.parse_one(condition.sql, read="duckdb")
        return tuple(month for month in months if _truth(tree, _known(month, codebook)) is not False)
    except RecursionError:  # nested too deeply to be looked into: no month is certainly excluded
        return tuple(months)


def _known(month: str, codebook: Codebook) -> Mapping[str, str]:
    known = {str(codebook.month): month}
    for variable in codebook.derived:
        derivation = variable.derivation
        if isinstance(derivation, Period) and derivation.of == codebook.month and month != MISSING:
            known[variable.name] = derivation.level(month)
    return known


def _truth(node: object, known: Mapping[str, str]) -> bool | None:
    """Whether a condition holds; None when that depends on more than the month."""
    match node:
        case exp.Paren():
            return _truth(node.this, known)
        case exp.Boolean():
            return bool(node.this)
        case exp.Not():
            inner = _truth(node.this, known)
            return None if inner is None else not inner
        case exp.And() | exp.Or():
            parts = [_truth(part, known) for part in node.flatten()]
            decisive = isinstance(node, exp.Or)
            return decisive if decisive in parts else None if None in parts else not decisive
        case exp.In():
            return _any_equal(_text(node.this, known), [_text(item, known) for item in node.expressions])
        case exp.Between():
            value, low, high = (_text(node.args[name], known) for name in ("this", "low", "high"))
            return None if value is None or low is None or high is None else low <= value <= high
    compare = _COMPARISONS.get(type(node)) if isinstance(node, exp.Expression) else None
    if compare is None or not isinstance(node, exp.Expression):
        return None
    left, right = _text(node.this, known), _text(node.args["expression"], known)
    return None if left is None or right is None else compare(left, right)


def _any_equal(value: str | None, items: list[str | None]) -> bool | None:
    if value is None:
        return None
    return True if value in items else None if None in items else False


def _text(node: object, known: Mapping[str, str]) -> str | None:
    """The text a term has in that month; None when it is not known, or no text."""
    match node:
        case exp.Paren():
            return _text(node.this, known)
        case exp.Literal() if node.is_string:
            return str(node.this)
        case exp.Column():
            return known.get(str(node.this.this))
        case exp.Lower() | exp.Upper():
            inner = _text(node.this, known)
            return None if inner is None else inner.lower() if isinstance(node, exp.Lower) else inner.upper()
        case exp.Coalesce():
            return _text(node.this, known)  # a text is never NULL here: "missing" is a level
    return None
