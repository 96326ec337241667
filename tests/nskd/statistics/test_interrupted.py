"""Interrupted series: known changes are found, against statsmodels, gaps stay gaps."""

from __future__ import annotations

import itertools
import math
from typing import Any

import attrs
import numpy as np
import pytest
import statsmodels.api as sm

from nskd.statistics.figure import Reason, StatisticsError
from nskd.statistics.interrupted import LEVEL_CHANGE, SLOPE_CHANGE, interrupted_series
from nskd.statistics.spc import Period

CHANGE = 12


def series(*, spread: float = 0.0) -> list[Period]:
    rng = np.random.default_rng(11)
    made = []
    for t in range(24):
        eta = -4.0 + 0.01 * t + (0.5 + 0.03 * (t - CHANGE)) * (t >= CHANGE) + spread * rng.normal()
        made.append(Period(str(t), int(rng.binomial(6000, 1 / (1 + math.exp(-eta)))), 6000))
    return made


def model(months: list[Period]) -> Any:
    known = [t for t, month in enumerate(months) if month.events is not None]
    t = np.array(known, dtype=float)
    after = (t >= CHANGE).astype(float)
    design = np.column_stack([np.ones_like(t), t, after, (t - CHANGE) * after])
    counts = np.array([(months[i].events, months[i].size - months[i].events) for i in known])
    return sm.GLM(counts, design, family=sm.families.Binomial()).fit(tol=1e-13)


@pytest.mark.parametrize("gaps", [(), (3, 15)])
def test_changes_are_those_of_the_segmented_model(gaps: tuple[int, ...]) -> None:
    months = [attrs.evolve(month, events=None) if t in gaps else month for t, month in enumerate(series())]
    found, theirs = interrupted_series(months, CHANGE), model(months)
    for ours, index in ((found.level_change, 2), (found.slope_change, 3)):
        assert ours.estimate.value == pytest.approx(theirs.params[index], rel=1e-8)
        assert ours.error.value == pytest.approx(theirs.bse[index], rel=1e-8)
        assert ours.p.value == pytest.approx(theirs.pvalues[index], rel=1e-6)
    assert found.left_out == len(gaps)
    assert [found.expected[t] for t in gaps] == [None] * len(gaps)
    assert found.level_change.estimate.interval is not None
    assert found.level_change.estimate.interval.covers(0.5)
    assert (found.level_change.name, found.slope_change.name) == (LEVEL_CHANGE, SLOPE_CHANGE)
    assert found.continued[0] == pytest.approx(1 / (1 + math.exp(-theirs.params[:2] @ [1, CHANGE])), rel=1e-8)
    residuals = iter(theirs.resid_pearson)
    by_period = [None if t in gaps else next(residuals) for t in range(24)]
    pairs = [(a, b) for a, b in itertools.pairwise(by_period) if a is not None and b is not None]
    wanted = sum(a * b for a, b in pairs) / sum(r * r for r in by_period if r is not None)
    assert found.correlation.value == pytest.approx(wanted, rel=1e-6)


def test_overdispersed_errors_are_wider_when_asked() -> None:
    months = series(spread=0.2)
    plain, quasi = interrupted_series(months, CHANGE), interrupted_series(months, CHANGE, quasi=True)
    theirs = model(months)
    spread = math.sqrt(sum(theirs.resid_pearson**2) / theirs.df_resid)
    assert plain.model.dispersion.value is not None
    assert plain.model.dispersion.value > 2
    assert quasi.quasi
    assert not plain.quasi
    assert quasi.level_change.error.value == pytest.approx(theirs.bse[2] * spread, rel=1e-7)
    assert quasi.level_change.estimate.interval is not None
    half = quasi.level_change.estimate.interval.high - quasi.level_change.estimate.value
    assert half / quasi.level_change.error.value == pytest.approx(2.085963447, rel=1e-8)  # t, 20 degrees of freedom


def test_too_little_on_a_side_gives_no_change() -> None:
    months = series()
    few = [attrs.evolve(month, events=None) if t < CHANGE - 1 else month for t, month in enumerate(months)]
    found = interrupted_series(few, CHANGE)
    assert found.level_change.estimate.reason is found.model.reason is Reason.SUPPRESSED
    assert found.continued == ()
    assert interrupted_series(months, 1).model.reason is Reason.TOO_FEW


@pytest.mark.parametrize("change", [0, 24, -1])
def test_a_change_has_two_sides(change: int) -> None:
    with pytest.raises(StatisticsError, match="two sides"):
        interrupted_series(series(), change)


def test_a_share_that_rounds_to_one_leaves_no_residual() -> None:
    events = [1, 50, 99] + [100] * 10 + [50, 60]
    periods = [Period(f"{month}", count, 100) for month, count in enumerate(events)]
    found = interrupted_series(periods, change=13)
    assert found.expected[12] == 1.0
    assert found.correlation.value is not None
