"""Funnel plot of proportions: each group's rate against the limits that chance alone would keep it within.

D. J. Spiegelhalter, *Funnel plots for comparing institutional performance*, Statistics in Medicine 24 (2005) 1185–1202:

* *Target* θ: the pooled rate Σx/Σn, or one that is given.
* *Exact limits* (appendix A.1.1): at size n and tail p, let r be the smallest number with P(X ≤ r) > p, X ~ Bin(n,
  θ), and w = (P(X ≤ r) − p)/P(X = r); the limit is (r − w)/n.  Below 0 it is drawn at 0, where no rate can be
  beyond it. Tails are α/2 and 1 − α/2: 0.025 and 0.975, 0.001 and 0.999.
* *Overdispersion* (section 4): z = (x/n − θ)/√(θ(1 − θ)/n); the lowest and highest tenth are set to the quantiles
  there (winsorised); φ = Σz²/I over I groups.  Only φ > 1 widens: limits are then θ ± z_p √(φ θ(1 − θ)/n).  These
  are normal approximations; there is no exact law to interpolate.  Quantiles interpolate linearly between order
  statistics, the h-th with h = 1 + (I − 1)q.

A group with a suppressed count, or of size 0, has no point and takes no part in target and φ.  From rounded counts the
ratio of the released ones is the point; it is called outside only if it is outside whichever compatible counts are
the true ones, given the target and size as released (``possible``, see :mod:`~nskd.statistics.binomial`).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import Final

import attrs

from nskd.statistics.binomial import proportion
from nskd.statistics.figure import Count, Figure, Interval, Reason, StatisticsError, check_level, check_part, missing
from nskd.statistics.quantile import quantile
from nskd.statistics.rounding import EXACT, Rounding
from nskd.statistics.special import binomial_at_least, binomial_at_most, normal_quantile

LEVELS: Final = (0.95, 0.998)
WINSORISED: Final = 0.1
_PHI_GROUPS_MIN: Final = 3  # fewer say next to nothing about a variance


@attrs.frozen
class Group:
    """A hospital, or whatever is compared: ``events`` of ``size``."""

    name: str
    events: Count
    size: Count


class Position(enum.Enum):
    """Where a rate lies."""

    BELOW = "below"
    INSIDE = "inside"
    ABOVE = "above"


@attrs.frozen
class Limits:
    """Control limits at one level; ``exact`` are binomial, ``widened`` normal with overdispersion if φ > 1."""

    level: float
    exact: Interval
    widened: Interval | None


@attrs.frozen
class Point:
    """A group's rate; ``limits`` and the positions in the order of the funnel's levels, empty without a rate.

    ``widened`` are the positions against the widened limits, ``None`` where there are none.
    """

    group: Group
    rate: Figure
    possible: Interval | None
    limits: tuple[Limits, ...]
    exact: tuple[Position, ...]
    widened: tuple[Position | None, ...]


@attrs.frozen
class Funnel:
    """``target``, overdispersion ``phi`` (as estimated, also where it is below 1), and a point per group in order."""

    target: Figure
    phi: Figure
    levels: tuple[float, ...]
    points: tuple[Point, ...]

    def limits_at(self, size: int) -> tuple[Limits, ...]:
        """The limits at any size ≥ 1: what the lines of the plot go through."""
        if self.target.value is None:
            return ()
        return _limits(self.target.value, size, self.levels, self.phi.value)

    def outside(self, level: float, *, widened: bool = False) -> tuple[Point, ...]:
        """The points beyond the limits at one of its levels."""
        index = self.levels.index(level)
        away = (Position.BELOW, Position.ABOVE)
        return tuple(p for p in self.points if p.limits and (p.widened if widened else p.exact)[index] in away)


def funnel(
    groups: Sequence[Group],
    *,
    target: float | None = None,
    phi: Figure | None = None,
    levels: Sequence[float] = LEVELS,
    winsorised: float = WINSORISED,
    rounding: Rounding = EXACT,
) -> Funnel:
    """Compare the groups; raises :class:`StatisticsError`.

    ``winsorised`` is the share of z-scores set at either end, 0 for none.  φ needs three groups with a rate, unless it
    is given: as known from elsewhere, or as missing where the groups here are not all there are.
    """
    for group in groups:
        check_part(group.events, group.size, group.name)
    for level in levels:
        check_level(level)
    if not 0.0 <= winsorised < 0.5:
        raise StatisticsError(
            f"{winsorised} cannot be set at both ends", where="winsorised", remedy="Give a share from 0 to below 0.5."
        )
    known = [(g.events, g.size) for g in groups if g.events is not None and g.size]
    centre = _target(groups, known, target)
    phi = _phi(known, centre, winsorised) if phi is None else phi
    points = tuple(_point(group, centre, phi, tuple(levels), rounding) for group in groups)
    return Funnel(centre, phi, tuple(levels), points)


def z_score(events: int, size: int, target: float) -> float:
    """How many standard deviations a rate lies from a target between 0 and 1; ``size`` is not 0."""
    return (events / size - target) / math.sqrt(target * (1.0 - target) / size)


def exact_limit(target: float, size: int, tail: float) -> float:
    """The interpolated binomial limit as a rate, from 0 to 1."""
    r = _smallest_above(size, target, tail)
    at_most, before = binomial_at_most(r, size, target), binomial_at_most(r - 1, size, target)
    # The difference of the smaller pair of tails keeps P(X = r) exact where both are near 1.
    upper = binomial_at_least(r, size, target) - binomial_at_least(r + 1, size, target)
    mass = max(at_most - before, 0.0) if at_most < 0.5 else upper
    weight = (at_most - tail) / mass if mass > 0.0 else 0.0
    return min(max((r - weight) / size, 0.0), 1.0)


def _smallest_above(size: int, target: float, tail: float) -> int:
    """The smallest r with P(X ≤ r) > tail, by halving."""
    low, high = -1, size  # P(X ≤ −1) = 0 is not above, P(X ≤ size) = 1 is
    while high - low > 1:
        middle = (low + high) // 2
        if binomial_at_most(middle, size, target) > tail:
            high = middle
        else:
            low = middle
    return high


def _target(groups: Sequence[Group], known: Sequence[tuple[int, int]], given: float | None) -> Figure:
    if given is not None:
        if not 0.0 < given < 1.0:
            raise StatisticsError(
                f"{given!r} cannot be a target", where="target", remedy="Give a rate between 0 and 1, or none."
            )
        return Figure(given)
    if not known:
        hidden = any(group.events is None or group.size is None for group in groups)
        return missing(Reason.SUPPRESSED if hidden else Reason.EMPTY)
    return Figure(sum(events for events, _ in known) / sum(size for _, size in known))


def _phi(known: Sequence[tuple[int, int]], target: Figure, winsorised: float) -> Figure:
    if target.value is None:
        return missing(target.reason or Reason.EMPTY)
    if not 0.0 < target.value < 1.0:
        return missing(Reason.CONSTANT)
    if len(known) < _PHI_GROUPS_MIN:
        return missing(Reason.TOO_FEW)
    scores = [z_score(events, size, target.value) for events, size in known]
    low, high = quantile(scores, winsorised), quantile(scores, 1.0 - winsorised)
    return Figure(sum(min(max(score, low), high) ** 2 for score in scores) / len(scores))


def _limits(target: float, size: int, levels: Sequence[float], phi: float | None) -> tuple[Limits, ...]:
    found = []
    for level in levels:
        tail = (1.0 - level) / 2.0
        exact = Interval(exact_limit(target, size, tail), exact_limit(target, size, 1.0 - tail))
        widened = None
        if phi is not None and phi > 1.0:
            reach = normal_quantile(1.0 - tail) * math.sqrt(phi * target * (1.0 - target) / size)
            widened = Interval(max(target - reach, 0.0), min(target + reach, 1.0))
        found.append(Limits(level, exact, widened))
    return tuple(found)


def _point(group: Group, target: Figure, phi: Figure, levels: tuple[float, ...], rounding: Rounding) -> Point:
    found = proportion(group.events, group.size, rounding=rounding)
    rate = Figure(found.share.value, found.share.interval, found.share.reason)
    if rate.value is None or target.value is None or not group.size or found.possible is None:
        return Point(group, rate, found.possible, (), (), ())
    limits = _limits(target.value, group.size, levels, phi.value)
    exact = tuple(_position(found.possible, each.exact) for each in limits)
    widened = tuple(None if each.widened is None else _position(found.possible, each.widened) for each in limits)
    return Point(group, rate, found.possible, limits, exact, widened)


def _position(possible: Interval, limits: Interval) -> Position:
    if possible.low > limits.high:
        return Position.ABOVE
    return Position.BELOW if possible.high < limits.low else Position.INSIDE
