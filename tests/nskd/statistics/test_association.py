"""2×2 tables against rational arithmetic, scipy and statsmodels."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, fisher_exact
from scipy.stats.contingency import odds_ratio
from statsmodels.stats.contingency_tables import Table2x2

from nskd.statistics.association import VERIFICATION_BIAS, TwoByTwo, accuracy, association
from nskd.statistics.binomial import clopper_pearson
from nskd.statistics.conditional import conditional_odds_ratio, fisher_p
from nskd.statistics.figure import Interval, Reason, StatisticsError
from nskd.statistics.rounding import Rounding
from tests.examples import examples

from . import exact

SMALL = st.integers(0, 25)
POSITIVE = st.integers(1, 400)


@given(SMALL, SMALL, SMALL, SMALL)
def test_conditional_ratio_and_interval_solve_the_equations_that_define_them(a: int, b: int, c: int, d: int) -> None:
    found = conditional_odds_ratio(a, b, c, d)
    law = exact.conditional(a, b, c, d, Fraction(1))
    if len(law) == 1:
        assert found.reason is Reason.ZERO_CELL
        return
    assert found.interval is not None
    low, high = found.interval.low, found.interval.high
    if a == min(law):
        assert (found.value, low) == (0.0, 0.0)
    else:
        at = exact.conditional(a, b, c, d, Fraction(low))
        assert float(sum(p for k, p in at.items() if k >= a)) == pytest.approx(0.025, rel=1e-10)
    if a == max(law):
        assert (found.value, high) == (math.inf, math.inf)
    else:
        at = exact.conditional(a, b, c, d, Fraction(high))
        assert float(sum(p for k, p in at.items() if k <= a)) == pytest.approx(0.025, rel=1e-10)
    if min(law) < a < max(law):
        at = exact.conditional(a, b, c, d, Fraction(found.value))
        assert float(sum(k * p for k, p in at.items())) == pytest.approx(a, rel=1e-11)


@given(SMALL, SMALL, SMALL, SMALL)
def test_fisher_p_is_the_exact_sum_of_what_is_no_more_likely(a: int, b: int, c: int, d: int) -> None:
    law = exact.conditional(a, b, c, d, Fraction(1))
    found = fisher_p(a, b, c, d)
    if len(law) == 1:
        assert found.reason is Reason.ZERO_CELL
        return
    assert found.value == pytest.approx(float(sum(p for p in law.values() if p <= law[a])), rel=1e-11)


@examples(20)
@given(POSITIVE, POSITIVE, POSITIVE, POSITIVE)
def test_as_scipy_has_it(a: int, b: int, c: int, d: int) -> None:
    found = association(TwoByTwo(a, b, c, d))
    table = np.array([[a, b], [c, d]])
    theirs = odds_ratio(table, kind="conditional")
    ends = theirs.confidence_interval(0.95)
    assert found.conditional.value == pytest.approx(theirs.statistic, rel=1e-7)
    assert found.conditional.interval is not None
    assert (found.conditional.interval.low, found.conditional.interval.high) == pytest.approx(
        (ends.low, ends.high), rel=1e-7
    )
    assert found.fisher.value == pytest.approx(fisher_exact(table).pvalue, rel=1e-9, abs=1e-300)
    for ours, corrected in ((found.chi_square, False), (found.chi_square_yates, True)):
        statistic, p = chi2_contingency(table, correction=corrected)[:2]
        assert ours.statistic.value == pytest.approx(statistic, rel=1e-9, abs=1e-9)
        assert ours.p.value == pytest.approx(p, rel=1e-9, abs=1e-9)


@examples(20)
@given(POSITIVE, POSITIVE, POSITIVE, POSITIVE)
def test_woolf_as_statsmodels_has_it(a: int, b: int, c: int, d: int) -> None:
    found = association(TwoByTwo(a, b, c, d)).woolf
    theirs = Table2x2(np.array([[a, b], [c, d]]))
    assert found.value == pytest.approx(theirs.oddsratio, rel=1e-12)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx(theirs.oddsratio_confint(), rel=1e-9)


def test_ladies_and_tea() -> None:
    # R. A. Fisher, The Design of Experiments (1935), chapter II: eight cups, three of four right; p = 34/70 two-sided.
    assert fisher_p(3, 1, 1, 3).value == pytest.approx(34 / 70, rel=1e-13)
    assert association(TwoByTwo(3, 1, 1, 3)).chi_square.statistic.value == 2.0


def test_large_tables_stay_accurate() -> None:
    # Too large for rational arithmetic in a test, but then the normal approximation is good.
    found = conditional_odds_ratio(1500, 12_000, 400, 600_000)
    woolf = association(TwoByTwo(1500, 12_000, 400, 600_000)).woolf
    assert found.value == pytest.approx(woolf.value, rel=1e-3)
    assert found.interval is not None
    assert woolf.interval is not None
    assert found.interval.low == pytest.approx(woolf.interval.low, rel=1e-2)


def test_accuracy_is_five_proportions_with_the_note() -> None:
    found = accuracy(TwoByTwo(40, 60, 10, 890))
    assert found.note is VERIFICATION_BIAS
    assert "verificatiebias" in found.note.nl
    assert "verification bias" in found.note.en
    for ours, (x, n) in (
        (found.sensitivity, (40, 50)),
        (found.specificity, (890, 950)),
        (found.positive_predictive, (40, 100)),
        (found.negative_predictive, (890, 900)),
        (found.prevalence, (50, 1000)),
    ):
        assert (ours.share.value, ours.share.interval) == (x / n, clopper_pearson(x, n))


def test_rounded_cells_widen_prevalence_by_both_of_a_sum() -> None:
    found = accuracy(TwoByTwo(40, 60, 10, 890), rounding=Rounding(5))
    assert found.prevalence.possible == Interval(46 / (46 + 954), 54 / (54 + 946))
    assert found.sensitivity.possible == Interval(38 / 50, 42 / 50)


def test_a_suppressed_cell_takes_only_what_needs_it() -> None:
    table = TwoByTwo(40, 60, None, 890)
    found = accuracy(table)
    assert found.positive_predictive.share.value == 0.4
    assert found.specificity.share.value is not None
    for lost in (found.sensitivity, found.negative_predictive, found.prevalence):
        assert lost.share.reason is Reason.SUPPRESSED
    lost_too = association(table)
    for figure in (lost_too.woolf, lost_too.conditional, lost_too.fisher, lost_too.chi_square.p):
        assert figure.reason is Reason.SUPPRESSED


def test_a_zero_is_corrected_only_when_asked_and_then_said() -> None:
    table = TwoByTwo(10, 0, 5, 20)
    plain = association(table)
    assert plain.woolf.reason is Reason.ZERO_CELL
    assert not plain.corrected
    assert plain.conditional.value == math.inf
    asked = association(table, haldane=True)
    assert asked.corrected
    assert asked.woolf.value == pytest.approx(10.5 * 20.5 / (0.5 * 5.5))
    without_zero = association(TwoByTwo(10, 1, 5, 20), haldane=True)
    assert not without_zero.corrected
    assert without_zero.woolf.value == pytest.approx(40.0)


def test_an_empty_margin_tests_nothing() -> None:
    found = association(TwoByTwo(0, 0, 5, 20))
    for figure in (found.woolf, found.conditional, found.fisher, found.chi_square.p, found.chi_square_yates.p):
        assert figure.reason is Reason.ZERO_CELL


def test_rounding_is_said() -> None:
    assert association(TwoByTwo(10, 15, 5, 20), rounding=Rounding(5)).rounded
    assert not association(TwoByTwo(10, 15, 5, 20)).rounded


def test_what_is_no_count_is_refused() -> None:
    with pytest.raises(StatisticsError, match="2×2 table"):
        TwoByTwo(-1, 0, 0, 0)
