"""Control charts: limits written out, each rule at the very point where its pattern is complete, gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.statistics.figure import Figure, Reason, StatisticsError
from nskd.statistics.spc import Chart, Period, Rule, ewma_chart, p_chart

SIZE = 10_000


def periods(*events: int | None, size: int = SIZE) -> list[Period]:
    return [Period(str(i), x, size) for i, x in enumerate(events)]


def signals(chart: Chart) -> list[tuple[Rule, ...]]:
    return [point.signals for point in chart.points]


def at(rule: Rule, chart: Chart) -> list[int]:
    return [i for i, found in enumerate(signals(chart)) if rule in found]


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(501, 9000)), min_size=2, max_size=20))
def test_limits_are_three_standard_errors(series: list[tuple[int, int]]) -> None:
    chart = p_chart([Period(str(i), x, n) for i, (x, n) in enumerate(series)])
    x, n = np.array(series, dtype=float).T
    centre = x.sum() / n.sum()
    sigma = np.sqrt(centre * (1 - centre) / n)
    assert chart.centre.value == pytest.approx(centre, rel=1e-13)
    for point, s in zip(chart.points, sigma, strict=True):
        assert point.limits is not None
        assert (point.limits.low, point.limits.high) == pytest.approx(
            (max(centre - 3 * s, 0), min(centre + 3 * s, 1)), rel=1e-12, abs=1e-15
        )


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(501, 9000)), min_size=3, max_size=20))
def test_laney_widens_by_the_mean_moving_range(series: list[tuple[int, int]]) -> None:
    months = [Period(str(i), x, n) for i, (x, n) in enumerate(series)]
    chart = p_chart(months, laney=True)
    x, n = np.array(series, dtype=float).T
    centre = x.sum() / n.sum()
    z = (x / n - centre) / np.sqrt(centre * (1 - centre) / n)
    assert chart.spread.value == pytest.approx(np.abs(np.diff(z)).mean() / 1.128379167, rel=1e-8, abs=1e-12)
    plain = p_chart(months)
    assert chart.points[0].sigma == pytest.approx((plain.points[0].sigma or 0) * (chart.spread.value or 0))


def test_beyond() -> None:
    reach = 3 * math.sqrt(0.02 * 0.98 / SIZE) * SIZE  # 42.0
    quiet = [200] * 30
    assert at(Rule.BEYOND, p_chart(periods(*quiet, 200 + int(reach) - 1, 200 + int(reach) + 1), baseline=30)) == [31]
    assert at(Rule.BEYOND, p_chart(periods(*quiet, 200 - int(reach) - 1), baseline=30)) == [30]


def around(*moves: int | None) -> Chart:
    """Periods at 200 + move, after a baseline of exactly 200."""
    return p_chart(periods(200, *(None if move is None else 200 + move for move in moves)), baseline=1)


def test_a_run_is_nine_on_one_side() -> None:
    assert at(Rule.RUN, around(*[3, 2] * 4)) == []
    assert at(Rule.RUN, around(*[3, 2] * 5)) == [9, 10]
    assert at(Rule.RUN, around(*[-3, -2] * 4, -3)) == [9]
    assert at(Rule.RUN, around(*[3, 2] * 4, 0, 3)) == []  # a point on the centre ends it
    assert at(Rule.RUN, around(*[3, 2] * 4, -1, *[2, 3] * 4)) == []


def test_a_trend_is_six_each_beyond_the_one_before() -> None:
    assert at(Rule.TREND, around(-6, -4, -2, 1, 2)) == []  # five points after one that is higher
    assert at(Rule.TREND, around(-6, -4, -2, 1, 2, 3)) == [6]
    assert at(Rule.TREND, around(6, 4, 2, -1, -2, -3)) == [6]
    assert at(Rule.TREND, around(-6, -4, -4, 1, 2, 3)) == []


def test_two_of_three_beyond_two_thirds() -> None:
    # The warning limit is at 28.0, the control limit at 42.0.
    assert at(Rule.TWO_OF_THREE, around(30, 30)) == [2]
    assert at(Rule.TWO_OF_THREE, around(30, 0, 30)) == [3]
    assert at(Rule.TWO_OF_THREE, around(30, 0, 0, 30)) == []
    assert at(Rule.TWO_OF_THREE, around(30, -30)) == []
    assert at(Rule.TWO_OF_THREE, around(30, 30, 0)) == [2]  # said where it is complete, not again
    assert at(Rule.TWO_OF_THREE, around(27, 27)) == []


def test_a_gap_ends_every_pattern_and_has_no_point() -> None:
    chart = around(*[3, 2] * 4, None, 3)
    assert at(Rule.RUN, chart) == []
    assert chart.points[9].value == Figure(None, reason=Reason.SUPPRESSED)
    assert (chart.points[9].limits, chart.points[9].signals) == (None, ())
    assert at(Rule.TREND, around(-6, -4, -2, None, 1, 2, 3)) == []
    assert at(Rule.TWO_OF_THREE, around(30, None, 30)) == []


def test_a_gap_takes_no_part_in_centre_and_spread() -> None:
    whole = p_chart(periods(200, 230, 180, 220), laney=True)
    gapped = p_chart([*periods(200, 230, 180, 220), Period("x", None, 5), Period("y", 0, 0)], laney=True)
    assert (gapped.centre, gapped.spread) == (whole.centre, whole.spread)
    assert gapped.points[5].value.reason is Reason.EMPTY


def test_the_moving_average_follows_its_exact_variance() -> None:
    chart = ewma_chart([Period("a", 30, 1000), Period("b", None, 900), Period("c", 50, 2000)], weight=0.3)
    centre = 80 / 3000
    first = 0.3 * 0.03 + 0.7 * centre
    last = 0.3 * 0.025 + 0.7 * first  # the gap leaves it where it was
    assert [point.value.value for point in chart.points] == [pytest.approx(first), None, pytest.approx(last)]
    law = centre * (1 - centre)
    variance = 0.09 * law / 2000 + 0.49 * 0.09 * law / 1000
    assert chart.points[2].sigma == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert chart.points[2].limits is not None
    assert chart.points[2].limits.high == pytest.approx(centre + 3 * math.sqrt(variance), rel=1e-12)


def test_the_moving_average_sees_a_small_lasting_change_that_single_points_do_not() -> None:
    series = periods(*[200] * 12, *[221] * 12)
    assert at(Rule.BEYOND, p_chart(series, baseline=12)) == []
    first = at(Rule.BEYOND, ewma_chart(series, baseline=12))[0]
    assert 12 < first < 24


def test_nothing_known_gives_no_chart() -> None:
    for chart in (p_chart(periods(None, None)), ewma_chart(periods(None, None))):
        assert chart.centre.reason is Reason.SUPPRESSED
        assert chart.signals == ()
    assert p_chart(periods(200), laney=True).spread.reason is Reason.TOO_FEW
    assert p_chart(periods(0, 0), laney=True).spread.reason is Reason.CONSTANT
    assert signals(p_chart(periods(0, 0))) == [(), ()]


def test_what_cannot_be_is_refused() -> None:
    for wrong in (
        lambda: p_chart([Period("a", 2, 1)]),
        lambda: p_chart(periods(1), baseline=2),
        lambda: ewma_chart(periods(1), weight=0.0),
        lambda: ewma_chart(periods(1), width=0.0),
    ):
        with pytest.raises(StatisticsError, match="Give"):
            wrong()
