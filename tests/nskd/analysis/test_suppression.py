"""Secondary suppression against linear algebra written straight from the definition of a margin."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.analysis import suppression
from nskd.analysis.shape import TableShape
from nskd.analysis.suppression import Mask, derivable, secondary_suppression
from tests.examples import examples


def functionals(shape: TableShape) -> list[list[Fraction]]:
    """Each cell as a linear functional of the interior."""

    def covers(place: tuple[int, int], cell: tuple[int, int]) -> bool:
        return place[0] in (shape.rows, cell[0]) and place[1] in (shape.width, cell[1])

    interior = list(itertools.product(range(shape.rows), range(shape.width)))
    return [[Fraction(covers(shape.place(k), cell)) for cell in interior] for k in range(shape.size)]


def reduced(vector: list[Fraction], basis: list[tuple[int, list[Fraction]]]) -> list[Fraction]:
    for pivot, row in basis:
        if vector[pivot]:
            factor = vector[pivot] / row[pivot]
            vector = [v - factor * r for v, r in zip(vector, row, strict=True)]
    return vector


def derivable_by_definition(shape: TableShape, closed: Mask) -> list[bool]:
    """Closed cells whose functional is a rational combination of the open ones."""
    rows = functionals(shape)
    basis: list[tuple[int, list[Fraction]]] = []
    for k in range(shape.size):
        left = reduced(rows[k], basis) if not closed[k] else []
        if any(left):
            basis.append((next(i for i, value in enumerate(left) if value), left))
    return [bool(closed[k]) and not any(reduced(rows[k], basis)) for k in range(shape.size)]


@st.composite
def patterns(draw: st.DrawFn) -> tuple[TableShape, Mask]:
    shape = TableShape(draw(st.integers(1, 4)), draw(st.sampled_from((None, 1, 2, 3, 4))), draw(st.booleans()))
    bits = draw(st.lists(st.sampled_from((False, False, True)), min_size=shape.size, max_size=shape.size))
    return shape, np.array(bits, np.bool_)


@examples(200)
@given(patterns())
def test_what_is_derivable_is_what_linear_algebra_says(pattern: tuple[TableShape, Mask]) -> None:
    shape, closed = pattern
    assert derivable(shape, closed).tolist() == derivable_by_definition(shape, closed)


@examples(200)
@given(patterns())
def test_nothing_closed_is_derivable_afterwards(pattern: tuple[TableShape, Mask]) -> None:
    shape, unsafe = pattern
    before = unsafe.copy()
    closed = secondary_suppression(shape, unsafe)
    assert (unsafe == before).all()
    assert (closed | ~unsafe).all()
    assert not any(derivable_by_definition(shape, closed))
    assert (closed == secondary_suppression(shape, unsafe)).all()
    if not shape.margins or not any(derivable_by_definition(shape, unsafe)):
        assert (closed == unsafe).all()  # nothing is closed without need
    for k in np.flatnonzero(closed & ~unsafe):
        less = closed.copy()
        less[k] = False
        assert any(derivable_by_definition(shape, less))  # and no single one could stay open


def test_known_tables() -> None:
    def extra(shape: TableShape, *unsafe: int) -> list[int]:
        mask = np.isin(np.arange(shape.size), unsafe)
        return np.flatnonzero(secondary_suppression(shape, mask) & ~mask).tolist()

    assert extra(TableShape(4, None, True), 2) == [0]  # one more group, rather than the total
    assert extra(TableShape(1, None, True), 0) == [1]  # nothing else to close
    assert extra(TableShape(4, None, True), 1, 2) == []
    assert extra(TableShape(3, 3, True), 4) == [0, 1, 3]  # the classic rectangle
    assert extra(TableShape(3, 3, True), 0, 4) == [1, 3]
    assert extra(TableShape(3, 3, False), 4) == []


def test_large_tables_are_quick_and_still_proven() -> None:
    for shape in (TableShape(60, 60, True), TableShape(2, 900, True), TableShape(3000, None, True)):
        unsafe = np.random.default_rng(4).random(shape.size) < 0.05
        assert not derivable(shape, secondary_suppression(shape, unsafe)).any()


def test_a_choice_that_fails_its_proof_releases_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suppression, "_bridges", lambda closed: [])
    with pytest.raises(RuntimeError, match="nothing may be released"):
        secondary_suppression(TableShape(3, 3, True), np.arange(16) == 4)


def test_a_pattern_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="a table of 4 cells"):
        secondary_suppression(TableShape(2, 2, False), np.zeros(5, np.bool_))
