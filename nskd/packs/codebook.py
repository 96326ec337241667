"""The codebook: every variable of a visit, its type, its levels in two languages, and what it may be used
for.

A variable with levels partitions the visits: each row has exactly one of them, "missing" included where a
pack permits it. That is what gives a joint table a public shape – the same cells, in the same order, at every
centre.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable, Mapping

import attrs

from nskd.packs.conditions import Condition, Derivation

MISSING = "missing"  # the level of a value that was not recorded; the only spelling, in files and in requests
TOTAL = "total"  # stands for "all levels" in the margin of a table; no level may be called this

LEVELS_MAX = 600  # fifty years of months; a longer list is no longer a grouping variable
VARIABLES_MAX = 500
INTEGER_MAX = 10**9  # keeps every sum that a filter can write far inside 64 bits


class VariableType(enum.Enum):
    """How a value is written in a file."""

    IDENTIFIER = "identifier"
    CATEGORY = "category"
    INTEGER = "integer"
    MONTH = "month"


@attrs.frozen
class Text:
    """The same words in Dutch and in English."""

    nl: str
    en: str


@attrs.frozen
class Level:
    """One value that a variable can take: its key in files and requests, and its labels.

    `not_applicable` marks an answer that says that the question does not apply: recorded, yet not a value of its own.
    """

    key: str
    nl: str
    en: str
    not_applicable: bool = False


@attrs.frozen
class Variable:
    """One column; without `levels` it cannot be grouped by, without `derivation` it is recorded."""

    name: str
    type: VariableType
    label: Text
    levels: tuple[Level, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    missing: bool = False
    derivation: Derivation | None = None
    purposes: tuple[str, ...] = ()
    note: Text | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The level keys in codebook order."""
        return tuple(level.key for level in self.levels)

    @property
    def groupable(self) -> bool:
        """Whether a table may have it as a row or a column."""
        return bool(self.levels)

    @property
    def ordered_text(self) -> bool:
        """Whether its keys compare in time order as text, so that < and BETWEEN mean something."""
        return self.type is VariableType.MONTH


@attrs.frozen
class Rule:
    """A relation between fields: wherever `when` holds, at least one of `then` must hold."""

    id: str
    when: Condition
    then: tuple[Condition, ...]
    text: Text
    fatal: bool

    def broken(self) -> str:
        """Return SQL for whether a row breaks it, never NULL."""
        return f"{self.when.sql()} AND NOT ({' OR '.join(then.sql() for then in self.then)})"


@attrs.frozen
class Codebook:
    """The variables in order, three roles, the rules between fields, and the columns that may not appear."""

    variables: Mapping[str, Variable]
    visit_id: str
    person_link: str
    month: str | None
    rules: tuple[Rule, ...]
    forbidden: Mapping[str, Text]  # a column name, or a word inside one, and why it must stay out
    digest: bytes  # SHA-256 over the label and the bytes of the codebook file

    @property
    def recorded(self) -> tuple[Variable, ...]:
        """The variables that a file must hold."""
        return tuple(v for v in self.variables.values() if v.derivation is None)

    @property
    def derived(self) -> tuple[Variable, ...]:
        """The variables computed from others, in an order in which each reads only earlier ones."""
        return tuple(v for v in self.variables.values() if v.derivation is not None)

    @property
    def groupable(self) -> tuple[Variable, ...]:
        """The variables a table may be broken down by."""
        return tuple(v for v in self.variables.values() if v.groupable)

    def private(self, name: str) -> bool:
        """Whether it singles out a visit or a child: counted and linked on, never asked about."""
        return name in (self.visit_id, self.person_link)

    def unsuited(self, purpose: str, names: Iterable[str]) -> tuple[str, ...]:
        """Those of `names` that may not serve `purpose`, in codebook order."""
        asked = set(names)
        return tuple(v.name for v in self.variables.values() if v.name in asked and purpose not in v.purposes)


def closest(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice that a person most likely meant, if any is near."""
    by_folded = {choice.casefold(): choice for choice in choices}
    found = difflib.get_close_matches(word.strip().casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None
