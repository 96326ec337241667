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
from protocol.lattice.lanes import load_1, load_2, load_4
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


@kernel
def _pack(
    words: Words, low: npt.NDArray[np.uint32], middle: npt.NDArray[np.uint16], top: npt.NDArray[np.uint8]
) -> None:
    for i in range(N):
        low[i] = np.uint32(words[i])
        middle[i] = np.uint16(words[i] >> _32)
    first, second = words[:QUARTER], words[QUARTER : 2 * QUARTER]
    third, fourth = words[2 * QUARTER : 3 * QUARTER], words[3 * QUARTER :]
    for i in range(QUARTER):
        bits = (first[i] >> _48) & _3
        bits |= ((second[i] >> _48) & _3) << _2
        bits |= ((third[i] >> _48) & _3) << _4
        bits |= ((fourth[i] >> _48) & _3) << _6
        top[i] = np.uint8(bits)


@kernel
def _unpack(
    low: npt.NDArray[np.uint32], middle: npt.NDArray[np.uint16], top: npt.NDArray[np.uint8], words: Words
) -> np.uint64:
    worst = np.uint64(0)
    for quarter in range(4):
        shift = np.uint64(2 * quarter)
        start = quarter * QUARTER
        low_part, middle_part = low[start : start + QUARTER], middle[start : start + QUARTER]
        out = words[start : start + QUARTER]
        for i in range(QUARTER):
            high = (np.uint64(top[i]) >> shift) & _3
            word = np.uint64(low_part[i]) | (np.uint64(middle_part[i]) << _32) | (high << _48)
            out[i] = word
            worst = max(worst, word)
    return worst


@inlined
def packed_words(packed: Bytes, j: int, quarter: int) -> np.uint64:
    """Eight words from place j of a quarter on, inside a kernel, of a polynomial uint8[PACKED_BYTES]."""
    i = quarter * QUARTER + j
    top = (load_1(packed, _TOP + j) >> np.uint64(2 * quarter)) & _3
    return load_4(packed, 4 * i) | (load_2(packed, _MIDDLE + 2 * i) << _32) | (top << _48)


def planes(
    packed: Bytes,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16], npt.NDArray[np.uint8]]:
    """The three planes of packed polynomials uint8[..., PACKED_BYTES], as views."""
    return packed[..., :_MIDDLE].view("<u4"), packed[..., _MIDDLE:_TOP].view("<u2"), packed[..., _TOP:]


def pack(words: Words, packed: Bytes) -> None:
    """Words uint64[N] below 2^50 into uint8[PACKED_BYTES]."""
    _pack(words, *planes(packed))


def unpack(packed: Bytes, words: Words) -> int:
    """The inverse of :func:`pack`; returns the largest word, for the caller's bound."""
    return int(_unpack(*planes(packed), words))


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
