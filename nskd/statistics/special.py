"""Distribution functions: the normal from the standard library, beta and χ² from scipy, imported when called.

Errors: the normal quantile and tail are good to a few units in the last place; scipy's (Boost's) incomplete beta and
gamma functions and their inverses to a relative 1e-13 or so over the arguments that counts up to 2^20 give.
"""

from __future__ import annotations

import math
import statistics
from typing import Final

_NORMAL: Final = statistics.NormalDist()


def normal_quantile(p: float) -> float:
    """The z with P(Z ≤ z) = p, 0 < p < 1."""
    return _NORMAL.inv_cdf(p)


def normal_two_sided(z: float) -> float:
    """P(|Z| ≥ |z|)."""
    return math.erfc(abs(z) / math.sqrt(2.0))


def chi_square_tail(x: float, freedom: int) -> float:
    """P(χ² ≥ x) with ``freedom`` degrees of freedom, x ≥ 0."""
    from scipy.special import gammaincc

    return float(gammaincc(freedom / 2.0, x / 2.0))


def beta_quantile(p: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = p; a, b > 0."""
    from scipy.special import betaincinv

    return float(betaincinv(a, b, p))


def binomial_at_most(k: int, trials: int, p: float) -> float:
    """P(X ≤ k) for X ~ Bin(trials, p); = I_{1−p}(trials − k, k + 1) (DLMF 8.17.5)."""
    from scipy.special import betaincc

    if k < 0:
        return 0.0
    return 1.0 if k >= trials else float(betaincc(k + 1.0, float(trials - k), p))


def binomial_at_least(k: int, trials: int, p: float) -> float:
    """P(X ≥ k) for X ~ Bin(trials, p); = I_p(k, trials − k + 1) (DLMF 8.17.5)."""
    from scipy.special import betainc

    if k <= 0:
        return 1.0
    return 0.0 if k > trials else float(betainc(float(k), trials - k + 1.0, p))


def student_two_sided(t: float, freedom: int) -> float:
    """P(|T| ≥ |t|) for Student's T; = I_{ν/(ν+t²)}(ν/2, 1/2)."""
    from scipy.special import betainc

    return float(betainc(freedom / 2.0, 0.5, freedom / (freedom + t * t)))


def student_quantile(level: float, freedom: int) -> float:
    """The t ≥ 0 with P(|T| ≤ t) = ``level``, 0 < level < 1."""
    from scipy.special import betaincinv

    # I_x(1/2, ν/2) = level for x = t²/(ν + t²): no cancellation at either end.
    x = float(betaincinv(0.5, freedom / 2.0, level))
    return math.sqrt(freedom * x / (1.0 - x))
