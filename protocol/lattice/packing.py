"""Polynomials of 50-bit words as bytes, exactly 6¼ bytes a word (``docs/protocol-lattice.md``, step L.5).

A packed polynomial is three planes, all little-endian: the low 32 bits of every word, the next 16, and the
top 2, where byte j carries words j, j + N/4, j + N/2 and j + 3N/4 from its low bits up.  Every pattern of
bits is some polynomial of 50-bit words, so a word's bound is the only thing to check.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from protocol._jit import inlined, kernel
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.lattice.lanes import LANES, load, load_1, load_2, load_4, store, store_1, store_2, store_4, where_negative
from protocol.lattice.params import PARAMETERS, PRIME_BITS

Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint64]

N: Final = PARAMETERS.slots
PACKED_BYTES: Final = N * PRIME_BITS // 8
_MIDDLE: Final = 4 * N
_TOP: Final = 6 * N
QUARTER: Final = N // 4  # words whose top bits share a byte are this far apart
_2, _4, _6, _32, _48 = (np.uint64(k) for k in (2, 4, 6, 32, 48))
_3 = np.uint64(3)

if np.dtype("=u8") != np.dtype("<u8"):  # planes are views of memory
    raise LocalProtocolError("the lattice layer needs a little-endian machine")


@inlined
def packed_words(packed: Bytes, j: int, quarter: int) -> np.uint64:
    """Eight words from place j of a quarter on, inside a kernel, of a polynomial uint8[PACKED_BYTES]."""
    i = quarter * QUARTER + j
    top = (load_1(packed, _TOP + j) >> np.uint64(2 * quarter)) & _3
    return load_4(packed, 4 * i) | (load_2(packed, _MIDDLE + 2 * i) << _32) | (top << _48)


@inlined
def pack_words(packed: Bytes, j: int, w0: np.uint64, w1: np.uint64, w2: np.uint64, w3: np.uint64) -> None:
    """The inverse for the same place of all four quarters, whose top bits share bytes; words below 2^50."""
    store_4(packed, 4 * j, w0)
    store_4(packed, 4 * (QUARTER + j), w1)
    store_4(packed, 4 * (2 * QUARTER + j), w2)
    store_4(packed, 4 * (3 * QUARTER + j), w3)
    store_2(packed, _MIDDLE + 2 * j, w0 >> _32)
    store_2(packed, _MIDDLE + 2 * (QUARTER + j), w1 >> _32)
    store_2(packed, _MIDDLE + 2 * (2 * QUARTER + j), w2 >> _32)
    store_2(packed, _MIDDLE + 2 * (3 * QUARTER + j), w3 >> _32)
    store_1(packed, _TOP + j, w0 >> _48 | w1 >> _48 << _2 | w2 >> _48 << _4 | w3 >> _48 << _6)


@kernel
def pack(words: Words, packed: Bytes) -> None:
    """Words uint64[N] below 2^50 into uint8[PACKED_BYTES]."""
    for j in range(0, QUARTER, LANES):
        w0, w1 = load(words, j), load(words, QUARTER + j)
        pack_words(packed, j, w0, w1, load(words, 2 * QUARTER + j), load(words, 3 * QUARTER + j))


@kernel
def _unpack(packed: Bytes, words: Words) -> np.uint64:
    worst = np.zeros(LANES, dtype=np.uint64)
    for quarter in range(4):
        for j in range(0, QUARTER, LANES):
            word, most = packed_words(packed, j, quarter), load(worst, 0)
            store(words, quarter * QUARTER + j, word)
            store(worst, 0, where_negative(most - word, word, most))
    return np.uint64(worst.max())


def unpack(packed: Bytes, words: Words) -> int:
    """The inverse of :func:`pack`; returns the largest word, for the caller's bound."""
    return int(_unpack(packed, words))


def received(array: Bytes, count: int, what: str, party: int | str | None) -> Bytes:
    """A peer's byte array, or :class:`RemoteProtocolError` (``malformed-message``) on a wrong type or size."""
    if array.dtype != np.uint8 or array.ndim != 1 or array.size != count:
        raise RemoteProtocolError(
            Fault.MALFORMED, f"{what} takes {count} bytes, not {array.dtype}{array.shape}", party=party
        )
    return np.ascontiguousarray(array)


def check_residues(packed: Bytes, primes: tuple[int, ...], what: str, party: int | str | None) -> None:
    """Refuse residues that are not below their prime: uint8[..., len(primes), PACKED_BYTES]."""
    scratch = np.empty(N, dtype=np.uint64)
    for polynomials in packed.reshape(-1, len(primes), PACKED_BYTES):
        for prime, polynomial in zip(primes, polynomials, strict=True):
            if unpack(polynomial, scratch) >= prime:
                raise RemoteProtocolError(Fault.MALFORMED, f"{what} has a residue beyond its prime", party=party)
