"""The lattice layer's compiled inner loops, one limb (prime) at a time (``docs/protocol-lattice.md``,
section L.3).

A wide integer arrives as words with a common offset: coefficient i stands for
``words[HIGH]·2^49 + words[LOW] − offset`` and so on.  No loop branches or indexes on a word.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from protocol._jit import inlined, kernel
from protocol.field import P, mul_p
from protocol.lattice.arithmetic import canonical, centre, lift, mul_mod, to_float, to_word
from protocol.lattice.lanes import LANES, float_from_word, load, local, store, times_32, where_negative
from protocol.lattice.packing import QUARTER, Bytes, Words, packed_words
from protocol.lattice.params import DIGIT_BITS, FLOOD_DIGIT_BITS, FLOOD_DIGITS, PARAMETERS
from protocol.lattice.transform import PLAIN, Q_INVERSE, TWO_49, Floats, Q, forward, inverse

N: Final = PARAMETERS.slots

# Rows of a block of coefficient words.
LOW: Final = 0
HIGH: Final = 1
TERNARY: Final = 2
ERROR_0: Final = 3
ERROR_1: Final = 4
WORD_ROWS: Final = 5

_DIGIT = np.uint64(DIGIT_BITS)
_DIGIT_MASK = np.uint64((1 << DIGIT_BITS) - 1)
_HALF_P = np.uint64(P // 2)
_FLOOD_SHIFT = np.uint64(64 - FLOOD_DIGIT_BITS)
_TWO_49 = float(1 << DIGIT_BITS)
_FLOOD_HALF = float(1 << (FLOOD_DIGIT_BITS - 1))
_STRIP: Final = 256  # coefficients worked on at a time, to stay in the first-level cache
_P = np.uint64(P)
_MASK_61, _LOW_40, _LOW_36, _LOW_31, _LOW_30, _LOW_25, _LOW_5 = (
    np.uint64((1 << bits) - 1) for bits in (61, 40, 36, 31, 30, 25, 5)
)
_61, _56, _40, _36, _31, _30, _25, _21, _5 = (np.uint64(bits) for bits in (61, 56, 40, 36, 31, 30, 25, 21, 5))


@inlined
def _wide(low: np.uint64, high: np.uint64, two_49: float, q: float, qi: float) -> float:
    """high·2^49 + low mod q, within 1.2q."""
    return mul_mod(to_float(high), two_49, q, qi) + to_float(low)


@inlined
def split(word: np.uint64, two_49: float, q: float, qi: float) -> float:
    """A word below 2^62 mod q, within 1.2q."""
    return _wide(word & _DIGIT_MASK, word >> _DIGIT, two_49, q, qi)


@kernel
def encrypt_limb(
    words: Words,
    offsets: Floats,
    b: Floats,
    a: Floats,
    limb: Floats,
    table: Floats,
    work: Floats,
    c0: Words,
    c1: Words,
) -> None:
    """One limb of (b·v + p·e0 + m, a·v + p·e1), evaluation form in [0, q) (step L.6).

    words uint64[5, N]; offsets float64[3] of m (mod q), v and both e; work float64[4, N] is scratch.
    """
    q, qi, plain, two_49 = limb[Q], limb[Q_INVERSE], limb[PLAIN], limb[TWO_49]
    offset_m, offset_v, offset_e = offsets[0], offsets[1], offsets[2]
    x, v, m, e = work[0], work[1], work[2], work[3]
    low, high, ternary, error_0, error_1 = (
        words[LOW],
        words[HIGH],
        words[TERNARY],
        words[ERROR_0],
        words[ERROR_1],
    )
    for i in range(0, N, LANES):
        store(x, i, to_float(load(ternary, i)) - offset_v)
    forward(x, v, limb, table)
    for i in range(0, N, LANES):
        noise = mul_mod(to_float(load(error_0, i)) - offset_e, plain, q, qi)
        message = _wide(load(low, i), load(high, i), two_49, q, qi) - offset_m
        store(x, i, centre(message + noise, q, qi))
    forward(x, m, limb, table)
    for i in range(0, N, LANES):
        store(x, i, mul_mod(to_float(load(error_1, i)) - offset_e, plain, q, qi))
    forward(x, e, limb, table)
    for i in range(0, N, LANES):
        randomness = load(v, i)
        store(c0, i, canonical(mul_mod(randomness, load(b, i), q, qi) + load(m, i), q, qi))
        store(c1, i, canonical(mul_mod(randomness, load(a, i), q, qi) + load(e, i), q, qi))


@inlined
def _digits(flood: Words, start: int, out: Floats) -> None:
    """The top 53 bits of a strip of random words uint64[4, N] as digits in [−2^52, 2^52), one strip after another."""
    for j in range(FLOOD_DIGITS):
        words = flood[j, start : start + _STRIP]
        for i in range(0, _STRIP, LANES):
            store(out, j * _STRIP + i, float_from_word(load(words, i) >> _FLOOD_SHIFT) - _FLOOD_HALF)


@inlined
def _once(t: np.uint64) -> np.uint64:
    """A sum of up to seven elements mod p: (t mod 2^61) + ⌊t/2^61⌋·(2^21 − 1) < 2p."""
    t = t - (t >> np.uint64(61)) * np.uint64(P)
    return min(t, t - np.uint64(P))


@inlined
def _fold(t: np.uint64) -> np.uint64:
    """Any 64-bit t mod p, also for a vector: below 2p first, then a blend takes p off."""
    t = (t & _MASK_61) + ((t >> _61) << _21) - (t >> _61)
    return where_negative(t - _P, t, t - _P)


@inlined
def _dot(d0: float, d1: float, d2: float, d3: float, factors: Words) -> np.uint64:
    """Σ d_j·factors[j] mod p for digits below 2^50, from parts of 25 bits and factors' parts of 31 and 30.

    So sums of four products stay below 2^58, and 2^61 ≡ 2^21 − 1 takes their weights 1, 2^25, 2^31, 2^56 away.
    """
    f0, f1, f2, f3 = factors[0], factors[1], factors[2], factors[3]
    g0, g1, g2, g3 = f0 & _LOW_31, f1 & _LOW_31, f2 & _LOW_31, f3 & _LOW_31
    h0, h1, h2, h3 = f0 >> _31, f1 >> _31, f2 >> _31, f3 >> _31
    w0, w1, w2, w3 = to_word(d0), to_word(d1), to_word(d2), to_word(d3)
    x0, x1, x2, x3 = w0 & _LOW_25, w1 & _LOW_25, w2 & _LOW_25, w3 & _LOW_25
    y0, y1, y2, y3 = w0 >> _25, w1 >> _25, w2 >> _25, w3 >> _25
    low = times_32(x0, g0) + times_32(x1, g1) + times_32(x2, g2) + times_32(x3, g3)
    left = times_32(y0, g0) + times_32(y1, g1) + times_32(y2, g2) + times_32(y3, g3)
    right = times_32(x0, h0) + times_32(x1, h1) + times_32(x2, h2) + times_32(x3, h3)
    top = times_32(y0, h0) + times_32(y1, h1) + times_32(y2, h2) + times_32(y3, h3)
    high = top >> _5  # top·2^56 = high·2^61 + (top mod 2^5)·2^56, and high·2^21 is cut at 2^61 again
    ones = (left >> _36) + (right >> _30) + (high >> _40)  # each times 2^61
    t = low + ((left & _LOW_36) << _25) + ((right & _LOW_30) << _31) + ((top & _LOW_5) << _56)
    return _fold(t + ((high & _LOW_40) << _21) + (ones << _21) + (_P - high - ones))


@inlined
def _rows(strips: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Four strips that lie one after another."""
    return strips[:_STRIP], strips[_STRIP : 2 * _STRIP], strips[2 * _STRIP : 3 * _STRIP], strips[3 * _STRIP :]


