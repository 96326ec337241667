"""Negacyclic number-theoretic transforms modulo the primes of q (``docs/protocol-lattice.md``, step L.4).

Coefficient form is the natural order.  Evaluation form is bit-reversed and then transposed, 64 rows of 256,
so that every inner loop runs over contiguous memory; the order never matters, since evaluation forms only
meet each other.  Both directions work in passes of two stages (radix 4).
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from protocol._jit import inlined, kernel
from protocol.field import P
from protocol.lattice.arithmetic import centre, mul_mod
from protocol.lattice.lanes import LANES, aligned, load, store, transpose
from protocol.lattice.params import PARAMETERS, primitive_root

Floats: TypeAlias = npt.NDArray[np.float64]

N: Final = PARAMETERS.slots
ROWS: Final = 64
COLUMNS: Final = N // ROWS
_TILE: Final = 8
_PLAIN_MODE, _SETTLE, _LAST = 0, 1, 2  # kinds of butterflies

# Constants of a limb, by their index in a row of LIMBS.
Q: Final = 0
Q_INVERSE: Final = 1
N_INVERSE: Final = 2  # 1/N: the inverse transform's factor
LAST: Final = 3  # the last stage's root over N
PLAIN: Final = 4  # p mod q
TWO_49: Final = 5  # 2^49 mod q
_CONSTANTS: Final = 6

# A transform is four stages over all of the memory, in chunks, then ten stages over one block of it at a time, which
# stays in the first-level cache.  In a block, coefficients lie in SIDE rows of ROWS; transposed, in ROWS rows of SIDE.
_STRIDE: Final = N // 16  # between the sixteen rows of the first four stages
_CHUNK: Final = 64  # columns of those rows worked on at a time
_BLOCK: Final = N // 16
_BLOCKS: Final = N // _BLOCK
_SIDE: Final = _BLOCK // ROWS
_PAIR: Final = 2 * LANES  # a step works on two vectors side by side

# Layout of a row of TABLES: roots of the first eight stages, then for each block ROWS − 1 rows of SIDE roots.
_FIRST: Final = COLUMNS
_ROW_ROOTS: Final = (ROWS - 1) * _SIDE
_HALF: Final = _FIRST + _BLOCKS * _ROW_ROOTS


@inlined
def _spread(
    x: Floats, i: int, far: int, y: Floats, o: int, out_far: int, v: float, w: float, q: float, qi: float, mode: int
) -> None:
    """Butterflies (a + w·b, a − w·b) from x[i] and x[far] on; SETTLE centres a first, LAST the results."""
    b0, b1 = load(x, far), load(x, far + LANES)
    c0, c1 = mul_mod(b0, v, q, qi), mul_mod(b1, w, q, qi)
    a0, a1 = load(x, i), load(x, i + LANES)
    if mode == _SETTLE:
        a0, a1 = centre(a0, q, qi), centre(a1, q, qi)
    s0, s1, d0, d1 = a0 + c0, a1 + c1, a0 - c0, a1 - c1
    if mode == _LAST:
        s0, s1, d0, d1 = centre(s0, q, qi), centre(s1, q, qi), centre(d0, q, qi), centre(d1, q, qi)
    store(y, o, s0)
    store(y, o + LANES, s1)
    store(y, out_far, d0)
    store(y, out_far + LANES, d1)


@inlined
def _gather(
    x: Floats, i: int, far: int, y: Floats, o: int, out_far: int, v: float, w: float, q: float, qi: float, mode: int
) -> None:
    """Butterflies (a + b, (a − b)·w); SETTLE centres a + b.

    One vector after the other: both at once need more registers than there are.
    """
    a, b = load(x, i), load(x, far)
    d, s = mul_mod(a - b, v, q, qi), a + b
    if mode == _SETTLE:
        s = centre(s, q, qi)
    store(y, o, s)
    store(y, out_far, d)
    a, b = load(x, i + LANES), load(x, far + LANES)
    d, s = mul_mod(a - b, w, q, qi), a + b
    if mode == _SETTLE:
        s = centre(s, q, qi)
    store(y, o + LANES, s)
    store(y, out_far + LANES, d)


@inlined
def _spread_rows(x: Floats, table: Floats, block: int, half: int, q: float, qi: float, mode: int) -> None:
    """The stage with ``half`` rows of SIDE between operands, in place."""
    groups = ROWS // (2 * half)
    for i in range(groups):
        at = _FIRST + block * _ROW_ROOTS + (groups - 1 + i) * _SIDE
        v, w = load(table, at), load(table, at + LANES)
        for row in range(2 * i * half, (2 * i + 1) * half):
            near, far = row * _SIDE, (row + half) * _SIDE
            _spread(x, near, far, x, near, far, v, w, q, qi, mode)


@inlined
def _gather_rows(x: Floats, table: Floats, block: int, half: int, q: float, qi: float, mode: int) -> None:
    groups = ROWS // (2 * half)
    for i in range(groups):
        at = _HALF + _FIRST + block * _ROW_ROOTS + (groups - 1 + i) * _SIDE
        v, w = load(table, at), load(table, at + LANES)
        for row in range(2 * i * half, (2 * i + 1) * half):
            near, far = row * _SIDE, (row + half) * _SIDE
            _gather(x, near, far, x, near, far, v, w, q, qi, mode)


@inlined
def _spread_block(x: Floats, base: int, table: Floats, first: int, half: int, q: float, qi: float, mode: int) -> None:
    """The stage with ``half`` coefficients between operands on one block, in place; roots from ``first`` on."""
    for i in range(_BLOCK // (2 * half)):
        w = table[first + i]
        start = base + 2 * i * half
        for j in range(start, start + half, _PAIR):
            _spread(x, j, j + half, x, j, j + half, w, w, q, qi, mode)


@inlined
def _gather_block(x: Floats, base: int, table: Floats, first: int, half: int, q: float, qi: float, mode: int) -> None:
    for i in range(_BLOCK // (2 * half)):
        w = table[_HALF + first + i]
        start = base + 2 * i * half
        for j in range(start, start + half, _PAIR):
            _gather(x, j, j + half, x, j, j + half, w, w, q, qi, mode)


@inlined
def _spread_wide(x: Floats, table: Floats, half: int, q: float, qi: float) -> None:
    """The stage with ``half`` rows of CHUNK between operands, in place."""
    for row in range(16):
        if row & half == 0:
            w = table[8 // half + row // (2 * half)]
            near, far = row * _CHUNK, (row + half) * _CHUNK
            for j in range(0, _CHUNK, _PAIR):
                _spread(x, near + j, far + j, x, near + j, far + j, w, w, q, qi, _PLAIN_MODE)


@inlined
def _gather_wide(x: Floats, table: Floats, half: int, q: float, qi: float, mode: int) -> None:
    for row in range(16):
        if row & half == 0:
            w = table[_HALF + 8 // half + row // (2 * half)]
            near, far = row * _CHUNK, (row + half) * _CHUNK
            for j in range(0, _CHUNK, _PAIR):
                _gather(x, near + j, far + j, x, near + j, far + j, w, w, q, qi, mode)


@kernel
def forward(x: Floats, out: Floats, limb: Floats, table: Floats) -> None:
    """Coefficients |x| ≤ q to evaluations within 0.51q; ``x`` is overwritten."""
    q, qi = limb[Q], limb[Q_INVERSE]
    scratch = np.empty(_BLOCK)
    for chunk in range(0, _STRIDE, _CHUNK):
        for row in range(8):
            for j in range(0, _CHUNK, _PAIR):
                at, to, w = chunk + row * _STRIDE + j, row * _CHUNK + j, table[1]
                _spread(x, at, at + 8 * _STRIDE, scratch, to, to + 8 * _CHUNK, w, w, q, qi, _PLAIN_MODE)
        _spread_wide(scratch, table, 4, q, qi)
        _spread_wide(scratch, table, 2, q, qi)
        for row in range(0, 16, 2):
            for j in range(0, _CHUNK, _PAIR):
                at, to, w = row * _CHUNK + j, chunk + row * _STRIDE + j, table[8 + row // 2]
                _spread(scratch, at, at + _CHUNK, x, to, to + _STRIDE, w, w, q, qi, _PLAIN_MODE)
    for block in range(_BLOCKS):
        base = block * _BLOCK
        _spread_block(x, base, table, 16 + block, 512, q, qi, _PLAIN_MODE)
        _spread_block(x, base, table, 32 + 2 * block, 256, q, qi, _PLAIN_MODE)
        _spread_block(x, base, table, 64 + 4 * block, 128, q, qi, _SETTLE)
        _spread_block(x, base, table, 128 + 8 * block, 64, q, qi, _PLAIN_MODE)
        for c0 in range(0, ROWS, _TILE):
            for k0 in range(0, _SIDE, _TILE):
                transpose(x, base + k0 * ROWS + c0, ROWS, scratch, c0 * _SIDE + k0, _SIDE)
        _spread_rows(scratch, table, block, 32, q, qi, _PLAIN_MODE)
        _spread_rows(scratch, table, block, 16, q, qi, _PLAIN_MODE)
        _spread_rows(scratch, table, block, 8, q, qi, _SETTLE)
        _spread_rows(scratch, table, block, 4, q, qi, _PLAIN_MODE)
        _spread_rows(scratch, table, block, 2, q, qi, _PLAIN_MODE)
        for row in range(0, ROWS, 2):
            at = _FIRST + block * _ROW_ROOTS + (ROWS // 2 - 1 + row // 2) * _SIDE
            near, to = row * _SIDE, row * COLUMNS + block * _SIDE
            v, w = load(table, at), load(table, at + LANES)
            _spread(scratch, near, near + _SIDE, out, to, to + COLUMNS, v, w, q, qi, _LAST)


@kernel
def inverse(x: Floats, out: Floats, limb: Floats, table: Floats) -> None:
    """Evaluations |x| ≤ q to coefficients |y| ≤ 2.02q."""
    q, qi = limb[Q], limb[Q_INVERSE]
    scratch = np.empty(_BLOCK)
    for block in range(_BLOCKS):
        base = block * _BLOCK
        for row in range(0, ROWS, 2):
            at = _HALF + _FIRST + block * _ROW_ROOTS + (ROWS // 2 - 1 + row // 2) * _SIDE
            near, to = row * COLUMNS + block * _SIDE, row * _SIDE
            v, w = load(table, at), load(table, at + LANES)
            _gather(x, near, near + COLUMNS, scratch, to, to + _SIDE, v, w, q, qi, _PLAIN_MODE)
        _gather_rows(scratch, table, block, 2, q, qi, _SETTLE)
        _gather_rows(scratch, table, block, 4, q, qi, _PLAIN_MODE)
        _gather_rows(scratch, table, block, 8, q, qi, _SETTLE)
        _gather_rows(scratch, table, block, 16, q, qi, _PLAIN_MODE)
        _gather_rows(scratch, table, block, 32, q, qi, _SETTLE)
        for c0 in range(0, ROWS, _TILE):
            for k0 in range(0, _SIDE, _TILE):
                transpose(scratch, c0 * _SIDE + k0, _SIDE, out, base + k0 * ROWS + c0, ROWS)
        _gather_block(out, base, table, 128 + 8 * block, 64, q, qi, _PLAIN_MODE)
        _gather_block(out, base, table, 64 + 4 * block, 128, q, qi, _SETTLE)
        _gather_block(out, base, table, 32 + 2 * block, 256, q, qi, _PLAIN_MODE)
        _gather_block(out, base, table, 16 + block, 512, q, qi, _SETTLE)
    scale, turn = limb[N_INVERSE], limb[LAST]
    for chunk in range(0, _STRIDE, _CHUNK):
        for row in range(0, 16, 2):
            for j in range(0, _CHUNK, _PAIR):
                at, to, w = chunk + row * _STRIDE + j, row * _CHUNK + j, table[_HALF + 8 + row // 2]
                _gather(out, at, at + _STRIDE, scratch, to, to + _CHUNK, w, w, q, qi, _PLAIN_MODE)
        _gather_wide(scratch, table, 2, q, qi, _SETTLE)
        _gather_wide(scratch, table, 4, q, qi, _PLAIN_MODE)
        for row in range(8):
            for j in range(0, _CHUNK, LANES):
                at, to = row * _CHUNK + j, chunk + row * _STRIDE + j
                a, b = load(scratch, at), load(scratch, at + 8 * _CHUNK)
                store(out, to, mul_mod(a + b, scale, q, qi))
                store(out, to + 8 * _STRIDE, mul_mod(a - b, turn, q, qi))


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
    powers, power = [], 1
    for _ in range(N):
        powers.append(float(power - q if power > q // 2 else power))
        power = power * root % q
    return np.array(powers)[_bit_reversal(N)]


def _direction(root: int, q: int) -> Floats:
    roots = _powers(root, q)
    rows = np.stack(
        [roots[COLUMNS * g + h : COLUMNS * 2 * g : g] for g in (1, 2, 4, 8, 16, 32) for h in range(g)]
    )  # roots[256g + kg + h] for k = 0 … 255
    blocks = rows.reshape(ROWS - 1, _BLOCKS, _SIDE).transpose(1, 0, 2)
    return np.concatenate([roots[:_FIRST], blocks.reshape(-1)])


def _limb(q: int) -> list[float]:
    root = primitive_root(q, 2 * N)
    last = pow(root, -(N // 2), q)  # the inverse of the first stage's root
    n_inverse = pow(N, -1, q)
    return [
        float(q),
        1.0 / q,
        centred(n_inverse, q),
        centred(last * n_inverse, q),
        centred(P, q),
        centred(1 << 49, q),
    ]


def _table(q: int) -> Floats:
    root = primitive_root(q, 2 * N)
    return np.concatenate([_direction(root, q), _direction(pow(root, -1, q), q)])


LIMBS: Final[Floats] = np.array([_limb(q) for q in PARAMETERS.primes])
TABLES: Final[Floats] = aligned(len(PARAMETERS.primes), 2 * _HALF)
for _row, _prime in zip(TABLES, PARAMETERS.primes, strict=True):
    _row[:] = _table(_prime)
