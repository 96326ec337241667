"""One centre's side of a joint regression: what it computes on its own rows, and what is made of what was opened.

Closing figures, over ``people``/1024: of logistic and Poisson models twice the logarithm of the likelihood ratio
against the model without covariates, at the released rate or, where each centre has its own intercept, at its own; of
a linear model the sums of squares within the model and without covariates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from nskd.analysis.design import Design, DesignError
from nskd.analysis.release import AllOrNone
from nskd.analysis.table import TablePlan
from nskd.data.patterns import Patterns
from nskd.governance.question import AsRegression, ModelFamily
from nskd.packs.codebook import TOTAL
from nskd.statistics.families import BINOMIAL, POISSON, Binomial, Poisson
from protocol.errors import Fault, RemoteProtocolError
from protocol.limits import REGRESSION_STEPS_MAX
from protocol.online.frame import Frame, Vector
from protocol.online.regression import CLOSE, FREE_STEPS, PREDICTOR_STEP, Estimates, Status

Array = npt.NDArray[np.float64]

_UNITS: Final = 1024.0
_DIGITS: Final = 7
_EIGENVALUE_MIN: Final = 2.0**-11  # as on shares (``docs/protocol.md``, step 18.5)
_INTERCEPT_STEPS: Final = 200
_SETTLED: Final = 1e-12
# A log odds or log rate ratio that still grows by this when nothing settles, from here on: the likelihood has no end.
_GROWTH, _LARGE = 0.25, 2.0


@attrs.frozen
class Scale:
    """A number as a linear model computes with it: ``(number − middle) / width``, from the codebook's bounds."""

    middle: float = 0.0
    width: float = 1.0

    @classmethod
    def between(cls, least: int, most: int) -> Scale:
        """So that numbers lie in [−2, 2]."""
        return cls((least + most) / 2.0, (most - least) / 4.0)

    @classmethod
    def of(cls, plan: TablePlan) -> Scale:
        """That of the number a model is of, if it is of one."""
        number = plan.reading.number if isinstance(plan.reading, AsRegression) else None
        if number is None:
            return cls()
        variable = plan.codebook.variables[number]
        return cls.between(variable.minimum or 0, variable.maximum or 0)


@attrs.frozen
class CaseMix:
    """Of one centre: events observed and expected, and the variance of the former by the model."""

    observed: float
    expected: float
    variance: float


