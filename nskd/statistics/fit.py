"""A fitted model: estimates, standard errors, tests, and how the fit went."""

from __future__ import annotations

import math

import attrs
import numpy as np
import numpy.typing as npt

from nskd.statistics.families import Binomial, Family, Poisson
from nskd.statistics.figure import Figure, Interval, Reason, missing
from nskd.statistics.special import (
    chi_square_tail,
    normal_quantile,
    normal_two_sided,
    student_quantile,
    student_two_sided,
)

Array = npt.NDArray[np.float64]


@attrs.frozen
class HypothesisTest:
    """A test statistic and the probability, under the hypothesis, of one at least as extreme."""

    statistic: Figure
    freedom: int
    p: Figure

    @classmethod
    def of_ratio(cls, smaller: Figure, larger: Figure, freedom: int, reason: Reason | None) -> HypothesisTest:
        """From two log likelihoods; the statistic is never below 0."""
        if smaller.value is None or larger.value is None:
            without = missing(reason or smaller.reason or larger.reason or Reason.NOT_CONVERGED)
            return cls(without, freedom, without)
        statistic = max(2.0 * (larger.value - smaller.value), 0.0)
        return cls(Figure(statistic), freedom, Figure(chi_square_tail(statistic, freedom)))


@attrs.frozen
class Coefficient:
    """An estimate with its Wald interval, its standard error, their ratio and its two-sided p value.

    Normal for logistic and Poisson models, Student's t for linear ones.
    """

    name: str
    estimate: Figure
    error: Figure
    statistic: Figure
    p: Figure

    @property
    def ratio(self) -> Figure:
        """The odds ratio of a logistic model, the rate ratio of a Poisson model: the exponential of the estimate."""
        if self.estimate.value is None or self.estimate.interval is None:
            return self.estimate
        within = self.estimate.interval
        return Figure(_exp(self.estimate.value), Interval(_exp(within.low), _exp(within.high)))


@attrs.frozen
class Fit:
    """A model as fitted; with ``reason`` there are no figures.

    ``freedom``: cells (for a linear model: people) less coefficients.  ``deviance``: the residual sum of squares of
    a linear model.  ``dispersion``: Pearson's χ² over ``freedom``, or the residual variance; well above 1 says that
    logistic or Poisson errors are too small.  ``separated``: names of covariates along which the likelihood grows
    for ever.  ``covariance``: of the estimates, p × p.
    """

    family: Family | None
    coefficients: tuple[Coefficient, ...]
    level: float
    log_likelihood: Figure
    deviance: Figure
    dispersion: Figure
    freedom: int
    observations: float
    iterations: int
    converged: bool
    reason: Reason | None = None
    separated: tuple[str, ...] = ()
    fitted: tuple[float, ...] = ()
    covariance: tuple[tuple[float, ...], ...] = ()

    def coefficient(self, name: str) -> Coefficient:
        """The one of that name; raises ``KeyError``."""
        for each in self.coefficients:
            if each.name == name:
                return each
        raise KeyError(name)


def failed(
    columns: tuple[str, ...], level: float, reason: Reason, *, separated: tuple[str, ...] = (), iterations: int = 0
) -> Fit:
    """Make a fit without figures."""
    no = missing(reason)
    coefficients = tuple(Coefficient(name, no, no, no, no) for name in columns)
    return Fit(None, coefficients, level, no, no, no, 0, 0.0, iterations, False, reason, separated)


def summarise(
    law: Binomial | Poisson,
    columns: tuple[str, ...],
    design: Array,
    size: Array,
    total: Array,
    beta: Array,
    level: float,
    iterations: int,
) -> Fit:
    """Put a converged logistic or Poisson fit into words and figures."""
    eta = design @ beta
    mean, weight = law.mean(size, eta), law.weight(size, eta)
    covariance = inverse_information(design, weight)
    freedom = len(size) - len(beta)
    # A mean below what a float can be is that of a cell without events, and has no residual.
    pearson = float(((total - mean) ** 2 / np.where(weight > 0.0, weight, np.inf)).sum())
    z = normal_quantile((1.0 + level) / 2.0)
    errors = np.sqrt(np.diag(covariance))
    coefficients = tuple(
        _coefficient(name, float(b), float(error), z, normal_two_sided(float(b / error)))
        for name, b, error in zip(columns, beta, errors, strict=True)
    )
    return Fit(
        law.family,
        coefficients,
        level,
        Figure(law.log_likelihood(size, total, eta)),
        Figure(law.deviance(size, total, eta)),
        Figure(pearson / freedom) if freedom else missing(Reason.SATURATED),
        freedom,
        float(size.sum()),
        iterations,
        True,
        fitted=tuple(float(each) for each in mean),
        covariance=_rows(covariance),
    )


def gaussian_fit(
    columns: tuple[str, ...], design: Array, size: Array, total: Array, squares: Array, level: float
) -> Fit:
    """Fit and summarise a linear model: normal errors of one variance, from sizes, sums and sums of squares."""
    root = np.sqrt(size)
    scaled = design * root[:, None]
    lengths = np.linalg.norm(scaled, axis=0)
    q, r = np.linalg.qr(scaled / lengths)
    means = total / size
    beta = np.linalg.solve(r, q.T @ (root * means)) / lengths
    fitted = design @ beta
    # Within cells and between them apart: the difference of two large sums of squares would lose digits.
    within = np.maximum(squares - total * means, 0.0).sum()
    residual = float(within + (size * (means - fitted) ** 2).sum())
    people = float(size.sum())
    freedom = round(people) - len(beta)
    unscaled = inverse_information(design, size)
    likelihood = missing(Reason.CONSTANT)
    if residual > 0.0:
        likelihood = Figure(-0.5 * people * (math.log(2.0 * math.pi * residual / people) + 1.0))
    if freedom < 1:
        without = failed(columns, level, Reason.SATURATED)
        return attrs.evolve(without, family=Family.LINEAR, observations=people)
    variance = residual / freedom
    t = student_quantile(level, freedom)
    errors = np.sqrt(np.diag(unscaled) * variance)
    coefficients = tuple(
        _coefficient(name, float(b), float(error), t, student_two_sided(float(b / error), freedom) if error else 0.0)
        for name, b, error in zip(columns, beta, errors, strict=True)
    )
    return Fit(
        Family.LINEAR,
        coefficients,
        level,
        likelihood,
        Figure(residual),
        Figure(variance),
        freedom,
        people,
        1,
        True,
        fitted=tuple(float(each) for each in fitted),
        covariance=_rows(unscaled * variance),
    )


def inverse_information(design: Array, weight: Array) -> Array:
    """(XᵀWX)⁻¹ from the R of √W·X, columns scaled: weights may be far apart.  Raises ``LinAlgError`` without any."""
    scaled = design * np.sqrt(weight)[:, None]
    lengths = np.linalg.norm(scaled, axis=0)
    inverse = np.linalg.inv(np.linalg.qr(scaled / lengths, mode="r"))
    found: Array = (inverse @ inverse.T) / np.outer(lengths, lengths)
    return found


def _coefficient(name: str, estimate: float, error: float, reach: float, p: float) -> Coefficient:
    if error == 0.0:
        no = missing(Reason.CONSTANT)
        return Coefficient(name, Figure(estimate), Figure(0.0), no, no)
    within = Interval(estimate - reach * error, estimate + reach * error)
    return Coefficient(name, Figure(estimate, within), Figure(error), Figure(estimate / error), Figure(p))


def _rows(matrix: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(each) for each in row) for row in matrix)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
