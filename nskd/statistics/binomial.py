"""A proportion with its intervals, from exact or from rounded counts.

*Exact interval.* C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404–413: all p for which neither P(X ≥ x) nor
P(X ≤ x) under Bin(n, p) is below α/2.  By the beta–binomial relation (DLMF 8.17.5) its ends are the α/2 quantile of
Beta(x, n − x + 1), 0 for x = 0, and the 1 − α/2 quantile of Beta(x + 1, n − x), 1 for x = n.  Coverage is at least
1 − α.

*Wilson's interval.* E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209–212: all p with (x/n − p)² ≤ z² p(1 − p)/n, without
continuity correction.  Approximate; narrower than the exact one.

*Rounded counts.* Let x be what was counted and y the rest, each rounded by itself, so that x is one of x₁…x₂ and y
one of y₁…y₂.  Both intervals move up with x at a fixed y and down with y at a fixed x:

* exact: the ends are quantiles of Beta(x, y + 1) and Beta(x + 1, y), and Beta(a, b) is stochastically increasing in
  a and decreasing in b (the density ratio of two a's, or of two b's, is monotone);
* Wilson: the ends are where g(p) = (x − np)/√(np(1 − p)), n = x + y, is z and −z; g falls in p, and its derivatives
  in x and y have the signs of n − (x + np)/2 ≥ 0 and of −(np + x)/2 ≤ 0.

So the smallest interval that contains the interval of every compatible pair runs from the low end at (x₁, y₂) to
the high end at (x₂, y₁).  That one is reported: it covers what the exact counts would have given, whatever they
are, and its coverage is again at least 1 − α for the exact method.  Where x and the total n are rounded instead, x
≤ n, the same monotony (up with x, down with n) gives the pairs (x₁, n₂) and (x₂, n₁), or (n₁, n₁), the interval up
to 1, if x₂ ≥ n₁.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

from nskd.statistics.figure import Count, Figure, Interval, Reason, check_count, check_level, check_part, missing
from nskd.statistics.rounding import EXACT, Rounding
from nskd.statistics.special import beta_quantile, normal_quantile


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """The exact interval; ``trials`` ≥ 1.  Raises :class:`StatisticsError`."""
    _check(successes, trials, level)
    tail = (1.0 - level) / 2.0
    failures = trials - successes
    low = beta_quantile(tail, successes, failures + 1) if successes else 0.0
    high = beta_quantile(1.0 - tail, successes + 1, failures) if failures else 1.0
    return Interval(low, high)


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Wilson's interval; ``trials`` ≥ 1.  Raises :class:`StatisticsError`."""
    _check(successes, trials, level)
    z = normal_quantile((1.0 + level) / 2.0)
    failures = trials - successes
    middle = successes + z * z / 2.0
    spread = z * math.sqrt(successes * (failures / trials) + z * z / 4.0)
    below = trials + z * z
    # At the edges the ends are 0 and 1 exactly; the formula leaves rounding errors there.
    low = max((middle - spread) / below, 0.0) if successes else 0.0
    high = min((middle + spread) / below, 1.0) if failures else 1.0
    return Interval(low, high)


@attrs.frozen
class Proportion:
    """A share of ``trials`` as it can be told from released counts.

    ``share`` and ``wilson`` have the ratio of the released numbers as value, and as interval the one of the method;
    from rounded counts the one that covers all compatible counts.  ``possible`` are the ratios that compatible
    counts can have: one point for exact counts.
    """

    successes: Count
    trials: Count
    level: float
    share: Figure
    wilson: Figure
    possible: Interval | None


def proportion(successes: Count, trials: Count, *, level: float = 0.95, rounding: Rounding = EXACT) -> Proportion:
    """``successes`` of ``trials``, rounded by themselves if at all; no figure when either is None or trials are 0."""
    check_part(successes, trials, "proportion")
    check_level(level)
    if successes is None or trials is None:
        return _without(successes, trials, level, Reason.SUPPRESSED)
    return proportion_within(successes, trials, rounding.counts(successes), rounding.counts(trials), level=level)


def proportion_within(
    successes: int, trials: int, some: tuple[int, int], all_: tuple[int, int], *, level: float = 0.95
) -> Proportion:
    """The same where the true counts are known to lie in ``some`` and ``all_``, from the smallest to the largest."""
    check_part(successes, trials, "proportion")
    check_level(level)
    (least, most), (fewest, greatest) = some, all_
    if trials == 0 or greatest == 0:
        return _without(successes, trials, level, Reason.EMPTY)
    fewest = max(fewest, 1, least)
    low_pair, high_pair = (min(least, greatest), greatest), (min(most, fewest), fewest)
    return _covering(successes, trials, level, low_pair, high_pair)


def share(yes: Count, no: Count, *, level: float = 0.95, rounding: Rounding = EXACT) -> Proportion:
    """``yes`` of ``yes + no``, two cells rounded by themselves; no figure when either is None or both are 0."""
    return share_of_sums((yes,), (no,), level=level, rounding=rounding)


def share_of_sums(
    yes: Sequence[Count], no: Sequence[Count], *, level: float = 0.95, rounding: Rounding = EXACT
) -> Proportion:
    """The same for sums of cells, each rounded by itself: ranges of sums are sums of ranges."""
    check_level(level)
    for each in (*yes, *no):
        check_count(each, "share")
    cells, others = _all_known(yes), _all_known(no)
    if cells is None or others is None:
        return _without(None if cells is None else sum(cells), None, level, Reason.SUPPRESSED)
    if sum(cells) + sum(others) == 0:
        return _without(0, 0, level, Reason.EMPTY)
    least, most = _range(cells, rounding)
    fewest, greatest = _range(others, rounding)
    successes = sum(cells)
    return _covering(successes, successes + sum(others), level, (least, least + greatest), (most, most + fewest))


def _all_known(counts: Sequence[Count]) -> list[int] | None:
    known = [count for count in counts if count is not None]
    return known if len(known) == len(counts) else None


def _range(counts: Sequence[int], rounding: Rounding) -> tuple[int, int]:
    pairs = [rounding.counts(count) for count in counts]
    return sum(low for low, _ in pairs), sum(high for _, high in pairs)


def _covering(
    successes: int, trials: int, level: float, low_pair: tuple[int, int], high_pair: tuple[int, int]
) -> Proportion:
    """Hull of the intervals at the two extreme pairs of (successes, trials)."""
    value = successes / trials
    exact = Interval(clopper_pearson(*low_pair, level).low, clopper_pearson(*high_pair, level).high)
    approximate = Interval(wilson(*low_pair, level).low, wilson(*high_pair, level).high)
    return Proportion(
        successes,
        trials,
        level,
        Figure(value, exact),
        Figure(value, approximate),
        Interval(low_pair[0] / low_pair[1], high_pair[0] / high_pair[1]),
    )


def _without(successes: Count, trials: Count, level: float, reason: Reason) -> Proportion:
    return Proportion(successes, trials, level, missing(reason), missing(reason), None)


def _check(successes: int, trials: int, level: float) -> None:
    check_part(successes, trials, "interval")
    check_part(1, trials, "interval")
    check_level(level)
