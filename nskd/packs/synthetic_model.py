"""`synthetic.toml` → what the generator follows: draws in order, each with the source of its numbers."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

from nskd.packs import schema
from nskd.packs.codebook import Codebook, Level, Text, Variable, VariableType
from nskd.packs.conditions import Condition
from nskd.packs.errors import PackError
from nskd.packs.reader import NAME, decode, resolve_condition

VISITS_MAX = 5_000_000  # an extract is made in memory


class Scope(enum.Enum):
    """What a draw is made for: a child keeps its sex over all its visits, a centre its record system."""

    CENTRE = "centre"
    CHILD = "child"
    VISIT = "visit"


@attrs.frozen
class Source:
    """Whether a number is published, and where or why."""

    published: bool
    note: str


@attrs.frozen
class Odds:
    """Where the condition holds, the odds of the draw's level are multiplied."""

    condition: Condition
    factor: float
    source: Source


@attrs.frozen(eq=False)
class Draw:
    """One variable, or hidden factor, and the distribution it is drawn from.

    `weights` and those of `branches` are probabilities over `variable.keys`; for whole numbers `spans` holds
    (min, max) and `weights` their probabilities.
    """

    variable: Variable
    scope: Scope
    hidden: bool
    weights: NDArray[np.float64]
    branches: tuple[tuple[Condition, NDArray[np.float64]], ...]
    spans: tuple[tuple[int, int], ...]
    grows_with: str | None
    level: int | None
    centre_sd: float
    odds: tuple[Odds, ...]
    source: Source


@attrs.frozen(eq=False)
class Synthetic:
    """A generator: how many visits, how many of them per child, and the draws in order."""

    visits: int
    visits_per_child: NDArray[np.float64]  # probability of 1, 2, 3, … visits
    draws: tuple[Draw, ...]


def read_synthetic(raw: bytes, codebook: Codebook, file: str) -> Synthetic:
    """`synthetic.toml` → `Synthetic`. Raises `PackError`."""
    spec = decode(raw, schema.SyntheticFile, file)
    if not 1 <= spec.visits <= VISITS_MAX:
        remedy = f"Give a number from 1 to {VISITS_MAX}."
        raise PackError("is out of range", file=file, key="visits", remedy=remedy)
    reader = _DrawReader(codebook, file)
    draws = tuple(reader.draw(d) for d in spec.draw)
    drawn = {d.variable.name for d in draws} | {codebook.visit_id, codebook.person_link}
    absent = [v.name for v in codebook.recorded if v.name not in drawn]
    if absent:
        raise PackError(f"no draw for {', '.join(absent)}", file=file, key="draw", remedy="Add one for each.")
    per_child = normalised(spec.visits_per_child, file=file, key="visits_per_child")
    return Synthetic(spec.visits, per_child, draws)


def normalised(weights: Sequence[float], *, file: str, key: str) -> NDArray[np.float64]:
    """Weights as probabilities."""
    values = np.array(weights, np.float64)
    if values.size == 0 or not np.isfinite(values).all() or (values < 0).any() or values.sum() <= 0:
        remedy = "Give numbers of at least 0 with a positive sum."
        raise PackError("are not weights", file=file, key=key, remedy=remedy)
    return np.asarray(values / values.sum(), np.float64)


def _source(source: schema.SourceFile) -> Source:
    return Source(source.status == "published", source.note)


