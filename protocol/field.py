"""F_p for p = 2^61 − 2^21 + 1, on one-dimensional ``numpy.uint64`` arrays (``docs/protocol.md``, section 3).

Every array holds canonical representatives in [0, p).  ``out=`` lets a caller reuse memory, because a fresh
array costs more than the arithmetic.  No kernel branches or indexes on an element, except :func:`inverse_sqrt`,
which is for opened values only.  Each kernel has a plain Python counterpart in ``tests/protocol/reference.py``.
"""

from __future__ import annotations

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
def _beaver(c: Elements, b: Elements, e: Elements, a: Elements, d: Elements, out: Elements) -> None:
    for i in range(out.size):
        out[i] = add_p(c[i], add_p(mul_p(e[i], b[i]), mul_p(d[i], a[i])))


@kernel
def _sums(a: Elements, b: Elements) -> tuple[np.uint64, np.uint64]:
    low = np.uint64(0)
    high = np.uint64(0)
    for i in range(a.size):
        m = mul_p(a[i], b[i])
        low += m & _MASK_32
        high += m >> _32
    return low, high


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


def beaver(c: Elements, b: Elements, e: Elements, a: Elements, d: Elements) -> Elements:
    """C + e·b + d·a in one pass over memory: the linear part of a Beaver multiplication."""
    out = np.empty_like(c)
    _beaver(c, b, e, a, d, out)
    return out


def dot(a: Elements, b: Elements) -> int:
    """Σ a_i·b_i mod p.  Halves are summed apart, so 2^32 products cannot overflow."""
    if a.shape != b.shape:
        raise LocalProtocolError(f"field arrays of shapes {a.shape} and {b.shape} do not match")
    low, high = _sums(a, b)
    return (int(low) + (int(high) << 32)) % P


def total(arrays: list[Elements]) -> Elements:
    """The elementwise sum of one or more arrays."""
    result = arrays[0].copy()
    for array in arrays[1:]:
        _add(result, array, result)
    return result


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
# t = g^e (e is even), 1/√s = w·g^(−e/2)·… up to sign (Tonelli–Shanks; Cohen 1993, algorithm 1.5.1).


def _subgroup_generator() -> int:
    candidate = 2
    while pow(candidate, (P - 1) // 2, P) != P - 1:
        candidate += 1
    return pow(candidate, (1 << 40) - 1, P)


_G = _subgroup_generator()
_G_INVERSE_POWERS = np.array([pow(_G, -(1 << k), P) for k in range(_TWO_ADICITY)], dtype=np.uint64)


_LANES = 64  # elements worked on side by side: one chain alone would wait for each product's latency


@kernel
def _inverse_sqrt(s: Elements, inverse_powers: Elements, out: Elements) -> None:
    w = np.empty(_LANES, dtype=np.uint64)
    t = np.empty(_LANES, dtype=np.uint64)
    probe = np.empty(_LANES, dtype=np.uint64)
    for start in range(0, s.size, _LANES):
        block = s[start : start + _LANES]
        count = block.size
        # w = s^(2^39 − 1): 38 times square and multiply
        for i in range(count):
            w[i] = block[i]
        for _ in range(38):
            for i in range(count):
                w[i] = mul_p(mul_p(w[i], w[i]), block[i])
        for i in range(count):
            t[i] = mul_p(block[i], mul_p(w[i], w[i]))
        # read e bit by bit from below; half of it corrects w
        for k in range(1, _TWO_ADICITY):
            for i in range(count):
                probe[i] = t[i]
            for _ in range(_TWO_ADICITY - 1 - k):
                for i in range(count):
                    probe[i] = mul_p(probe[i], probe[i])
            for i in range(count):
                one = probe[i] == np.uint64(1)
                t[i] = mul_p(t[i], np.uint64(1) if one else inverse_powers[k])
                w[i] = mul_p(w[i], np.uint64(1) if one else inverse_powers[k - 1])
        target = out[start : start + _LANES]
        for i in range(count):
            target[i] = w[i]


def inverse_sqrt(squares: Elements) -> Elements:
    """1/√s for opened, non-zero squares: one of the two roots, the same at every party.

    Not constant time: for public values only.  An entry that is no square gives a meaningless element; callers
    check ``s·r² = 1`` (``docs/protocol.md``, step 8.3).
    """
    out = np.empty_like(squares)
    _inverse_sqrt(squares, _G_INVERSE_POWERS, out)
    return out
