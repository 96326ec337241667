"""How complete a centre's own extract is, and how well its fields agree: counts for that centre's eyes alone."""

from __future__ import annotations

from typing import Any

import attrs

from nskd.data.load import Dataset
from nskd.packs.codebook import MISSING, Rule, Variable
from nskd.packs.conditions import identifier, text


@attrs.frozen
class Fill:
    """Of one field, the visits with a value, with the answer that it does not apply, and with nothing."""

    recorded: int
    not_applicable: int
    missing: int

    @property
    def visits(self) -> int:
        """All of them."""
        return self.recorded + self.not_applicable + self.missing

    @property
    def share(self) -> float | None:
        """The part that was filled in, if only to say that it does not apply; None without a visit."""
        return (self.recorded + self.not_applicable) / self.visits if self.visits else None


@attrs.frozen
class Field:
    """A variable that is recorded: all visits, and those of each month."""

    variable: Variable
    whole: Fill
    months: tuple[Fill, ...]


@attrs.frozen
class Kept:
    """A relation between fields: the visits it is about, those that break it, and these by month."""

    rule: Rule
    applies: int
    broken: int
    months: tuple[int, ...]


@attrs.frozen
class Quality:
    """All fields and rules; `months` are those in which there was a visit, in order."""

    visits: int
    months: tuple[str, ...]
    by_month: tuple[int, ...]
    fields: tuple[Field, ...]
    rules: tuple[Kept, ...]


def quality(dataset: Dataset) -> Quality:
    """Count over the visits that are left after objections, in one query by month."""
    book = dataset.codebook
    fields = [v for v in book.recorded if not book.private(v.name) and v.name != book.month]
    wanted = ["count(*)"]
    for variable in fields:
        wanted += [f"count(*) FILTER (WHERE {test})" for test in (_not_applicable(variable), _missing(variable))]
    for rule in book.rules:
        wanted += [f"count(*) FILTER (WHERE {test})" for test in (rule.when.sql(), rule.broken())]
    month = "''" if book.month is None else identifier(book.month)
    rows = dataset.fetch(f"SELECT {month}, {', '.join(wanted)} FROM visits GROUP BY 1 ORDER BY 1")  # noqa: S608
    months = () if book.month is None else tuple(str(row[0]) for row in rows)
    by_month = [int(row[1]) for row in rows]
    counts = [_pairs(row[2:]) for row in rows]
    filled = [
        [Fill(visits - away - empty, away, empty) for visits, (away, empty) in zip(by_month, column, strict=True)]
        for column in ([row[index] for row in counts] for index in range(len(fields)))
    ]
    kept = [[row[len(fields) + index] for row in counts] for index in range(len(book.rules))]
    return Quality(
        visits=sum(by_month),
        months=months,
        by_month=tuple(by_month) if months else (),
        fields=tuple(
            Field(variable, _sum(parts), tuple(parts) if months else ())
            for variable, parts in zip(fields, filled, strict=True)
        ),
        rules=tuple(
            Kept(rule, sum(a for a, _ in parts), sum(b for _, b in parts), tuple(b for _, b in parts) if months else ())
            for rule, parts in zip(book.rules, kept, strict=True)
        ),
    )


def _not_applicable(variable: Variable) -> str:
    keys = [level.key for level in variable.levels if level.not_applicable]
    return f"{identifier(variable.name)} IN ({', '.join(map(text, keys))})" if keys else "FALSE"


def _missing(variable: Variable) -> str:
    name = identifier(variable.name)
    return f"{name} = {text(MISSING)}" if variable.levels else f"{name} IS NULL"


def _pairs(values: tuple[Any, ...]) -> list[tuple[int, int]]:
    return [(int(one), int(other)) for one, other in zip(values[::2], values[1::2], strict=True)]


def _sum(parts: list[Fill]) -> Fill:
    return Fill(
        sum(each.recorded for each in parts),
        sum(each.not_applicable for each in parts),
        sum(each.missing for each in parts),
    )
