"""F_p for p = 2^61 − 2^21 + 1, on one-dimensional ``numpy.uint64`` arrays (``docs/protocol.md``, section 3).

Every array holds canonical representatives in [0, p).  ``out=`` lets a caller reuse memory, because a fresh
array costs more than the arithmetic.  No kernel branches or indexes on an element, except :func:`inverse_sqrt`,
which is for opened values only.  Each kernel has a plain Python counterpart in ``tests/protocol/reference.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from protocol._jit import inlined, kernel
from protocol.errors import LocalProtocolError

P: Final = 0x1FFF_FFFF_FFE0_0001
BITS: Final = 61
_TWO_ADICITY = 21
ELEMENT_BYTES: Final = 8

Elements: TypeAlias = npt.NDArray[np.uint64]

_P = np.uint64(P)
_MASK_61 = np.uint64((1 << 61) - 1)
_MASK_40 = np.uint64((1 << 40) - 1)
_MASK_32 = np.uint64((1 << 32) - 1)
_TWO_P = np.uint64(2 * P)
_FOLD = np.uint64((1 << 21) - 1)  # 2^61 ≡ 2^21 − 1 (mod p)
_3, _21, _32, _40, _61 = (np.uint64(k) for k in (3, 21, 32, 40, 61))


# --- scalar kernels ---------------------------------------------------------------------------------------


@inlined
def add_p(a: np.uint64, b: np.uint64) -> np.uint64:
    """A + b mod p.  Unsigned min picks the reduced one of s and s − p without a branch."""
    s = a + b
    return min(s, s - _P)


@inlined
def sub_p(a: np.uint64, b: np.uint64) -> np.uint64:
    """A − b mod p."""
    d = a - b
    return min(d, d + _P)


@inlined
def fold_p(s: np.uint64) -> np.uint64:
    """Any 64-bit s mod p: (s mod 2^61) + ⌊s / 2^61⌋·(2^21 − 1) < p + 2^24 needs one subtraction at most."""
    t = (s & _MASK_61) + (s >> _61) * _FOLD
    return min(t, t - _P)


@inlined
def mul_p(a: np.uint64, b: np.uint64) -> np.uint64:
    """a·b mod p from 32-bit halves, so that LLVM can vectorise it (``docs/protocol.md``, step 3.2)."""
    a0, a1 = a & _MASK_32, a >> _32
    b0, b1 = b & _MASK_32, b >> _32
    low = a0 * b0
    middle = a1 * b0 + a0 * b1 + (low >> _32)  # < 2^62 + 2^32: a1, b1 < 2^29
    bottom = (middle << _32) | (low & _MASK_32)
    top = a1 * b1 + (middle >> _32)
    # a·b = h·2^61 + l, and h·2^61 ≡ h·2^21 − h; h·2^21 itself is split at 2^61 once more.
    l = bottom & _MASK_61  # noqa: E741
    h = (top << _3) | (bottom >> _61)
    h1 = h >> _40
    return fold_p(l + ((h & _MASK_40) << _21) + (h1 << _21) + (_TWO_P - h1 - h))


# --- elementwise ------------------------------------------------------------------------------------------


@kernel
def _add(a: Elements, b: Elements, out: Elements) -> None:
    for i in range(out.size):
        out[i] = add_p(a[i], b[i])


@kernel
def _sub(a: Elements, b: Elements, out: Elements) -> None:
    for i in range(out.size):
        out[i] = sub_p(a[i], b[i])


@kernel
def _mul(a: Elements, b: Elements, out: Elements) -> None:
    for i in range(out.size):
        out[i] = mul_p(a[i], b[i])


@kernel
def _scale(a: Elements, s: np.uint64, out: Elements) -> None:
    for i in range(out.size):
        out[i] = mul_p(a[i], s)


@kernel
def _sums(a: Elements, b: Elements, c: Elements) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    low_b, high_b, low_c, high_c = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(a.size):
        m, n = mul_p(a[i], b[i]), mul_p(a[i], c[i])
        low_b += m & _MASK_32
        high_b += m >> _32
        low_c += n & _MASK_32
        high_c += n >> _32
    return low_b, high_b, low_c, high_c


def _pair(a: Elements, b: Elements, out: Elements | None) -> Elements:
    if a.shape != b.shape or a.ndim != 1:
        raise LocalProtocolError(f"field arrays of shapes {a.shape} and {b.shape} do not match")
    return np.empty_like(a) if out is None else out


def add(a: Elements, b: Elements, out: Elements | None = None) -> Elements:
    """Elementwise a + b."""
    out = _pair(a, b, out)
    _add(a, b, out)
    return out


def sub(a: Elements, b: Elements, out: Elements | None = None) -> Elements:
    """Elementwise a − b."""
    out = _pair(a, b, out)
    _sub(a, b, out)
    return out


def mul(a: Elements, b: Elements, out: Elements | None = None) -> Elements:
    """Elementwise a·b."""
    out = _pair(a, b, out)
    _mul(a, b, out)
    return out


def neg(a: Elements) -> Elements:
    """Elementwise −a."""
    return sub(np.zeros_like(a), a)


def scale(a: Elements, factor: int, out: Elements | None = None) -> Elements:
    """Elementwise a·factor for one public factor (any Python integer)."""
    out = np.empty_like(a) if out is None else out
    _scale(a, np.uint64(factor % P), out)
    return out


def dots(a: Elements, b: Elements, c: Elements) -> tuple[int, int]:
    """(Σ a_i·b_i, Σ a_i·c_i) mod p, in one pass.  Halves are summed apart, so 2^32 products cannot overflow."""
    if not a.shape == b.shape == c.shape:
        raise LocalProtocolError(f"field arrays of shapes {a.shape}, {b.shape} and {c.shape} do not match")
    low_b, high_b, low_c, high_c = _sums(a, b, c)
    return (int(low_b) + (int(high_b) << 32)) % P, (int(low_c) + (int(high_c) << 32)) % P


def total(arrays: Sequence[Elements], out: Elements | None = None) -> Elements:
    """The elementwise sum of one or more arrays; ``out`` may be the first of them."""
    if len(arrays) == 1:
        out = np.empty_like(arrays[0]) if out is None else out
        out[:] = arrays[0]
        return out
    out = add(arrays[0], arrays[1], out)
    for array in arrays[2:]:
        add(out, array, out)
    return out


# --- encodings --------------------------------------------------------------------------------------------


def elements(values: npt.ArrayLike) -> Elements:
    """Signed integers in (−p/2, p/2) as field elements.

    Raises :class:`LocalProtocolError` when a value does not fit.
    """
    signed = np.ascontiguousarray(np.asarray(values, dtype=np.int64).reshape(-1))
    if np.any((signed > P // 2) | (signed < -(P // 2))):
        raise LocalProtocolError("a value lies outside (−p/2, p/2)")
    return np.where(signed < 0, signed + np.int64(P), signed).astype(np.uint64)


def signed(values: Elements) -> npt.NDArray[np.int64]:
    """The inverse of :func:`elements`: representatives in (−p/2, p/2)."""
    wide = values.astype(np.int64)
    return np.where(wide > P // 2, wide - np.int64(P), wide)


def is_canonical(values: Elements) -> bool:
    """Whether every element is below p; a peer's array must be."""
    return bool(values.size == 0 or values.max() < _P)


