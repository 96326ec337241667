"""Rounding on shares, so that exact values never open (``docs/protocol.md``, step 10.7)."""

from __future__ import annotations

from typing import Final

import numpy as np

from protocol import field
from protocol.errors import LocalProtocolError
from protocol.material import Cost
from protocol.online import signs
from protocol.online.arithmetic import Evaluator
from protocol.online.digits import BASES, digits_cost, uniform_digits
from protocol.shares import Shared, constant, empty

UNROUNDED: Final = 1
ROUNDINGS: Final = (UNROUNDED, *BASES)
# Values below 2^20, hidden by b·2^k numbers with b·2^k > 2^60: what is opened tells them apart by less than 2^−40.
VALUE_BITS: Final = 20


def _quotient_bits(base: int) -> int:
    """As many bits as leave room below p for b·r and a value."""
    return (field.P // base).bit_length() - 1


def rounding_cost(base: int, count: int) -> Cost:
    """What :func:`rounded` consumes."""
    if base == UNROUNDED:
        return Cost()
    return digits_cost(base, count) + Cost(bits=count * _quotient_bits(base))


async def rounded(evaluator: Evaluator, x: Shared, base: int) -> Shared:
    """⟨the multiple of ``base`` nearest to x⟩ for 0 ≤ x < 2^20; bases are odd, so none is as near as another.

    With r = b·q + j masking, ⌊(x + h)/b⌋ = ⌊c/b⌋ − q − [c mod b < j] for c = x + h + r and h = (b − 1)/2.
    """
    if base not in ROUNDINGS:
        raise LocalProtocolError(f"values can be rounded to multiples of {ROUNDINGS}, not of {base}")
    count, key = len(x), evaluator.key
    if base == UNROUNDED or not count:
        return x
    digits = await uniform_digits(evaluator, count, base)
    bits = evaluator.material.bits(count * _quotient_bits(base))
    q, nothing = empty(count), empty(count)
    signs.weighted(bits.value, 0, np.uint64(1), nothing.value, q.value)
    signs.weighted(bits.mac, 0, np.uint64(1), nothing.mac, q.mac)
    half = np.full(count, base // 2, dtype=np.uint64)
    masked = (x + digits.value(evaluator) + q.scale(base)).plus(half, key)
    opened = await evaluator.open_masked("round", masked)
    borrow = digits.above((opened % np.uint64(base)).astype(np.int64), evaluator)
    return (constant(opened // np.uint64(base), key) - q - borrow).scale(base)
