"""What everybody knows of a model: its coefficients, and from released counts about how much is known of each.

The counts are of each covariate by itself against the outcome.  As if covariates had nothing to do with each other,
they give the information that a fit may expect at any coefficients (``docs/protocol.md``, step 18.8): only a scale to
compute in, which the estimates do not depend on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from nskd.analysis.table import TablePlan
from nskd.governance.question import NO, YES, AsRegression, ModelFamily
from nskd.packs.codebook import MISSING, TOTAL
from protocol.online.frame import Vector
from protocol.online.regression import Sizes

Array = npt.NDArray[np.float64]
_COARSE_BITS: Final = 20
_PREDICTOR_MAX: Final = 30.0  # beyond it a rate is as good as 0 or 1, and weights would vanish


class DesignError(Exception):
    """Counts that no model can be fitted to; ``levels`` are the (covariate, level) that lack people or events."""

    def __init__(self, levels: Sequence[tuple[str, str]]) -> None:
        self.levels = tuple(levels)
        super().__init__(f"levels without enough people or events: {self.levels}")


@attrs.frozen
class Group:
    """A covariate: its levels that anybody can be in, the ``reference`` among them, and how many are in each.

    ``places``: where these levels are among all of the codebook's.
    """

    name: str
    levels: tuple[str, ...]
    reference: str
    people: tuple[float, ...]
    places: tuple[int, ...]

    @property
    def terms(self) -> tuple[str, ...]:
        """The levels that have a coefficient."""
        return tuple(level for level in self.levels if level != self.reference)

    def of_levels(self, coefficients: Sequence[float]) -> Array:
        """One number for each level: its coefficient, 0 for the reference."""
        left = iter(coefficients)
        return np.array([0.0 if level == self.reference else next(left) for level in self.levels])


@attrs.frozen
class _Counts:
    """Of one level: visits that the model is of, those with the outcome, and whether that is enough for an effect."""

    people: float
    events: float
    enough: bool


def _counted(
    plan: TablePlan, impossible: npt.NDArray[np.bool_], values: npt.NDArray[np.int64]
) -> dict[str, dict[str, _Counts]]:
    """The counts of every level that anybody can be in, by covariate."""
    reading = plan.reading
    if not isinstance(reading, AsRegression):
        raise TypeError(f"a {reading.kind} has no model")
    (outcome,) = plan.columns
    by_level: dict[tuple[str, str], dict[str, float]] = {}
    for cell, value, never in zip(plan.cells, values.tolist(), impossible.tolist(), strict=True):
        if not never:
            ((name, level),) = ((n, cell[n]) for n in plan.rows if cell[n] != TOTAL)
            by_level.setdefault((name, level), {})[cell[outcome]] = float(value)
    found: dict[str, dict[str, _Counts]] = {name: {} for name in plan.rows}
    for (name, level), counts in by_level.items():
        events, others = counts.get(YES, 0.0), counts.get(NO, 0.0)
        if reading.family is ModelFamily.LINEAR:  # the number of the others is not known
            if YES in counts:
                found[name][level] = _Counts(events, events, events > 0.0)
        else:
            enough = events > 0.0 and (others > 0.0 or reading.family is ModelFamily.POISSON)
            found[name][level] = _Counts(events + others, events, enough)
    return found


@attrs.frozen(eq=False)
class Design:
    """A model over released counts; a :class:`protocol.online.regression.Model`.

    Coefficients: the intercept first, unless each centre has its own, then those of each group.  ``people``: about how
    many visits; ``rate``: about which part has the outcome.
    """

    family: ModelFamily
    groups: tuple[Group, ...]
    intercept: bool
    people: float
    rate: float

    @classmethod
    def of(cls, plan: TablePlan, impossible: npt.NDArray[np.bool_], values: npt.NDArray[np.int64]) -> Design:
        """From released counts, all shown or known to be 0; raises :class:`DesignError`."""
        reading = plan.reading
        if not isinstance(reading, AsRegression):
            raise TypeError(f"a {reading.kind} has no model")
        counted = _counted(plan, impossible, values)
        groups, lacking = [], []
        for covariate in reading.covariates:
            here = counted[covariate.name]
            people = {level: counts.people for level, counts in here.items()}
            levels = tuple(people)
            reference = covariate.reference or next((level for level in levels if level != MISSING), MISSING)
            lacking += [(covariate.name, level) for level, counts in here.items() if not counts.enough]
            if reference not in levels or len(levels) == 1:  # nothing to compare with
                lacking.append((covariate.name, reference))
            keys = plan.codebook.variables[covariate.name].keys
            places = tuple(keys.index(level) for level in levels)
            groups.append(Group(covariate.name, levels, reference, tuple(people.values()), places))
        if lacking:
            raise DesignError(lacking)
        people_in_all = max(sum(group.people) for group in groups)
        events = sum(counts.events for counts in counted[reading.covariates[0].name].values())
        rate = min(events / people_in_all, 1.0)
        return cls(reading.family, tuple(groups), not reading.centre_effects, people_in_all, rate)

    # --- its shape ------------------------------------------------------------------------------------------

    @property
    def coefficients(self) -> int:
        """How many."""
        return int(self.intercept) + sum(len(group.terms) for group in self.groups)

    @property
    def sizes(self) -> Sizes:
        """The public sizes of the fit (see :mod:`nskd.analysis.regression` for the closing figures)."""
        linear = self.family is ModelFamily.LINEAR
        return Sizes(self.coefficients, 2 if linear else 1, self.people if linear else None)

    def by_group(self, at: Sequence[float]) -> list[Array]:
        """The coefficients of each group, by level."""
        begin, found = int(self.intercept), []
        for group in self.groups:
            found.append(group.of_levels(at[begin : begin + len(group.terms)]))
            begin += len(group.terms)
        return found

    def columns(self, places: npt.NDArray[np.int64]) -> Array:
        """The design matrix float64[k, coefficients] of patterns int64[k, groups], each a place in the codebook."""
        blocks = [np.ones((len(places), 1))] if self.intercept else [np.empty((len(places), 0))]
        for k, group in enumerate(self.groups):
            kept = [place for place, level in zip(group.places, group.levels, strict=True) if level != group.reference]
            blocks.append((places[:, k][:, None] == np.array(kept)).astype(np.float64))
        return np.concatenate(blocks, axis=1)

    # --- what a fit asks ------------------------------------------------------------------------------------

    @property
    def start(self) -> Vector:
        """Where a fit begins: nothing makes a difference."""
        return ((self._link(),) if self.intercept else ()) + (0.0,) * (self.coefficients - int(self.intercept))

    def expected(self, at: Vector) -> Array:
        """About the joint information, as if covariates were independent."""
        weights = self._weights(at)
        whole = float(np.mean([each.sum() for each in weights]))
        kept = []
        for group, each in zip(self.groups, weights, strict=True):
            parts = each * (whole / each.sum())
            kept.append(parts[[place for place, level in enumerate(group.levels) if level != group.reference]])
        together = np.concatenate(kept)
        found = np.outer(together, together) / whole
        begin = 0
        for parts in kept:
            span = slice(begin, begin + parts.size)
            found[span, span] = np.diag(parts)
            begin += parts.size
        if self.intercept:
            return _coarse(np.block([[np.array([[whole]]), together[None, :]], [together[:, None], found]]))
        return _coarse(found - np.outer(together, together) / whole)  # each centre has an intercept beside these

    def reach(self, step: Vector) -> float:
        """The most by which a step moves a predictor, over all patterns there could be."""
        begin = step[0] if self.intercept else 0.0
        groups = self.by_group(step)
        return max(abs(begin + sum(float(end(each)) for each in groups)) for end in (np.max, np.min))

    def mean_predictor(self, at: Sequence[float]) -> float:
        """That of all together, about; of a model in which each centre has its own intercept, the link of the rate."""
        if not self.intercept:
            return self._link()
        return float(at[0]) + sum(
            self._mean(group, each) for group, each in zip(self.groups, self.by_group(at), strict=True)
        )

    def _link(self) -> float:
        if self.family is ModelFamily.LINEAR:
            return 0.0
        odds = self.rate if self.family is ModelFamily.POISSON else self.rate / (1.0 - self.rate)
        return float(_coarse(np.array([math.log(odds)]))[0])

    @staticmethod
    def _mean(group: Group, coefficients: Array) -> float:
        return float(np.average(coefficients, weights=group.people))

    def _weights(self, at: Vector) -> list[Array]:
        """About the weight of all visits in each level of each group."""
        middle, found = self.mean_predictor(at), []
        for group, each in zip(self.groups, self.by_group(at), strict=True):
            eta = np.clip(middle + each - self._mean(group, each), -_PREDICTOR_MAX, _PREDICTOR_MAX)
            if self.family is ModelFamily.LINEAR:
                variance = np.ones_like(eta)
            elif self.family is ModelFamily.POISSON:
                variance = np.exp(eta)
            else:
                variance = 1.0 / (2.0 + np.exp(eta) + np.exp(-eta))
            found.append(np.array(group.people) * variance)
        return found


def _coarse(values: Array) -> Array:
    """The same to 20 bits: exponentials differ by a unit in the last place from one machine to another.

    Of public numbers that decide where computing begins, and not what comes out, so that all centres have the same.
    """
    mantissa, exponent = np.frexp(values)
    found: Array = np.ldexp(np.rint(np.ldexp(mantissa, _COARSE_BITS)), exponent - _COARSE_BITS)
    return found


def sizes_at_most(plan: TablePlan) -> Sizes | None:
    """The sizes of a model in which somebody is in every level; None for a request without a model."""
    reading = plan.reading
    if not isinstance(reading, AsRegression):
        return None
    terms = sum(len(plan.codebook.variables[name].levels) - 1 for name in plan.rows)
    linear = reading.family is ModelFamily.LINEAR
    coefficients = terms + (0 if reading.centre_effects else 1)
    return Sizes(max(coefficients, 1), 2 if linear else 1, 1.0 if linear else None)
