"""Interrupted time series: what a proportion did when something changed.

Segmented regression (A. K. Wagner and others, J. Clinical Pharmacy and Therapeutics 27 (2002) 299–309), binomial
with logit link: log odds in period t = β₀ + β₁t + β₂[t ≥ k] + β₃(t − k)[t ≥ k], t = 0, 1, … and k the first period
after the change.  β₂ is the change of level at k, β₃ the change of slope per period; exponentials are odds ratios.

With more spread between periods than chance makes (dispersion φ > 1), errors are multiplied by √φ and tested
against Student's t with the fit's degrees of freedom (quasi-binomial), if asked.  Neighbouring periods are taken as
independent: the correlation of neighbouring Pearson residuals is given, and where it is far from 0 the errors are
not to be trusted.

A period with a suppressed count, or nobody, is left out of the fit and counted in ``left_out``; time goes on.  The
first two must be known on either side, or there is no line to compare.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Final

import attrs

from nskd.statistics.families import Family
from nskd.statistics.figure import Figure, Interval, Reason, StatisticsError, check_part, missing
from nskd.statistics.fit import Coefficient, Fit, failed
from nskd.statistics.glm import INTERCEPT, Cell, fit
from nskd.statistics.spc import Period
from nskd.statistics.special import student_quantile, student_two_sided

TREND: Final = "trend"
LEVEL_CHANGE: Final = "level change"
SLOPE_CHANGE: Final = "slope change"
_NAMES: Final = (TREND, LEVEL_CHANGE, SLOPE_CHANGE)
_SIDE_MIN: Final = 2


@attrs.frozen
class Interrupted:
    """``model`` and its two changes on the log-odds scale; ``expected`` the fitted proportion per period, None where
    left out.

        ``continued`` is what the line before the change would have been, per period from the change on.
        ``correlation``: of neighbouring residuals.
    """

    model: Fit
    level_change: Coefficient
    slope_change: Coefficient
    quasi: bool
    left_out: int
    expected: tuple[float | None, ...]
    continued: tuple[float, ...]
    correlation: Figure


def interrupted_series(
    periods: Sequence[Period], change: int, *, level: float = 0.95, quasi: bool = False
) -> Interrupted:
    """Fit the series, ``change`` being the index of the first period after; raises :class:`StatisticsError`."""
    for period in periods:
        check_part(period.events, period.size, period.name)
    if not 0 < change < len(periods):
        raise StatisticsError(
            f"a change before period {change + 1} of {len(periods)} has no two sides",
            where="interrupted time series",
            remedy="Give the index, from 1, of a period with others before it.",
        )
    known = [t for t, period in enumerate(periods) if period.events is not None and period.size]
    before = sum(t < change for t in known)
    if min(before, len(known) - before) < _SIDE_MIN:
        hidden = any(None in (period.events, period.size) for period in periods)
        model = failed((INTERCEPT, *_NAMES), level, Reason.SUPPRESSED if hidden else Reason.TOO_FEW)
    else:
        cells = [Cell(_covariates(t, change), periods[t].size, periods[t].events) for t in known]
        model = fit(Family.LOGISTIC, _NAMES, cells, level=level)
    changes = [model.coefficient(name) for name in (LEVEL_CHANGE, SLOPE_CHANGE)]
    widened = quasi and model.dispersion.value is not None
    if widened:
        changes = [_quasi(each, model) for each in changes]
    by_period = dict(zip(known, model.fitted, strict=True)) if model.fitted else {}
    expected = tuple(by_period[t] / (period.size or 1) if t in by_period else None for t, period in enumerate(periods))
    return Interrupted(
        model,
        changes[0],
        changes[1],
        widened,
        len(periods) - len(known),
        expected,
        _continued(model, change, len(periods)),
        _correlation(periods, expected),
    )


def _covariates(t: int, change: int) -> tuple[float, float, float]:
    return float(t), float(t >= change), float(max(t - change, 0))


def _quasi(each: Coefficient, model: Fit) -> Coefficient:
    if each.estimate.value is None or each.error.value is None or model.dispersion.value is None:
        return each
    error = each.error.value * math.sqrt(max(model.dispersion.value, 1.0))
    reach = student_quantile(model.level, model.freedom) * error
    value, statistic = each.estimate.value, each.estimate.value / error
    return Coefficient(
        each.name,
        Figure(value, Interval(value - reach, value + reach)),
        Figure(error),
        Figure(statistic),
        Figure(student_two_sided(statistic, model.freedom)),
    )


def _continued(model: Fit, change: int, count: int) -> tuple[float, ...]:
    start, slope = (model.coefficient(name).estimate.value for name in (INTERCEPT, TREND))
    if start is None or slope is None:
        return ()
    return tuple(1.0 / (1.0 + math.exp(-(start + slope * t))) for t in range(change, count))


def _correlation(periods: Sequence[Period], expected: Sequence[float | None]) -> Figure:
    """Lag-1 autocorrelation of Pearson residuals, over neighbours both known."""
    residuals: list[float | None] = []
    for period, share in zip(periods, expected, strict=True):
        if share is None or period.events is None or not period.size or share in (0.0, 1.0):
            residuals.append(None)  # a share that rounds to 0 or 1 leaves no spread to compare with
        else:
            residuals.append((period.events / period.size - share) / math.sqrt(share * (1.0 - share) / period.size))
    squares = sum(each * each for each in residuals if each is not None)
    pairs = [(a, b) for a, b in itertools.pairwise(residuals) if a is not None and b is not None]
    if not pairs:
        return missing(Reason.TOO_FEW)
    return Figure(sum(a * b for a, b in pairs) / squares) if squares > 0.0 else missing(Reason.CONSTANT)
