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

    def start(self, size: Array, total: Array) -> Array:
        """Expected events near the data and inside (0, size)."""
        return size * (total + 0.5) / (size + 1.0)

    def link(self, size: Array, mean: Array) -> Array:
        """The predictor of ``mean``."""
        return np.log(mean / (size - mean))

    def mean(self, size: Array, eta: Array) -> Array:
        """The events expected."""
        with np.errstate(over="ignore"):
            return size / (1.0 + np.exp(-eta))

    def weight(self, size: Array, mean: Array) -> Array:
        """The variance of ``total``, which is the weight too."""
        return mean * (1.0 - mean / size)

    def deviance(self, size: Array, total: Array, mean: Array) -> float:
        """Twice what the log likelihood is below the best possible one."""
        return 2.0 * float((_entropy(total, mean) + _entropy(size - total, size - mean)).sum())

    def log_likelihood(self, size: Array, total: Array, mean: Array) -> float:
        """As if each person were a row: no binomial coefficients."""
        rest = size - total
        return float((_times_log(total, mean / size) + _times_log(rest, 1.0 - mean / size)).sum())


class Poisson:
    """total ~ Poisson(size · rate), eta = log rate."""

    family: Final = Family.POISSON

    def start(self, size: Array, total: Array) -> Array:
        """Expected events near the data and above 0."""
        return total + 0.5

    def link(self, size: Array, mean: Array) -> Array:
        """The predictor of ``mean``."""
        return np.log(mean / size)

    def mean(self, size: Array, eta: Array) -> Array:
        """The events expected."""
        with np.errstate(over="ignore"):
            return size * np.exp(eta)

    def weight(self, size: Array, mean: Array) -> Array:
        """The variance of ``total``, which is the weight too."""
        return mean

    def deviance(self, size: Array, total: Array, mean: Array) -> float:
        """Twice what the log likelihood is below the best possible one."""
        with np.errstate(invalid="ignore"):
            return 2.0 * float((_entropy(total, mean) - (total - mean)).sum())

    def log_likelihood(self, size: Array, total: Array, mean: Array) -> float:
        """Of the cells' totals, factorials included."""
        factorials = sum(math.lgamma(each + 1.0) for each in total)
        return float((_times_log(total, mean) - mean).sum()) - factorials


BINOMIAL: Final = Binomial()
POISSON: Final = Poisson()


def _entropy(observed: Array, expected: Array) -> Array:
    """Observed · log(observed/expected), 0 where nothing was observed, NaN where that was impossible."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(observed > 0.0, observed * np.log(observed / expected), 0.0)


def _times_log(count: Array, probability: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(count > 0.0, count * np.log(probability), 0.0)
