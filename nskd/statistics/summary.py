"""Mean, standard deviation and quantiles of a whole-number variable, from its histogram.

All sums are of whole numbers and exact; each figure is rounded once, at the end.  Standard deviation with n − 1.
Quantiles as in :mod:`~nskd.statistics.quantile`.

With a suppressed count among the levels there is no figure: the ones left out are the rare ones, often the
extremes.  Below ``least`` people there is none either.  From rounded counts figures are those of the histogram as
released, and ``mean_range`` holds every mean that compatible counts can have: Σvc/Σc over lᵥ ≤ cᵥ ≤ hᵥ is largest
with c = h above some cut and c = l below it (raising cᵥ raises the mean exactly if v is above the mean), so trying
every cut finds it; smallest the other way round.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

import attrs

from nskd.statistics.figure import Count, Figure, Interval, Reason, check_count, missing
from nskd.statistics.quantile import weighted_quantile
from nskd.statistics.rounding import EXACT, Rounding

QUARTILES: Final = (0.25, 0.5, 0.75)


@attrs.frozen
class Summary:
    """``size`` is None when a count is suppressed; ``quantiles`` by the shares asked for, in order."""

    size: Count
    mean: Figure
    deviation: Figure
    quantiles: tuple[tuple[float, Figure], ...]
    mean_range: Interval | None


def summarise(
    histogram: Mapping[int, Count],
    *,
    quantiles: Sequence[float] = QUARTILES,
    least: int = 10,
    rounding: Rounding = EXACT,
) -> Summary:
    """Summarise counts by level, in any order; ``least`` is the smallest group to tell anything of."""
    for level, count in histogram.items():
        check_count(count, f"level {level}")
    ordered = sorted(histogram)
    counts = [count for level in ordered if (count := histogram[level]) is not None]
    if len(counts) < len(ordered):
        return _without(None, quantiles, Reason.SUPPRESSED)
    size = sum(counts)
    if size == 0 or size < least:
        return _without(size, quantiles, Reason.EMPTY if size == 0 else Reason.TOO_FEW)
    total = sum(level * count for level, count in zip(ordered, counts, strict=True))
    squares = sum(level * level * count for level, count in zip(ordered, counts, strict=True))
    deviation = missing(Reason.TOO_FEW)
    if size > 1:
        deviation = Figure(_root(Fraction(size * squares - total * total, size * (size - 1))))
    return Summary(
        size,
        Figure(float(Fraction(total, size))),
        deviation,
        tuple((q, Figure(weighted_quantile(ordered, counts, q))) for q in quantiles),
        mean_range(ordered, [rounding.counts(count) for count in counts]),
    )


def mean_range(levels: Sequence[int], ranges: Sequence[tuple[int, int]]) -> Interval:
    """Every mean that counts from ``ranges``, one a level in ascending order, can have: its least and its greatest."""
    lows, highs = [low for low, _ in ranges], [high for _, high in ranges]
    return Interval(float(min(_means(levels, highs, lows))), float(max(_means(levels, lows, highs))))


def _means(levels: Sequence[int], below: Sequence[int], above: Sequence[int]) -> list[Fraction]:
    """The mean with counts ``below`` up to a cut and ``above`` from it on, for every cut."""
    size, total = sum(above), sum(level * count for level, count in zip(levels, above, strict=True))
    found = [Fraction(total, size)] if size else []
    for level, under, over in zip(levels, below, above, strict=True):
        size += under - over
        total += level * (under - over)
        if size:
            found.append(Fraction(total, size))
    return found


def _root(value: Fraction) -> float:
    """Square root to the last place or so, without overflow or cancellation."""
    scale = 1 << 120
    return math.isqrt(value.numerator * scale * scale // value.denominator) / scale


def _without(size: Count, quantiles: Sequence[float], reason: Reason) -> Summary:
    no = missing(reason)
    return Summary(size, no, no, tuple((q, no) for q in quantiles), None)
