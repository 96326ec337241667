"""As much of Prometheus's query language as the alert rules use, over the texts of some scrapes.

Numbers, ``time()``, selectors with ``=`` and ``!~``, ``increase`` and ``changes`` over a range, ``sum``, arithmetic,
comparisons that filter, ``and``.  Vectors meet where their labels are the same.  Anything else is an error.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

import attrs
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = float | Vector
Matcher = tuple[str, str, str]

_TOKEN: Final = re.compile(
    r'\s*(?:(?P<number>\d+(?:\.\d+)?(?:e\d+)?)|(?P<name>[a-z_]+)|(?P<sign>[<>=!]=|=~|!~|[-+*<>(){}=,])|(?P<range>\[\d+[mhd]\])|(?P<text>"[^"]*"))'
)
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_ARITHMETIC: Final[Mapping[str, Callable[[float, float], float]]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}


@attrs.frozen
class Scrape:
    """What a daemon said at a moment, in seconds since 1970."""

    at: float
    samples: Mapping[tuple[str, Labels], float]

    @classmethod
    def of(cls, text: str, at: float, **more: float) -> Scrape:
        """Read a text; ``more`` are series that Prometheus adds, of job nskd."""
        samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        job = frozenset({("job", "nskd")})
        return cls(at, samples | {(name, job): value for name, value in more.items()})


def evaluate(expression: str, history: Sequence[Scrape]) -> Vector:
    """The series for which an alert's expression holds at the last of these scrapes."""
    reader = _Reader(expression, history)
    found = reader.conjunction()
    if reader.peek() is not None or not isinstance(found, dict):
        raise ValueError(f"not understood: {expression}")
    return found


class _Reader:
    def __init__(self, text: str, history: Sequence[Scrape]) -> None:
        self._tokens: list[tuple[str, str]] = []
        place = 0
        while place < len(text.rstrip()):
            match = _TOKEN.match(text, place)
            if match is None or match.lastgroup is None:
                raise ValueError(f"not understood: {text[place:]}")
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            place = match.end()
        self._history = history
        self._now = history[-1]

    def peek(self) -> str | None:
        return self._tokens[0][1] if self._tokens else None

    def _take(self, *expected: str) -> str:
        kind, word = self._tokens.pop(0)
        if expected and word not in expected and kind not in expected:
            raise ValueError(f"{word!r} instead of {expected}")
        return word

    def conjunction(self) -> Value:
        found = self._comparison()
        while self.peek() == "and":
            self._take()
            other = self._comparison()
            assert isinstance(found, dict) and isinstance(other, dict)
            found = {labels: value for labels, value in found.items() if labels in other}
        return found

    def _comparison(self) -> Value:
        left = self._sum()
        if self.peek() not in _COMPARE:
            return left
        compare, right = _COMPARE[self._take()], self._sum()
        assert isinstance(left, dict)
        sides = {labels: right if isinstance(right, float) else right.get(labels) for labels in left}
        return {
            labels: left[labels] for labels, side in sides.items() if side is not None and compare(left[labels], side)
        }

    def _sum(self) -> Value:
        found = self._product()
        while self.peek() in ("+", "-"):
            found = _apply(_ARITHMETIC[self._take()], found, self._product())
        return found

    def _product(self) -> Value:
        found = self._atom()
        while self.peek() == "*":
            found = _apply(_ARITHMETIC[self._take()], found, self._atom())
        return found

    def _atom(self) -> Value:
        if self.peek() == "-":
            self._take()
            return _apply(operator.mul, -1.0, self._atom())
        kind, word = self._tokens.pop(0)
        if kind == "number":
            return float(word)
        if kind != "name":
            raise ValueError(f"{word!r} is no value")
        if self.peek() != "(":
            return _select(word, self._matchers(), self._now)
        self._take("(")
        if word == "time":
            found: Value = float(self._now.at)
        elif word == "sum":
            inner = self.conjunction()
            assert isinstance(inner, dict)
            found = {frozenset(): sum(inner.values())} if inner else {}
        elif word in ("increase", "changes"):
            found = self._over_time(word)
        else:
            raise ValueError(f"{word!r} is not known")
        self._take(")")
        return found

    def _over_time(self, how: str) -> Vector:
        """Of series that were there before: Prometheus sees no rise in one that begins above zero."""
        name, matchers = self._take("name"), self._matchers()
        reach = self._take("range")[1:-1]
        begin = self._now.at - int(reach[:-1]) * {"m": 60, "h": 3_600, "d": 86_400}[reach[-1]]
        seen = [_select(name, matchers, scrape) for scrape in self._history if scrape.at >= begin]
        found = {}
        for labels in seen[-1]:
            values = [vector[labels] for vector in seen if labels in vector]
            if len(values) > 1:
                steps = list(pairwise(values))
                rises = (after - before if after >= before else after for before, after in steps)
                changes = sum(before != after for before, after in steps)
                found[labels] = sum(rises) if how == "increase" else float(changes)
        return found

    def _matchers(self) -> list[Matcher]:
        wanted: list[Matcher] = []
        if self.peek() == "{":
            self._take("{")
            while self.peek() != "}":
                wanted.append((self._take("name"), self._take("=", "!~"), self._take("text")[1:-1]))
                if self.peek() == ",":
                    self._take()
            self._take("}")
        return wanted


def _select(name: str, wanted: Sequence[Matcher], scrape: Scrape) -> Vector:
    def fits(labels: Mapping[str, str]) -> bool:
        return all(
            labels.get(key, "") == value if sign == "=" else not re.fullmatch(value, labels.get(key, ""))
            for key, sign, value in wanted
        )

    return {labels: value for (known, labels), value in scrape.samples.items() if known == name and fits(dict(labels))}


def _apply(how: Callable[[float, float], float], left: Value, right: Value) -> Value:
    if isinstance(left, float) and isinstance(right, float):
        return how(left, right)
    if isinstance(left, dict) and isinstance(right, float):
        return {labels: how(value, right) for labels, value in left.items()}
    if isinstance(left, float) and isinstance(right, dict):
        return {labels: how(left, value) for labels, value in right.items()}
    assert isinstance(left, dict) and isinstance(right, dict)
    return {labels: how(value, right[labels]) for labels, value in left.items() if labels in right}
