"""Funnel limits against exact tails and a plain transcription of the formula."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.statistics.figure import Reason, StatisticsError
from nskd.statistics.funnel import Group, Position, exact_limit, funnel
from nskd.statistics.rounding import Rounding
from tests.examples import examples

from . import exact

TAILS = (0.001, 0.025, 0.975, 0.999)


def plain_limit(theta: Fraction, size: int, tail: Fraction) -> Fraction:
    """As in the paper: the smallest r whose tail exceeds p, less how far it overshoots."""
    r = next(k for k in range(size + 1) if exact.at_most(k, size, theta) > tail)
    weight = (exact.at_most(r, size, theta) - tail) / exact.binomial(r, size, theta)
    return min(max((r - weight) / size, Fraction(0)), Fraction(1))


@examples(60)
@given(st.integers(1, 80), st.integers(1, 99), st.sampled_from(TAILS))
def test_limits_are_the_papers(size: int, theta: int, tail: float) -> None:
    wanted = plain_limit(Fraction(theta, 100), size, Fraction(tail))
    assert exact_limit(theta / 100, size, tail) == pytest.approx(float(wanted), abs=1e-9)


def test_limits_approach_the_normal_ones() -> None:
    spread = 1.959963984540054 * math.sqrt(0.02 * 0.98 / 1_000_000)
    assert exact_limit(0.02, 1_000_000, 0.975) == pytest.approx(0.02 + spread, abs=2e-6)
    assert exact_limit(0.02, 1_000_000, 0.025) == pytest.approx(0.02 - spread, abs=2e-6)


def hospitals(rates: list[float], size: int = 1000) -> list[Group]:
    return [Group(f"h{i}", round(rate * size), size) for i, rate in enumerate(rates)]


def test_the_target_is_the_pooled_rate_and_outliers_are_found() -> None:
    groups = hospitals([0.02, 0.022, 0.018, 0.021, 0.019, 0.045, 0.004])
    found = funnel(groups, winsorised=0.0)
    assert found.target.value == pytest.approx(sum(g.events or 0 for g in groups) / 7000)
    assert [p.group.name for p in found.outside(0.998)] == ["h5", "h6"]
    assert {p.group.name: p.exact[1] for p in found.points}["h5"] is Position.ABOVE
    assert {p.group.name: p.exact[1] for p in found.points}["h6"] is Position.BELOW


def test_overdispersion_is_the_mean_square_of_winsorised_scores() -> None:
    groups = [Group(str(i), x, n) for i, (x, n) in enumerate([(30, 900), (12, 700), (70, 2500), (20, 300), (9, 800)])]
    found = funnel(groups)
    theta = sum(g.events or 0 for g in groups) / sum(g.size or 0 for g in groups)
    scores = np.array(
        [((g.events or 0) / (g.size or 1) - theta) / math.sqrt(theta * (1 - theta) / (g.size or 1)) for g in groups]
    )
    clipped = np.clip(scores, *np.quantile(scores, [0.1, 0.9]))
    assert found.phi.value == pytest.approx(float((clipped**2).mean()), rel=1e-12)
    assert found.phi.value > 1
    widened = found.points[0].limits[0].widened
    reach = 1.959963984540054 * math.sqrt(found.phi.value * theta * (1 - theta) / 900)
    assert widened is not None
    assert (widened.low, widened.high) == pytest.approx((theta - reach, theta + reach), rel=1e-12)
    assert set(found.outside(0.95, widened=True)) < set(found.outside(0.95))


def test_underdispersion_narrows_nothing() -> None:
    found = funnel(hospitals([0.02] * 5))
    assert found.phi.value == 0.0
    assert all(limits.widened is None for point in found.points for limits in point.limits)


def test_suppressed_groups_have_no_point_and_no_say() -> None:
    groups = hospitals([0.02, 0.03, 0.01])
    with_gap = [*groups, Group("gap", None, 500), Group("nobody", 0, 0)]
    found = funnel(with_gap)
    assert found.target == funnel(groups).target
    assert found.phi == funnel(groups).phi
    assert [p.rate.reason for p in found.points[3:]] == [Reason.SUPPRESSED, Reason.EMPTY]
    assert found.points[3].limits == ()


def test_without_any_count_there_is_no_target() -> None:
    found = funnel([Group("a", None, None)])
    assert found.target.reason is found.phi.reason is Reason.SUPPRESSED
    assert found.limits_at(100) == ()
    assert funnel([]).target.reason is Reason.EMPTY
    assert funnel(hospitals([0.1, 0.2])).phi.reason is Reason.TOO_FEW
    assert funnel([Group(str(i), 0, 50) for i in range(4)]).phi.reason is Reason.CONSTANT


def test_a_rounded_group_is_outside_only_if_it_is_so_for_certain() -> None:
    size = 1000
    limit = exact_limit(0.02, size, 0.975) * size  # 29.0…: a rate of 30 is beyond, of 28 it is not
    assert 28 < limit < 30
    group = [Group("edge", 30, size)]
    assert funnel(group, target=0.02).points[0].exact[0] is Position.ABOVE
    assert funnel(group, target=0.02, rounding=Rounding(5)).points[0].exact[0] is Position.INSIDE
    assert funnel([Group("far", 60, size)], target=0.02, rounding=Rounding(5)).points[0].exact[0] is Position.ABOVE


def test_what_cannot_be_is_refused() -> None:
    for wrong in (
        lambda: funnel([Group("a", 2, 1)]),
        lambda: funnel([], target=1.0),
        lambda: funnel([], levels=(95,)),
        lambda: funnel([], winsorised=0.5),
    ):
        with pytest.raises(StatisticsError, match="Give"):
            wrong()