class _DrawReader:
    """Reads the draws in order; each may depend on what earlier ones (and derivations from them) settled."""

    def __init__(self, codebook: Codebook, file: str) -> None:
        self.codebook = codebook
        self.file = file
        self.known: dict[str, Variable] = {}  # may stand in a condition of a visit-level draw
        self.broad: dict[str, Variable] = {}  # … of a child- or centre-level draw

    def fail(self, what: str, key: str, remedy: str) -> PackError:
        return PackError(what, file=self.file, key=key, remedy=remedy)

    def draw(self, d: schema.DrawFile) -> Draw:
        key = f'draw "{d.variable}"'
        scope = Scope(d.per)
        variable = self._variable(d, key)
        spans = tuple((span.min, span.max) for span in d.spans or ())
        within = self.known if scope is Scope.VISIT else self.broad
        if d.grows_with is not None:
            month = self.known.get(d.grows_with)
            if scope is not Scope.CHILD or not spans or month is None or month.type is not VariableType.MONTH:
                what = '"grows_with" needs a child-level whole number and a month drawn before it'
                raise self.fail(what, key, "Reorder or remove it.")
        if (d.level is None) != (not d.odds and not d.centre_sd) or not 0 <= d.centre_sd < math.inf:
            what = '"level", and "odds" or a "centre_sd" of at least 0, belong together'
            raise self.fail(what, key, "Give both or neither.")
        if d.level is not None and d.level not in variable.keys:
            raise self.fail(f'"{d.level}" is not a level of it', key, f"Known: {', '.join(variable.keys)}.")
        draw = Draw(
            variable=variable,
            scope=scope,
            hidden=d.hidden,
            weights=self._base_weights(d, variable, key),
            branches=tuple(
                (self._condition(b.when, within, key), self._weights(b.weights, variable, key)) for b in d.branch
            ),
            spans=spans,
            grows_with=d.grows_with,
            level=None if d.level is None else variable.keys.index(d.level),
            centre_sd=d.centre_sd,
            odds=tuple(
                Odds(self._condition(o.when, within, key), self._factor(o.factor, key), _source(o.source))
                for o in d.odds
            ),
            source=_source(d.source),
        )
        self._settle(variable, scope)
        return draw

    def _variable(self, d: schema.DrawFile, key: str) -> Variable:
        variable = self.codebook.variables.get(d.variable)
        if d.hidden:
            taken = variable is not None or d.variable in self.known
            if taken or not NAME.fullmatch(d.variable) or not d.weights:
                what = "a hidden factor needs a name of its own and weights"
                raise self.fail(what, key, "Give it both.")
            levels = tuple(Level(k, k, k) for k in d.weights)
            return Variable(d.variable, VariableType.CATEGORY, Text("", ""), levels)
        if variable is None or variable.derivation is not None or variable.type is VariableType.IDENTIFIER:
            what = "is not a variable that can be drawn: unknown, derived, or an identifier"
            raise self.fail(what, key, "Name a recorded variable of the codebook.")
        if d.variable in self.known:
            raise self.fail("is drawn twice", key, "Remove one of the two.")
        return variable

    def _base_weights(self, d: schema.DrawFile, variable: Variable, key: str) -> NDArray[np.float64]:
        if sum(option is not None for option in (d.weights, d.spans, d.months)) != 1:
            raise self.fail('needs exactly one of "weights", "spans" and "months"', key, "Choose one.")
        if d.spans is not None:
            low, high = variable.minimum, variable.maximum
            if low is None or high is None or any(not low <= s.min <= s.max <= high for s in d.spans):
                raise self.fail("spans must lie within the codebook's min and max", key, "Correct them.")
            if d.branch or d.odds:
                raise self.fail("a whole number has no branches or odds", key, "Remove them.")
            return normalised([span.weight for span in d.spans], file=self.file, key=key)
        if d.months is not None:
            if len(d.months) != 2 or variable.type is not VariableType.MONTH:
                raise self.fail('"months" is [first, last] of a month variable', key, "Correct it.")
            inside = [float(d.months[0] <= month <= d.months[1]) for month in variable.keys]
            return normalised(inside, file=self.file, key=key)
        return self._weights(d.weights or {}, variable, key)

    def _weights(self, weights: Mapping[str, float], variable: Variable, key: str) -> NDArray[np.float64]:
        unknown = [k for k in weights if k not in variable.keys]
        if unknown:
            known = ", ".join(variable.keys[:12]) or "none, it is a whole number"
            raise self.fail(f'"{unknown[0]}" is not a level of it', key, f"Known: {known}.")
        return normalised([weights.get(k, 0.0) for k in variable.keys], file=self.file, key=key)

    def _condition(self, when: schema.When, within: Mapping[str, Variable], key: str) -> Condition:
        return resolve_condition(when, within, file=self.file, key=key)

    def _factor(self, factor: float, key: str) -> float:
        if not 0 < factor < math.inf:
            raise self.fail("a factor on odds is a positive number", key, "Correct it.")
        return factor

    def _settle(self, variable: Variable, scope: Scope) -> None:
        """Make the variable, and every derived one it completes, known to later draws."""
        self.known[variable.name] = variable
        if scope is not Scope.VISIT:
            self.broad[variable.name] = variable
        for derived in self.codebook.derived:
            if derived.derivation and all(name in self.known for name in derived.derivation.variables):
                self.known[derived.name] = derived