@attrs.frozen(eq=False, repr=False)
class OwnRows:
    """A :class:`protocol.online.regression.Own`; all of it is secret.

    ``columns`` float64[k, coefficients]; ``size``, ``total``, ``squares`` float64[k], in the units of the scale.
    """

    design: Design
    columns: Array
    size: Array
    total: Array
    squares: Array

    @classmethod
    def of(cls, design: Design, patterns: Patterns, scale: Scale) -> OwnRows:
        """From patterns as they are counted."""
        size, total, squares = (each.astype(np.float64) for each in (patterns.size, patterns.total, patterns.squares))
        if design.family is ModelFamily.LINEAR:
            squares = (squares - 2.0 * scale.middle * total + size * scale.middle**2) / scale.width**2
            total = (total - size * scale.middle) / scale.width
        return cls(design, design.columns(patterns.places), size, total, squares)

    # --- what a fit asks ------------------------------------------------------------------------------------

    def normal(self, at: Vector) -> tuple[Array, Array]:
        """Information and gradient; with an intercept of this centre's own, what these leave beside it."""
        size = self.design.coefficients
        eta = self._predictor(at)
        if eta is None:
            return np.zeros((size, size)), np.zeros(size)
        mean, weight = self._mean(eta), self._weight(eta)
        weighted = self.columns * weight[:, None]
        information, gradient = self.columns.T @ weighted, self.columns.T @ (self.total - mean)
        if not self.design.intercept:
            shared, whole = weighted.sum(axis=0), float(weight.sum())
            information = information - np.outer(shared, shared) / whole
            gradient = gradient - shared * (float((self.total - mean).sum()) / whole)
        return information, gradient

    def closing(self, at: Vector) -> tuple[Array, float]:
        """Its part of the closing figures, and of all visits."""
        people = self.design.people
        unit, part = people / _UNITS, float(self.size.sum()) / people
        linear = self.design.family is ModelFamily.LINEAR
        eta = self._predictor(at)
        if eta is None:
            return np.zeros(2 if linear else 1), part
        if linear:
            middle = self.design.mean_predictor(at)
            if not self.design.intercept:
                middle = float(self.total.sum() / self.size.sum())
            flat = np.full_like(eta, middle)
            return np.array([self._residual(eta), self._residual(flat)]) / unit, part
        law = self._law()
        without = law.overall(self.size, self.total) if not self.design.intercept else self.design.start[0]
        gained = law.log_likelihood(self.size, self.total, eta)
        gained -= law.log_likelihood(self.size, self.total, np.full_like(eta, without))
        return np.array([2.0 * gained / unit]), part

    def case_mix(self, at: Vector) -> CaseMix | None:
        """How many of these rows have the outcome, and how many the model expects; None where it tells neither.

        With an intercept of each centre's own as many are expected as there are, and of a linear model none.
        """
        eta = self._predictor(at)
        if not self.design.intercept or self.design.family is ModelFamily.LINEAR or eta is None:
            return None
        return CaseMix(float(self.total.sum()), float(self._mean(eta).sum()), float(self._weight(eta).sum()))

    # --- parts of it ----------------------------------------------------------------------------------------

    def _predictor(self, at: Vector) -> Array | None:
        """Of each pattern, this centre's own intercept included; None where the rows say nothing."""
        eta: Array = self.columns @ np.array(at)
        if self.design.intercept:
            return eta if self.size.size else None
        events, people = float(self.total.sum()), float(self.size.sum())
        family = self.design.family
        if not people or (family is not ModelFamily.LINEAR and events <= 0.0):
            return None
        if family is ModelFamily.LOGISTIC and events >= people:
            return None
        return eta + self._own_intercept(eta, events)

    def _own_intercept(self, eta: Array, events: float) -> float:
        """With which as many events are expected as there are: by Newton's method within shrinking bounds."""
        if self.design.family is ModelFamily.LINEAR:
            return (events - float(self.size @ eta)) / float(self.size.sum())
        if self.design.family is ModelFamily.POISSON:
            return math.log(events / float(self.size @ np.exp(eta)))
        rate = events / float(self.size.sum())
        low, high = (math.log(rate / (1.0 - rate)) - float(end(eta)) for end in (np.max, np.min))
        found = (low + high) / 2.0
        for _ in range(_INTERCEPT_STEPS):
            excess = float(self._mean(eta + found).sum()) - events
            if abs(excess) <= _SETTLED * events or high - low <= _SETTLED:
                break
            low, high = (low, found) if excess > 0.0 else (found, high)
            step = excess / float(self._weight(eta + found).sum())
            found = found - step if low < found - step < high else (low + high) / 2.0
        return found

    def _law(self) -> Binomial | Poisson:
        return POISSON if self.design.family is ModelFamily.POISSON else BINOMIAL

    def _mean(self, eta: Array) -> Array:
        return self.size * eta if self.design.family is ModelFamily.LINEAR else self._law().mean(self.size, eta)

    def _weight(self, eta: Array) -> Array:
        return self.size if self.design.family is ModelFamily.LINEAR else self._law().weight(self.size, eta)

    def _residual(self, eta: Array) -> float:
        return float(self.squares.sum() - 2.0 * (self.total @ eta) + self.size @ eta**2)


def in_the_clear(design: Design, centres: Sequence[OwnRows]) -> Estimates:
    """The fit of centres whose rows are all here: for data that are made up."""
    at, path, before = design.start, [design.start], math.inf
    for count in range(1, REGRESSION_STEPS_MAX + 1):
        normals = [each.normal(at) for each in centres]
        information, gradient = sum(each[0] for each in normals), sum(each[1] for each in normals)
        frame = Frame.of(design.expected(at))
        inner = frame.information(np.asarray(information))
        if np.linalg.eigvalsh(inner)[0] < _EIGENVALUE_MIN:
            return Estimates(Status.SINGULAR, tuple(path))
        step = tuple(np.linalg.solve(inner, frame.gradient(np.asarray(gradient))).tolist())
        length, move = frame.length(step), frame.back(step)
        if count > FREE_STEPS and length > before / 2.0:
            break
        part = min(1.0, PREDICTOR_STEP / max(design.reach(move), PREDICTOR_STEP))
        at = tuple(b + part * m for b, m in zip(at, move, strict=True))
        path.append(at)
        if length <= CLOSE:
            inverse = np.linalg.inv(np.sum([each.normal(at)[0] for each in centres], axis=0))
            closing = [each.closing(at) for each in centres]
            figures = np.sum([each[0] for each in closing], axis=0)
            if design.sizes.people is not None:
                figures = figures / sum(each[1] for each in closing)
            errors = tuple(np.sqrt(np.diag(inverse)).tolist())
            return Estimates(Status.CONVERGED, tuple(path), errors, tuple(figures.tolist()))
        before = length
    return Estimates(Status.NOT_CONVERGED, tuple(path))


# --- what is released -----------------------------------------------------------------------------------------


