"""SHA-256 of polynomials, sixteen streams side by side (``docs/protocol-lattice.md``, step L.5).

Hashing is a large part of a proof, and one stream of SHA-256 leaves vector registers empty.  Lane k of a packed
polynomial is its 4-byte little-endian words k, k + 16, k + 32 and so on; its digest is SHA-256 of these words written
big-endian.  The digests of all lanes, in order, stand for the polynomial wherever it is hashed further.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from protocol._jit import kernel
from protocol.errors import LocalProtocolError
from protocol.lattice.packing import PACKED_BYTES, Bytes

STREAMS: Final = 16
DIGEST_BYTES: Final = 32 * STREAMS
_BLOCK_BYTES: Final = 64 * STREAMS

_State = npt.NDArray[np.uint32]
_declare: Any = cgutils.get_or_insert_function  # numba has annotations in few places
_LANES: Final = ir.VectorType(ir.IntType(32), STREAMS)
_PRIMES: Final = [n for n in range(2, 312) if all(n % d for d in range(2, n))]


def _root_bits(n: int, power: int) -> int:
    """The first 32 bits of the fraction of n^(1/power)."""
    target, root = n << (32 * power), 0
    for bit in reversed(range(36)):
        if (root | 1 << bit) ** power <= target:
            root |= 1 << bit
    return root & 0xFFFF_FFFF


_INITIAL: Final = np.array([[_root_bits(n, 2)] * STREAMS for n in _PRIMES[:8]], dtype=np.uint32)
_ROUNDS: Final = tuple(_root_bits(n, 3) for n in _PRIMES)


def _padding() -> Bytes:
    """The last block of every lane: a one, and the length in bits as 64 bits."""
    words = np.zeros((16, STREAMS), dtype="<u4")
    words[0], words[15] = 1 << 31, PACKED_BYTES // STREAMS * 8
    return words.reshape(-1).view(np.uint8)


_PADDING: Final = _padding()

if PACKED_BYTES % _BLOCK_BYTES:
    raise LocalProtocolError("a packed polynomial must be a whole number of blocks")


def _emit_rounds(builder: Any, state: list[Any], words: list[Any]) -> list[Any]:
    """One block: FIPS 180-4, section 6.2.2."""
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
        if t >= 16:
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


def _compress(context: Any, state: Any, data: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
        base, octets = (
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(given.args[:2], values[:2], strict=True)
        )

        def place(pointer: Any, index: Any) -> Any:
            return builder.bitcast(builder.gep(pointer, [index]), _LANES.as_pointer())

        def read(pointer: Any) -> Any:
            loaded = builder.load(pointer)
            loaded.align = 1
            return loaded

        rows = [place(base, values[2].type(STREAMS * k)) for k in range(8)]
        words = [read(place(octets, builder.add(values[2], values[2].type(64 * k)))) for k in range(16)]
        for row, new in zip(rows, _emit_rounds(builder, [read(row) for row in rows], words), strict=True):
            builder.store(new, row).align = 1
        return context.get_dummy_value()

    return types.void(state, data, types.intp), generate


_block = cast(Callable[[_State, Bytes, int], None], intrinsic(_compress))


@kernel
def _absorb(packed: Bytes, padding: Bytes, initial: _State, states: _State) -> None:
    for k in range(packed.shape[0]):
        polynomial, state = packed[k], states[k].reshape(-1)
        state[:] = initial
        for at in range(0, polynomial.size, _BLOCK_BYTES):
            _block(state, polynomial, at)
        _block(state, padding, 0)


def digests(packed: Bytes) -> bytes:
    """The digests of packed polynomials' sixteen lanes, in order: uint8[k, PACKED_BYTES] to k·512 bytes."""
    states = np.empty((packed.shape[0], *_INITIAL.shape), dtype=np.uint32)
    _absorb(packed, _PADDING, _INITIAL.reshape(-1), states)
    return states.transpose(0, 2, 1).astype(">u4").tobytes()
