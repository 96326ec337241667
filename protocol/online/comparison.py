"""Signs of small shared integers (``docs/protocol.md``, section 10).

A statistical mask hides the value, its low part in bits (Catrina–de Hoogh, SCN 2010, protocols 3.1–3.3); the
borrow is found by a tree of logarithmic depth.  All comparisons of a call share their rounds.
"""

from __future__ import annotations

import numpy as np

from protocol import field
from protocol.errors import LocalProtocolError
from protocol.field import Elements
from protocol.material import Cost
from protocol.online.arithmetic import Evaluator
from protocol.shares import Shared, constant

STATISTICAL_BITS_MIN = 40
HEADROOM_BITS = 2  # the masked value x + 2^(ℓ−1) + r stays below 2^(ℓ+σ+1) < p
WIDTH_MAX = field.BITS - HEADROOM_BITS - STATISTICAL_BITS_MIN


def statistical_bits(width: int, count: int) -> int:
    """σ for each of ``count`` comparisons of ``width``-bit values (step 10.2).

    Large enough, where p allows, that all of them together leak at most 2^−40; never below 40 for each.
    """
    if not 2 <= width <= WIDTH_MAX:
        raise LocalProtocolError(f"comparisons take 2 to {WIDTH_MAX} bits, not {width}")
    together = STATISTICAL_BITS_MIN + max(count - 1, 0).bit_length()
    return min(together, field.BITS - HEADROOM_BITS - width)


def comparison_cost(width: int, count: int) -> Cost:
    """What :func:`is_negative` consumes for ``count`` values of ``width`` bits."""
    return Cost(triples=count * _tree_products(width - 1), bits=count * (width + statistical_bits(width, count)))


async def is_negative(evaluator: Evaluator, x: Shared, width: int) -> Shared:
    """⟨x < 0⟩ as 0 or 1, for x in [−2^(ℓ−1), 2^(ℓ−1)) and ℓ = ``width`` (step 10.3)."""
    count = len(x)
    low_bits = width - 1
    mask_bits = width + statistical_bits(width, count)
    bits = evaluator.material.bits(count * mask_bits)
    planes = [bits[k * count : (k + 1) * count] for k in range(mask_bits)]
    low = _weighted(planes[:low_bits])
    mask = low + _weighted(planes[low_bits:]).scale(1 << low_bits)
    offset = np.full(count, 1 << low_bits, dtype=np.uint64)
    opened = await evaluator.open_masked("compare", (x + mask).plus(offset, evaluator.key))
    remainder = opened & np.uint64((1 << low_bits) - 1)
    borrow = await _less_than(evaluator, remainder, planes[:low_bits])
    # x mod 2^(ℓ−1) = remainder − low + 2^(ℓ−1)·borrow, and (x − that) / 2^(ℓ−1) is −1 or 0.
    modulo = (borrow.scale(1 << low_bits) - low).plus(remainder, evaluator.key)
    return (modulo - x).scale(pow(1 << low_bits, -1, field.P))


def _weighted(planes: list[Shared]) -> Shared:
    total = planes[0]
    for k, plane in enumerate(planes[1:], start=1):
        total = total + plane.scale(1 << k)
    return total


def _tree_products(bits: int) -> int:
    """Products of :func:`_less_than` per comparison: two per merge, one where the lowest block takes part."""
    products = 0
    while bits > 1:
        pairs = bits // 2
        products += 2 * pairs - (1 - bits % 2)
        bits -= pairs
    return products


async def _less_than(evaluator: Evaluator, public: Elements, planes: list[Shared]) -> Shared:
    """⟨public < r⟩ for r given in shared bits, lowest first (step 10.4).

    Per bit: ``less`` says that r is larger here, ``equal`` that the bits agree; both are linear because one side
    is public.  Neighbours merge: less = high.less + high.equal·low.less, equal = high.equal·low.equal.  The lowest
    block never needs its ``equal``.
    """
    one = constant(np.ones(public.size, dtype=np.uint64), evaluator.key)
    blocks: list[tuple[Shared, Shared]] = []
    for k, plane in enumerate(planes):
        bit = (public >> np.uint64(k)) & np.uint64(1)
        blocks.append((plane.times(np.uint64(1) - bit), one - _xor(plane, bit, evaluator)))
    while len(blocks) > 1:
        # Pair from the top, so that an odd one is left at the bottom, where its ``equal`` is not needed.
        odd = len(blocks) % 2
        pairs = list(zip(blocks[odd::2], blocks[odd + 1 :: 2], strict=True))
        jobs = [(high[1], low[0]) for low, high in pairs]
        jobs += [(high[1], low[1]) for k, (low, high) in enumerate(pairs) if odd or k]
        products = await evaluator.multiply_many(jobs)
        merged = [(high[0] + products[k], high[1]) for k, (_, high) in enumerate(pairs)]
        equals = products[len(pairs) :]
        first = 0 if odd else 1
        for k in range(first, len(pairs)):
            merged[k] = (merged[k][0], equals[k - first])
        blocks = blocks[:odd] + merged
    return blocks[0][0]


def _xor(plane: Shared, bit: Elements, evaluator: Evaluator) -> Shared:
    """⟨r ⊕ bit⟩ = r + bit − 2·r·bit, linear because ``bit`` is public."""
    factor = np.where(bit == 1, np.uint64(field.P - 1), np.uint64(1))
    return plane.times(factor).plus(bit, evaluator.key)
