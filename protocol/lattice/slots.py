"""Slots and coefficients of a plaintext: the transform modulo p (``docs/protocol-lattice.md``, step L.4).

A plaintext is a vector of N slots in F_p, or the polynomial that takes these values at the primitive 2N-th
roots of unity (in bit-reversed order).  Butterflies are Harvey's: operands stay below 4p < 2^63, and a
product with a constant needs one high half (*Faster arithmetic for number-theoretic transforms*, 2014).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from protocol._jit import inlined, kernel
from protocol.field import Elements, P
from protocol.lattice.params import PARAMETERS, primitive_root

N: Final = PARAMETERS.slots
_P = np.uint64(P)
_TWO_P = np.uint64(2 * P)
_FOUR_P = np.uint64(4 * P)


def _high(context: Any, x: Any, y: Any) -> Any:
    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(argument, wide) for argument in arguments))
        return builder.trunc(builder.lshr(product, wide(64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


high = cast(Callable[[np.uint64, np.uint64], np.uint64], intrinsic(_high))


@inlined
def _times(x: np.uint64, w: np.uint64, w_ratio: np.uint64) -> np.uint64:
    """x·w mod p in [0, 2p) for any 64-bit x, where w_ratio = ⌊w·2^64/p⌋."""
    return x * w - high(x, w_ratio) * _P


@inlined
def _halve(x: np.uint64) -> np.uint64:
    """[0, 4p) to [0, 2p)."""
    return min(x, x - _TWO_P)


@kernel
def _to_slots(x: Elements, table: Elements, ratios: Elements) -> None:
    quarter = N // 4
    blocks = 1
    while quarter >= 1:
        for i in range(blocks):
            start = 4 * quarter * i
            x0 = x[start : start + quarter]
            x1 = x[start + quarter : start + 2 * quarter]
            x2 = x[start + 2 * quarter : start + 3 * quarter]
            x3 = x[start + 3 * quarter : start + 4 * quarter]
            at, half = blocks + i, 2 * (blocks + i)
            w1, w2, w3 = table[at], table[half], table[half + 1]
            r1, r2, r3 = ratios[at], ratios[half], ratios[half + 1]
            for j in range(quarter):
                a, b = _halve(x0[j]), _halve(x1[j])
                c, d = _times(x2[j], w1, r1), _times(x3[j], w1, r1)
                e, f = _times(b + d, w2, r2), _times(b - d + _TWO_P, w3, r3)
                g, h = _halve(a + c), _halve(a - c + _TWO_P)
                x0[j], x1[j] = g + e, g - e + _TWO_P
                x2[j], x3[j] = h + f, h - f + _TWO_P
        quarter //= 4
        blocks *= 4
    for j in range(N):
        reduced = _halve(x[j])
        x[j] = min(reduced, reduced - _P)


@kernel
def _to_coefficients(x: Elements, table: Elements, ratios: Elements, scale: np.uint64, ratio: np.uint64) -> None:
    quarter = 1
    blocks = N // 4
    while blocks >= 1:
        for i in range(blocks):
            start = 4 * quarter * i
            x0 = x[start : start + quarter]
            x1 = x[start + quarter : start + 2 * quarter]
            x2 = x[start + 2 * quarter : start + 3 * quarter]
            x3 = x[start + 3 * quarter : start + 4 * quarter]
            at, half = blocks + i, 2 * (blocks + i)
            w1, w2, w3 = table[at], table[half], table[half + 1]
            r1, r2, r3 = ratios[at], ratios[half], ratios[half + 1]
            for j in range(quarter):  # operands below 2p
                a, b, c, d = x0[j], x1[j], x2[j], x3[j]
                e, f = _times(a - b + _TWO_P, w2, r2), _times(c - d + _TWO_P, w3, r3)
                g, h = _halve(a + b), _halve(c + d)
                x0[j], x1[j] = _halve(g + h), _halve(e + f)
                x2[j], x3[j] = _times(g - h + _TWO_P, w1, r1), _times(e - f + _TWO_P, w1, r1)
        quarter *= 4
        blocks //= 4
    for j in range(N):
        reduced = _times(x[j], scale, ratio)
        x[j] = min(reduced, reduced - _P)


def _table(root: int) -> tuple[Elements, Elements]:
    powers, power = [], 1
    for _ in range(N):
        powers.append(power)
        power = power * root % P
    order = np.zeros(1, dtype=np.int64)
    while order.size < N:
        order = np.concatenate([2 * order, 2 * order + 1])
    ratios = [(w << 64) // P for w in powers]
    return np.array(powers, dtype=np.uint64)[order], np.array(ratios, dtype=np.uint64)[order]


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
