"""Slots and coefficients of a plaintext: the transform modulo p (``docs/protocol-lattice.md``, step L.4).

A plaintext is a vector of N slots in F_p, or the polynomial that takes these values at the primitive 2N-th
roots of unity (in bit-reversed order).  Butterflies are Harvey's: operands stay below 8p < 2^64, and a
product with a constant needs one high half (*Faster arithmetic for number-theoretic transforms*, 2014).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from protocol._jit import inlined, kernel
from protocol.field import Elements, P
from protocol.lattice.lanes import LANES, aligned, load, local, store, times_32, transpose, where_negative
from protocol.lattice.params import PARAMETERS, primitive_root

N: Final = PARAMETERS.slots
_P = np.uint64(P)
_TWO_P = np.uint64(2 * P)
_FOUR_P = np.uint64(4 * P)


# As in :mod:`protocol.lattice.transform`: four stages over all of the memory, in chunks, then ten over one block at a
# time.  The last four of these run on the block's transpose, in ROWS rows of COLUMNS.
_STRIDE: Final = N // 16
_CHUNK: Final = 64
_BLOCK: Final = N // 16
_BLOCKS: Final = N // _BLOCK
_ROWS: Final = 16
_COLUMNS: Final = _BLOCK // _ROWS
_LATER: Final = (_ROWS - 1) * _COLUMNS  # roots of a block's last four stages, one row of COLUMNS per butterfly row
_FIRST: Final = N // 16  # roots of the first ten stages come before them
_21, _32, _61 = (np.uint64(k) for k in (21, 32, 61))


@inlined
def _times(x: np.uint64, w: np.uint64, ratio: np.uint64) -> np.uint64:
    """x·w mod p in [0, 4p) for any 64-bit x and w < p, where ratio = ⌊w·2^64/p⌋.

    The quotient is ⌊x·ratio/2^64⌋ without the product of low halves and two carries: at most 2 too small.
    """
    x1, w1, ratio1 = x >> _32, w >> _32, ratio >> _32
    quotient = times_32(x1, ratio1) + (times_32(x1, ratio) >> _32) + (times_32(x, ratio1) >> _32)
    low = times_32(x, w) + ((times_32(x1, w) + times_32(x, w1)) << _32)
    return low - ((quotient << _61) - (quotient << _21) + quotient)


@inlined
def _below(x: np.uint64, bound: np.uint64) -> np.uint64:
    """[0, 2·bound) to [0, bound); bound ≤ 4p, so the difference's sign tells."""
    return where_negative(x - bound, x, x - bound)


@inlined
def _spread(x: Elements, i: int, far: int, y: Elements, o: int, out_far: int, w: np.uint64, ratio: np.uint64) -> None:
    """Butterflies (a + w·b, a − w·b) on numbers below 8p."""
    c = _times(load(x, far), w, ratio)
    a = _below(load(x, i), _FOUR_P)
    store(y, o, a + c)
    store(y, out_far, a - c + _FOUR_P)


@inlined
def _gather(x: Elements, i: int, far: int, y: Elements, o: int, out_far: int, w: np.uint64, ratio: np.uint64) -> None:
    """Butterflies (a + b, (a − b)·w) on numbers below 4p."""
    a, b = load(x, i), load(x, far)
    store(y, o, _below(a + b, _FOUR_P))
    store(y, out_far, _times(a - b + _FOUR_P, w, ratio))


