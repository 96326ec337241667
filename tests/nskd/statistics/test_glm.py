"""Models on cells against statsmodels on cells and on rows, and where there is no estimate."""

from __future__ import annotations

import itertools
import math
from typing import Any

import attrs
import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from nskd.statistics.families import BINOMIAL, Family
from nskd.statistics.figure import Reason, StatisticsError
from nskd.statistics.fit import Fit
from nskd.statistics.glm import Cell, fit, forward, likelihood_ratio
from tests.examples import examples

# Statsmodels takes a perfect fit of the means for separation.
pytestmark = pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.PerfectSeparationWarning")

NAMES = ("age", "sex")
GRID = [(float(age), float(sex)) for age, sex in itertools.product(range(4), range(2))]


def theirs(cells: list[Cell], family: sm.families.Family, **more: object) -> Any:
    design = sm.add_constant(np.array([cell.covariates for cell in cells]))
    outcome = [cell.total for cell in cells]
    if isinstance(family, sm.families.Binomial):
        outcome = [(cell.total, cell.size - cell.total) for cell in cells]
    return sm.GLM(np.array(outcome), design, family=family, **more).fit(tol=1e-13, tol_criterion="params", maxiter=100)


def agree(ours: Fit, other: Any, rel: float = 1e-8) -> None:
    assert ours.converged
    assert [c.estimate.value for c in ours.coefficients] == pytest.approx(other.params, rel=rel, abs=rel)
    assert [c.error.value for c in ours.coefficients] == pytest.approx(other.bse, rel=rel)
    assert [c.p.value for c in ours.coefficients] == pytest.approx(other.pvalues, rel=1e-6, abs=1e-9)
    assert ours.deviance.value == pytest.approx(other.deviance, rel=1e-8, abs=1e-8)


@examples(25)
@given(st.lists(st.tuples(st.integers(20, 3000), st.floats(0.05, 0.95)), min_size=8, max_size=8))
def test_logistic(numbers: list[tuple[int, float]]) -> None:
    cells = [Cell(x, n, max(1, min(n - 1, round(n * p)))) for x, (n, p) in zip(GRID, numbers, strict=True)]
    ours, other = fit(Family.LOGISTIC, NAMES, cells), theirs(cells, sm.families.Binomial())
    agree(ours, other)
    assert ours.covariance == pytest.approx(np.array(other.cov_params()), rel=1e-8)
    ends = [(c.estimate.interval.low, c.estimate.interval.high) for c in ours.coefficients if c.estimate.interval]
    assert np.array(ends) == pytest.approx(np.array(other.conf_int()), rel=1e-8, abs=1e-9)
    assert ours.dispersion.value == pytest.approx(other.pearson_chi2 / other.df_resid, rel=1e-8)


@examples(25)
@given(st.lists(st.tuples(st.integers(50, 5000), st.integers(1, 300)), min_size=8, max_size=8))
def test_poisson(numbers: list[tuple[int, int]]) -> None:
    cells = [Cell(x, n / 7, y) for x, (n, y) in zip(GRID, numbers, strict=True)]
    exposure = np.array([cell.size for cell in cells])
    ours = fit(Family.POISSON, NAMES, cells)
    other = theirs(cells, sm.families.Poisson(), exposure=exposure)
    agree(ours, other)
    assert ours.log_likelihood.value == pytest.approx(other.llf, rel=1e-10)


def test_aggregated_cells_give_what_the_rows_give() -> None:
    rng = np.random.default_rng(5)
    rows = np.array(GRID)[rng.integers(0, 8, 3000)]
    outcome = rng.random(3000) < 1 / (1 + np.exp(2.5 - 0.4 * rows[:, 0] - 0.6 * rows[:, 1]))
    score = 3.0 + rows @ [0.5, -1.0] + rng.normal(size=3000)
    cells, sums = [], []
    for x in GRID:
        here = (rows == x).all(axis=1)
        cells.append(Cell(x, int(here.sum()), int(outcome[here].sum())))
        sums.append(Cell(x, int(here.sum()), float(score[here].sum()), float((score[here] ** 2).sum())))
    design = sm.add_constant(rows)
    logistic = sm.Logit(outcome, design).fit(disp=0, tol=1e-13)
    ours = fit(Family.LOGISTIC, NAMES, cells)
    assert [c.estimate.value for c in ours.coefficients] == pytest.approx(logistic.params, rel=1e-9)
    assert [c.error.value for c in ours.coefficients] == pytest.approx(logistic.bse, rel=1e-8)
    assert ours.log_likelihood.value == pytest.approx(logistic.llf, rel=1e-12)
    ratio = likelihood_ratio(fit(Family.LOGISTIC, (), [attrs.evolve(c, covariates=()) for c in cells]), ours)
    assert (ratio.statistic.value, ratio.freedom) == (pytest.approx(logistic.llr, rel=1e-9), 2)
    assert ratio.p.value == pytest.approx(logistic.llr_pvalue, rel=1e-8)
    linear, mine = sm.OLS(score, design).fit(), fit(Family.LINEAR, NAMES, sums)
    assert [c.estimate.value for c in mine.coefficients] == pytest.approx(linear.params, rel=1e-9)
    assert [c.error.value for c in mine.coefficients] == pytest.approx(linear.bse, rel=1e-9)
    assert [c.p.value for c in mine.coefficients] == pytest.approx(linear.pvalues, rel=1e-6, abs=1e-300)
    assert mine.coefficients[1].estimate.interval is not None
    assert mine.coefficients[1].estimate.interval.low == pytest.approx(linear.conf_int()[1][0], rel=1e-9)
    assert mine.log_likelihood.value == pytest.approx(linear.llf, rel=1e-10)


