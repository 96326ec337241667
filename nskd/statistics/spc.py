"""Statistical process control of a proportion over time: p chart, Laney's p′ chart, EWMA chart.

* *p chart* (W. A. Shewhart): centre p̄ = Σx/Σn, standard error σᵢ = √(p̄(1 − p̄)/nᵢ), limits p̄ ± 3σᵢ within [0,
  1].
* *p′ chart* (D. B. Laney, Quality Engineering 14 (2002) 531–537), for large n, where more than chance makes months
  differ: zᵢ = (pᵢ − p̄)/σᵢ, σ_z = mean of |zᵢ − zᵢ₋₁| / 1.128 over neighbours; limits p̄ ± 3σᵢσ_z.  Used as it is,
  also where σ_z < 1 narrows them.
* *EWMA* (S. W. Roberts, Technometrics 1 (1959) 239–250): Eᵢ = λpᵢ + (1 − λ)Eᵢ₋₁ from E₀ = p̄; its variance is
  followed exactly for unequal nᵢ, vᵢ = λ²σᵢ² + (1 − λ)²vᵢ₋₁ from 0; limits p̄ ± L√vᵢ.

Signals after L. S. Nelson, J. Quality Technology 16 (1984) 237–239, tests 1, 2, 3 and 5 (:class:`Rule`).

A period with a suppressed count, or in which nobody counts, has no point: it takes no part in centre and σ_z, no
moving range spans it, it ends every run, and the EWMA waits (Eᵢ and vᵢ stay).  From rounded counts, points are
ratios of the released numbers: a signal may then be owed to rounding when counts are small.  ``p`` and limits are
floats, good to rounding errors.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from nskd.statistics.figure import Count, Figure, Interval, Reason, StatisticsError, check_part, missing

D2: Final = 2 / math.sqrt(math.pi)  # 1.128: mean of |Z₁ − Z₂| for standard normal Z
_SIGMAS: Final = 3.0
_RUN, _TREND, _WARNING = 9, 6, 2.0


@attrs.frozen
class Period:
    """A month or quarter: ``events`` of ``size``."""

    name: str
    events: Count
    size: Count


class Rule(enum.Enum):
    """A pattern that chance seldom makes; a signal is given at its last point."""

    BEYOND = "beyond"  # one point outside the limits
    RUN = "run"  # nine points in a row on one side of the centre
    TREND = "trend"  # six points in a row, each above the one before, or each below
    TWO_OF_THREE = "two-of-three"  # two of three in a row beyond two thirds of the way to the same limit


@attrs.frozen
class Point:
    """A period on a chart: ``value`` is its proportion or moving average; ``sigma`` the standard error, if any."""

    period: Period
    value: Figure
    sigma: float | None
    limits: Interval | None
    signals: tuple[Rule, ...]


@attrs.frozen
class Chart:
    """``centre`` and a point per period, in order; ``spread`` is Laney's σ_z, 1 for a plain p chart."""

    centre: Figure
    spread: Figure
    points: tuple[Point, ...]

    @property
    def signals(self) -> tuple[Point, ...]:
        """The points at which a rule gives a signal."""
        return tuple(point for point in self.points if point.signals)


def p_chart(periods: Sequence[Period], *, baseline: int | None = None, laney: bool = False) -> Chart:
    """The chart over all ``periods``, centre (and σ_z) from the first ``baseline`` of them (default: from all).

    Raises :class:`StatisticsError`.
    """
    centre = _centre(periods, baseline)
    if centre.value is None:
        return _empty(periods, centre)
    shares, sigmas = _shares(periods), [_sigma(period, centre.value) for period in periods]
    spread = _laney(shares[:baseline], sigmas[:baseline], centre.value) if laney else Figure(1.0)
    if spread.value is None:
        return Chart(centre, spread, tuple(Point(p, s, None, None, ()) for p, s in zip(periods, shares, strict=True)))
    widened = [None if sigma is None else sigma * spread.value for sigma in sigmas]
    values = [share.value for share in shares]
    found = _signals(values, widened, centre.value, tuple(Rule), _SIGMAS)
    points = (
        Point(period, share, sigma, _limits(centre.value, sigma, _SIGMAS), signals)
        for period, share, sigma, signals in zip(periods, shares, widened, found, strict=True)
    )
    return Chart(centre, spread, tuple(points))