@kernel
def _to_slots(x: Elements, table: Elements, ratios: Elements) -> None:
    scratch = local(_BLOCK).view(np.uint64)
    for chunk in range(0, _STRIDE, _CHUNK):
        for row in range(8):
            for j in range(0, _CHUNK, LANES):
                at, to = chunk + row * _STRIDE + j, row * _CHUNK + j
                _spread(x, at, at + 8 * _STRIDE, scratch, to, to + 8 * _CHUNK, table[1], ratios[1])
        for half in (4, 2):
            for row in range(16):
                if row & half == 0:
                    root = 8 // half + row // (2 * half)
                    w, ratio = table[root], ratios[root]
                    near, far = row * _CHUNK, (row + half) * _CHUNK
                    for j in range(0, _CHUNK, LANES):
                        _spread(scratch, near + j, far + j, scratch, near + j, far + j, w, ratio)
        for row in range(0, 16, 2):
            w, ratio = table[8 + row // 2], ratios[8 + row // 2]
            for j in range(0, _CHUNK, LANES):
                at, to = row * _CHUNK + j, chunk + row * _STRIDE + j
                _spread(scratch, at, at + _CHUNK, x, to, to + _STRIDE, w, ratio)
    for block in range(_BLOCKS):
        base = block * _BLOCK
        groups = 1
        while groups <= _BLOCK // (2 * _ROWS):
            half = _BLOCK // (2 * groups)
            for i in range(groups):
                root = (_BLOCKS + block) * groups + i
                w, ratio = table[root], ratios[root]
                start = base + 2 * i * half
                for j in range(start, start + half, LANES):
                    _spread(x, j, j + half, x, j, j + half, w, ratio)
            groups *= 2
        for c in range(0, _COLUMNS, LANES):
            for r in range(0, _ROWS, LANES):
                transpose(x, base + c * _ROWS + r, _ROWS, scratch, r * _COLUMNS + c, _COLUMNS)
        groups = 1
        while groups < _ROWS:
            half = _ROWS // (2 * groups)
            for i in range(groups):
                root = _FIRST + block * _LATER + (groups - 1 + i) * _COLUMNS
                for c in range(0, _COLUMNS, LANES):
                    w, ratio = load(table, root + c), load(ratios, root + c)
                    for row in range(2 * i * half, (2 * i + 1) * half):
                        near = row * _COLUMNS + c
                        far = near + half * _COLUMNS
                        _spread(scratch, near, far, scratch, near, far, w, ratio)
            groups *= 2
        for i in range(0, _BLOCK, LANES):
            store(scratch, i, _below(_below(_below(load(scratch, i), _FOUR_P), _TWO_P), _P))
        for c in range(0, _COLUMNS, LANES):
            for r in range(0, _ROWS, LANES):
                transpose(scratch, r * _COLUMNS + c, _COLUMNS, x, base + c * _ROWS + r, _ROWS)


@kernel
def _to_coefficients(x: Elements, table: Elements, ratios: Elements, scale: np.uint64, scale_ratio: np.uint64) -> None:
    scratch = local(_BLOCK).view(np.uint64)
    for block in range(_BLOCKS):
        base = block * _BLOCK
        for c in range(0, _COLUMNS, LANES):
            for r in range(0, _ROWS, LANES):
                transpose(x, base + c * _ROWS + r, _ROWS, scratch, r * _COLUMNS + c, _COLUMNS)
        groups = _ROWS // 2
        while groups >= 1:
            half = _ROWS // (2 * groups)
            for i in range(groups):
                root = _FIRST + block * _LATER + (groups - 1 + i) * _COLUMNS
                for c in range(0, _COLUMNS, LANES):
                    w, ratio = load(table, root + c), load(ratios, root + c)
                    for row in range(2 * i * half, (2 * i + 1) * half):
                        near = row * _COLUMNS + c
                        far = near + half * _COLUMNS
                        _gather(scratch, near, far, scratch, near, far, w, ratio)
            groups //= 2
        for c in range(0, _COLUMNS, LANES):
            for r in range(0, _ROWS, LANES):
                transpose(scratch, r * _COLUMNS + c, _COLUMNS, x, base + c * _ROWS + r, _ROWS)
        groups = _BLOCK // (2 * _ROWS)
        while groups >= 1:
            half = _BLOCK // (2 * groups)
            for i in range(groups):
                root = (_BLOCKS + block) * groups + i
                w, ratio = table[root], ratios[root]
                start = base + 2 * i * half
                for j in range(start, start + half, LANES):
                    _gather(x, j, j + half, x, j, j + half, w, ratio)
            groups //= 2
    for chunk in range(0, _STRIDE, _CHUNK):
        for row in range(0, 16, 2):
            w, ratio = table[8 + row // 2], ratios[8 + row // 2]
            for j in range(0, _CHUNK, LANES):
                at, to = chunk + row * _STRIDE + j, row * _CHUNK + j
                _gather(x, at, at + _STRIDE, scratch, to, to + _CHUNK, w, ratio)
        for half in (2, 4):
            for row in range(16):
                if row & half == 0:
                    root = 8 // half + row // (2 * half)
                    w, ratio = table[root], ratios[root]
                    near, far = row * _CHUNK, (row + half) * _CHUNK
                    for j in range(0, _CHUNK, LANES):
                        _gather(scratch, near + j, far + j, scratch, near + j, far + j, w, ratio)
        for row in range(8):
            for j in range(0, _CHUNK, LANES):
                at, to = row * _CHUNK + j, chunk + row * _STRIDE + j
                a, b = load(scratch, at), load(scratch, at + 8 * _CHUNK)
                s = _times(a + b, scale, scale_ratio)
                d = _times(_times(a - b + _FOUR_P, table[1], ratios[1]), scale, scale_ratio)
                store(x, to, _below(_below(s, _TWO_P), _P))
                store(x, to + 8 * _STRIDE, _below(_below(d, _TWO_P), _P))


@kernel
def negate(x: Elements, out: Elements) -> None:
    """−x mod p: uint64[N] in [0, p)."""
    for i in range(0, N, LANES):
        difference = _P - load(x, i)  # in [1, p]
        store(out, i, where_negative(difference - _P, difference, difference - _P))


def _table(root: int) -> tuple[Elements, Elements]:
    powers, step = [1], root
    while len(powers) < N:
        powers += [power * step % P for power in powers]
        step = step * step % P
    order = np.zeros(1, dtype=np.int64)
    while order.size < N:
        order = np.concatenate([2 * order, 2 * order + 1])
    # a block's column c takes root g·(N/16 + 64·block + c) + i in group i of g
    rows = [
        (np.arange(_FIRST * g, 2 * _FIRST * g, g) + i).reshape(_BLOCKS, _COLUMNS)
        for g in (1, 2, 4, 8)
        for i in range(g)
    ]
    order = order[np.concatenate([np.arange(_FIRST), np.stack(rows, axis=1).reshape(-1)])]
    table, ratios = aligned(2, N, dtype=np.uint64)
    table[:] = np.array(powers, dtype=np.uint64)[order]
    ratios[:] = np.array([(w << 64) // P for w in powers], dtype=np.uint64)[order]
    return table, ratios


_ROOT: Final = primitive_root(P, 2 * N)
_FORWARD: Final = _table(_ROOT)
_INVERSE: Final = _table(pow(_ROOT, -1, P))
_SCALE: Final = np.uint64(pow(N, -1, P))
_SCALE_RATIO: Final = np.uint64((pow(N, -1, P) << 64) // P)


def to_slots(coefficients: Elements) -> None:
    """Coefficients uint64[N] in [0, p) to slots, in place."""
    _to_slots(coefficients, *_FORWARD)


def to_coefficients(slots: Elements) -> None:
    """The inverse of :func:`to_slots`, in place."""
    _to_coefficients(slots, *_INVERSE, _SCALE, _SCALE_RATIO)