@kernel
def expand(flood: Words, radix: Floats, limbs: Floats, out: Floats) -> None:
    """Flooding words uint64[4, N] to residues float64[6, N], centred (step L.8).

    In strips, so that the words are read from memory once and not for every limb.
    """
    digits = local(FLOOD_DIGITS * _STRIP)
    d0, d1, d2, d3 = _rows(digits)
    for start in range(0, N, _STRIP):
        _digits(flood, start, digits)
        for limb in range(limbs.shape[0]):
            q, qi, target = limbs[limb, Q], limbs[limb, Q_INVERSE], out[limb, start : start + _STRIP]
            r1, r2, r3 = radix[limb, 1], radix[limb, 2], radix[limb, 3]
            for i in range(0, _STRIP, LANES):
                high = mul_mod(load(d1, i), r1, q, qi) + mul_mod(load(d2, i), r2, q, qi)
                store(target, i, centre(load(d0, i) + high + mul_mod(load(d3, i), r3, q, qi), q, qi))


@inlined
def _lifted(word: np.uint64, plain: float, two_49: float, q: float, qi: float) -> float:
    """A number in [0, p), lifted to (−p/2, p/2), modulo q and centred."""
    sign = where_negative(_HALF_P - word, plain, 0.0)
    return centre(split(word, two_49, q, qi) - sign, q, qi)


