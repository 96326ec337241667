"""Generalised linear models on aggregated cells: counts per pattern of covariates instead of rows per person.

Logistic and Poisson models by iteratively reweighted least squares (J. A. Nelder, R. W. M. Wedderburn, J. R. Stat.
Soc. A 135 (1972) 370–384), the linear one by a single weighted fit of the cells' means.  Canonical links, so the
estimates are the maximum-likelihood ones and the expected information is the observed one; aggregation loses
nothing: estimates, standard errors and likelihood ratios are those of the rows.

Every model has an intercept, first. Each weighted problem is solved by QR of √W·X with columns scaled to length 1.
Iteration begins at the rate of all cells together, moves no log odds or log rate by more than 4 at once, halves a
step that would raise the deviance, and ends with a step of 10⁻⁸ standard errors or less (its length in the metric of
the information); Newton's method then leaves an error of the order of that squared, below what rounding leaves.
Before it starts, collinearity is looked for by singular values, and separation by a linear programme
(:mod:`~nskd.statistics.separation`): with either there are no estimates, and the fit says why. A suppressed count in
any cell does the same: leaving cells out for being small would bend every estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from nskd.statistics.families import BINOMIAL, POISSON, Binomial, Family, Poisson
from nskd.statistics.figure import Reason, StatisticsError, check_level
from nskd.statistics.fit import Fit, HypothesisTest, failed, gaussian_fit, inverse_information, summarise
from nskd.statistics.separation import separated

ITERATIONS_MAX: Final = 100
_SETTLED: Final = 1e-8  # standard errors
_NO_GROWTH: Final = 1e-9  # of the deviance: rounding errors are no growth
_REACH: Final = 4.0  # how far a step may move any log odds or log rate
_HALVINGS_MAX: Final = 30
_RANK: Final = 1e-10
INTERCEPT: Final = "(intercept)"

Array = npt.NDArray[np.float64]


@attrs.frozen
class Cell:
    """All who share the values ``covariates``, the intercept not among them.

    ``size``: how many they are; for a Poisson model their exposure in any unit.  ``total``: how many events, or for
    a linear model the sum of their numbers, with ``squares`` the sum of the squares.  None where suppressed.
    """

    covariates: tuple[float, ...]
    size: float | None
    total: float | None
    squares: float | None = None


def fit(family: Family, names: Sequence[str], cells: Sequence[Cell], *, level: float = 0.95) -> Fit:
    """Fit the model with the covariates ``names``; raises :class:`StatisticsError` for cells that cannot be."""
    check_level(level)
    for index, cell in enumerate(cells):
        _check(family, cell, len(names), f"cell {index + 1}")
    columns = (INTERCEPT, *names)
    if any(cell.size is None or cell.total is None for cell in cells) or (
        family is Family.LINEAR and any(cell.squares is None for cell in cells)
    ):
        return failed(columns, level, Reason.SUPPRESSED)
    held = [cell for cell in cells if cell.size]
    if not held:
        return failed(columns, level, Reason.EMPTY)
    design = np.array([(1.0, *cell.covariates) for cell in held])
    size = np.array([cell.size for cell in held], dtype=np.float64)
    total = np.array([cell.total for cell in held], dtype=np.float64)
    if _rank(design) < design.shape[1]:
        return failed(columns, level, Reason.COLLINEAR)
    if family is Family.LINEAR:
        squares = np.array([cell.squares for cell in held], dtype=np.float64)
        return gaussian_fit(columns, design, size, total, squares, level)
    apart = separated(design, total > 0, None if family is Family.POISSON else total < size)
    if apart.any():
        names_apart = tuple(name for name, is_apart in zip(columns, apart, strict=True) if is_apart)
        return failed(columns, level, Reason.SEPARATED, separated=names_apart)
    return _iterate(POISSON if family is Family.POISSON else BINOMIAL, columns, design, size, total, level)


def likelihood_ratio(smaller: Fit, larger: Fit) -> HypothesisTest:
    """Test what ``larger`` has besides, −2 log of the ratio against χ²; raises :class:`StatisticsError`.

    For the linear model with the maximum-likelihood variance, as for the others: an approximation for few rows.
    """
    freedom = len(larger.coefficients) - len(smaller.coefficients)
    names = {each.name for each in larger.coefficients}
    same = (smaller.observations, smaller.family) == (larger.observations, larger.family)
    nested = freedom > 0 and all(each.name in names for each in smaller.coefficients)
    reason = smaller.reason or larger.reason
    if not nested or (reason is None and not same):
        raise StatisticsError(
            "one model is not part of the other",
            where="likelihood ratio",
            remedy="Fit both to the same cells, with more covariates in the second.",
        )
    return HypothesisTest.of_ratio(smaller.log_likelihood, larger.log_likelihood, freedom, reason)


def _iterate(
    law: Binomial | Poisson, columns: tuple[str, ...], design: Array, size: Array, total: Array, level: float
) -> Fit:
    beta = np.zeros(design.shape[1])
    beta[0] = law.overall(size, total)
    deviance = law.deviance(size, total, design @ beta)
    for iteration in range(1, ITERATIONS_MAX + 1):
        eta = design @ beta
        weight = law.weight(size, eta)
        try:
            step = inverse_information(design, weight) @ (design.T @ (total - law.mean(size, eta)))
        except np.linalg.LinAlgError:  # weights so far apart that some columns have none left
            break
        moves = design @ step
        length = float(np.sqrt(weight @ moves**2))
        # Far from the solution the quadratic that a step follows holds only nearby; beyond, weights vanish for good.
        step = step * min(1.0, _REACH / float(np.abs(moves).max(initial=_REACH)))
        beta, deviance = forward(law, design, size, total, beta, step, deviance)
        if length <= _SETTLED:
            return summarise(law, columns, design, size, total, beta, level, iteration)
    return failed(columns, level, Reason.NOT_CONVERGED, iterations=iteration)


def forward(
    law: Binomial | Poisson, design: Array, size: Array, total: Array, beta: Array, step: Array, deviance: float
) -> tuple[Array, float]:
    """Take the step, or half of it and so on until the deviance does not grow."""
    for _ in range(_HALVINGS_MAX):
        after = law.deviance(size, total, design @ (beta + step))
        if after <= deviance + _NO_GROWTH * (abs(deviance) + 1.0):
            return beta + step, after
        step = step / 2.0
    return beta, deviance


def _rank(design: Array) -> int:
    lengths = np.linalg.norm(design, axis=0)
    singular = np.linalg.svd(design / np.where(lengths > 0.0, lengths, 1.0), compute_uv=False)
    return int((singular > _RANK * singular[0]).sum())


def _check(family: Family, cell: Cell, width: int, where: str) -> None:
    if len(cell.covariates) != width or not np.isfinite(cell.covariates).all():
        raise StatisticsError(
            f"there are {width} covariates, and the values are {cell.covariates!r}",
            where=where,
            remedy="Give a finite number for each covariate.",
        )
    numbers = [each for each in (cell.size, cell.total, cell.squares) if each is not None]
    counted = family is not Family.LINEAR
    bad = not all(np.isfinite(numbers)) or (cell.size or 0) < 0 or (counted and (cell.total or 0) < 0)
    if bad or (family is Family.LOGISTIC and (cell.total or 0) > (cell.size if cell.size is not None else np.inf)):
        raise StatisticsError(
            f"size {cell.size!r} with total {cell.total!r} cannot be",
            where=where,
            remedy="Give sizes and events from 0, and of a logistic model not more events than there are people.",
        )
