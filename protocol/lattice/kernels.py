"""The lattice layer's compiled inner loops, one limb (prime) at a time (``docs/protocol-lattice.md``,
section L.3).

A wide integer arrives as words with a common offset: coefficient i stands for
``words[HIGH]·2^49 + words[LOW] − offset`` and so on.  No loop branches or indexes on a word.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from protocol._jit import inlined, kernel
from protocol.field import P, mul_p
from protocol.lattice.arithmetic import canonical, centre, mul_mod, positive, to_float, to_word
from protocol.lattice.lanes import LANES, load, store, times_32, where_negative
from protocol.lattice.packing import Words
from protocol.lattice.params import DIGIT_BITS, FLOOD_DIGIT_BITS, PARAMETERS
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
_HALF_WORD = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFF_FFFF)
_TWO_32 = float(1 << 32)
_FLOOD_HALF = float(1 << (FLOOD_DIGIT_BITS - 1))
_STRIP: Final = 256  # coefficients worked on at a time, to stay in the first-level cache
_P = np.uint64(P)
_MASK_61, _LOW_40, _LOW_36, _LOW_31, _LOW_30, _LOW_25, _LOW_5 = (
    np.uint64((1 << bits) - 1) for bits in (61, 40, 36, 31, 30, 25, 5)
)
_61, _56, _40, _36, _31, _30, _25, _21, _5 = (np.uint64(bits) for bits in (61, 56, 40, 36, 31, 30, 25, 21, 5))
_BLOCK: Final = 64
_GROUP: Final = 4

Flags = npt.NDArray[np.uint8]


@inlined
def _wide(low: np.uint64, high: np.uint64, two_49: float, q: float, qi: float) -> float:
    """high·2^49 + low mod q, within 1.2q."""
    return mul_mod(to_float(high), two_49, q, qi) + to_float(low)


@inlined
def _split(word: np.uint64, two_49: float, q: float, qi: float) -> float:
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
        store(c0, i, canonical(mul_mod(load(b, i), randomness, q, qi) + load(m, i), q, qi))
        store(c1, i, canonical(mul_mod(load(a, i), randomness, q, qi) + load(e, i), q, qi))


@inlined
def _digits(words: Words, out: Floats) -> None:
    """The top 53 bits of random words as digits in [−2^52, 2^52)."""
    for i in range(0, out.size, LANES):
        word = load(words, i) >> _FLOOD_SHIFT
        digit = to_float(word >> _HALF_WORD) * _TWO_32 + to_float(word & _LOW_HALF) - _FLOOD_HALF
        store(out, i, digit)


@inlined
def _flood(d0: Floats, d1: Floats, d2: Floats, d3: Floats, radix: Floats, q: float, qi: float, out: Floats) -> None:
    """Σ digit_j·2^(53j) mod q, centred, for every coefficient: one array a digit."""
    r1, r2, r3 = radix[1], radix[2], radix[3]
    for i in range(0, out.size, LANES):
        high = mul_mod(load(d1, i), r1, q, qi) + mul_mod(load(d2, i), r2, q, qi) + mul_mod(load(d3, i), r3, q, qi)
        store(out, i, centre(load(d0, i) + high, q, qi))


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


@kernel
def expand(flood: Words, radix: Floats, limbs: Floats, out: Floats) -> None:
    """Flooding words uint64[4, N] to residues float64[6, N], centred (step L.8).

    In blocks, so that the words are read from memory once and not for every limb.
    """
    d0, d1, d2, d3 = np.empty(_STRIP), np.empty(_STRIP), np.empty(_STRIP), np.empty(_STRIP)
    for start in range(0, N, _STRIP):
        stop = start + _STRIP
        _digits(flood[0, start:stop], d0)
        _digits(flood[1, start:stop], d1)
        _digits(flood[2, start:stop], d2)
        _digits(flood[3, start:stop], d3)
        for limb in range(limbs.shape[0]):
            q, qi = limbs[limb, Q], limbs[limb, Q_INVERSE]
            _flood(d0, d1, d2, d3, radix[limb], q, qi, out[limb, start:stop])


@kernel
def reply_limb(
    plain_x: Words,
    flood: Floats,
    c0: Words,
    c1: Words,
    b: Floats,
    a: Floats,
    limb: Floats,
    table: Floats,
    work: Floats,
    out0: Floats,
    out1: Floats,
) -> None:
    """One limb of (x·c0 + b·v', x·c1 + a·v'), coefficient form within 2.02q (step L.8).

    plain_x: coefficients uint64[N] in [0, p); flood: residues of v', overwritten; work float64[3, N] is
    scratch.
    """
    q, qi, plain, two_49 = limb[Q], limb[Q_INVERSE], limb[PLAIN], limb[TWO_49]
    y, x, v = work[0], work[1], work[2]
    forward(flood, v, limb, table)
    for i in range(0, N, LANES):
        word = load(plain_x, i)
        sign = where_negative(_HALF_P - word, plain, 0.0)  # x is lifted to (−p/2, p/2)
        store(y, i, centre(_split(word, two_49, q, qi) - sign, q, qi))
    forward(y, x, limb, table)
    for i in range(0, N, LANES):
        product = mul_mod(to_float(load(c0, i)), load(x, i), q, qi)
        store(y, i, centre(product + mul_mod(load(b, i), load(v, i), q, qi), q, qi))
    inverse(y, out0, limb, table)
    for i in range(0, N, LANES):
        product = mul_mod(to_float(load(c1, i)), load(x, i), q, qi)
        store(y, i, centre(product + mul_mod(load(a, i), load(v, i), q, qi), q, qi))
    inverse(y, out1, limb, table)


@kernel
def scale_limb(
    factor: np.uint64,
    flood: Floats,
    c0: Words,
    c1: Words,
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
    y, v = work[0], work[2]
    sign = where_negative(_HALF_P - factor, plain, 0.0)  # lifted to (−p/2, p/2) as x is
    x = centre(_split(factor, two_49, q, qi) - sign, q, qi)
    forward(flood, v, limb, table)
    for i in range(0, N, LANES):
        product = mul_mod(to_float(load(c0, i)), x, q, qi)
        store(y, i, centre(product + mul_mod(load(b, i), load(v, i), q, qi), q, qi))
    inverse(y, out0, limb, table)
    for i in range(0, N, LANES):
        product = mul_mod(to_float(load(c1, i)), x, q, qi)
        store(y, i, centre(product + mul_mod(load(a, i), load(v, i), q, qi), q, qi))
    inverse(y, out1, limb, table)


@inlined
def _add_errors(c: Floats, mask: Words, plain: float, two_49: float, q: float, qi: float, out: Floats) -> None:
    """Sum c + p·out + r modulo one prime, centred, where ``out`` holds e'."""
    for i in range(0, out.size, LANES):
        r = _split(load(mask, i), two_49, q, qi)
        store(out, i, centre(load(c, i) + mul_mod(load(out, i), plain, q, qi) + r, q, qi))


