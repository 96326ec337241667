"""What a histogram with bins says of mean, standard deviation and quantiles: bounds, since values inside a bin differ.

Bin i holds the whole numbers from aᵢ to bᵢ and was counted cᵢ times, known to a range lᵢ ≤ cᵢ ≤ hᵢ where counts are
rounded.  Bounds hold for all values and all counts that fit; nothing is said of where in its bin a value lies.

* *Mean*: it grows with every value, so it lies between the means with all values at aᵢ and at bᵢ; over the counts, each
  of these is least and greatest for some cut, as :mod:`~nskd.statistics.summary` has it.
* *Quantile* at q, h = (n − 1)q (:mod:`~nskd.statistics.quantile`): it lies between the values at ⌊h⌋ and ⌈h⌉, counted
  from 0.  With C values in the bins up to j and A above, the one at ⌊h⌋ is in the bins up to j exactly if C > h, that
  is C(1 − q) > (A − 1)q; this is easiest with C largest and A least, so the first such j gives the lowest bin.  The one
  at ⌈h⌉ is above j exactly if C ≤ ⌈h⌉, that is C < h + 1 or C(1 − q) < 1 + (A − 1)q, easiest with C least and A most.
* *Standard deviation*: a variance is the mean of (x − m)² at the m that makes it least.  *Largest:* with every value at
  the end of its bin that is further from m, and the counts that make the mean square greatest (a cut again, in order of
  the squares), the value at *any* m is a bound; the m that makes it least is sought.  *Least:* with every value as near
  to m as its bin allows, and the counts that make the mean square least, the least over m.  Between the points where
  the order of the squares changes – an end of a bin, or halfway between ends of two bins – it is for each cut a
  quadratic in m, whose least value is known.  Both with n − 1: times n/(n − 1) at the smallest and the largest n.

With a suppressed bin there is no figure (the rare values are the extreme ones), nor below ``least`` people.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import attrs

from nskd.statistics.figure import Count, Interval, Reason, StatisticsError, check_count
from nskd.statistics.rounding import EXACT, Rounding
from nskd.statistics.summary import QUARTILES, mean_range

_SEARCHES: Final = 120
_ROUND: Final = 1e-12  # relative, outwards: bounds in floats stay bounds

Range = tuple[int, int]


@attrs.frozen
class Bin:
    """The whole numbers from ``low`` to ``high``, both included, and how often one of them was counted.

    Without ``high``, which only the last bin can be, there is no largest.
    """

    low: int
    high: int | None
    count: Count

    @property
    def end(self) -> float:
        """Its largest number; infinity if there is none."""
        return math.inf if self.high is None else self.high


@attrs.frozen
class Bounds:
    """Between which numbers a figure lies, or the reason why there is none."""

    within: Interval | None
    reason: Reason | None = None


@attrs.frozen
class BinnedSummary:
    """``size`` is None when a bin is suppressed; ``quantiles`` by the shares asked for, in order."""

    size: Count
    mean: Bounds
    deviation: Bounds
    quantiles: tuple[tuple[float, Bounds], ...]


def summarise_bins(
    bins: Sequence[Bin],
    *,
    quantiles: Sequence[float] = QUARTILES,
    least: int = 10,
    rounding: Rounding = EXACT,
) -> BinnedSummary:
    """Bound the figures of ascending bins that do not overlap; raises :class:`StatisticsError`."""
    _check(bins, quantiles)
    counts = [each.count for each in bins if each.count is not None]
    if len(counts) < len(bins):
        return _without(None, quantiles, Reason.SUPPRESSED)
    size = sum(counts)
    if size == 0 or size < least:
        return _without(size, quantiles, Reason.EMPTY if size == 0 else Reason.TOO_FEW)
    ranges = [rounding.counts(count) for count in counts]
    return BinnedSummary(
        size,
        Bounds(_mean(bins, ranges)),
        _deviation(bins, ranges),
        tuple((q, Bounds(_quantile(bins, ranges, Fraction(str(q))))) for q in quantiles),
    )


def _mean(bins: Sequence[Bin], ranges: Sequence[Range]) -> Interval:
    least = mean_range([each.low for each in bins], ranges).low
    if _open(bins, ranges):
        return Interval(least, math.inf)
    # An open bin that nobody can be in has no say.
    highs = [each.low if each.high is None else each.high for each in bins]
    return Interval(least, mean_range(highs, ranges).high)


def _open(bins: Sequence[Bin], ranges: Sequence[Range]) -> bool:
    """Whether somebody can be in a bin without an end."""
    return bins[-1].high is None and ranges[-1][1] > 0


def _quantile(bins: Sequence[Bin], ranges: Sequence[Range], q: Fraction) -> Interval:
    low, high = float(bins[-1].low), bins[0].end
    for index, each in enumerate(bins):
        (_, most), (least, _) = _total(ranges[: index + 1]), _total(ranges[index + 1 :])
        if most and most * (1 - q) > (least - 1) * q:
            low = float(each.low)
            break
    for index in range(len(bins) - 1, 0, -1):
        (least, _), (_, most) = _total(ranges[:index]), _total(ranges[index:])
        if most and least * (1 - q) < 1 + (most - 1) * q:
            high = bins[index].end
            break
    return Interval(low, high)


def _total(ranges: Sequence[Range]) -> Range:
    return sum(low for low, _ in ranges), sum(high for _, high in ranges)


def _deviation(bins: Sequence[Bin], ranges: Sequence[Range]) -> Bounds:
    fewest, most = _total(ranges)
    if fewest < 2:
        return Bounds(None, Reason.TOO_FEW)
    largest = math.inf
    if not _open(bins, ranges):
        largest = math.sqrt(_largest(bins, ranges) * fewest / (fewest - 1)) * (1.0 + _ROUND)
    smallest = math.sqrt(_smallest(bins, ranges) * most / (most - 1)) * (1.0 - _ROUND)
    return Bounds(Interval(smallest, max(largest, smallest)))


def _largest(bins: Sequence[Bin], ranges: Sequence[Range]) -> float:
    """An upper bound of the mean square from m, at about the best m: convex in m, so thirds close in on it."""
    ends = [(each.low, each.low if each.high is None else each.high) for each in bins]

    def at(m: float) -> float:
        return _greatest_mean([max((low - m) ** 2, (high - m) ** 2) for low, high in ends], ranges)

    low, high = float(ends[0][0]), float(ends[-1][1])
    for _ in range(_SEARCHES):
        third = (high - low) / 3.0
        if at(low + third) <= at(high - third):
            high -= third
        else:
            low += third
    return at((low + high) / 2.0)


def _greatest_mean(values: Sequence[float], ranges: Sequence[Range]) -> float:
    """The greatest mean of ``values`` over the counts: all of those above a cut, as few as can be below it."""
    order = sorted(zip(values, ranges, strict=True), key=lambda each: -each[0])
    size = sum(low for _, (low, _) in order)
    total = sum(value * low for value, (low, _) in order)
    best = total / size if size else 0.0
    for value, (low, high) in order:
        size += high - low
        total += value * (high - low)
        best = max(best, total / size if size else 0.0)
    return best


def _smallest(bins: Sequence[Bin], ranges: Sequence[Range]) -> float:
    """The least mean square from any m, each value as near to m as its bin allows; whole numbers until the last step.

    Points on the line are doubled, so that those halfway are whole as well.
    """
    ends = [end for each in bins for end in (each.low, each.high) if end is not None]
    turns = sorted({a + b for a in ends for b in ends})
    best = math.inf
    for left, right in zip(turns, [*turns[1:], turns[-1]], strict=True):
        middle = (left + right) / 4.0
        nearest = [each.low if middle < each.low else each.high if middle > each.end else None for each in bins]
        order = sorted(range(len(bins)), key=lambda i: 0.0 if (x := nearest[i]) is None else (x - middle) ** 2)
        size = sum(low for low, _ in ranges)
        away = [(low, x) for x, (low, _) in zip(nearest, ranges, strict=True) if x is not None]
        weight, first, second = sum(c for c, _ in away), sum(c * x for c, x in away), sum(c * x * x for c, x in away)
        for i in (None, *order):
            if i is not None:
                more, x = ranges[i][1] - ranges[i][0], nearest[i]
                size += more
                if x is not None:
                    weight, first, second = weight + more, first + more * x, second + more * x * x
            if size:
                best = min(best, _least_square(left, right, weight, first, second) / size)
    return best


def _least_square(left: int, right: int, weight: int, first: int, second: int) -> float:
    """The least Σc(x − m)² for 2m from ``left`` to ``right``, from Σc, Σcx and Σcx²."""
    if left * weight <= 2 * first <= right * weight:
        return (second * weight - first * first) / weight if weight else 0.0
    m = left if 2 * first < left * weight else right
    return (4 * second - 4 * m * first + m * m * weight) / 4


def _check(bins: Sequence[Bin], quantiles: Sequence[float]) -> None:
    for each in bins:
        check_count(each.count, f"bin from {each.low}")
    ends = [end for each in bins for end in (each.low, each.end + 1)]
    if (
        not bins
        or ends != sorted(ends)
        or any(each.low > each.end for each in bins)
        or any(each.high is None for each in bins[:-1])
    ):
        raise StatisticsError(
            "bins overlap, are out of order or hold nothing", where="bins", remedy="Give ascending, disjoint bins."
        )
    for q in quantiles:
        if not 0.0 <= q <= 1.0:
            raise StatisticsError(f"there is no {q!r}-quantile", where="quantile", remedy="Give a share from 0 to 1.")


def _without(size: Count, quantiles: Sequence[float], reason: Reason) -> BinnedSummary:
    no = Bounds(None, reason)
    return BinnedSummary(size, no, no, tuple((q, no) for q in quantiles))
