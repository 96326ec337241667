"""Kernels of :mod:`.comparison`: sums of bit planes, and blocks of two bits (``docs/protocol.md``, step 10.4).

Each works on value shares and on MAC shares alike: what it computes is linear, with ``one`` the party's share of the
constant 1.  Selections are by opened digits, which everybody knows.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from protocol._jit import kernel
from protocol.field import Elements, add_p, mul_p, sub_p

_STRIP: Final = 512  # numbers at a time: their sums stay in the first-level cache


@kernel
def weighted(bits: Elements, low_bits: int, factor: np.uint64, low: Elements, whole: Elements) -> None:
    """Numbers from planes uint64[k·count] of bits, lowest first: the ``low_bits`` lowest alone, and all.

    ``factor`` is 2^low_bits mod p.
    """
    count = low.size
    planes = bits.size // count
    for start in range(0, count, _STRIP):
        low_part, whole_part = low[start : start + _STRIP], whole[start : start + _STRIP]
        for i in range(low_part.size):
            low_part[i] = np.uint64(0)
            whole_part[i] = np.uint64(0)
        for k in range(planes - 1, low_bits - 1, -1):
            plane = bits[k * count + start :]
            for i in range(whole_part.size):
                whole_part[i] = add_p(add_p(whole_part[i], whole_part[i]), plane[i])
        for k in range(low_bits - 1, -1, -1):
            plane = bits[k * count + start :]
            for i in range(low_part.size):
                low_part[i] = add_p(add_p(low_part[i], low_part[i]), plane[i])
        for i in range(low_part.size):
            whole_part[i] = add_p(mul_p(whole_part[i], factor), low_part[i])


@kernel
def two_bits(
    high: Elements,
    low: Elements,
    both: Elements,
    public: Elements,
    shift: np.uint64,
    one: np.uint64,
    less: Elements,
    equal: Elements,
) -> None:
    """[c < r] and [c = r] for r = 2·high + low, ``both`` = high·low, and c the two public bits from ``shift`` on."""
    for i in range(less.size):
        # all ones where the public bit is 1: without branches the loop becomes vectors
        c1 = np.uint64(0) - ((public[i] >> (shift + np.uint64(1))) & np.uint64(1))
        c0 = np.uint64(0) - ((public[i] >> shift) & np.uint64(1))
        r1, r0, t = high[i], low[i], both[i]
        some = sub_p(add_p(r1, r0), t)
        less[i] = (some & ~c1 & ~c0) | (r1 & ~c1 & c0) | (t & c1 & ~c0)
        upper = (sub_p(r1, t) & ~c0) | (t & c0)
        lower = (sub_p(one, some) & ~c0) | (sub_p(r0, t) & c0)
        equal[i] = (upper & c1) | (lower & ~c1)


@kernel
def one_bit(bit: Elements, public: Elements, shift: np.uint64, one: np.uint64, less: Elements, equal: Elements) -> None:
    """The same for r of one bit."""
    for i in range(less.size):
        r, not_r = bit[i], sub_p(one, bit[i])
        c = np.uint64(0) - ((public[i] >> shift) & np.uint64(1))  # all ones where c = 1
        less[i] = r & ~c
        equal[i] = (r & c) | (not_r & ~c)
