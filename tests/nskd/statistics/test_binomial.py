"""Proportions against exact tails, against scipy and statsmodels, and against every count that rounding hides."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from nskd.statistics.binomial import clopper_pearson, proportion, share, share_of_sums, wilson
from nskd.statistics.figure import Figure, Interval, Reason, StatisticsError
from nskd.statistics.rounding import Rounding
from nskd.statistics.special import binomial_at_least, binomial_at_most
from tests.examples import examples

from . import exact

FIVE = Rounding(5)
LEVELS = st.sampled_from([0.8, 0.9, 0.95, 0.99, 0.998])


@st.composite
def parts(draw: st.DrawFn, most: int = 60) -> tuple[int, int]:
    trials = draw(st.integers(1, most))
    return draw(st.integers(0, trials)), trials


@given(parts(), LEVELS)
def test_the_ends_of_the_exact_interval_have_the_tails_that_define_it(part: tuple[int, int], level: float) -> None:
    x, n = part
    found = clopper_pearson(x, n, level)
    tail = (1 - level) / 2
    if x:
        assert float(exact.at_least(x, n, Fraction(found.low))) == pytest.approx(tail, rel=1e-11)
    else:
        assert found.low == 0.0
    if x < n:
        assert float(exact.at_most(x, n, Fraction(found.high))) == pytest.approx(tail, rel=1e-11)
    else:
        assert found.high == 1.0


@given(parts(1_000_000), LEVELS)
def test_intervals_are_those_of_scipy(part: tuple[int, int], level: float) -> None:
    test = binomtest(*part)
    for method, ours in (("exact", clopper_pearson), ("wilson", wilson)):
        theirs = test.proportion_ci(level, method=method)
        found = ours(*part, level)
        assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@given(parts(), st.fractions(Fraction(1, 1000), Fraction(999, 1000), max_denominator=1000))
def test_tails_are_exact(part: tuple[int, int], p: Fraction) -> None:
    k, n = part
    assert binomial_at_most(k, n, float(p)) == pytest.approx(float(exact.at_most(k, n, p)), rel=1e-11)
    assert binomial_at_least(k, n, float(p)) == pytest.approx(float(exact.at_least(k, n, p)), rel=1e-11)


def test_published_examples() -> None:
    # R. G. Newcombe, Statistics in Medicine 17 (1998) 857–872, table I: 81/263, 15/148, 0/20 and 1/29.
    for (x, n), exact_ends, wilson_ends in (
        ((81, 263), (0.2527, 0.3676), (0.2553, 0.3662)),
        ((15, 148), (0.0578, 0.1617), (0.0624, 0.1605)),
        ((0, 20), (0.0, 0.1684), (0.0, 0.1611)),
        ((1, 29), (0.0009, 0.1776), (0.0061, 0.1718)),
    ):
        for ours, ends in ((clopper_pearson(x, n), exact_ends), (wilson(x, n), wilson_ends)):
            assert (round(ours.low, 4), round(ours.high, 4)) == ends


def compatible(value: int) -> range:
    return range(max(value - 2, 0), value + 3)


@examples(30)
@given(st.integers(0, 12), st.integers(0, 12))
def test_rounded_cells_give_the_smallest_interval_over_all_compatible_counts(yes: int, no: int) -> None:
    yes, no = 5 * yes, 5 * no
    found = share(yes, no, rounding=FIVE)
    if yes + no == 0:
        assert found.share == Figure(None, reason=Reason.EMPTY)
        return
    pairs = [(x, x + y) for x in compatible(yes) for y in compatible(no) if x + y]
    for ours, method in ((found.share, clopper_pearson), (found.wilson, wilson)):
        each = [method(*pair) for pair in pairs]
        assert ours.interval == Interval(min(one.low for one in each), max(one.high for one in each))
    assert found.possible == Interval(min(x / n for x, n in pairs), max(x / n for x, n in pairs))


@examples(30)
@given(st.integers(0, 12), st.integers(0, 12))
def test_a_rounded_part_of_a_rounded_total_likewise(part: int, more: int) -> None:
    x, n = 5 * part, 5 * (part + more)
    found = proportion(x, n, rounding=FIVE)
    if n == 0:
        assert found.share.reason is Reason.EMPTY
        return
    pairs = [(i, j) for i in compatible(x) for j in compatible(n) if i <= j and j]
    for ours, method in ((found.share, clopper_pearson), (found.wilson, wilson)):
        each = [method(*pair) for pair in pairs]
        assert ours.interval == Interval(min(one.low for one in each), max(one.high for one in each))
    assert found.possible == Interval(min(i / j for i, j in pairs), max(i / j for i, j in pairs))


def test_sums_of_rounded_cells_add_their_ranges() -> None:
    found = share_of_sums((10, 15), (20, 5), rounding=FIVE)
    assert found.possible == Interval(21 / (21 + 29), 29 / (29 + 21))
    assert found.share.value == 0.5


def test_a_least_count_narrows_what_rounding_hides() -> None:
    assert FIVE.counts(10) == (8, 12)
    assert Rounding(5, least=10).counts(10) == (10, 12)
    assert Rounding(3).counts(0) == (0, 1)


def test_exact_counts_are_what_they_seem() -> None:
    found = proportion(3, 10)
    assert found.possible == Interval(0.3, 0.3)
    assert found.share.interval == clopper_pearson(3, 10)


@pytest.mark.parametrize(("yes", "no"), [(None, 5), (5, None), (None, None)])
def test_a_suppressed_count_leaves_no_figure(yes: int | None, no: int | None) -> None:
    for found in (share(yes, no), proportion(yes, no)):
        assert found.share == found.wilson == Figure(None, reason=Reason.SUPPRESSED)
        assert found.possible is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: proportion(3, 2),
        lambda: proportion(-1, 2),
        lambda: share(True, 2),
        lambda: share(1.0, 2),
        lambda: share(1, 1, level=1.0),
        lambda: share(1, 1, level=95),
        lambda: share(12, 5, rounding=FIVE),
        lambda: Rounding(10),
        lambda: clopper_pearson(0, 0),
    ],
)
def test_what_cannot_be_is_refused_in_words(wrong: object) -> None:
    with pytest.raises(StatisticsError, match="Give"):
        wrong()


def test_a_figure_has_a_value_or_a_reason() -> None:
    for wrong in (lambda: Figure(None), lambda: Figure(1.0, reason=Reason.EMPTY), lambda: Figure(float("nan"))):
        with pytest.raises(ValueError, match="figure"):
            wrong()
