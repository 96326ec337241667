"""A condition on visits in words: the canonical SQL of a release, with the codebook's labels for names and levels.

Words never replace the condition: whoever has to be sure reads the SQL, which the method of a page states.  What has no
words here – sums, functions – stays as it is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import sqlglot
from sqlglot import exp

from nskd.governance.explain.words import same
from nskd.packs.codebook import MISSING, Codebook, Text, Variable, VariableType

_NUMBER: Final[dict[type[exp.Expr], Text]] = {
    exp.LT: Text("is kleiner dan", "is below"),
    exp.LTE: Text("is ten hoogste", "is at most"),
    exp.GT: Text("is groter dan", "is above"),
    exp.GTE: Text("is ten minste", "is at least"),
}
_MONTH: Final[dict[type[exp.Expr], Text]] = {
    exp.LT: Text("is vóór", "is before"),
    exp.LTE: Text("is tot en met", "is up to and including"),
    exp.GT: Text("is na", "is after"),
    exp.GTE: Text("is vanaf", "is from"),
}
_EQUAL: Final[dict[type[exp.Expr], Text]] = {exp.EQ: Text("is", "is"), exp.NEQ: Text("is niet", "is not")}
_MISSING: Final = Text("ontbrekend", "missing")


class _NoWordsError(Exception):
    """A part that has no words here."""


def in_words(where: str, codebook: Codebook) -> Text:
    """Say a condition; as it is written, where it cannot be said."""
    try:
        return _said(sqlglot.parse_one(where, read="duckdb"), codebook)
    except (_NoWordsError, sqlglot.errors.SqlglotError, RecursionError):
        return same(where)


def _said(node: exp.Expr, codebook: Codebook) -> Text:
    node = node.unnest()
    if isinstance(node, exp.And | exp.Or):
        return _connected(node, codebook)
    if isinstance(node, exp.Not):
        inner = node.this.unnest()
        if isinstance(inner, exp.In):
            return _none_of(inner, codebook)
        found = _said(inner, codebook)
        return Text(f"niet: ({found.nl})", f"not: ({found.en})")
    if isinstance(node, exp.In):
        name, values = _listed(node, codebook)
        either = Text(_joined([each.nl for each in values], "of"), _joined([each.en for each in values], "or"))
        return Text(f"{name.nl} is {either.nl}", f"{name.en} is {either.en}")
    if isinstance(node, exp.Between):
        variable = _variable(node.this, codebook)
        low, high = (_value(node.args[end], variable) for end in ("low", "high"))
        name = _named(variable)
        return Text(f"{name.nl} is van {low.nl} tot en met {high.nl}", f"{name.en} is from {low.en} to {high.en}")
    if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
        name = _named(_variable(node.this, codebook))
        return Text(f"{name.nl} ontbreekt", f"{name.en} is missing")
    return _compared(node, codebook)


def _connected(node: exp.And | exp.Or, codebook: Codebook) -> Text:
    word = Text("en", "and") if isinstance(node, exp.And) else Text("of", "or")
    parts = []
    for each in node.flatten():
        said = _said(each, codebook)
        if isinstance(each.unnest(), exp.And | exp.Or):
            said = Text(f"({said.nl})", f"({said.en})")
        parts.append(said)
    return Text(f" {word.nl} ".join(each.nl for each in parts), f" {word.en} ".join(each.en for each in parts))


def _listed(node: exp.In, codebook: Codebook) -> tuple[Text, Sequence[Text]]:
    variable = _variable(node.this, codebook)
    return _named(variable), [_value(each, variable) for each in node.expressions]


def _none_of(node: exp.In, codebook: Codebook) -> Text:
    name, values = _listed(node, codebook)
    if len(values) == 1:
        return Text(f"{name.nl} is niet {values[0].nl}", f"{name.en} is not {values[0].en}")
    nl, en = ", ".join(each.nl for each in values), ", ".join(each.en for each in values)
    return Text(f"{name.nl} is geen van deze: {nl}", f"{name.en} is none of these: {en}")


def _compared(node: exp.Expr, codebook: Codebook) -> Text:
    variable = _variable(node.this, codebook)
    verbs = _EQUAL | (_MONTH if variable.type is VariableType.MONTH else _NUMBER)
    verb = verbs.get(type(node))
    if verb is None:
        raise _NoWordsError
    value = _value(node.expression, variable)
    if value == _MISSING:
        verb, value = (Text("ontbreekt", "is missing"), same("")) if isinstance(node, exp.EQ) else (verb, value)
    name = _named(variable)
    return Text(f"{name.nl} {verb.nl} {value.nl}".strip(), f"{name.en} {verb.en} {value.en}".strip())


def _variable(node: object, codebook: Codebook) -> Variable:
    name = node.name if isinstance(node, exp.Column) else ""
    if name not in codebook.variables:
        raise _NoWordsError
    return codebook.variables[name]


def _named(variable: Variable) -> Text:
    """Its label between quotes: many a label is a question, or several words."""
    return Text(f"„{variable.label.nl}”", f"“{variable.label.en}”")


def _value(node: object, variable: Variable) -> Text:
    node = node.unnest() if isinstance(node, exp.Expr) else node
    if isinstance(node, exp.Literal):
        if not node.is_string:
            return same(str(node.this))
        if node.this == MISSING and variable.missing:
            return _MISSING
        found = next((level for level in variable.levels if level.key == node.this), None)
        if found is not None:
            return Text(found.nl, found.en)
    elif isinstance(node, exp.Neg) and isinstance(node.this, exp.Literal) and not node.this.is_string:
        return same(f"−{node.this.this}")
    raise _NoWordsError


def _joined(parts: Sequence[str], last: str) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"
