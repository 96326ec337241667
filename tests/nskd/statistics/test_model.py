"""Released models as they are read: intervals and tests against scipy, and what no run has released."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from nskd.control.model_text import model as print_model
from nskd.statistics.figure import Reason, StatisticsError
from nskd.statistics.model import ReleasedModel

ROWS = [
    {"name": None, "level": None, "estimate": -1.25, "error": 0.2},
    {"name": "sex", "level": "V", "estimate": 0.31, "error": 0.11},
    {"name": "sex", "level": "X", "estimate": -2.0, "error": 1.5},
]
COUNTED = {"coefficients": ROWS, "references": {"sex": "M"}, "freedom": 900, "steps": 5}


def release(family: str, **facts: Any) -> dict[str, Any]:
    return {"kind": "regression", "reading": {"family": family}, "model": {**COUNTED, **facts}}


LOGISTIC = release("logistic", likelihood_ratio=9.5, terms=2)
LINEAR = release("linear", residual_error=3.5, determination=0.21)


def test_ratios_have_normal_intervals_and_tests() -> None:
    found = ReleasedModel.of(LOGISTIC)
    for effect, row in zip(found.effects, ROWS, strict=True):
        estimate, error = float(row["estimate"]), float(row["error"])  # type: ignore[arg-type]
        low, high = stats.norm.interval(0.95, estimate, error)
        assert effect.ratio.value == pytest.approx(np.exp(estimate), rel=1e-12)
        assert effect.ratio.interval is not None
        assert (effect.ratio.interval.low, effect.ratio.interval.high) == pytest.approx((np.exp(low), np.exp(high)))
        assert effect.p.value == pytest.approx(2 * stats.norm.sf(abs(estimate / error)), rel=1e-9)
    assert found.ratio_p is not None
    assert found.ratio_p.value == pytest.approx(stats.chi2.sf(9.5, 2), rel=1e-9)


def test_differences_have_students_intervals_and_tests() -> None:
    found = ReleasedModel.of(release("linear", residual_error=3.5, determination=0.21, freedom=7))
    effect = found.effects[1]
    low, high = stats.t.interval(0.95, 7, 0.31, 0.11)
    assert effect.estimate.interval is not None
    assert (effect.estimate.interval.low, effect.estimate.interval.high) == pytest.approx((low, high))
    assert effect.p.value == pytest.approx(2 * stats.t.sf(0.31 / 0.11, 7), rel=1e-9)
    assert effect.ratio.value is None


@pytest.mark.parametrize("reason", ["levels", "separated", "collinear", "not-converged"])
def test_without_a_model_there_is_a_reason(reason: str) -> None:
    content = {
        "reading": {"family": "logistic"},
        "model": {"reason": reason, "levels": [{"name": "sex", "level": "X"}]},
    }
    found = ReleasedModel.of(content)
    assert found.why is not None
    assert found.concerned == (("sex", "X"),)
    assert (found.why is Reason.TOO_FEW) == (reason == "levels")
    assert "no model" in printed(content)
    assert "sex = X" in printed(content)


def changed(**facts: Any) -> dict[str, Any]:
    return release("logistic", **{"likelihood_ratio": 9.5, "terms": 2, **facts})


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"reading": {"family": "logistic"}, "model": None},
        {"reading": {"family": "other"}, "model": COUNTED},
        {"reading": {"family": "logistic"}, "model": {"reason": "other", "levels": []}},
        {"reading": {"family": "logistic"}, "model": {"reason": "levels", "levels": [3]}},
        changed(freedom=None),
        changed(coefficients=[{"name": "sex", "level": "V", "estimate": 1.0, "error": 0.0}]),
        changed(coefficients=[{"name": "sex", "level": "V", "estimate": float("nan"), "error": 1.0}]),
        changed(coefficients=[{"name": "sex"}]),
        changed(references=[]),
        changed(likelihood_ratio="x"),
    ],
)
def test_what_no_run_has_released_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(StatisticsError):
        ReleasedModel.of(content)


def printed(content: dict[str, Any]) -> str:
    out = io.StringIO()
    print_model(Console(file=out, width=200, markup=False), content)
    return out.getvalue()


def test_in_a_terminal_effects_stand_beside_their_references() -> None:
    text = printed(LOGISTIC)
    assert "V / M" in text
    assert "1.363" in text  # exp(0.31)
    assert "χ² = 9.50, p = 0.00865" in text
    text = printed(LINEAR)
    assert "difference" in text
    assert "R²" in text
    assert printed({"kind": "table"}) == ""