def ewma_chart(
    periods: Sequence[Period], *, weight: float = 0.2, width: float = 3.0, baseline: int | None = None
) -> Chart:
    """The chart with λ = ``weight`` and L = ``width``; the only rule is :attr:`Rule.BEYOND`.

    Raises :class:`StatisticsError`.
    """
    if not 0.0 < weight <= 1.0 or width <= 0.0:
        raise StatisticsError(
            f"weight {weight!r} and width {width!r} make no chart",
            where="EWMA chart",
            remedy="Give a weight above 0 and at most 1, and a width above 0.",
        )
    centre = _centre(periods, baseline)
    if centre.value is None:
        return _empty(periods, centre)
    average, variance = centre.value, 0.0
    figures: list[Figure] = []
    sigmas: list[float | None] = []
    for period, share in zip(periods, _shares(periods), strict=True):
        sigma = _sigma(period, centre.value)
        if share.value is None or sigma is None:
            figures.append(share)
            sigmas.append(None)
            continue
        average = weight * share.value + (1.0 - weight) * average
        variance = (weight * sigma) ** 2 + (1.0 - weight) ** 2 * variance
        figures.append(Figure(average))
        sigmas.append(math.sqrt(variance))
    found = _signals([figure.value for figure in figures], sigmas, centre.value, (Rule.BEYOND,), width)
    points = (
        Point(period, figure, sigma, _limits(centre.value, sigma, width), signals)
        for period, figure, sigma, signals in zip(periods, figures, sigmas, found, strict=True)
    )
    return Chart(centre, Figure(1.0), tuple(points))


def _centre(periods: Sequence[Period], baseline: int | None) -> Figure:
    for period in periods:
        check_part(period.events, period.size, period.name)
    if baseline is not None and not 1 <= baseline <= len(periods):
        raise StatisticsError(
            f"a baseline of {baseline} periods cannot be had from {len(periods)}",
            where="baseline",
            remedy="Give a number of periods from 1 to all, or none for all.",
        )
    first = periods[:baseline]
    known = [(p.events, p.size) for p in first if p.events is not None and p.size]
    if not known:
        return missing(Reason.SUPPRESSED if any(None in (p.events, p.size) for p in first) else Reason.EMPTY)
    return Figure(sum(events for events, _ in known) / sum(size for _, size in known))


def _shares(periods: Sequence[Period]) -> list[Figure]:
    return [
        missing(Reason.SUPPRESSED)
        if p.events is None or p.size is None
        else missing(Reason.EMPTY)
        if p.size == 0
        else Figure(p.events / p.size)
        for p in periods
    ]


def _sigma(period: Period, centre: float) -> float | None:
    if period.events is None or not period.size:
        return None
    return math.sqrt(centre * (1.0 - centre) / period.size)


def _laney(shares: Sequence[Figure], sigmas: Sequence[float | None], centre: float) -> Figure:
    if not 0.0 < centre < 1.0:
        return missing(Reason.CONSTANT)
    scores = [
        None if share.value is None or sigma is None else (share.value - centre) / sigma
        for share, sigma in zip(shares, sigmas, strict=True)
    ]
    ranges = [abs(b - a) for a, b in itertools.pairwise(scores) if a is not None and b is not None]
    return Figure(sum(ranges) / len(ranges) / D2) if ranges else missing(Reason.TOO_FEW)


def _limits(centre: float, sigma: float | None, width: float) -> Interval | None:
    if sigma is None:
        return None
    return Interval(max(centre - width * sigma, 0.0), min(centre + width * sigma, 1.0))


def _empty(periods: Sequence[Period], centre: Figure) -> Chart:
    points = (Point(p, s, None, None, ()) for p, s in zip(periods, _shares(periods), strict=True))
    return Chart(centre, missing(centre.reason or Reason.EMPTY), tuple(points))


def _signals(
    values: Sequence[float | None], sigmas: Sequence[float | None], centre: float, rules: Sequence[Rule], width: float
) -> Iterator[tuple[Rule, ...]]:
    """Per point, the rules whose pattern ends there."""
    run = trend = 0  # signed lengths: up is positive
    sides: list[int] = []  # of the last points, those beyond the warning limits: 1 above, −1 below
    before: float | None = None
    for value, sigma in zip(values, sigmas, strict=True):
        if value is None or sigma is None:
            run, trend, before = 0, 0, None
            sides.clear()
            yield ()
            continue
        away = value - centre
        run = _longer(run, _sign(away))
        # A trend of six points has five steps; the first point of it is no step yet.
        trend = 0 if before is None else _longer(trend, _sign(value - before))
        side = _sign(away) if abs(away) > _WARNING / _SIGMAS * width * sigma else 0
        sides = [*sides[-2:], side]
        # "Beyond" the limits as clipped is the same: no proportion is outside [0, 1].
        found = {
            Rule.BEYOND: abs(away) > width * sigma,
            Rule.RUN: abs(run) >= _RUN,
            Rule.TREND: abs(trend) >= _TREND - 1,
            Rule.TWO_OF_THREE: side != 0 and sides.count(side) >= 2,
        }
        before = value
        yield tuple(rule for rule in rules if found[rule])


def _sign(value: float) -> int:
    return (value > 0.0) - (value < 0.0)


def _longer(length: int, sign: int) -> int:
    """One more step of a run, or the first of another; 0 for none."""
    return length + sign if length * sign > 0 else sign
