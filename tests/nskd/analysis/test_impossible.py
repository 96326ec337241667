"""Zeros that everybody knows, and that they protect nobody."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nskd.analysis import impossible
from nskd.analysis.impossible import impossible_cells
from nskd.analysis.release import AlsoHide
from nskd.analysis.shape import TableShape
from nskd.analysis.suppression import derivable, secondary_suppression
from nskd.analysis.table import TablePlan, plan_table
from tests.nskd.data.extracts import nsk

BOOK = nsk().codebook


def asked(**question: Any) -> TablePlan:
    return plan_table(BOOK, **question)


def known(plan: TablePlan) -> list[tuple[str, ...]]:
    mask = impossible_cells(plan)
    return [tuple(cell.values()) for cell, is_known in zip(plan.cells, mask, strict=True) if is_known]


def test_by_derivation() -> None:
    plan = asked(rows=["nsk_status"], columns=["screened"], margins=True)
    assert known(plan) == [("complete", "nee"), ("partial", "nee"), ("absent", "ja")]
    years = asked(rows=["visit_year"], columns=["visit_quarter"], margins=True)
    assert len(known(years)) == 4 * 16 - 16
    assert not known(asked(rows=["age_band"], columns=["nsk_positive"], margins=True))


def test_by_the_condition() -> None:
    plan = asked(rows=["sex"], columns=["age_band"], where="sex = 'M' AND age_months < 48", margins=True)
    possible = {("M", "0-3"), ("M", "total"), ("total", "0-3"), ("total", "total")}
    assert set(known(plan)) == {tuple(cell.values()) for cell in plan.cells} - possible
    nobody = asked(rows=["triage"], where="age_months > 215", margins=True)
    assert len(known(nobody)) == nobody.size


def test_what_takes_too_long_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impossible, "COMBINATIONS_MAX", 2)
    assert not known(asked(rows=["nsk_status"], columns=["screened"], margins=True))


def test_a_known_zero_is_no_protection() -> None:
    """A row of an unsafe cell, a known zero and a safe cell: the zero is closed too, but that protects nobody."""
    shape = TableShape(2, 3, margins=True)
    unsafe, zero = shape.cell(0, 0), shape.cell(0, 1)
    safe = np.ones(shape.size, np.bool_)
    safe[[unsafe, zero]] = False
    mask = np.zeros(shape.size, np.bool_)
    mask[zero] = True
    naive = secondary_suppression(shape, ~safe)
    assert derivable(shape, naive & ~mask)[unsafe], "the attack is worth what it claims"
    opened = AlsoHide(shape, mask)(safe)
    assert not opened[zero], "a known zero need not be opened"
    assert not derivable(shape, ~opened & ~mask).any()


def test_random_patterns_with_known_zeros_stay_closed() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        shape = TableShape(int(rng.integers(1, 5)), int(rng.integers(1, 5)), margins=True)
        interior = rng.random((shape.rows, shape.width)) < 0.3
        mask = np.zeros(shape.size, np.bool_)
        for k in range(shape.size):
            row, column = shape.place(k)
            rows = slice(None) if row == shape.rows else slice(row, row + 1)
            columns = slice(None) if column == shape.width else slice(column, column + 1)
            mask[k] = interior[rows, columns].all()
        unsafe = rng.random(shape.size) < 0.3
        closed = secondary_suppression(shape, unsafe, mask)
        assert not (closed & mask).any()
        assert (closed | mask | ~unsafe).all()
        assert not derivable(shape, closed).any()
