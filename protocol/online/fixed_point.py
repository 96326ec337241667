"""Fixed-point numbers on shares: cutting off tails, and a test of size (``docs/protocol.md``, steps 18.1 to 18.4).

A product of two numbers with f fractional bits has 2f, and loses f of them again by division by 2^f.  The mask is
uniform on the field and known in bits, because beside numbers this long no statistical one fits below p.
"""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.field import Elements
from protocol.material import Cost
from protocol.online import signs
from protocol.online.arithmetic import Evaluator
from protocol.online.comparison import less_than, less_than_products
from protocol.online.conjunction import conjunction, conjunction_cost
from protocol.secret import Secret
from protocol.shares import Shared, concatenate, constant, empty

Array = npt.NDArray[np.float64]

TAIL_MAX: Final = 40
REACH: Final = (1 << 59) - (1 << TAIL_MAX)  # numbers whose tails are cut lie in [−REACH, REACH)
_TOP: Final = field.BITS - 1
_GAP_BITS: Final = 21  # 61 bits are p − 1 or more exactly when all bits from this one on are 1: p = 2^61 − 2^21 + 1


def to_fixed(values: Array, fraction: int) -> Elements:
    """Numbers rounded to ``fraction`` bits behind the point; raises :class:`LocalProtocolError` beyond p/2."""
    scaled = np.ldexp(np.asarray(values, dtype=np.float64).reshape(-1), fraction)
    if not np.all(np.abs(scaled) < REACH):  # not for NaN either
        raise LocalProtocolError("a number does not fit the fixed point it is to be computed with")
    return field.elements(np.rint(scaled).astype(np.int64))


def from_fixed(values: Elements, fraction: int) -> Array:
    """The inverse of :func:`to_fixed`."""
    return np.ldexp(field.signed(values).astype(np.float64), -fraction)


def masks_cost(count: int) -> Cost:
    """What :meth:`FieldMasks.prepare` consumes."""
    return Cost(triples=2, bits=count * field.BITS) + conjunction_cost(count, 1)


def below_cost(count: int) -> Cost:
    """What :func:`is_below` consumes besides one mask for each number."""
    return Cost(triples=2 * count * less_than_products(field.BITS))


@attrs.frozen(eq=False, repr=False)
class _Mask(Secret):
    """⟨R⟩ of some masks, and their bits: uint64[61, count] of value and of MAC shares."""

    whole: Shared
    values: Elements
    macs: Elements

    def without_tail(self, tail: int) -> Shared:
        """⟨⌊R / 2^tail⌋⟩."""
        found, nothing = empty(len(self.whole)), empty(len(self.whole))
        signs.weighted(self.values[tail:].reshape(-1), 0, np.uint64(1), nothing.value, found.value)
        signs.weighted(self.macs[tail:].reshape(-1), 0, np.uint64(1), nothing.mac, found.mac)
        return found

    def planes(self) -> list[Shared]:
        """The bits, lowest first."""
        return [Shared(value, mac) for value, mac in zip(self.values, self.macs, strict=True)]


class FieldMasks(Secret):
    """Masks R in bits, each used once, all below p − 1 and uniform there: 2^−61 from uniform on the field."""

    def __init__(self, bits: Shared, count: int) -> None:
        self._values = bits.value.reshape(field.BITS, count)
        self._macs = bits.mac.reshape(field.BITS, count)
        self._used = 0

    @classmethod
    async def prepare(cls, evaluator: Evaluator, count: int) -> FieldMasks:
        """Take ``count`` masks and make sure that none is p − 1 or more (step 18.2).

        Raises :class:`RemoteProtocolError` ``unlucky-mask`` otherwise, which happens to one mask in 2^40.
        """
        masks = cls(evaluator.material.bits(count * field.BITS), count)
        upper = field.BITS - _GAP_BITS
        ones = empty(count)
        for row, target in ((masks._values, ones.value), (masks._macs, ones.mac)):
            field.total(list(row[_GAP_BITS:]), target)
        missing = constant(np.full(count, upper, dtype=np.uint64), evaluator.key) - ones
        product = await conjunction(evaluator, missing, np.zeros(count, dtype=np.int64), 1)
        hidden = await evaluator.multiply(product, evaluator.material.triples(1).a)
        # Zero or uniform, if nothing was falsified: else it would tell of the bits of a mask that is used next.
        if not (await evaluator.reveal("masks", {"hidden": hidden}))["hidden"].all():
            raise RemoteProtocolError(Fault.UNLUCKY, "a mask fell outside the field; that is chance")
        return masks

    def take(self, count: int) -> _Mask:
        """The next masks."""
        span = slice(self._used, self._used + count)
        if span.stop > self._values.shape[1]:
            raise LocalProtocolError("more masks were asked for than had been prepared")
        self._used = span.stop
        values, macs = (np.ascontiguousarray(rows[:, span]) for rows in (self._values, self._macs))
        whole, nothing = empty(count), empty(count)
        signs.weighted(values.reshape(-1), 0, np.uint64(1), nothing.value, whole.value)
        signs.weighted(macs.reshape(-1), 0, np.uint64(1), nothing.mac, whole.mac)
        return _Mask(whole, values, macs)

    def left(self) -> int:
        """How many have not been taken."""
        return self._values.shape[1] - self._used


async def without_tail(evaluator: Evaluator, masks: FieldMasks, x: Shared, tail: int) -> Shared:
    """⟨⌊x / 2^tail⌋⟩, or one more, for x in [−REACH, REACH), at one mask each (step 18.3).

    One more with the probability of what is cut off, so the mean is exact.  Of an x outside the result is
    meaningless, and the opened value as uniform as ever.
    """
    if not 0 < tail <= TAIL_MAX:
        raise LocalProtocolError(f"a tail has 1 to {TAIL_MAX} bits, not {tail}")
    count, key, shift = len(x), evaluator.key, np.uint64(tail)
    mask = masks.take(count)
    offset = np.full(count, REACH, dtype=np.uint64)
    opened = await evaluator.open_masked("tail", (x + mask.whole).plus(offset, key))
    # x + REACH + R wrapped at p exactly if R has its top bit and the rest is small: so the wrap is a shared bit
    small = opened < np.uint64(1 << _TOP)
    straight, wrapped = opened >> shift, (opened + np.uint64(field.P)) >> shift
    more = np.where(small, wrapped - straight, np.uint64(0))
    wrap = Shared(mask.values[_TOP], mask.macs[_TOP]).times(more)
    public = field.sub(straight, offset >> shift)
    return wrap.plus(public, key) - mask.without_tail(tail)


async def is_below(evaluator: Evaluator, masks: FieldMasks, x: Shared, bound: int) -> Shared:
    """⟨0 ≤ x < bound⟩ as 0 or 1, exactly and for every element of the field, at one mask each (step 18.4)."""
    if not 0 < bound < field.P:
        raise LocalProtocolError(f"no number of the field is compared with {bound}")
    count, key = len(x), evaluator.key
    mask = masks.take(count)
    opened = await evaluator.open_masked("below", x + mask.whole)
    # x = opened − R: R is one of the ``bound`` elements up to the opened one
    lower = field.sub(opened, np.full(count, bound, dtype=np.uint64))
    planes = [concatenate([plane, plane]) for plane in mask.planes()]
    above = await less_than(evaluator, np.concatenate([lower, opened]), planes)
    around = (opened < np.uint64(bound)).astype(np.uint64)
    return (above[:count] - above[count:]).plus(around, key)