@inlined
def _mixed_radix(c: Floats, limbs: Floats, garner: Floats, digits: Floats) -> None:
    """The digits of c mod q2q3q4q5 = d2 + d3·q2 + d4·q2q3 + d5·q2q3q4, from residues float64[6, n]."""
    q2, q3, q4, q5 = limbs[2, Q], limbs[3, Q], limbs[4, Q], limbs[5, Q]
    i2, i3, i4, i5 = limbs[2, Q_INVERSE], limbs[3, Q_INVERSE], limbs[4, Q_INVERSE], limbs[5, Q_INVERSE]
    c2, c3, c4, c5 = c[2], c[3], c[4], c[5]
    f2, f3, f4, f5 = digits[0], digits[1], digits[2], digits[3]
    g0, g1, g2, g3, g4, g5 = garner[0], garner[1], garner[2], garner[3], garner[4], garner[5]
    for i in range(0, c2.size, LANES):
        d2 = positive(load(c2, i), q2, i2)
        d3 = positive(mul_mod(load(c3, i) - d2, g0, q3, i3), q3, i3)
        t = mul_mod(load(c4, i) - d2, g1, q4, i4) - d3
        d4 = positive(mul_mod(t, g2, q4, i4), q4, i4)
        u = mul_mod(load(c5, i) - d2, g3, q5, i5) - d3
        u = mul_mod(u, g4, q5, i5) - d4
        store(f2, i, d2)
        store(f3, i, d3)
        store(f4, i, d4)
        store(f5, i, positive(mul_mod(u, g5, q5, i5), q5, i5))


