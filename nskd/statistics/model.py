"""The model of a release: estimates with intervals and tests, from what was opened; or why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import attrs

from nskd.statistics.figure import Figure, Interval, Reason, StatisticsError, missing
from nskd.statistics.special import (
    chi_square_tail,
    normal_quantile,
    normal_two_sided,
    student_quantile,
    student_two_sided,
)

FAMILIES: Final = ("logistic", "poisson", "linear")
LEVELS: Final = "levels"  # the reason that levels are too small, which no statistics knows
_REASONS: Final = {
    "separated": Reason.SEPARATED,
    "collinear": Reason.COLLINEAR,
    "not-converged": Reason.NOT_CONVERGED,
    LEVELS: Reason.TOO_FEW,
}
_EXPONENT_MAX: Final = 700.0


@attrs.frozen
class Effect:
    """One coefficient: a level of a covariate against its reference, or the intercept (no name).

    ``ratio``: of odds or rates, with its interval; of a linear model missing.
    """

    name: str | None
    level: str | None
    estimate: Figure
    error: float
    ratio: Figure
    p: Figure


@attrs.frozen
class ReleasedModel:
    """As it was released.  ``why``: what there is instead of effects, and the levels that it concerns."""

    family: str
    effects: tuple[Effect, ...]
    references: Mapping[str, str]
    level: float
    freedom: int | None = None
    ratio_statistic: float | None = None
    ratio_p: Figure | None = None
    residual_error: float | None = None
    determination: float | None = None
    why: Reason | None = None
    concerned: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, release: Mapping[str, Any], *, level: float = 0.95) -> ReleasedModel:
        """Read it; raises :class:`StatisticsError` for what no run has released."""
        try:
            return _read(release["reading"]["family"], release["model"], level)
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
            raise StatisticsError(
                "the release has no model that can be read",
                where="model",
                remedy="Use the version of nskd that made it.",
            ) from None


def _read(family: str, model: Mapping[str, Any], level: float) -> ReleasedModel:
    if family not in FAMILIES:
        raise ValueError
    if "reason" in model:
        concerned = tuple((str(each["name"]), str(each["level"])) for each in model["levels"])
        return ReleasedModel(family, (), {}, level, why=_REASONS[model["reason"]], concerned=concerned)
    freedom = int(model["freedom"])
    linear = family == "linear"
    reach = student_quantile(level, freedom) if linear else normal_quantile((1.0 + level) / 2.0)
    effects = tuple(_effect(row, reach, freedom if linear else None) for row in model["coefficients"])
    references = {str(name): str(key) for name, key in model["references"].items()}
    if linear:
        spread, part = float(model["residual_error"]), float(model["determination"])
        return ReleasedModel(family, effects, references, level, freedom, residual_error=spread, determination=part)
    statistic = max(float(model["likelihood_ratio"]), 0.0)
    p = Figure(chi_square_tail(statistic, int(model["terms"])))
    return ReleasedModel(family, effects, references, level, freedom, ratio_statistic=statistic, ratio_p=p)


def _effect(row: Mapping[str, Any], reach: float, freedom: int | None) -> Effect:
    estimate, error = float(row["estimate"]), float(row["error"])
    if not error > 0.0 or not math.isfinite(estimate):
        raise ValueError
    low, high = estimate - reach * error, estimate + reach * error
    z = estimate / error
    if freedom is None:
        p, ratio = normal_two_sided(z), Figure(_exp(estimate), Interval(_exp(low), _exp(high)))
    else:
        p, ratio = student_two_sided(z, freedom), missing(Reason.CONSTANT)
    name, key = row["name"], row["level"]
    return Effect(
        None if name is None else str(name),
        None if key is None else str(key),
        Figure(estimate, Interval(low, high)),
        error,
        ratio,
        Figure(p),
    )


def _exp(value: float) -> float:
    return math.exp(min(value, _EXPONENT_MAX))