def test_a_two_by_two_table_has_its_odds_ratio() -> None:
    found = fit(Family.LOGISTIC, ("x",), [Cell((0.0,), 100, 20), Cell((1.0,), 50, 25)])
    assert found.coefficient("x").ratio.value == pytest.approx((25 / 25) / (20 / 80), rel=1e-12)
    assert found.coefficient("x").error.value == pytest.approx(math.sqrt(2 / 25 + 1 / 20 + 1 / 80), rel=1e-12)
    assert found.deviance.value == pytest.approx(0.0, abs=1e-9)
    assert found.dispersion.reason is Reason.SATURATED
    with pytest.raises(KeyError):
        found.coefficient("y")


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        ([Cell((0.0,), 10, 0), Cell((1.0,), 10, 10)], {"(intercept)", "x"}),  # complete
        ([Cell((0.0,), 10, 0), Cell((1.0,), 10, 4)], {"(intercept)", "x"}),  # nobody without x has the event
        ([Cell((0.0,), 10, 4), Cell((1.0,), 10, 10)], {"x"}),
        ([Cell((-1.0,), 5, 0), Cell((0.0,), 5, 2), Cell((1.0,), 5, 5)], {"x"}),  # apart but for one mixed cell
    ],
)
def test_separation_is_named(cells: list[Cell], named: set[str]) -> None:
    found = fit(Family.LOGISTIC, ("x",), cells)
    assert (found.reason, set(found.separated)) == (Reason.SEPARATED, named)
    assert all(c.estimate.reason is Reason.SEPARATED for c in found.coefficients)


def test_no_separation_where_signs_conflict() -> None:
    cells = [Cell((-1.0,), 5, 5), Cell((0.0,), 5, 0), Cell((1.0,), 5, 5)]
    assert fit(Family.LOGISTIC, ("x",), cells).converged


def test_a_poisson_cell_without_events_separates_only_if_it_stands_alone() -> None:
    apart = fit(Family.POISSON, ("x",), [Cell((0.0,), 10, 7), Cell((1.0,), 10, 0)])
    assert (apart.reason, apart.separated) == (Reason.SEPARATED, ("x",))
    cells = [Cell((0.0,), 10, 7), Cell((1.0,), 10, 0), Cell((2.0,), 10, 3)]
    assert fit(Family.POISSON, ("x",), cells).converged


def test_rare_events_and_large_sizes_converge() -> None:
    cells = [Cell(x, 80_000, y) for x, y in zip(GRID, [1, 2, 1, 1, 3, 2, 5, 4], strict=True)]
    agree(fit(Family.LOGISTIC, NAMES, cells), theirs(cells, sm.families.Binomial()), rel=1e-7)


@pytest.mark.parametrize(
    ("family", "cells"),
    [
        # From the rate of all together, a full first step overshoots so far that no weight is left.
        (Family.LOGISTIC, [(1.06, 10, 10), (-1.83, 1_000_000, 4610), (-0.3, 10, 9), (0.03, 1, 1)]),
        (Family.LOGISTIC, [(-8.4, 2, 1), (1.07, 1_000_000, 8059), (-4.2, 1000, 988), (2.3, 10, 10)]),
        (Family.POISSON, [(0.59, 10, 1), (-0.67, 1, 1_000_000), (-0.24, 1000, 5)]),
        # Hundreds of standard errors of misfit, and a slope of a hundred.
        (Family.LOGISTIC, [(0.59, 1000, 621), (0.05, 10, 9), (-1.1, 1_000_000, 794_572), (-1.13, 1_000_000, 220_969)]),
    ],
)
def test_extreme_cells_converge_to_where_the_likelihood_is_flat(
    family: Family, cells: list[tuple[float, int, int]]
) -> None:
    found = fit(family, ("x",), [Cell((x,), size, total) for x, size, total in cells])
    assert found.converged
    residuals = np.array([total for _, _, total in cells]) - np.array(found.fitted)
    errors = np.array([c.error.value for c in found.coefficients])
    for column, error in zip(([1.0] * len(cells), [x for x, _, _ in cells]), errors, strict=True):
        assert abs(residuals @ np.array(column)) * error < 1e-6  # of a standard error


