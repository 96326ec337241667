"""Residues modulo a prime below 2^50 in double precision (``docs/protocol-lattice.md``, steps L.3 and L.4).

Every residue is an integer held exactly in a float64, |x| < 2^53.  A product keeps its low half through a
fused multiply-add, so nothing is ever rounded away; the bounds that make this true are step L.3.  No helper
branches on its operands.

The first functions emit the operations, for :mod:`protocol.lattice.butterflies`; kernels use the same under the names
``mul_mod`` and ``centre``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from protocol._jit import inlined
from protocol.lattice.lanes import FLOAT_LANES, bits_from_float, float_from_bits, fma, where_negative, widened

EXACT: Final = 1 << 53  # integers up to here are exact in a float64
_ROUND: Final = float(3 << 51)  # added and taken away again: rounds to an integer, up to 2^51 either way
_TWO_52 = float(1 << 52)
_EXPONENT_52 = np.uint64(0x433 << 52)  # the bits of 2^52: its low 52 bits count in units
_MASK_52 = np.uint64((1 << 52) - 1)


def _rounded_product(builder: Any, x: Any, y: Any) -> Any:
    """The integer nearest to x·y, but for one rounding of the exact product."""
    constant = [_ROUND] * x.type.count if isinstance(x.type, ir.VectorType) else _ROUND
    turn = ir.Constant(x.type, constant)
    return builder.fsub(fma(builder, x, y, turn), turn)


def emit_product(builder: Any, x: Any, w: Any, ratio: Any, q: Any) -> Any:
    """x·w mod q, where ratio is w/q rounded."""
    high = builder.fmul(x, w)
    low = fma(builder, x, w, builder.fneg(high))
    k = _rounded_product(builder, x, ratio)
    return builder.fadd(fma(builder, builder.fneg(k), q, high), low)


def emit_centre(builder: Any, x: Any, q: Any, q_inverse: Any) -> Any:
    """X mod q, nearest to zero."""
    return fma(builder, builder.fneg(_rounded_product(builder, x, q_inverse)), q, x)


def _kind(given: Sequence[Any]) -> Any:
    return FLOAT_LANES if FLOAT_LANES in given else types.float64


def _mul_mod(context: Any, x: Any, w: Any, q: Any, q_inverse: Any) -> Any:
    kind = _kind((x, w, q, q_inverse))

    def generate(_context: Any, builder: Any, given: Any, values: Any) -> Any:
        a, b, modulus, inverse = widened(builder, kind, given.args, values)
        return emit_product(builder, a, b, builder.fmul(b, inverse), modulus)

    return kind(x, w, q, q_inverse), generate


def _centre(context: Any, x: Any, q: Any, q_inverse: Any) -> Any:
    kind = _kind((x, q, q_inverse))

    def generate(_context: Any, builder: Any, given: Any, values: Any) -> Any:
        return emit_centre(builder, *widened(builder, kind, given.args, values))

    return kind(x, q, q_inverse), generate


def _popcount(context: Any, x: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


# x·w mod q, in (−q, q) for the ranges of step L.3; exact although x·w has up to 102 bits
mul_mod = cast(Callable[[float, float, float, float], float], intrinsic(_mul_mod))
# the representative of x nearest to zero, within 0.51q for |x| < 8q
centre = cast(Callable[[float, float, float], float], intrinsic(_centre))
popcount = cast(Callable[[np.uint64], np.uint64], intrinsic(_popcount))


@inlined
def to_float(word: np.uint64) -> float:
    """A word below 2^52 as a float64, without the conversion that AVX2 lacks."""
    return float_from_bits(word | _EXPONENT_52) - _TWO_52


@inlined
def to_word(x: float) -> np.uint64:
    """The inverse of :func:`to_float`, for integers in [0, 2^52)."""
    return bits_from_float(x + _TWO_52) & _MASK_52


@inlined
def lift(x: float, q: float) -> float:
    """A residue |x| < q to [0, q)."""
    return where_negative(x, x + q, x)


@inlined
def canonical(x: float, q: float, q_inverse: float) -> np.uint64:
    """The residue of |x| < 8q in [0, q), as a word."""
    return to_word(lift(centre(x, q, q_inverse), q))