@inlined
def _divide(
    c: Floats, digits: Floats, k: Words, spread: Floats, two_49: float, q: float, qi: float, out: Words
) -> None:
    """(c − d)/(q2q3q4q5) − k modulo one kept prime, canonical; digits float64[4, N] are those of d."""
    d2, d3, d4, d5 = digits[0], digits[1], digits[2], digits[3]
    s3, s4, s5, scale = spread[0], spread[1], spread[2], spread[3]
    for i in range(0, out.size, LANES):
        high = mul_mod(load(d3, i), s3, q, qi) + mul_mod(load(d4, i), s4, q, qi) + mul_mod(load(d5, i), s5, q, qi)
        quotient = mul_mod(load(c, i) - (load(d2, i) + high), scale, q, qi)
        store(out, i, canonical(quotient - _split(load(k, i), two_49, q, qi), q, qi))


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

    c float64[6, N] within 4q; flood uint64[4, N]: random words for e'; mask uint64[N]: r in [0, p); out
    uint64[2, N] in [0, q).  garner, spread and factors hold the constants of
    :mod:`protocol.lattice.switching`.
    """
    count = limbs.shape[0]
    sums, digits, k = np.empty((count, _STRIP)), np.empty((4, _STRIP)), np.empty(_STRIP, dtype=np.uint64)
    d0, d1, d2, d3 = digits[0], digits[1], digits[2], digits[3]  # of e' first, then of c mod q2q3q4q5
    for start in range(0, N, _STRIP):
        stop = start + _STRIP
        _digits(flood[0, start:stop], d0)
        _digits(flood[1, start:stop], d1)
        _digits(flood[2, start:stop], d2)
        _digits(flood[3, start:stop], d3)
        r = mask[start:stop]
        for limb in range(count):
            q, qi, plain, two_49 = (
                limbs[limb, Q],
                limbs[limb, Q_INVERSE],
                limbs[limb, PLAIN],
                limbs[limb, TWO_49],
            )
            _flood(d0, d1, d2, d3, radix[limb], q, qi, sums[limb])
            _add_errors(c[limb, start:stop], r, plain, two_49, q, qi, sums[limb])
        _mixed_radix(sums, limbs, garner, digits)
        # k ≡ −d / (q2q3q4q5) mod p, so that d + k·q2q3q4q5 ≡ 0 mod p
        for i in range(0, _STRIP, LANES):
            store(k, i, _dot(load(d0, i), load(d1, i), load(d2, i), load(d3, i), factors))
        for j in range(out.shape[0]):
            q, qi, two_49 = limbs[j, Q], limbs[j, Q_INVERSE], limbs[j, TWO_49]
            _divide(sums[j], digits, k, spread[j], two_49, q, qi, out[j, start:stop])


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
    q0, i0, q1, i1 = limbs[0, Q], limbs[0, Q_INVERSE], limbs[1, Q], limbs[1, Q_INVERSE]
    z0, z1, out0, out1 = work[2], work[3], out[0], out[1]
    for i in range(0, N, LANES):
        d0 = positive(load(z0, i), q0, i0)
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


@kernel
def combine(selection: Flags, words: Words, out: Words) -> None:
    """out[k] = Σ of the words[i] that row k of a public 0/1 matrix selects: uint64[V, N] from uint64[U, N]."""
    rows, count = selection.shape
    groups = (count + _GROUP - 1) // _GROUP
    which = np.zeros((groups, rows), dtype=np.int64)
    for i in range(count):
        for k in range(rows):
            which[i // _GROUP, k] |= np.int64(selection[k, i]) << (i % _GROUP)
    subsets = np.zeros((1 << _GROUP, _BLOCK), dtype=np.uint64)  # all sums within a group (four Russians)
    sums = np.empty((rows, _BLOCK), dtype=np.uint64)
    for start in range(0, words.shape[1], _BLOCK):
        for k in range(rows):
            target = sums[k]
            for j in range(_BLOCK):
                target[j] = np.uint64(0)
        for group in range(groups):
            for bit in range(_GROUP):
                i = min(group * _GROUP + bit, count - 1)  # a short last group repeats a word that no row selects
                source = words[i, start : start + _BLOCK]
                for subset in range(1 << bit):
                    former, target = subsets[subset], subsets[(1 << bit) + subset]
                    for j in range(_BLOCK):
                        target[j] = former[j] + source[j]
            for k in range(rows):
                target, source = sums[k], subsets[which[group, k]]
                for j in range(_BLOCK):
                    target[j] += source[j]
        for k in range(rows):
            source, target = sums[k], out[k, start : start + _BLOCK]
            for j in range(_BLOCK):
                target[j] = source[j]


@kernel
def subtract(c: Words, sums: Words, limb: Floats) -> None:
    """Replace c by c − sums mod q, for c in [0, q) and sums below 2^58."""
    q, qi, two_49 = limb[Q], limb[Q_INVERSE], limb[TWO_49]
    for i in range(0, N, LANES):
        t = _split(load(sums, i), two_49, q, qi)
        store(c, i, canonical(to_float(load(c, i)) - t, q, qi))
