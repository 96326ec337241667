"""Negacyclic number-theoretic transforms modulo the primes of q (``docs/protocol-lattice.md``, step L.4).

Coefficient form is the natural order.  Evaluation form is bit-reversed and then transposed, 64 rows of 256,
so that every inner loop runs over contiguous memory; the order never matters, since evaluation forms only
meet each other.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from protocol._jit import kernel
from protocol.field import P
from protocol.lattice.butterflies import (
    RATIOS,
    gather_block,
    gather_far,
    gather_rows,
    spread_block,
    spread_far,
    spread_last,
    spread_rows,
)
from protocol.lattice.lanes import LANES, aligned, local
from protocol.lattice.params import PARAMETERS, primitive_root

Floats: TypeAlias = npt.NDArray[np.float64]

N: Final = PARAMETERS.slots
ROWS: Final = 64
COLUMNS: Final = N // ROWS

# Constants of a limb, by their index in a row of LIMBS.
Q: Final = 0
Q_INVERSE: Final = 1
PLAIN: Final = 2  # p mod q
TWO_49: Final = 3  # 2^49 mod q

# A transform is one pass of four stages over all of the memory, then three passes over one block of it at a time, which
# stays in the first-level cache.  In a block, coefficients lie in SIDE rows of ROWS; transposed, in ROWS rows of SIDE.
_STRIDE: Final = N // 16  # between the sixteen rows of the first pass
_BLOCK: Final = N // 16
_BLOCKS: Final = N // _BLOCK
_SIDE: Final = _BLOCK // ROWS
_EIGHT: Final = 8  # rows of the last two passes

# Layout of a direction's roots: those of the first eight stages and their quotients by q; then, for each block, rows of
# SIDE roots: the seven of the third pass, and seven for each of the eight groups of the last.
_FIRST: Final = 2 * RATIOS
_GROUP: Final = (_EIGHT - 1) * _SIDE
_BLOCK_ROOTS: Final = (1 + _EIGHT) * _GROUP
_HALF: Final = _FIRST + _BLOCKS * _BLOCK_ROOTS


@kernel
def forward(x: Floats, out: Floats, limb: Floats, table: Floats) -> None:
    """Coefficients |x| ≤ q to evaluations within 3.43q; ``x`` is overwritten."""
    q, qi = limb[Q], limb[Q_INVERSE]
    scratch = local(_BLOCK)
    for column in range(0, _STRIDE, LANES):
        spread_far(x, column, _STRIDE, x, column, _STRIDE, table, 1, q, qi)
    for block in range(_BLOCKS):
        for c in range(0, ROWS, LANES):
            spread_block(x, block * _BLOCK + c, ROWS, scratch, c * _SIDE, _SIDE, table, 16 + block, q, qi)
        roots = _FIRST + block * _BLOCK_ROOTS
        for k in range(0, _SIDE, LANES):
            for row in range(_EIGHT):
                at = row * _SIDE + k
                spread_rows(scratch, at, _EIGHT * _SIDE, scratch, at, _EIGHT * _SIDE, table, roots + k, q, qi)
            for group in range(_EIGHT):
                at, to = group * _EIGHT * _SIDE + k, group * _EIGHT * COLUMNS + block * _SIDE + k
                spread_last(scratch, at, _SIDE, out, to, COLUMNS, table, roots + (1 + group) * _GROUP + k, q, qi)


@kernel
def inverse(x: Floats, out: Floats, limb: Floats, table: Floats) -> None:
    """Evaluations |x| ≤ 2q to coefficients |y| ≤ 0.60q."""
    q, qi = limb[Q], limb[Q_INVERSE]
    scratch = local(_BLOCK)
    back = table[_HALF:]
    for block in range(_BLOCKS):
        roots = _FIRST + block * _BLOCK_ROOTS
        for k in range(0, _SIDE, LANES):
            for group in range(_EIGHT):
                at, to = group * _EIGHT * COLUMNS + block * _SIDE + k, group * _EIGHT * _SIDE + k
                gather_rows(x, at, COLUMNS, scratch, to, _SIDE, back, roots + (1 + group) * _GROUP + k, q, qi)
            for row in range(_EIGHT):
                at = row * _SIDE + k
                gather_rows(scratch, at, _EIGHT * _SIDE, scratch, at, _EIGHT * _SIDE, back, roots + k, q, qi)
        for c in range(0, ROWS, LANES):
            gather_block(scratch, c * _SIDE, _SIDE, out, block * _BLOCK + c, ROWS, back, 16 + block, q, qi)
    for column in range(0, _STRIDE, LANES):
        gather_far(out, column, _STRIDE, out, column, _STRIDE, back, 1, q, qi)


def centred(value: int, q: int) -> float:
    """The representative of value mod q in (−q/2, q/2), as the kernels want their constants."""
    value %= q
    return float(value - q if value > q // 2 else value)


def _bit_reversal(count: int) -> npt.NDArray[np.int64]:
    order = np.zeros(1, dtype=np.int64)
    while order.size < count:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def _powers(root: int, q: int) -> Floats:
    """Centred powers root^0 … root^(N−1) in bit-reversed order."""
    powers, step = [1], root
    while len(powers) < N:  # a daemon does this twelve times when it starts
        powers += [power * step % q for power in powers]
        step = step * step % q
    residues = np.array(powers)
    return np.where(residues > q // 2, residues - q, residues).astype(np.float64)[_bit_reversal(N)]


def _direction(root: int, q: int, scale: int, first: int) -> Floats:
    """One direction's roots; ``scale`` is stored in the unused place 0 and ``first`` in that of the first stage."""
    roots = _powers(root, q)
    rows = np.stack(
        [roots[COLUMNS * g + h : COLUMNS * 2 * g : g] for g in (1, 2, 4, 8, 16, 32) for h in range(g)]
    )  # roots[256g + kg + h] for k = 0 … 255
    order = list(range(_EIGHT - 1))
    for group in range(_EIGHT):
        order += [(_EIGHT << s) - 1 + (group << s) + h for s in range(3) for h in range(1 << s)]
    blocks = rows[order].reshape(len(order), _BLOCKS, _SIDE).transpose(1, 0, 2)
    whole = roots[:RATIOS].copy()
    whole[:2] = centred(scale, q), centred(first, q)
    return np.concatenate([whole, whole / float(q), blocks.reshape(-1)])


def _limb(q: int) -> list[float]:
    return [float(q), 1.0 / q, centred(P, q), centred(1 << 49, q)]


def _table(q: int) -> Floats:
    root, half = primitive_root(q, 2 * N), N // 2
    scale = pow(N, -1, q)
    return np.concatenate(
        [
            _direction(root, q, 1, pow(root, half, q)),
            _direction(pow(root, -1, q), q, scale, pow(root, -half, q) * scale),
        ]
    )


LIMBS: Final[Floats] = np.array([_limb(q) for q in PARAMETERS.primes])
TABLES: Final[Floats] = aligned(len(PARAMETERS.primes), 2 * _HALF)
for _row, _prime in zip(TABLES, PARAMETERS.primes, strict=True):
    _row[:] = _table(_prime)