@kernel
def reply_limb(
    plain_x: Words,
    flood: Floats,
    c0: Bytes,
    c1: Bytes,
    b: Floats,
    a: Floats,
    limb: Floats,
    table: Floats,
    work: Floats,
    out0: Floats,
    out1: Floats,
) -> None:
    """One limb of (x·c0 + b·v', x·c1 + a·v'), coefficient form within 0.6q (step L.8).

    plain_x: coefficients uint64[N] in [0, p); flood: residues of v', overwritten, may be out0; c0 and c1 packed; work
    float64[4, N] is scratch.
    """
    q, qi, plain, two_49 = limb[Q], limb[Q_INVERSE], limb[PLAIN], limb[TWO_49]
    v, x, y, z = work[0], work[1], work[2], work[3]
    forward(flood, v, limb, table)
    for i in range(0, N, LANES):
        store(y, i, _lifted(load(plain_x, i), plain, two_49, q, qi))
    forward(y, x, limb, table)
    for quarter in range(4):
        for j in range(0, QUARTER, LANES):
            i = quarter * QUARTER + j
            factor, noise = centre(load(x, i), q, qi), load(v, i)
            product = mul_mod(to_float(packed_words(c0, j, quarter)), factor, q, qi)
            store(y, i, product + mul_mod(noise, load(b, i), q, qi))
            product = mul_mod(to_float(packed_words(c1, j, quarter)), factor, q, qi)
            store(z, i, product + mul_mod(noise, load(a, i), q, qi))
    inverse(y, out0, limb, table)
    inverse(z, out1, limb, table)


@kernel
def scale_limb(
    factor: np.uint64,
    flood: Floats,
    c0: Bytes,
    c1: Bytes,
    b: Floats,
    a: Floats,
    limb: Floats,
    table: Floats,
    work: Floats,
    out0: Floats,
    out1: Floats,
) -> None:
    """The same as :func:`reply_limb` for the constant polynomial x = ``factor`` in [0, p)."""
    q, qi, plain, two_49 = limb[Q], limb[Q_INVERSE], limb[PLAIN], limb[TWO_49]
    v, y, z = work[0], work[2], work[3]
    x = _lifted(factor, plain, two_49, q, qi)
    forward(flood, v, limb, table)
    for quarter in range(4):
        for j in range(0, QUARTER, LANES):
            i = quarter * QUARTER + j
            noise = load(v, i)
            product = mul_mod(to_float(packed_words(c0, j, quarter)), x, q, qi)
            store(y, i, product + mul_mod(noise, load(b, i), q, qi))
            product = mul_mod(to_float(packed_words(c1, j, quarter)), x, q, qi)
            store(z, i, product + mul_mod(noise, load(a, i), q, qi))
    inverse(y, out0, limb, table)
    inverse(z, out1, limb, table)


