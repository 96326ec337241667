"""The 2×2 table given its margins: Fisher's exact test, the conditional odds ratio and its exact interval.

Given the margins, the first cell has P(X = k) ∝ C(a+b, k) C(c+d, a+c−k) θ^k at the odds ratio θ.

* Estimate: the θ at which E(X) = a; 0 or infinite at the ends of the range.
* Interval (J. Cornfield, Proc. 3rd Berkeley Symp. 4 (1956) 135–148; R. A. Fisher, J. R. Stat. Soc. 98 (1935)
  39–54): the low end has P(X ≥ a) = α/2, the high end P(X ≤ a) = α/2; 0 and infinity at the ends of the range.
* p value (R. A. Fisher), two-sided by point probability: at θ = 1, the sum of P(X = k) over all k with P(X = k) ≤
  P(X = a).  Probabilities that agree to 10⁻⁷ count as equal, as in R.

Probabilities are built outwards from a by ratios of neighbours, in logarithms: relative errors stay around 10⁻¹²
for tables of a million.  θ is found by halving on a log scale down to neighbouring floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from nskd.statistics.figure import Figure, Interval, Reason, check_count, check_level, missing

Array = npt.NDArray[np.float64]
_ALIKE: Final = 1e-7
_HALVINGS: Final = 200
_LOG_MAX: Final = 700.0  # beyond, the ratio itself overflows


def conditional_odds_ratio(a: int, b: int, c: int, d: int, *, level: float = 0.95) -> Figure:
    """The estimate and its exact interval; no value where a margin is 0."""
    check_level(level)
    law = _Law(a, b, c, d)
    if law.single:
        return missing(Reason.ZERO_CELL)
    tail = (1.0 - level) / 2.0
    at_low_end, at_high_end = law.offsets[0] == 0.0, law.offsets[-1] == 0.0
    low = 0.0 if at_low_end else _root(lambda t: law.at_least(t) - tail)
    high = math.inf if at_high_end else _root(lambda t: tail - law.at_most(t))
    value = 0.0 if at_low_end else math.inf if at_high_end else _root(law.mean)
    return Figure(value, Interval(low, high))


def fisher_p(a: int, b: int, c: int, d: int) -> Figure:
    """The two-sided p value; no value where a margin is 0 and the table could be no other."""
    law = _Law(a, b, c, d)
    if law.single:
        return missing(Reason.ZERO_CELL)
    chances = law.chances(0.0)
    observed = chances[law.offsets == 0.0][0]
    return Figure(min(float(chances[chances <= observed * (1.0 + _ALIKE)].sum()), 1.0))


class _Law:
    """The law of the first cell; ``offsets`` are its possible values less the observed one."""

    def __init__(self, a: int, b: int, c: int, d: int) -> None:
        for cell in (a, b, c, d):
            check_count(cell, "2×2 table")
        # a steps up as d does, and b and c step down; the table's other shape is the same with the names changed.
        up, down = min(b, c), min(a, d)
        step = np.arange(up, dtype=np.float64)
        above = np.cumsum(np.log((b - step) / (a + step + 1.0)) + np.log((c - step) / (d + step + 1.0)))
        step = np.arange(down, dtype=np.float64)
        below = np.cumsum(np.log((a - step) / (b + step + 1.0)) + np.log((d - step) / (c + step + 1.0)))
        self.offsets: Array = np.arange(-down, up + 1, dtype=np.float64)
        self._logs: Array = np.concatenate([below[::-1], [0.0], above])

    @property
    def single(self) -> bool:
        """Whether there is but one table with these margins."""
        return len(self.offsets) == 1

    def chances(self, log_ratio: float) -> Array:
        """P of each possible value at the odds ratio exp(``log_ratio``)."""
        logs = self._logs + self.offsets * log_ratio
        weights = np.exp(logs - logs.max())
        chances: Array = weights / weights.sum()
        return chances

    def at_least(self, log_ratio: float) -> float:
        """P(X ≥ observed)."""
        return float(self.chances(log_ratio)[self.offsets >= 0.0].sum())

    def at_most(self, log_ratio: float) -> float:
        """P(X ≤ observed)."""
        return float(self.chances(log_ratio)[self.offsets <= 0.0].sum())

    def mean(self, log_ratio: float) -> float:
        """E(X) less the observed value."""
        return float(self.chances(log_ratio) @ self.offsets)


def _root(rising: Callable[[float], float]) -> float:
    """The exponential of where ``rising`` passes 0."""
    low, high = -1.0, 1.0
    while rising(low) > 0.0 and low > -_LOG_MAX:
        low *= 2.0
    while rising(high) < 0.0 and high < _LOG_MAX:
        high *= 2.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if rising(middle) < 0.0:
            low = middle
        else:
            high = middle
    return math.exp(min(max((low + high) / 2.0, -_LOG_MAX), _LOG_MAX))
