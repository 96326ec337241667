"""Plain references in rational arithmetic: nothing here rounds."""

from __future__ import annotations

import math
from fractions import Fraction


def binomial(k: int, trials: int, p: Fraction) -> Fraction:
    return math.comb(trials, k) * p**k * (1 - p) ** (trials - k)


def at_most(k: int, trials: int, p: Fraction) -> Fraction:
    return sum((binomial(i, trials, p) for i in range(k + 1)), Fraction(0))


def at_least(k: int, trials: int, p: Fraction) -> Fraction:
    return sum((binomial(i, trials, p) for i in range(k, trials + 1)), Fraction(0))


def conditional(a: int, b: int, c: int, d: int, ratio: Fraction) -> dict[int, Fraction]:
    """P of each value of the first cell, given the margins, at an odds ratio."""
    low, high = max(0, a - d), min(a + b, a + c)
    weights = {k: math.comb(a + b, k) * math.comb(c + d, a + c - k) * ratio**k for k in range(low, high + 1)}
    whole = sum(weights.values())
    return {k: weight / whole for k, weight in weights.items()}