@inlined
def _halves(words: Words, low: Floats, high: Floats) -> None:
    """Numbers below 2^61 as two floats each: low < 2^49, and high a multiple of 2^49."""
    for i in range(0, _STRIP, LANES):
        word = load(words, i)
        store(low, i, to_float(word & _DIGIT_MASK))
        store(high, i, to_float(word >> _DIGIT) * _TWO_49)


@inlined
def _sum(
    c: Floats, low: Floats, high: Floats, digits: Floats, factors: Floats, q: float, qi: float, out: Floats
) -> None:
    """C + r + Σ digit_j·factors[j] modulo one prime, centred: factors are p·2^(53j) mod q, r = low + high."""
    f0, f1, f2, f3 = factors[0], factors[1], factors[2], factors[3]
    d0, d1, d2, d3 = _rows(digits)
    for i in range(0, _STRIP, LANES):
        e = mul_mod(load(d0, i), f0, q, qi) + mul_mod(load(d1, i), f1, q, qi)
        e = e + mul_mod(load(d2, i), f2, q, qi) + mul_mod(load(d3, i), f3, q, qi)
        store(out, i, centre(load(c, i) + centre(load(high, i), q, qi) + load(low, i) + e, q, qi))


@inlined
def _mixed_radix(c: Floats, limbs: Floats, garner: Floats, digits: Floats) -> None:
    """The digits of c mod q2q3q4q5 = d2 + d3·q2 + d4·q2q3 + d5·q2q3q4, from six strips of centred residues."""
    q2, q3, q4, q5 = limbs[2, Q], limbs[3, Q], limbs[4, Q], limbs[5, Q]
    i3, i4, i5 = limbs[3, Q_INVERSE], limbs[4, Q_INVERSE], limbs[5, Q_INVERSE]
    c2, c3, c4, c5 = _rows(c[2 * _STRIP :])
    f2, f3, f4, f5 = _rows(digits)
    g0, g1, g2, g3, g4, g5 = garner[0], garner[1], garner[2], garner[3], garner[4], garner[5]
    for i in range(0, _STRIP, LANES):
        d2 = lift(load(c2, i), q2)
        d3 = lift(mul_mod(load(c3, i) - d2, g0, q3, i3), q3)
        t = mul_mod(load(c4, i) - d2, g1, q4, i4) - d3
        d4 = lift(mul_mod(t, g2, q4, i4), q4)
        u = mul_mod(load(c5, i) - d2, g3, q5, i5) - d3
        u = mul_mod(u, g4, q5, i5) - d4
        store(f2, i, d2)
        store(f3, i, d3)
        store(f4, i, d4)
        store(f5, i, lift(mul_mod(u, g5, q5, i5), q5))


@inlined
def _divide(
    c: Floats, digits: Floats, low: Floats, high: Floats, spread: Floats, q: float, qi: float, out: Words
) -> None:
    """(c − d)/(q2q3q4q5) − k modulo one kept prime, canonical; digits are those of d, k = low + high."""
    d2, d3, d4, d5 = _rows(digits)
    s3, s4, s5, scale = spread[0], spread[1], spread[2], spread[3]
    for i in range(0, _STRIP, LANES):
        upper = mul_mod(load(d3, i), s3, q, qi) + mul_mod(load(d4, i), s4, q, qi) + mul_mod(load(d5, i), s5, q, qi)
        quotient = mul_mod(load(c, i) - (load(d2, i) + upper), scale, q, qi)
        store(out, i, canonical(quotient - load(low, i) - centre(load(high, i), q, qi), q, qi))


