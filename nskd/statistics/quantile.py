"""One rule for quantiles everywhere: linear between order statistics.

With the n values in order, the q-quantile is the value at position h = 1 + (n − 1)q, on the straight line between
its neighbours where h is no whole number.  (R. J. Hyndman, Y. Fan, Am. Stat. 50 (1996) 361–365, definition 7: the
default of R and numpy.)
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

from nskd.statistics.figure import StatisticsError


def quantile(values: Sequence[float], q: float) -> float:
    """The q-quantile of at least one value."""
    ordered = sorted(values)
    position, rest = _position(len(ordered), q)
    after = ordered[min(position + 1, len(ordered) - 1)]
    return ordered[position] + float(rest) * (after - ordered[position])


def weighted_quantile(levels: Sequence[int], counts: Sequence[int], q: float) -> float:
    """The q-quantile of a histogram, rounded once: ascending ``levels``, each as often as ``counts`` says."""
    reached = list(itertools.accumulate(counts))
    position, rest = _position(reached[-1] if reached else 0, q)

    def at(index: int) -> int:
        return levels[bisect.bisect_right(reached, index)]

    before, after = at(position), at(min(position + 1, reached[-1] - 1))
    return float(before + rest * (after - before))


def _position(size: int, q: float) -> tuple[int, Fraction]:
    """Index from 0 of the value before the quantile, and how far beyond it lies; exact for the float ``q``."""
    if size < 1 or not 0.0 <= q <= 1.0:
        raise StatisticsError(
            f"there is no {q!r}-quantile of {size} values",
            where="quantile",
            remedy="Give a share from 0 to 1 and one value or more.",
        )
    place = (size - 1) * Fraction(str(q))  # what was written: 0.1 means a tenth
    position = math.floor(place)
    return position, place - position
