"""The laws of generalised linear models with canonical link, on aggregated cells: arrays of one number per cell.

``size`` is the number of people (or the exposure) of a cell, ``total`` its events, ``mean`` the events expected,
``eta`` the linear predictor.
"""

from __future__ import annotations

import enum
import math
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Family(enum.Enum):
    """What is modelled, and how."""

    LOGISTIC = "logistic"  # log odds of an event
    POISSON = "poisson"  # log rate of events per unit of size
    LINEAR = "linear"  # mean of a number


class Binomial:
    """total ~ Bin(size, p), eta = log p/(1 − p)."""

    family: Final = Family.LOGISTIC

    def overall(self, size: Array, total: Array) -> float:
        """The predictor of all cells together."""
        return math.log(total.sum() / (size - total).sum())

    def mean(self, size: Array, eta: Array) -> Array:
        """The events expected."""
        expected: Array = size * np.exp(-np.logaddexp(0.0, -eta))
        return expected

    def weight(self, size: Array, eta: Array) -> Array:
        """The variance of ``total``, which is the weight too; above 0 as long as a float can be."""
        variance: Array = size * np.exp(-np.logaddexp(0.0, -eta) - np.logaddexp(0.0, eta))
        return variance

    def deviance(self, size: Array, total: Array, eta: Array) -> float:
        """Twice what the log likelihood is below the best possible one."""
        rest = size - total
        events = _times(total, _log(total / size) + np.logaddexp(0.0, -eta))
        others = _times(rest, _log(rest / size) + np.logaddexp(0.0, eta))
        return 2.0 * float((events + others).sum())

    def log_likelihood(self, size: Array, total: Array, eta: Array) -> float:
        """As if each person were a row: no binomial coefficients."""
        return -float((total * np.logaddexp(0.0, -eta) + (size - total) * np.logaddexp(0.0, eta)).sum())


class Poisson:
    """total ~ Poisson(size · rate), eta = log rate."""

    family: Final = Family.POISSON

    def overall(self, size: Array, total: Array) -> float:
        """The predictor of all cells together."""
        return math.log(total.sum() / size.sum())

    def mean(self, size: Array, eta: Array) -> Array:
        """The events expected."""
        with np.errstate(over="ignore"):
            return size * np.exp(eta)

    def weight(self, size: Array, eta: Array) -> Array:
        """The variance of ``total``, which is the weight too."""
        return self.mean(size, eta)

    def deviance(self, size: Array, total: Array, eta: Array) -> float:
        """Twice what the log likelihood is below the best possible one; infinite where a mean overflows."""
        away = _times(total, _log(total / size) - eta)
        return 2.0 * float((away + self.mean(size, eta) - total).sum())

    def log_likelihood(self, size: Array, total: Array, eta: Array) -> float:
        """Of the cells' totals, factorials included."""
        factorials = sum(math.lgamma(each + 1.0) for each in total)
        return float((total * (eta + np.log(size)) - self.mean(size, eta)).sum()) - factorials


BINOMIAL: Final = Binomial()
POISSON: Final = Poisson()


def _log(ratio: Array) -> Array:
    """The logarithm, and 0 of 0: it is always multiplied by a count that is 0 there."""
    return np.log(np.where(ratio > 0.0, ratio, 1.0))


def _times(counted: Array, value: Array) -> Array:
    return np.where(counted > 0.0, counted * value, 0.0)
