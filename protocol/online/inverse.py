"""The inverse of a positive definite matrix on shares (``docs/protocol.md``, steps 18.5 to 18.7).

Only products of matrices: V·(2 − A·V) squares the error E = 1 − A·V of an approximate inverse V (G. Schulz, Z. angew.
Math. Mech. 13 (1933) 57–59).  As long as V is a polynomial in A everything commutes, and (1 + E)(1 + E²)(1 + E⁴)… is
the same with symmetric matrices alone, of which half the entries are computed.
"""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from protocol.material import Cost
from protocol.online.arithmetic import Evaluator
from protocol.online.conjunction import conjunction, conjunction_cost
from protocol.online.fixed_point import FieldMasks, below_cost, is_below, without_tail
from protocol.shares import Shared, concatenate, constant, total

Places = npt.NDArray[np.int64]

FRACTION: Final = 24  # bits behind the point of every matrix: entries of V below 2^11, as 59 − 2·24 = 11
SCALE_BITS: Final = 3  # matrices are given as about 2^−3 of the identity, so that eigenvalues stay below 2
SQUARINGS: Final = 11  # (1 − λ)^(2^11) < 1/2 for eigenvalues λ > 2^−11·ln 2, a 370th of what is expected


@attrs.frozen
class Need:
    """What a computation takes: stock, and masks of :class:`FieldMasks` besides."""

    cost: Cost = attrs.field(factory=Cost)
    masks: int = 0

    def __add__(self, other: Need) -> Need:
        return Need(self.cost + other.cost, self.masks + other.masks)

    def times(self, count: int) -> Need:
        """The need of ``count`` such computations."""
        return Need(self.cost.times(count), self.masks * count)


def triangle_size(size: int) -> int:
    """Entries of a symmetric matrix that are computed."""
    return size * (size + 1) // 2


def upper(size: int) -> tuple[Places, Places]:
    """Rows and columns of the upper triangle, row by row."""
    rows, columns = np.triu_indices(size)
    return rows.astype(np.int64), columns.astype(np.int64)


def mirrored(triangle: Shared, size: int) -> Shared:
    """The whole matrix, row by row, from its upper triangle."""
    place = np.empty((size, size), dtype=np.int64)
    rows, columns = upper(size)
    place[rows, columns] = place[columns, rows] = np.arange(rows.size)
    return triangle[place.reshape(-1)]


def identity(size: int, evaluator: Evaluator) -> Shared:
    """⟨1⟩, a matrix."""
    return constant(np.eye(size, dtype=np.uint64).reshape(-1) << np.uint64(FRACTION), evaluator.key)


def start_need(size: int) -> Need:
    """What :func:`approximate_inverse` takes."""
    entries = triangle_size(size) * 2 * (SQUARINGS - 1)
    return Need(Cost(triples=entries * size), entries)


def refinement_need(size: int) -> Need:
    """What :func:`refined` takes."""
    entries = size * size + triangle_size(size)
    tests = size + 1
    test = Cost(triples=size * size) + below_cost(tests) + conjunction_cost(tests, 1)
    return Need(Cost(triples=entries * size) + test, entries + tests)


async def approximate_inverse(evaluator: Evaluator, masks: FieldMasks, matrix: Shared, size: int) -> Shared:
    """⟨V⟩ ≈ ⟨A⟩⁻¹, symmetric, for A with eigenvalues between 2^−9 and 2; of others nonsense (step 18.5)."""
    rows, columns = upper(size)
    one = identity(size, evaluator)
    error = one - matrix
    inverse = one + error
    for _ in range(SQUARINGS - 1):
        error = mirrored(await _product(evaluator, masks, (error, error), (rows, columns), size), size)
        change = await _product(evaluator, masks, (inverse, error), (rows, columns), size)
        inverse = inverse + mirrored(change, size)
    return inverse


async def refined(
    evaluator: Evaluator, masks: FieldMasks, matrix: Shared, inverse: Shared, size: int, error_bits: int
) -> tuple[Shared, Shared]:
    """⟨V + V·E⟩ for E = 1 − A·V, and ⟨1⟩ if ‖E‖ < 2^−error_bits (Frobenius), else ⟨0⟩ (steps 18.6 and 18.7).

    With the ⟨1⟩ V is an approximate inverse, wherever it came from, and what is returned has an error of ‖E‖².
    Each row is tested, and then their sum: numbers that were too large for their tails to be cut off come back as
    anything at all, and one of them in 2^15 would pass for small, but not ``size`` at once.
    """
    everywhere = np.divmod(np.arange(size * size), size)
    error = identity(size, evaluator) - await _product(evaluator, masks, (matrix, inverse), everywhere, size)
    squares = _sums(await evaluator.multiply(error, error), size)
    tested = concatenate([squares, total([squares[k : k + 1] for k in range(size)])])
    small = await is_below(evaluator, masks, tested, 1 << 2 * (FRACTION - error_bits))
    fine = await conjunction(evaluator, small, np.zeros(size + 1, dtype=np.int64), 1)
    change = await _product(evaluator, masks, (inverse, error), upper(size), size)
    return inverse + mirrored(change, size), fine


async def times_vector(evaluator: Evaluator, matrix: Shared, vector: Shared, size: int) -> Shared:
    """⟨M·v⟩ with the fractional bits of both; size² triples."""
    everywhere = np.tile(np.arange(size), size)
    return _sums(await evaluator.multiply(matrix, vector[everywhere]), size)


async def _product(
    evaluator: Evaluator, masks: FieldMasks, factors: tuple[Shared, Shared], entries: tuple[Places, Places], size: int
) -> Shared:
    """The entries asked for of a product of two matrices.  Sums are made before their tails are cut off."""
    left, right = factors
    rows, columns = entries
    along = np.arange(size)
    x = left[(rows[:, None] * size + along).reshape(-1)]
    y = right[(along * size + columns[:, None]).reshape(-1)]
    return await without_tail(evaluator, masks, _sums(await evaluator.multiply(x, y), size), FRACTION)


def _sums(terms: Shared, size: int) -> Shared:
    """Sums of ``size`` neighbours each."""
    return total([terms[k::size] for k in range(size)])
