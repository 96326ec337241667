"""One block of SHA-256 in sixteen streams, while emitting a kernel (FIPS 180-4, section 6.2.2).

Two ways, which give the same words: every operation on all sixteen streams at once, for wide registers; or stream by
stream by the processor's own instructions, where it has them and its registers are no wider than eight streams
(``machine.sha_instructions``): then they take less than half the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils

STREAMS: Final = 16
WORDS: Final = 8  # of a state; a block has twice as many

_declare: Any = cgutils.get_or_insert_function  # numba has annotations in few places
_LANES: Final = ir.VectorType(ir.IntType(32), STREAMS)
_FOUR: Final = 4
_QUAD: Final = ir.VectorType(ir.IntType(32), _FOUR)
_PRIMES: Final = [n for n in range(2, 312) if all(n % d for d in range(2, n))]


def _root_bits(n: int, power: int) -> int:
    """The first 32 bits of the fraction of n^(1/power)."""
    target, root = n << (32 * power), 0
    for bit in reversed(range(36)):
        if (root | 1 << bit) ** power <= target:
            root |= 1 << bit
    return root & 0xFFFF_FFFF


INITIAL: Final = tuple(_root_bits(n, 2) for n in _PRIMES[:WORDS])
_ROUNDS: Final = tuple(_root_bits(n, 3) for n in _PRIMES)


def emit_wide(builder: Any, states: Any, block: Any) -> None:
    """Update ``states``, a pointer to uint32[8, 16], by ``block``, one to uint32[16, 16]: each word of all streams."""

    def place(base: Any, row: int) -> Any:
        return builder.bitcast(builder.gep(base, [ir.Constant(ir.IntType(64), STREAMS * row)]), _LANES.as_pointer())

    def read(pointer: Any) -> Any:
        loaded = builder.load(pointer)
        loaded.align = 1
        return loaded

    rows = [place(states, k) for k in range(WORDS)]
    words = [read(place(block, k)) for k in range(2 * WORDS)]
    for row, new in zip(rows, _rounds(builder, [read(row) for row in rows], words), strict=True):
        builder.store(new, row).align = 1


def _rounds(builder: Any, state: list[Any], words: list[Any]) -> list[Any]:
    kind = ir.FunctionType(_LANES, [_LANES] * 3)
    rotate = _declare(builder.module, kind, f"llvm.fshr.v{STREAMS}i32")

    def number(value: int) -> Any:
        return ir.Constant(_LANES, [value] * STREAMS)

    def turned(x: Any, by: int) -> Any:
        return builder.call(rotate, [x, x, number(by)])

    def upper(x: Any, one: int, two: int, three: int) -> Any:
        return builder.xor(builder.xor(turned(x, one), turned(x, two)), turned(x, three))

    def lower(x: Any, one: int, two: int, shift: int) -> Any:
        return builder.xor(builder.xor(turned(x, one), turned(x, two)), builder.lshr(x, number(shift)))

    words = list(words)
    a, b, c, d, e, f, g, h = state
    for t, constant in enumerate(_ROUNDS):
        if t >= 2 * WORDS:
            w = builder.add(lower(words[t - 2], 17, 19, 10), words[t - 7])
            words.append(builder.add(w, builder.add(lower(words[t - 15], 7, 18, 3), words[t - 16])))
        choice = builder.xor(g, builder.and_(e, builder.xor(f, g)))
        majority = builder.or_(builder.and_(a, b), builder.and_(c, builder.or_(a, b)))
        x = builder.add(
            builder.add(h, builder.add(words[t], number(constant))), builder.add(upper(e, 6, 11, 25), choice)
        )
        y = builder.add(upper(a, 2, 13, 22), majority)
        a, b, c, d, e, f, g, h = builder.add(x, y), a, b, c, builder.add(d, x), e, f, g
    return [builder.add(old, new) for old, new in zip(state, (a, b, c, d, e, f, g, h), strict=True)]


def emit_instructions(builder: Any, states: Any, block: Any) -> None:
    """The same by x86's instructions; streams are independent, so the processor overlaps one's end with the next."""

    def place(base: Any, row: int, stream: int) -> Any:
        at = ir.Constant(ir.IntType(64), STREAMS * row + stream)
        return builder.bitcast(builder.gep(base, [at]), _QUAD.as_pointer())

    def read(base: Any, row: int, stream: int) -> Any:
        loaded = builder.load(place(base, row, stream))
        loaded.align = 1
        return loaded

    # The instructions want words a, b, e, f of a state in one register and c, d, g, h in another, the first on top.
    halves = ((5, 4, 1, 0), (7, 6, 3, 2))
    for stream in range(0, STREAMS, _FOUR):
        both = [_turned(builder, [read(states, row, stream) for row in half]) for half in halves]
        words = [
            _turned(builder, [read(block, row + k, stream) for k in range(_FOUR)]) for row in range(0, 2 * WORDS, _FOUR)
        ]
        new = [_stream(builder, both[0][k], both[1][k], [four[k] for four in words]) for k in range(_FOUR)]
        for half, updated in zip(halves, zip(*new, strict=True), strict=True):
            for row, values in zip(half, _turned(builder, list(updated)), strict=True):
                builder.store(values, place(states, row, stream)).align = 1


def _shuffled(builder: Any, x: Any, y: Any, order: Sequence[int]) -> Any:
    return builder.shuffle_vector(x, y, ir.Constant(_QUAD, list(order)))


def _turned(builder: Any, rows: list[Any]) -> list[Any]:
    """Rows of a square of 4 × 4 words to its columns."""
    a, b, c, d = rows
    low, high = (0, 4, 1, 5), (2, 6, 3, 7)
    ab, cd = _shuffled(builder, a, b, low), _shuffled(builder, c, d, low)
    above, below = _shuffled(builder, a, b, high), _shuffled(builder, c, d, high)
    first, second = (0, 1, 4, 5), (2, 3, 6, 7)
    return [_shuffled(builder, *pair, order) for pair in ((ab, cd), (above, below)) for order in (first, second)]


def _stream(builder: Any, abef: Any, cdgh: Any, words: list[Any]) -> tuple[Any, Any]:
    def instruction(name: str, *operands: Any) -> Any:
        kind = ir.FunctionType(_QUAD, [_QUAD] * len(operands))
        return builder.call(_declare(builder.module, kind, f"llvm.x86.sha256{name}"), operands)

    words, state = list(words), (abef, cdgh)
    for t in range(0, len(_ROUNDS), _FOUR):
        if t >= 2 * WORDS:
            oldest, old, late, last = words[-4:]
            sum_7 = builder.add(instruction("msg1", oldest, old), _shuffled(builder, late, last, (1, 2, 3, 4)))
            words.append(instruction("msg2", sum_7, last))
        given = builder.add(words[t // _FOUR], ir.Constant(_QUAD, list(_ROUNDS[t : t + _FOUR])))
        cdgh = instruction("rnds2", cdgh, abef, given)
        abef = instruction("rnds2", abef, cdgh, _shuffled(builder, given, given, (2, 3, 0, 1)))
    return builder.add(state[0], abef), builder.add(state[1], cdgh)