# --- square roots of opened values --------------------------------------------------------------------------
# p − 1 = 2^21·(2^40 − 1).  For a square s, w = s^(2^39 − 1) gives t = s·w² in the subgroup of order 2^21; with
# t = g^e (e is even), 1/√s = w·g^(−e/2) up to sign (Tonelli–Shanks; Cohen 1993, algorithm 1.5.1).  The exponent is read
# seven bits at a time, in tables.


def _subgroup_generator() -> int:
    candidate = 2
    while pow(candidate, (P - 1) // 2, P) != P - 1:
        candidate += 1
    return pow(candidate, (1 << 40) - 1, P)


_DIGIT: Final = 7
_DIGITS: Final = _TWO_ADICITY // _DIGIT
_HASH_SHIFT = np.uint64(52)
_G = _subgroup_generator()
_ORDER_128: Final = [pow(_G, k << (_TWO_ADICITY - _DIGIT), P) for k in range(1 << _DIGIT)]
# g^−k, and g^−(k << 7), for digits k of e; then the square roots of g^−(k << 7j) for j = 0, 1, 2
_CLEARING: Final[Elements] = np.array(
    [[pow(_G, -(k << _DIGIT * j), P) for k in range(1 << _DIGIT)] for j in range(_DIGITS - 1)], dtype=np.uint64
)
_HALVING: Final[Elements] = np.array(
    [[pow(_G, -(k << _DIGIT * j >> 1), P) for k in range(1 << _DIGIT)] for j in range(_DIGITS)], dtype=np.uint64
)


def _perfect_hash() -> tuple[np.uint64, npt.NDArray[np.uint8]]:
    """A factor whose products with the elements of order 128 differ in their top twelve bits; and k of each."""
    keys = np.array(_ORDER_128, dtype=np.uint64)
    factor = np.uint64(0x9E37_79B9_7F4A_7C15)  # the golden ratio, where multiplicative hashing starts from (Knuth, 6.4)
    while np.unique(places := (keys * factor) >> _HASH_SHIFT).size < keys.size:
        factor = factor + np.uint64(2)
    digits = np.zeros(1 << 12, dtype=np.uint8)
    digits[places] = np.arange(keys.size)
    return factor, digits


_HASH_FACTOR, _DIGIT_OF = _perfect_hash()
_LANES: Final = 64  # elements worked on side by side: one chain alone would wait for each product's latency


@inlined
def _power(x: Elements, doublings: int, out: Elements) -> None:
    """x^(2^doublings); ``out`` may be x."""
    for i in range(_LANES):
        out[i] = x[i]
    for _ in range(doublings):
        for i in range(_LANES):
            out[i] = mul_p(out[i], out[i])


@inlined
def _raised(x: Elements, doublings: int, y: Elements, out: Elements) -> None:
    """x^(2^doublings)·y; ``out`` may be x."""
    _power(x, doublings, out)
    for i in range(_LANES):
        out[i] = mul_p(out[i], y[i])


@inlined
def _take_digit(
    t: Elements,
    doublings: int,
    digits: npt.NDArray[np.uint8],
    clearing: Elements,
    halving: Elements,
    probe: Elements,
    w: Elements,
) -> None:
    """Read the lowest digit of t's exponent that is left, clear it, and apply half of it to w; probe is scratch."""
    _power(t, doublings, probe)
    for i in range(_LANES):
        digit = digits[(probe[i] * _HASH_FACTOR) >> _HASH_SHIFT]
        t[i] = mul_p(t[i], clearing[digit])
        w[i] = mul_p(w[i], halving[digit])


@kernel
def _inverse_sqrt(
    s: Elements, digits: npt.NDArray[np.uint8], clearing: Elements, halving: Elements, out: Elements
) -> None:
    x, y, w = np.empty(_LANES, dtype=np.uint64), np.empty(_LANES, dtype=np.uint64), np.empty(_LANES, dtype=np.uint64)
    for start in range(0, s.size, _LANES):
        block = s[start : start + _LANES]
        for i in range(_LANES):
            x[i] = block[min(i, block.size - 1)]  # a short last block repeats its last element
        # s^(2^k − 1) for k = 2, 4, 8, 9, 18, 19, 38, 39
        _raised(x, 1, x, w)
        _raised(w, 2, w, y)
        _raised(y, 4, y, w)
        _raised(w, 1, x, y)
        _raised(y, 9, y, w)
        _raised(w, 1, x, y)
        _raised(y, 19, y, w)
        _raised(w, 1, x, w)
        _raised(w, 1, x, y)  # t = s·w²
        _take_digit(y, 14, digits, clearing[0], halving[0], x, w)
        _take_digit(y, 7, digits, clearing[1], halving[1], x, w)
        _take_digit(y, 0, digits, clearing[1], halving[2], x, w)  # what is left of y is not used
        target = out[start : start + _LANES]
        for i in range(target.size):
            target[i] = w[i]


def inverse_sqrt(squares: Elements) -> Elements:
    """1/√s for opened, non-zero squares: one of the two roots, the same at every party.

    Not constant time: for public values only.  An entry that is no square gives a meaningless element; callers
    check ``s·r² = 1`` (``docs/protocol.md``, step 8.3).
    """
    out = np.empty_like(squares)
    _inverse_sqrt(squares, _DIGIT_OF, _CLEARING, _HALVING, out)
    return out