def test_a_step_that_would_raise_the_deviance_is_halved_until_it_does_not() -> None:
    design, size, total = np.ones((1, 1)), np.array([100.0]), np.array([50.0])
    before = BINOMIAL.deviance(size, total, np.array([1.0]))
    beta, after = forward(BINOMIAL, design, size, total, np.array([1.0]), np.array([-3.5]), before)
    assert beta == pytest.approx([-0.75])  # 1 − 3.5 / 2: 1 − 3.5 is further away than 1
    assert after == BINOMIAL.deviance(size, total, beta) < before
    uphill = forward(BINOMIAL, design, size, total, np.array([1.0]), np.array([3.0]), before)
    assert uphill[1] <= before * (1 + 1e-8)


def test_collinear_covariates_have_no_estimate() -> None:
    cells = [Cell((float(i), 2.0 * i + 1.0), 50, 10 + i) for i in range(5)]
    assert fit(Family.LOGISTIC, NAMES, cells).reason is Reason.COLLINEAR
    assert fit(Family.LINEAR, NAMES, [attrs.evolve(c, squares=1e4) for c in cells]).reason is Reason.COLLINEAR
    assert fit(Family.LOGISTIC, ("zero",), [Cell((0.0,), 9, 3), Cell((0.0,), 9, 4)]).reason is Reason.COLLINEAR


def test_one_suppressed_cell_leaves_no_estimate_and_an_empty_one_does_no_harm() -> None:
    cells = [Cell((0.0,), 100, 20), Cell((1.0,), 50, 25)]
    assert fit(Family.LOGISTIC, ("x",), [*cells, Cell((2.0,), 10, None)]).reason is Reason.SUPPRESSED
    assert fit(Family.LOGISTIC, ("x",), [*cells, Cell((2.0,), 0, 0)]) == fit(Family.LOGISTIC, ("x",), cells)
    assert fit(Family.LOGISTIC, ("x",), []).reason is Reason.EMPTY
    assert fit(Family.LINEAR, (), [Cell((), 10, 5)]).reason is Reason.SUPPRESSED  # its squares are not known


def test_as_many_coefficients_as_people_leave_nothing_to_estimate_errors_from() -> None:
    assert fit(Family.LINEAR, ("x",), [Cell((0.0,), 1, 1, 1), Cell((1.0,), 1, 2, 4)]).reason is Reason.SATURATED


def test_constant_outcomes_have_no_tests() -> None:
    found = fit(Family.LINEAR, (), [Cell((), 10, 50, 250)])
    assert found.coefficients[0].estimate.value == pytest.approx(5.0)
    assert found.log_likelihood.reason is Reason.CONSTANT


@pytest.mark.parametrize(
    "cell",
    [
        Cell((1.0, 2.0), 3, 1),
        Cell((math.nan,), 3, 1),
        Cell((1.0,), 3, 4),
        Cell((1.0,), -3, -4),
        Cell((1.0,), 3, -1),
        Cell((1.0,), math.inf, 1),
    ],
)
def test_what_cannot_be_is_refused(cell: Cell) -> None:
    with pytest.raises(StatisticsError, match="cell 1"):
        fit(Family.LOGISTIC, ("x",), [cell])


def test_only_nested_models_are_compared() -> None:
    cells = [Cell(x, 100, 20 + i) for i, x in enumerate(GRID)]
    larger = fit(Family.LOGISTIC, NAMES, cells)
    other = fit(Family.LOGISTIC, ("other",), [attrs.evolve(c, covariates=c.covariates[:1]) for c in cells])
    fewer = fit(Family.LOGISTIC, ("age",), [attrs.evolve(c, covariates=c.covariates[:1]) for c in cells[:-1]])
    for smaller in (other, fewer, larger):
        with pytest.raises(StatisticsError, match="not part"):
            likelihood_ratio(smaller, larger)
