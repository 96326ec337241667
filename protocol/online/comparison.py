"""Signs of shared integers (``docs/protocol.md``, section 10).

A mask hides the value, its low part in bits (Catrina–de Hoogh, SCN 2010, protocols 3.1–3.3): a statistical one where it
fits beside the value, else one that is uniform on the whole field.  The borrow is found by a tree of logarithmic
depth.  All comparisons of a call share their rounds.
"""

from __future__ import annotations

import attrs
import numpy as np

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.field import Elements
from protocol.material import Cost
from protocol.online import signs
from protocol.online.arithmetic import Evaluator
from protocol.secret import Secret
from protocol.shares import Shared, constant, empty

STATISTICAL_BITS_MIN = 40
HEADROOM_BITS = 2  # the masked value x + 2^(ℓ−1) + r stays below 2^(ℓ+σ+1) < p
WIDTH_MAX = field.BITS - HEADROOM_BITS - STATISTICAL_BITS_MIN
WIDE_MAX = 32  # a uniform mask is unlucky once in 2^28 comparisons then, and a table of 10^5 of them once in 2^11
_FIELD_GAP = (1 << field.BITS) - field.P  # what 61 bits hold more than the field


def statistical_bits(width: int, count: int) -> int:
    """σ for each of ``count`` comparisons of ``width``-bit values (step 10.2).

    Large enough, where p allows, that all of them together leak at most 2^−40; never below 40 for each.
    """
    if not 2 <= width <= WIDTH_MAX:
        raise LocalProtocolError(f"comparisons take 2 to {WIDTH_MAX} bits, not {width}")
    together = STATISTICAL_BITS_MIN + max(count - 1, 0).bit_length()
    return min(together, field.BITS - HEADROOM_BITS - width)


def mask_bits(width: int, count: int) -> int:
    """Random bits in each mask: ℓ + σ, or those of a field element where that is too long (step 10.5)."""
    return field.BITS if WIDTH_MAX < width <= WIDE_MAX else width + statistical_bits(width, count)


def comparison_cost(width: int, count: int) -> Cost:
    """What :func:`is_negative` consumes for ``count`` values of ``width`` bits."""
    return Cost(triples=count * less_than_products(width - 1), bits=count * mask_bits(width, count))


async def is_negative(evaluator: Evaluator, x: Shared, width: int) -> Shared:
    """⟨x < 0⟩ as 0 or 1, for x in [−2^(ℓ−1), 2^(ℓ−1)) and ℓ = ``width`` (step 10.3).

    Raises :class:`RemoteProtocolError` ``unlucky-mask``, for ℓ > 19 only and hardly ever: to be run again (step 10.5).
    """
    count, key = len(x), evaluator.key
    if not count:
        return x
    low_bits = width - 1
    bits = evaluator.material.bits(count * mask_bits(width, count))
    low, mask = empty(count), empty(count)
    factor = np.uint64(1 << low_bits)
    signs.weighted(bits.value, low_bits, factor, low.value, mask.value)
    signs.weighted(bits.mac, low_bits, factor, low.mac, mask.mac)
    offset = np.full(count, 1 << low_bits, dtype=np.uint64)
    opened = await evaluator.open_masked("compare", (x + mask).plus(offset, key))
    if width > WIDTH_MAX and np.any(opened < np.uint64((1 << width) + _FIELD_GAP)):
        raise RemoteProtocolError(Fault.UNLUCKY, "a mask fell where a comparison cannot be told; that is chance")
    remainder = opened & np.uint64((1 << low_bits) - 1)
    planes = [bits[k * count : (k + 1) * count] for k in range(low_bits)]
    borrow = await less_than(evaluator, remainder, planes)
    # x mod 2^(ℓ−1) = remainder − low + 2^(ℓ−1)·borrow, and (x mod 2^(ℓ−1) − x) / 2^(ℓ−1) is 0 or 1.
    rest = (constant(remainder, key) - low - x).scale(pow(1 << low_bits, -1, field.P))
    return borrow + rest


def less_than_products(bits: int) -> int:
    """What one :func:`less_than` of so many bits takes."""
    return bits // 2 + _tree_products((bits + 1) // 2)


def _tree_products(blocks: int) -> int:
    """Products of merging so many blocks: two a pair, one where the lowest takes part."""
    products = 0
    while blocks > 1:
        pairs = blocks // 2
        products += 2 * pairs - 1
        blocks -= pairs
    return products


@attrs.frozen(eq=False, repr=False)
class _Block(Secret):
    """Some neighbouring bits: whether r is larger there, and whether the bits agree."""

    less: Shared
    equal: Shared


async def less_than(evaluator: Evaluator, public: Elements, planes: list[Shared]) -> Shared:
    """⟨public < r⟩ for r given in shared bits, lowest first (step 10.4).

    Neighbours merge: less = high.less + high.equal·low.less, equal = high.equal·low.equal.  Pairs are taken from
    below, so that an odd block waits at the top and the lowest, whose ``equal`` is never needed, always takes part.
    """
    blocks = await _leaves(evaluator, public, planes)
    while len(blocks) > 1:
        pairs = list(zip(blocks[::2], blocks[1::2], strict=False))
        jobs = [(high.equal, low.less) for low, high in pairs]
        jobs += [(high.equal, low.equal) for low, high in pairs[1:]]
        products = await evaluator.multiply_many(jobs)
        less = [high.less + product for (_, high), product in zip(pairs, products, strict=False)]
        equal = [blocks[0].equal, *products[len(pairs) :]]  # the first is never used again
        waiting = blocks[2 * len(pairs) :]
        blocks = [_Block(*block) for block in zip(less, equal, strict=True)] + waiting
    return blocks[0].less


async def _leaves(evaluator: Evaluator, public: Elements, planes: list[Shared]) -> list[_Block]:
    """Blocks of two bits, each from one product of them; an odd bit is a block at the top."""
    key, count = evaluator.key, public.size
    pairs = list(zip(planes[1::2], planes[::2], strict=False))
    products = await evaluator.multiply_many(pairs)
    ones = np.uint64(key.adds_constants), np.uint64(key.delta)
    blocks = []
    for k, ((high, low), both) in enumerate(zip(pairs, products, strict=True)):
        block = _Block(empty(count), empty(count))
        digits = public, np.uint64(2 * k)
        signs.two_bits(high.value, low.value, both.value, *digits, ones[0], block.less.value, block.equal.value)
        signs.two_bits(high.mac, low.mac, both.mac, *digits, ones[1], block.less.mac, block.equal.mac)
        blocks.append(block)
    if len(planes) % 2:
        block = _Block(empty(count), empty(count))
        digits = public, np.uint64(len(planes) - 1)
        signs.one_bit(planes[-1].value, *digits, ones[0], block.less.value, block.equal.value)
        signs.one_bit(planes[-1].mac, *digits, ones[1], block.less.mac, block.equal.mac)
        blocks.append(block)
    return blocks
