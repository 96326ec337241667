"""An analyst's condition → SQL that is safe to run at every hospital.

Three gates, each a whitelist. *Tokens* (`where_tokens`): only words, literals and the operators of `GRAMMAR`
pass, so no comment, semicolon, parameter, cast or star ever reaches the parser. *Tree*: `_Checker` walks the
parsed tree and knows a handful of node types; a node it does not know cannot be rendered. *Values*: a literal
compared with a variable must be one of its levels. What runs is the rendering of the checked tree – never the
text that was sent.

A missing category is a level like any other (`delay = 'missing'`, or `delay IS NULL`, which means the same),
so a condition on categories and its negation split the visits exactly. A missing number is SQL's NULL.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

import attrs
import sqlglot
from sqlglot import exp
from sqlglot.tokenizer_core import Token

from nskd.data.where_tokens import GRAMMAR, allowed_tokens, refuse
from nskd.packs.codebook import INTEGER_MAX, MISSING, Codebook, Variable, VariableType, closest
from nskd.packs.conditions import identifier, text

_LEVELS_SHOWN_MAX = 12


@attrs.frozen
class Filter:
    """A checked condition: `sql` is canonical and reads only `variables` (in codebook order)."""

    sql: str
    variables: tuple[str, ...]


EVERYTHING = Filter("TRUE", ())


def parse_where(source: str, codebook: Codebook) -> Filter:
    """Check a condition and render it; an empty one selects everything. Raises only `RequestError`."""
    if not source.strip():
        return EVERYTHING
    tokens = allowed_tokens(source, codebook)
    tree = _parse(source, tokens)
    checker = _Checker(codebook)
    term = checker.boolean(tree)
    used = tuple(name for name in codebook.variables if name in checker.used)
    return Filter(term.sql, used)


def _parse(source: str, tokens: Sequence[Token]) -> exp.Expression:
    try:
        trees = sqlglot.parse(source, read="duckdb")
    except sqlglot.errors.ParseError as error:
        first = error.errors[0] if error.errors else {}
        near = str(first.get("highlight") or "")
        position = next((token.start for token in reversed(tokens) if near and token.text == near), None)
        what = "the condition cannot be understood" + (f' near "{near}"' if near else "")
        raise refuse(what, position, GRAMMAR) from error
    except Exception as error:  # as above; RecursionError included
        raise refuse("the condition cannot be understood", None, GRAMMAR) from error
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Expression):
        raise refuse("the condition is not one expression", None, GRAMMAR)
    return tree


class _Kind(enum.Enum):
    TRUTH = "a condition"
    NUMBER = "a number"
    TEXT = "text"


@attrs.frozen
class _Term:
    """A rendered part: `variable` if it is a bare column, `literal` if it is one quoted text."""

    sql: str
    kind: _Kind
    variable: Variable | None = None
    literal: str | None = None


_COMPARISONS: dict[type[exp.Expression], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
}  # fmt: skip


class _Checker:
    """Renders a tree node by node; what has no method here cannot be asked."""

    def __init__(self, codebook: Codebook) -> None:
        self.codebook = codebook
        self.used: set[str] = set()
        self.methods: dict[type[exp.Expression], Callable[[exp.Expression], _Term]] = {
            exp.Paren: lambda node: self.term(node.this),
            exp.Column: self._column,
            exp.Literal: self._literal,
            exp.Boolean: lambda node: _Term("TRUE" if node.this else "FALSE", _Kind.TRUTH),
            exp.And: lambda node: self._connective(node, "AND"),
            exp.Or: lambda node: self._connective(node, "OR"),
            exp.Not: lambda node: _Term(f"(NOT {self.boolean(node.this).sql})", _Kind.TRUTH),
            exp.In: self._in,
            exp.Between: self._between,
            exp.Is: self._is_null,
            exp.Neg: lambda node: _Term(f"(- {self._number(node.this)})", _Kind.NUMBER),
            exp.Add: lambda node: self._sum(node, "+"),
            exp.Sub: lambda node: self._sum(node, "-"),
            exp.Abs: lambda node: _Term(f"abs({self._number(node.this)})", _Kind.NUMBER),
            exp.Lower: lambda node: self._case(node, "lower"),
            exp.Upper: lambda node: self._case(node, "upper"),
            exp.Coalesce: self._coalesce,
            **dict.fromkeys(_COMPARISONS, self._comparison),
        }

    def term(self, node: object) -> _Term:
        """Any allowed expression."""
        method = self.methods.get(type(node)) if isinstance(node, exp.Expression) else None
        if method is None or not isinstance(node, exp.Expression):
            name = type(node).__name__.upper() if isinstance(node, exp.Expression) else "this form"
            raise refuse(f"{name} is not allowed", _position(node), GRAMMAR)
        self._only_known_arguments(node)
        return method(node)

    def boolean(self, node: object) -> _Term:
        """Check an expression that is to be true or false."""
        term = self.term(node)
        if term.kind is not _Kind.TRUTH:
            remedy = "Compare it with a value, such as delay = 'ja'."
            raise refuse(f"{_shown(term)} is {term.kind.value}, where a condition is needed", _position(node), remedy)
        return term

    # What a node may carry besides its operands; anything else (DISTINCT, SYMMETRIC, a subquery, …) is
    # refused.
    _ARGUMENTS = frozenset({"this", "expression", "expressions", "low", "high"})
    _HARMLESS = frozenset({"is_string", "quoted"})

    def _only_known_arguments(self, node: exp.Expression) -> None:
        for name, value in node.args.items():
            if value and name not in self._ARGUMENTS and name not in self._HARMLESS:
                raise refuse(f"{name.upper()} is not allowed here", _position(node), GRAMMAR)

    def _column(self, node: exp.Expression) -> _Term:
        if not isinstance(node.this, exp.Identifier):
            raise refuse("only plain variables are allowed", _position(node), GRAMMAR)
        name = str(node.this.this).lower()
        variable = self.codebook.variables.get(name)
        if variable is None:
            raise refuse(f'there is no variable "{name}"', _position(node), "Use a variable of the codebook.")
        if self.codebook.private(name):
            remedy = "It singles out a visit or a child; ask about groups instead."
            raise refuse(f'"{name}" cannot be asked about', _position(node), remedy)
        self.used.add(name)
        kind = _Kind.NUMBER if variable.type is VariableType.INTEGER else _Kind.TEXT
        return _Term(identifier(name), kind, variable=variable)

    def _literal(self, node: exp.Expression) -> _Term:
        value = str(node.this)
        if node.is_string:
            return _Term(text(value), _Kind.TEXT, literal=value)
        if not (value.isascii() and value.isdigit()) or len(value) > len(str(INTEGER_MAX)) or int(value) > INTEGER_MAX:
            remedy = f"Write a whole number of at most {INTEGER_MAX}."
            raise refuse(f"{value[:20]} is not a whole number within bounds", _position(node), remedy)
        return _Term(str(int(value)), _Kind.NUMBER)

    def _connective(self, node: exp.Expression, word: str) -> _Term:
        # flatten() walks a long chain without recursion.
        parts = [self.boolean(part).sql for part in node.flatten()]
        return _Term(f"({f' {word} '.join(parts)})", _Kind.TRUTH)

    def _comparison(self, node: exp.Expression) -> _Term:
        left, right = self.term(node.this), self.term(node.args.get("expression"))
        word = _COMPARISONS[type(node)]
        self._comparable(left, right, node, ordered=word not in ("=", "<>"))
        return _Term(f"({left.sql} {word} {right.sql})", _Kind.TRUTH)

    def _in(self, node: exp.Expression) -> _Term:
        left = self.term(node.this)
        items = [self.term(item) for item in node.expressions]
        if not items:
            raise refuse("IN needs a list of values", _position(node), "Write them in parentheses, after IN.")
        for item, source in zip(items, node.expressions, strict=True):
            if item.variable is not None or not isinstance(source, exp.Literal | exp.Neg):
                raise refuse("IN takes a list of plain values", _position(source), "Write the values themselves.")
            self._comparable(left, item, node, ordered=False)
        return _Term(f"({left.sql} IN ({', '.join(item.sql for item in items)}))", _Kind.TRUTH)

    def _between(self, node: exp.Expression) -> _Term:
        value, low, high = (
            self.term(node.this),
            self.term(node.args.get("low")),
            self.term(node.args.get("high")),
        )
        self._comparable(value, low, node, ordered=True)
        self._comparable(value, high, node, ordered=True)
        return _Term(f"({value.sql} BETWEEN {low.sql} AND {high.sql})", _Kind.TRUTH)

    def _is_null(self, node: exp.Expression) -> _Term:
        term = self.term(node.this)
        if term.variable is None or not isinstance(node.args.get("expression"), exp.Null):
            raise refuse("IS goes with one variable and NULL", _position(node), "Write variable IS [NOT] NULL.")
        if term.kind is _Kind.NUMBER:
            return _Term(f"({term.sql} IS NULL)", _Kind.TRUTH)
        return _Term(f"({term.sql} = {text(MISSING)})" if term.variable.missing else "FALSE", _Kind.TRUTH)

    def _number(self, node: object) -> str:
        term = self.term(node)
        if term.kind is not _Kind.NUMBER:
            raise refuse(f"{_shown(term)} is {term.kind.value}, not a number", _position(node), "Use a number.")
        return term.sql

    def _sum(self, node: exp.Expression, word: str) -> _Term:
        return _Term(f"({self._number(node.this)} {word} {self._number(node.args.get('expression'))})", _Kind.NUMBER)

    def _case(self, node: exp.Expression, function: str) -> _Term:
        term = self.term(node.this)
        if term.kind is not _Kind.TEXT:
            raise refuse(f"{_shown(term)} is {term.kind.value}, not text", _position(node), "Use text.")
        return _Term(f"{function}({term.sql})", _Kind.TEXT)

    def _coalesce(self, node: exp.Expression) -> _Term:
        terms = [self.term(node.this), *(self.term(part) for part in node.expressions)]
        for other in terms[1:]:
            self._comparable(terms[0], other, node, ordered=False)
        return _Term(f"coalesce({', '.join(term.sql for term in terms)})", terms[0].kind)

    def _comparable(self, left: _Term, right: _Term, node: exp.Expression, *, ordered: bool) -> None:
        """Check that both sides are of one kind, ordered if need be, and a literal is a level."""
        if left.kind is not right.kind or left.kind is _Kind.TRUTH:
            what = f"{_shown(left)} is {left.kind.value} and {_shown(right)} is {right.kind.value}"
            raise refuse(what, _position(node), "Compare values of one kind.")
        for one, other in ((left, right), (right, left)):
            variable = one.variable
            if variable is not None and other.literal is not None:
                self._level(variable, other.literal, node)
            in_order = (
                left.kind is _Kind.NUMBER or one.literal is not None or (variable is not None and variable.ordered_text)
            )
            if ordered and not in_order:
                remedy = "Name the levels with IN (…)."
                raise refuse(f"{_shown(one)} has levels without an order that SQL knows", _position(node), remedy)

    def _level(self, variable: Variable, literal: str, node: exp.Expression) -> None:
        if literal in variable.keys:
            return
        near = closest(literal, variable.keys)
        suggestion = f"Did you mean '{near}'? " if near else ""
        keys = variable.keys
        listed = ", ".join(keys) if len(keys) <= _LEVELS_SHOWN_MAX else f"{keys[0]} … {keys[-1]}"
        what = f"'{literal[:40]}' is not a level of {variable.name}"
        raise refuse(what, _position(node), f"{suggestion}Its levels are {listed}.")


def _shown(term: _Term) -> str:
    return term.variable.name if term.variable else term.sql[:40]


def _position(node: object) -> int | None:
    """Return the first character of a node, where the parser kept it."""
    if not isinstance(node, exp.Expression):
        return None
    starts = [part.meta["start"] for part in node.walk() if "start" in part.meta]
    return min(starts) if starts else None