@kernel
def finish(
    c: Floats,
    flood: Words,
    mask: Words,
    radix: Floats,
    limbs: Floats,
    garner: Floats,
    spread: Floats,
    factors: Words,
    out: Words,
) -> None:
    """Add p·e' + r to a polynomial and divide it by the last four primes (steps L.8 and L.9).

    c float64[6, N] within q; flood uint64[4, N]: random words for e'; mask uint64[N]: r in [0, p); out
    uint64[2, N] in [0, q).  radix (p·2^(53j) modulo each prime), garner, spread and factors hold the constants of
    :mod:`protocol.lattice.switching`.
    """
    count = limbs.shape[0]
    sums, digits = local(count * _STRIP), local(4 * _STRIP)
    low, high, k = local(_STRIP), local(_STRIP), local(_STRIP).view(np.uint64)  # low and high halves of r, then of k
    d0, d1, d2, d3 = _rows(digits)  # of e' first, then of c mod q2q3q4q5
    for start in range(0, N, _STRIP):
        stop = start + _STRIP
        _digits(flood, start, digits)
        _halves(mask[start:stop], low, high)
        for limb in range(count):
            q, qi = limbs[limb, Q], limbs[limb, Q_INVERSE]
            _sum(c[limb, start:stop], low, high, digits, radix[limb], q, qi, sums[limb * _STRIP :])
        _mixed_radix(sums, limbs, garner, digits)
        # k ≡ −d / (q2q3q4q5) mod p, so that d + k·q2q3q4q5 ≡ 0 mod p
        for i in range(0, _STRIP, LANES):
            store(k, i, _dot(load(d0, i), load(d1, i), load(d2, i), load(d3, i), factors))
        _halves(k, low, high)
        for j in range(out.shape[0]):
            q, qi = limbs[j, Q], limbs[j, Q_INVERSE]
            _divide(sums[j * _STRIP :], digits, low, high, spread[j], q, qi, out[j, start:stop])


@kernel
def phase(
    c0: Words, c1: Words, s: Floats, limbs: Floats, tables: Floats, work: Floats, digits: Floats, out: Words
) -> None:
    """c0 + s·c1 modulo the two kept primes, as two mixed-radix digits uint64[2, N] (step L.10).

    c0, c1 uint64[2, N] coefficients; s float64[2, N] evaluations; digits[0] = q0^−1 mod q1.
    """
    for j in range(2):
        q, qi = limbs[j, Q], limbs[j, Q_INVERSE]
        x, y, z = work[0], work[1], work[2 + j]
        words, key = c1[j], s[j]
        for i in range(0, N, LANES):
            store(x, i, to_float(load(words, i)))
        forward(x, y, limbs[j], tables[j])
        for i in range(0, N, LANES):
            store(y, i, mul_mod(load(y, i), load(key, i), q, qi))
        inverse(y, z, limbs[j], tables[j])
        words = c0[j]
        for i in range(0, N, LANES):
            store(z, i, centre(load(z, i) + to_float(load(words, i)), q, qi))
    q0, q1, i1 = limbs[0, Q], limbs[1, Q], limbs[1, Q_INVERSE]
    z0, z1, out0, out1 = work[2], work[3], out[0], out[1]
    for i in range(0, N, LANES):
        d0 = lift(load(z0, i), q0)
        store(out0, i, to_word(d0))
        store(out1, i, canonical(mul_mod(load(z1, i) - d0, digits[0], q1, i1), q1, i1))


@kernel
def decode(digits: Words, bound: np.uint64, q1: np.uint64, factors: Words, out: Words) -> np.uint64:
    """Phase digits to plaintext coefficients in [0, p); returns 0 if every phase is within ±bound·q0 (step
    L.10).

    factors: (q/q', q0·q/q', −q'·q/q') mod p.
    """
    low, high = digits[0], digits[1]
    unit, radix, wrap = factors[0], factors[1], factors[2]
    upper, sign = q1 - bound, np.uint64(63)
    beyond = np.uint64(0)
    for i in range(N):
        h = high[i]
        negative = (bound - np.uint64(1) - h) >> sign  # 1 if h ≥ bound, all being below 2^63
        beyond |= negative & ((h - upper) >> sign)
        out[i] = _once(mul_p(low[i], unit) + mul_p(h, radix) + (wrap & (np.uint64(0) - negative)))
    return beyond
