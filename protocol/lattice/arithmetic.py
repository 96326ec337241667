"""Residues modulo a prime below 2^50 in double precision (``docs/protocol-lattice.md``, steps L.3 and L.4).

Every residue is an integer held exactly in a float64, |x| < 2^53.  A product keeps its low half through a
fused multiply-add, so nothing is ever rounded away; the bounds that make this true are step L.3.  No helper
branches on its operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from protocol._jit import inlined
from protocol.lattice.lanes import FLOAT_LANES, bits_from_float, call, float_from_bits, where_negative

EXACT: Final = 1 << 53  # integers up to here are exact in a float64
_TWO_52 = float(1 << 52)
_EXPONENT_52 = np.uint64(0x433 << 52)  # the bits of 2^52: its low 52 bits count in units
_MASK_52 = np.uint64((1 << 52) - 1)


def _kind(given: Sequence[Any]) -> Any:
    return FLOAT_LANES if FLOAT_LANES in given else types.float64


def _fma(context: Any, x: Any, y: Any, z: Any) -> Any:
    kind = _kind((x, y, z))

    def generate(_context: Any, builder: ir.IRBuilder, given: Any, values: Any) -> Any:
        return call("fma", builder, kind, given.args, values)

    return kind(x, y, z), generate


def _rint(context: Any, x: Any) -> Any:
    kind = _kind((x,))

    def generate(_context: Any, builder: ir.IRBuilder, given: Any, values: Any) -> Any:
        return call("rint", builder, kind, given.args, values)

    return kind(x), generate


def _popcount(context: Any, x: Any) -> Any:
    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


fma = cast(Callable[[float, float, float], float], intrinsic(_fma))
rint = cast(Callable[[float], float], intrinsic(_rint))
popcount = cast(Callable[[np.uint64], np.uint64], intrinsic(_popcount))


@inlined
def mul_mod(x: float, w: float, q: float, q_inverse: float) -> float:
    """x·w mod q, in (−q, q) for the ranges of step L.3; exact although x·w has up to 103 bits."""
    high = x * w
    low = fma(x, w, -high)
    return fma(-rint(x * (w * q_inverse)), q, high) + low


@inlined
def centre(x: float, q: float, q_inverse: float) -> float:
    """The representative of x nearest to zero (within 0.51q for |x| < 8q)."""
    return fma(-rint(x * q_inverse), q, x)


@inlined
def to_float(word: np.uint64) -> float:
    """A word below 2^52 as a float64, without the conversion that AVX2 lacks."""
    return float_from_bits(word | _EXPONENT_52) - _TWO_52


@inlined
def to_word(x: float) -> np.uint64:
    """The inverse of :func:`to_float`, for integers in [0, 2^52)."""
    return bits_from_float(x + _TWO_52) & _MASK_52


@inlined
def positive(x: float, q: float, q_inverse: float) -> float:
    """The residue of |x| < 8q in [0, q)."""
    r = centre(x, q, q_inverse)
    return where_negative(r, r + q, r)


@inlined
def canonical(x: float, q: float, q_inverse: float) -> np.uint64:
    """The same as a word."""
    return to_word(positive(x, q, q_inverse))
