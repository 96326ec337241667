"""Rows in an order that nobody knows (``docs/protocol.md``, step 17.8).

Every party in turn permutes the rows by a matrix that it inputs and that is proved to be a permutation; one honest
party's suffices for a uniform order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocol import field
from protocol.errors import Fault, RemoteProtocolError
from protocol.field import Elements
from protocol.material import Cost
from protocol.online.arithmetic import MULTIPLICATION, Evaluator
from protocol.party import SEED_BYTES, Entropy
from protocol.prg import Prg
from protocol.shares import Shared, concatenate, total


def shuffle_cost(parties: int, rows: int, columns: int) -> Cost:
    """What :func:`shuffled` consumes: entries to be proved 0 or 1, and a product with each in every column."""
    entries = rows * rows
    return Cost(masks=entries) + MULTIPLICATION.times(parties * entries * (1 + columns))


async def shuffled(evaluator: Evaluator, columns: Sequence[Shared]) -> list[Shared]:
    """The columns, all of one length, with their rows in an order uniform to everybody, the same for all columns.

    Raises :class:`RemoteProtocolError` ``inconsistent-contribution``, naming the party whose matrix permutes nothing.
    """
    rows = len(columns[0])
    own = permutation(evaluator.party.entropy, rows)
    matrices = await evaluator.inputs(own, [own.size] * evaluator.party.parties)
    await _check_permutations(evaluator, matrices, rows)
    moved = list(columns)
    for matrix in matrices:
        moved = await _permuted(evaluator, matrix, moved, rows)
    return moved


def permutation(entropy: Entropy, rows: int) -> Elements:
    """A uniform permutation matrix uint64[rows·rows], row after row.

    By the order of field elements: two of sixteen are equal, and their order then not uniform, with probability 2^−54.
    """
    order = np.argsort(Prg(entropy(SEED_BYTES), "permutation").elements(rows), kind="stable")
    matrix = np.zeros((rows, rows), dtype=np.uint64)
    matrix[np.arange(rows), order] = 1
    return matrix.reshape(-1)


async def _check_permutations(evaluator: Evaluator, matrices: list[Shared], rows: int) -> None:
    """Open what is 0 for a permutation: entries are 0 or 1, and there is one 1 in each row and each column."""
    together = concatenate(matrices)
    bits = await evaluator.multiply(together, together) - together
    less_one = np.full(rows, field.P - 1, dtype=np.uint64)
    sums = [
        total(parts).plus(less_one, evaluator.key)
        for matrix in matrices
        for parts in (
            [matrix[np.arange(rows) * rows + column] for column in range(rows)],
            [matrix[row * rows : (row + 1) * rows] for row in range(rows)],
        )
    ]
    opened = await evaluator.reveal("permutations", {"zeros": concatenate([bits, *sums])})
    entries, marginals = np.split(opened["zeros"], [len(bits)])
    shape = (len(matrices), -1)
    for party, zeros in enumerate(zip(entries.reshape(shape), marginals.reshape(shape), strict=True)):
        if any(each.any() for each in zeros):
            raise RemoteProtocolError(Fault.CONTRIBUTION, "a matrix that is no permutation", party=party)


async def _permuted(evaluator: Evaluator, matrix: Shared, columns: Sequence[Shared], rows: int) -> list[Shared]:
    """The matrix times every column, in one round."""
    repeated = np.tile(np.arange(rows), rows)
    products = await evaluator.multiply_many([(matrix, column[repeated]) for column in columns])
    heads = np.arange(rows) * rows
    return [total([product[heads + k] for k in range(rows)]) for product in products]
