"""Summaries of histograms against numpy on the values written out, and against all that rounding hides."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.statistics.figure import Interval, Reason, StatisticsError
from nskd.statistics.quantile import quantile, weighted_quantile
from nskd.statistics.rounding import Rounding
from nskd.statistics.summary import summarise

HISTOGRAMS = st.dictionaries(st.integers(-50, 220), st.integers(0, 30), min_size=1, max_size=12)
SHARES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


@given(HISTOGRAMS)
def test_as_numpy_has_it(histogram: dict[int, int]) -> None:
    found = summarise(histogram, quantiles=SHARES, least=1)
    values = np.repeat(list(histogram), list(histogram.values()))
    if not len(values):
        assert found.mean.reason is Reason.EMPTY
        return
    assert (found.size, found.mean.value) == (len(values), pytest.approx(values.mean(), rel=1e-12, abs=1e-12))
    if len(values) > 1:
        assert found.deviation.value == pytest.approx(values.std(ddof=1), rel=1e-10, abs=1e-12)
    else:
        assert found.deviation.reason is Reason.TOO_FEW
    for q, figure in found.quantiles:
        assert figure.value == pytest.approx(np.quantile(values, q), rel=1e-12, abs=1e-12)


def test_large_numbers_lose_nothing() -> None:
    found = summarise({10**9: 10**6, 10**9 + 1: 10**6})
    assert found.mean.value == 10**9 + 0.5
    assert found.deviation.value == pytest.approx(0.5000001250000469, rel=1e-15)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.floats(0, 1))
def test_quantiles_of_a_list_as_numpy_has_them(values: list[float], q: float) -> None:
    assert quantile(values, q) == pytest.approx(np.quantile(values, q), rel=1e-9, abs=1e-9)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=4))
def test_the_range_of_the_mean_is_that_of_all_compatible_counts(fives: list[int]) -> None:
    histogram = {3 * level: 5 * count for level, count in enumerate(fives)}
    found = summarise(histogram, least=1, rounding=Rounding(5))
    if not sum(fives):
        assert found.mean_range is None
        return
    ranges = [range(max(5 * count - 2, 0), 5 * count + 3) for count in fives]
    means = [
        sum(3 * level * c for level, c in enumerate(counts)) / sum(counts)
        for counts in itertools.product(*ranges)
        if sum(counts)
    ]
    assert found.mean_range is not None
    assert (found.mean_range.low, found.mean_range.high) == pytest.approx((min(means), max(means)), rel=1e-12)


def test_exact_counts_have_one_mean() -> None:
    found = summarise({1: 10, 2: 30})
    assert found.mean_range == Interval(1.75, 1.75)


def test_small_groups_and_suppressed_counts_have_no_figures() -> None:
    for histogram, reason in (({1: 4, 2: 5}, Reason.TOO_FEW), ({1: 50, 2: None}, Reason.SUPPRESSED)):
        found = summarise(histogram, least=10)
        assert found.mean.reason is found.deviation.reason is reason
        assert [figure.reason for _, figure in found.quantiles] == [reason] * 3
        assert found.mean_range is None
    assert summarise({1: 4, 2: 6}, least=10).mean.value == 1.6


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(StatisticsError, match="level 3"):
        summarise({3: -1})
    with pytest.raises(StatisticsError, match="quantile"):
        weighted_quantile([1], [1], 1.5)
    with pytest.raises(StatisticsError, match="quantile"):
        quantile([], 0.5)