def too_small(levels: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The model of a release without one, because of these levels of covariates."""
    return {"reason": "levels", "levels": [{"name": name, "level": level} for name, level in levels]}


def levels_of(plan: TablePlan, cells: npt.NDArray[np.bool_]) -> list[tuple[str, str]]:
    """The levels that some cells are of, each once."""
    found: dict[tuple[str, str], None] = {}
    for cell, chosen in zip(plan.cells, cells.tolist(), strict=True):
        if chosen:
            found |= {(name, cell[name]): None for name in plan.rows if cell[name] != TOTAL}
    return list(found)


def model_design(
    plan: TablePlan, impossible: npt.NDArray[np.bool_], counted: AllOrNone, values: npt.NDArray[np.int64]
) -> Design | dict[str, Any]:
    """The public side of a model from counts that were opened; or, if not all were, what a release says instead."""
    if counted.unsafe.any():
        return too_small(levels_of(plan, counted.unsafe))
    try:
        return Design.of(plan, impossible, values)
    except DesignError as error:
        return too_small(error.levels)


def fitted(design: Design, estimates: Estimates, scale: Scale, centres: int) -> dict[str, Any]:
    """The model of a release, in the units of the data; ``centres``: how many have an intercept of their own."""
    if estimates.status is not Status.CONVERGED:
        return _failed(design, estimates)
    linear = design.family is ModelFamily.LINEAR
    freedom = design.people - design.coefficients - (0 if design.intercept else centres)
    facts: dict[str, Any] = {}
    spread = 1.0
    unit = design.people / _UNITS
    if linear:
        within, without = (figure * unit for figure in estimates.figures)
        if not (within >= 0.0 and without > 0.0 and freedom > 0):
            raise RemoteProtocolError(Fault.CONTRIBUTION, "sums of squares that no rows have: somebody's are false")
        spread = math.sqrt(within / freedom)
        facts = {"residual_error": _shown(spread * scale.width), "determination": _shown(1.0 - within / without)}
    else:
        terms = design.coefficients - int(design.intercept)
        facts = {"likelihood_ratio": _shown(estimates.figures[0] * unit), "terms": terms}
    rows = [
        {"name": name, "level": level, "estimate": _shown(b * scale.width), "error": _shown(e * spread * scale.width)}
        for (name, level), b, e in zip(_names(design), estimates.path[-1], estimates.errors, strict=True)
    ]
    if design.intercept:
        rows[0]["estimate"] = _shown(estimates.path[-1][0] * scale.width + scale.middle)
    references = {group.name: group.reference for group in design.groups}
    return {"coefficients": rows, "references": references, "freedom": round(freedom), **facts} | {
        "steps": len(estimates.path) - 1
    }


def _failed(design: Design, estimates: Estimates) -> dict[str, Any]:
    """Why there are no estimates: an effect that grows for ever, covariates that cannot be told apart, or no end."""
    before, last = estimates.path[-2:] if len(estimates.path) > 1 else estimates.path * 2
    far = [
        {"name": name, "level": level}
        for (name, level), a, b in zip(_names(design), before, last, strict=True)
        if name is not None and abs(b) > _LARGE and abs(b) - abs(a) > _GROWTH
    ]
    if far and design.family is not ModelFamily.LINEAR:
        return {"reason": "separated", "levels": far}
    return {"reason": "collinear" if estimates.status is Status.SINGULAR else "not-converged", "levels": []}


def _names(design: Design) -> list[tuple[str | None, str | None]]:
    begin: list[tuple[str | None, str | None]] = [(None, None)] if design.intercept else []
    return begin + [(group.name, level) for group in design.groups for level in group.terms]


def _shown(number: float) -> float:
    """As many digits as are meant."""
    return float(f"{number:.{_DIGITS}g}")


# --- a run made again -------------------------------------------------------------------------------------------
# The last digits are chance: the tails that were cut off.  What was released once stays, so a run that is made again
# for centres which lack the release gives them that one, once it is seen to be the same but for these digits.

_ALIKE_ERRORS, _ALIKE = 1e-3, 1e-5


def alike(one: Mapping[str, Any], other: object) -> bool:
    """Whether a model, as told by somebody, says the same as another one."""
    if not isinstance(other, dict) or one.keys() != other.keys():
        return False
    rows, others = one.get("coefficients"), other.get("coefficients")
    rest = {key: value for key, value in one.items() if key not in ("coefficients", "steps")}
    if not all(
        _near(value, other[key], _ALIKE * abs(value)) if isinstance(value, float) else value == other[key]
        for key, value in rest.items()
    ):
        return False
    if rows is None:
        return True
    steps = other.get("steps")
    if type(steps) is not int or not 1 <= steps <= REGRESSION_STEPS_MAX:
        return False
    if not isinstance(others, list) or len(rows) != len(others):
        return False
    return all(isinstance(b, dict) and _same_row(a, b) for a, b in zip(rows, others, strict=True))


def _same_row(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    error = one["error"]
    return (
        one.keys() == other.keys()
        and (one["name"], one["level"]) == (other["name"], other["level"])
        and _near(one["estimate"], other["estimate"], _ALIKE_ERRORS * error)
        and _near(error, other["error"], _ALIKE * error)
    )


def _near(one: float, other: object, most: float) -> bool:
    return isinstance(other, float) and abs(one - other) <= most
