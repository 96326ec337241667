"""Bounds of binned figures hold for every value and every count that fits, and are met by some of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.statistics.binned import Bin, Bounds, summarise_bins
from nskd.statistics.figure import Reason, StatisticsError
from nskd.statistics.rounding import Rounding
from nskd.statistics.summary import summarise
from tests.examples import examples

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


@st.composite
def histograms(draw: st.DrawFn) -> list[Bin]:
    """A few narrow bins with a few people, so that all that fits can be written out."""
    start, bins = draw(st.integers(-3, 5)), []
    for _ in range(draw(st.integers(1, 3))):
        width = draw(st.integers(1, 3))
        bins.append(Bin(start, start + width - 1, draw(st.integers(0, 3))))
        start += width + draw(st.integers(0, 2))
    return bins


def samples_of(bins: list[Bin], counts: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Every sample with so many values in each bin, sorted."""
    inside = [
        itertools.combinations_with_replacement(range(each.low, each.high + 1), count)
        for each, count in zip(bins, counts, strict=True)
    ]
    return [sum(parts, ()) for parts in itertools.product(*inside)]


def reached(bounds: Bounds, values: list[float], *, ends: bool) -> None:
    """All lie within; with ``ends`` the outermost of them are the bounds."""
    assert bounds.within is not None
    low, high = bounds.within.low, bounds.within.high
    assert low - 1e-9 <= min(values) and max(values) <= high + 1e-9
    if ends:
        assert (low, high) == (pytest.approx(min(values), abs=1e-9), pytest.approx(max(values), abs=1e-9))


@examples(30)
@given(histograms())
def test_exact_counts_have_the_bounds_of_all_samples_that_fit(bins: list[Bin]) -> None:
    counts = tuple(each.count or 0 for each in bins)
    found = summarise_bins(bins, quantiles=SHARES, least=1)
    if not sum(counts):
        assert found.mean.reason is Reason.EMPTY
        return
    every = samples_of(bins, counts)
    reached(found.mean, [float(np.mean(each)) for each in every], ends=True)
    for q, bounds in found.quantiles:
        values = [float(np.quantile(each, q)) for each in every]
        place = (sum(counts) - 1) * q
        reached(bounds, values, ends=abs(place - round(place)) < 1e-12)
    if sum(counts) > 1:
        deviations = [float(np.std(each, ddof=1)) for each in every]
        reached(found.deviation, deviations, ends=False)
    else:
        assert found.deviation.reason is Reason.TOO_FEW


@examples(25)
@given(st.lists(st.integers(0, 1), min_size=2, max_size=2), st.integers(1, 2), st.integers(0, 2))
def test_rounded_counts_have_the_bounds_of_all_counts_that_fit(threes: list[int], width: int, gap: int) -> None:
    bins = [
        Bin(0, width - 1, 3 * threes[0]),
        Bin(width + gap, 2 * width + gap - 1, 3 * threes[1]),
        Bin(2 * width + gap, 2 * width + gap, 3),
    ]
    found = summarise_bins(bins, quantiles=SHARES, least=1, rounding=Rounding(3))
    ranges = [range(max((each.count or 0) - 1, 0), (each.count or 0) + 2) for each in bins]
    every = [each for counts in itertools.product(*ranges) for each in samples_of(bins, counts)]
    reached(found.mean, [float(np.mean(each)) for each in every], ends=True)
    for q, bounds in found.quantiles:
        reached(bounds, [float(np.quantile(each, q)) for each in every], ends=q in (0.0, 1.0))
    deviations = [float(np.std(each, ddof=1)) for each in every if len(each) > 1]
    reached(found.deviation, deviations, ends=False)


@examples(30)
@given(st.dictionaries(st.integers(0, 200), st.integers(1, 9), min_size=2, max_size=10))
def test_bins_of_one_value_are_a_histogram_of_levels(histogram: dict[int, int]) -> None:
    bins = [Bin(level, level, histogram[level]) for level in sorted(histogram)]
    found, exact = summarise_bins(bins, least=1), summarise(histogram, least=1)
    assert found.mean.within is not None and found.deviation.within is not None
    assert (found.mean.within.low, found.mean.within.high) == pytest.approx((exact.mean.value, exact.mean.value))
    value = exact.deviation.value
    assert (found.deviation.within.low, found.deviation.within.high) == pytest.approx((value, value), rel=1e-6)
    for (_, bounds), (_, figure) in zip(found.quantiles, exact.quantiles, strict=True):
        assert bounds.within is not None and figure.value is not None
        assert bounds.within.covers(figure.value)


@examples(20)
@given(st.integers(0, 2**32 - 1))
def test_the_bounds_of_the_deviation_are_tight_for_large_groups(seed: int) -> None:
    """Searched: values all at the ends that make it large, or all together in the middle."""
    rng = np.random.default_rng(seed)
    edges = np.cumsum(rng.integers(1, 30, 5))
    bins = [
        Bin(int(a), int(b) - 1, int(c))
        for a, b, c in zip(edges[:-1], edges[1:], rng.integers(100, 900, 4), strict=True)
    ]
    found = summarise_bins(bins).deviation.within
    assert found is not None
    counts = np.array([each.count for each in bins])
    lows, highs = (np.array([getattr(each, end) for each in bins])[:, None] for end in ("low", "high"))
    largest, size = 0.0, counts.sum()
    for cut in range(len(bins)):  # below the cut all low, above it all high, in it every part
        low = np.where(np.arange(4)[:, None] < cut, counts[:, None], 0) + np.zeros(counts[cut] + 1, dtype=np.int64)
        low[cut] = np.arange(counts[cut] + 1)
        first = (low * lows + (counts[:, None] - low) * highs).sum(axis=0)
        second = (low * lows**2 + (counts[:, None] - low) * highs**2).sum(axis=0)
        largest = max(largest, float(np.sqrt((second - first**2 / size) / (size - 1)).max()))
    assert found.high == pytest.approx(largest, rel=1e-4) and found.high >= largest - 1e-9
    grid = np.linspace(bins[0].low, bins[-1].high, 4001)
    square = (counts[:, None] * (np.clip(grid, lows, highs) - grid) ** 2).sum(axis=0).min()
    least = float(np.sqrt(square / (size - 1)))
    assert found.low == pytest.approx(least, rel=1e-4, abs=0.02) and found.low <= least + 1e-9


def test_small_groups_and_suppressed_bins_have_no_figures() -> None:
    for counts, reason in (((4, 5), Reason.TOO_FEW), ((50, None), Reason.SUPPRESSED)):
        found = summarise_bins([Bin(i, i, count) for i, count in enumerate(counts)], least=10)
        assert found.mean == found.deviation == Bounds(None, reason)
        assert [bounds.reason for _, bounds in found.quantiles] == [reason] * 3


@pytest.mark.parametrize(
    "bins", [[], [Bin(3, 2, 1)], [Bin(0, 3, 1), Bin(3, 5, 1)], [Bin(4, 5, 1), Bin(0, 3, 1)], [Bin(0, 1, -1)]]
)
def test_what_cannot_be_is_refused(bins: list[Bin]) -> None:
    with pytest.raises(StatisticsError):
        summarise_bins(bins)
