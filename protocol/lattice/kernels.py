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
from protocol.lattice.lanes import LANES, float_from_word, load, load_4, local, store, times_32, where_negative
from protocol.lattice.packing import QUARTER, Bytes, Words, pack, pack_words, packed_words
from protocol.lattice.params import (
    DIGIT_BITS,
    FLOOD_DIGIT_BITS,
    FLOOD_DIGITS,
    FLOOD_HIGH_BITS,
    PARAMETERS,
    PRIME_BITS,
    TIE_BITS,
    TURNS_HALF,
)
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
_TWO_49 = float(1 << DIGIT_BITS)
_FLOOD_HALF = float(1 << (FLOOD_DIGIT_BITS - 1))
_STRIP: Final = 256  # coefficients worked on at a time, to stay in the first-level cache
_P = np.uint64(P)
_LAST = np.uint64(PARAMETERS.primes[-1])
_HIGH_SHIFT = np.uint64(64 - FLOOD_HIGH_BITS)
_TIE_SHIFT = np.uint64(PRIME_BITS - TIE_BITS)
_32, _63 = np.uint64(32), np.uint64(63)
_ROUND = float(3 << 51)  # added and taken away again: rounds to an integer
_HALF_TURNS = float(TURNS_HALF)


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


@kernel
def encrypt(
    words: Words,
    offsets: Floats,
    b: Floats,
    a: Floats,
    limbs: Floats,
    tables: Floats,
    work: Floats,
    c: Words,
    packed: Bytes,
) -> None:
    """A whole ciphertext, packed: uint8[2, 6, 102400].  offsets float64[6, 3]; c uint64[2, N] is scratch."""
    for limb in range(limbs.shape[0]):
        encrypt_limb(words, offsets[limb], b[limb], a[limb], limbs[limb], tables[limb], work, c[0], c[1])
        for part in range(2):
            pack(c[part], packed[part, limb])


@inlined
def _digits(flood: Bytes, start: int, out: Floats) -> None:
    """A strip of random polynomials, packed, as digits in [−2^49, 2^49), one strip after another."""
    quarter, first = start // QUARTER, start % QUARTER
    for j in range(FLOOD_DIGITS):
        packed = flood[j]
        for i in range(0, _STRIP, LANES):
            store(out, j * _STRIP + i, to_float(packed_words(packed, first + i, quarter)) - _FLOOD_HALF)


@inlined
def _once(t: np.uint64) -> np.uint64:
    """A sum of up to seven elements mod p: (t mod 2^61) + ⌊t/2^61⌋·(2^21 − 1) < 2p."""
    t = t - (t >> np.uint64(61)) * np.uint64(P)
    return min(t, t - np.uint64(P))


@inlined
def _rows(strips: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Four strips that lie one after another."""
    return strips[:_STRIP], strips[_STRIP : 2 * _STRIP], strips[2 * _STRIP : 3 * _STRIP], strips[3 * _STRIP :]


@kernel
def expand(flood: Bytes, radix: Floats, limbs: Floats, out: Floats) -> None:
    """Flooding digits uint8[4, 102400] to residues float64[6, N], centred (step L.8).

    In strips, so that the digits are read from memory once and not for every limb.
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
def evaluate(plain: Words, limbs: Floats, tables: Floats, work: Floats, out: Floats) -> None:
    """A plaintext uint64[N] in [0, p), lifted, in evaluation form: float64[6, N], centred (step L.8)."""
    for limb in range(limbs.shape[0]):
        q, qi, modulus, two_49 = limbs[limb, Q], limbs[limb, Q_INVERSE], limbs[limb, PLAIN], limbs[limb, TWO_49]
        x, y = work[0], out[limb]
        for i in range(0, N, LANES):
            store(x, i, _lifted(load(plain, i), modulus, two_49, q, qi))
        forward(x, y, limbs[limb], tables[limb])
        for i in range(0, N, LANES):
            store(y, i, centre(load(y, i), q, qi))


@kernel
def evaluate_constant(plain: Words, limbs: Floats, out: Floats) -> None:
    """The same for a constant polynomial: eight copies of its coefficient, uint64[8] in [0, p)."""
    for limb in range(limbs.shape[0]):
        q, qi, target = limbs[limb, Q], limbs[limb, Q_INVERSE], out[limb]
        value = _lifted(load(plain, 0), limbs[limb, PLAIN], limbs[limb, TWO_49], q, qi)
        for i in range(0, N, LANES):
            store(target, i, value)


@kernel
def multiply_limb(
    x: Floats,
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
    """One limb of (x·c0 + b·v', x·c1 + a·v'), evaluation form within 2q (step L.8).

    x: evaluations float64[N], centred; flood: residues of v', overwritten, may be out0; c0 and c1 packed; work
    float64[N] is scratch.
    """
    q, qi = limb[Q], limb[Q_INVERSE]
    forward(flood, work, limb, table)
    for quarter in range(4):
        for j in range(0, QUARTER, LANES):
            i = quarter * QUARTER + j
            factor, noise = load(x, i), load(work, i)
            product = mul_mod(to_float(packed_words(c0, j, quarter)), factor, q, qi)
            store(out0, i, product + mul_mod(noise, load(b, i), q, qi))
            product = mul_mod(to_float(packed_words(c1, j, quarter)), factor, q, qi)
            store(out1, i, product + mul_mod(noise, load(a, i), q, qi))


@kernel
def multiply(
    x: Floats,
    flood: Bytes,
    radix: Floats,
    c: Bytes,
    b: Floats,
    a: Floats,
    limbs: Floats,
    tables: Floats,
    work: Floats,
    out: Floats,
) -> None:
    """(x·c0 + b·v', x·c1 + a·v'), evaluation form within 2q: float64[2, 6, N] (step L.8).

    x: evaluations float64[6, N], centred; flood: v' packed, uint8[4, 102400]; c packed, uint8[2, 6, 102400].
    """
    expand(flood, radix, limbs, out[0])
    for limb in range(limbs.shape[0]):
        multiply_limb(
            x[limb],
            out[0, limb],
            c[0, limb],
            c[1, limb],
            b[limb],
            a[limb],
            limbs[limb],
            tables[limb],
            work,
            out[0, limb],
            out[1, limb],
        )


@inlined
def _halves(words: Words, low: Floats, high: Floats) -> None:
    """Numbers below 2^61 as two floats each: low < 2^49, and high a multiple of 2^49."""
    for i in range(0, _STRIP, LANES):
        word = load(words, i)
        store(low, i, to_float(word & _DIGIT_MASK))
        store(high, i, to_float(word >> _DIGIT) * _TWO_49)


@inlined
def _quotient(c: Floats, limbs: Floats, garner: Floats, digits: Floats) -> None:
    """The digits of −c/p mod q2q3q4q5 = d2 + d3·q2 + d4·q2q3 + d5·q2q3q4, from four strips of residues within 2q."""
    q2, q3, q4, q5 = limbs[2, Q], limbs[3, Q], limbs[4, Q], limbs[5, Q]
    i2, i3, i4, i5 = limbs[2, Q_INVERSE], limbs[3, Q_INVERSE], limbs[4, Q_INVERSE], limbs[5, Q_INVERSE]
    c2, c3, c4, c5 = _rows(c)
    f2, f3, f4, f5 = _rows(digits)
    n2, n3, n4, n5 = garner[0], garner[1], garner[2], garner[3]
    g0, g1, g2, g3, g4, g5 = garner[4], garner[5], garner[6], garner[7], garner[8], garner[9]
    for i in range(0, _STRIP, LANES):
        d2 = lift(mul_mod(load(c2, i), n2, q2, i2), q2)
        d3 = lift(mul_mod(mul_mod(load(c3, i), n3, q3, i3) - d2, g0, q3, i3), q3)
        t = mul_mod(mul_mod(load(c4, i), n4, q4, i4) - d2, g1, q4, i4) - d3
        d4 = lift(mul_mod(t, g2, q4, i4), q4)
        u = mul_mod(mul_mod(load(c5, i), n5, q5, i5) - d2, g3, q5, i5) - d3
        u = mul_mod(u, g4, q5, i5) - d4
        store(f2, i, d2)
        store(f3, i, d3)
        store(f4, i, d4)
        store(f5, i, lift(mul_mod(u, g5, q5, i5), q5))


@inlined
def _turns(high: np.uint64, low: np.uint64, d4: float, d5: float, q5_inverse: float) -> float:
    """⌈(high − d5 + [low > ⌊d4/2^18⌋]) / q5⌉ for 63 and 32 random bits, less a constant (step L.9)."""
    above = ((to_word(d4) >> _TIE_SHIFT) - low) >> _63  # 1 if low is greater, both being below 2^32
    z = high + above + (_LAST - np.uint64(1)) - to_word(d5)  # ⌈…⌉ is ⌊z/q5⌋
    turns = float_from_word(z) * q5_inverse + _ROUND - _ROUND  # off by one at most
    word = to_word(turns)
    rest = z - times_32(word, _LAST) - (times_32(word, _LAST >> _32) << _32)
    return where_negative(rest, turns - 1.0, turns) - _HALF_TURNS


@inlined
def _rounding(
    r_low: Floats, r_high: Floats, digits: Floats, turns: Floats, spread: Floats, q: float, qi: float, out: Floats
) -> None:
    """(r + p·g)/(q2q3q4q5) modulo one kept prime, centred; g = the digits' number + turns·q2q3q4q5."""
    d2, d3, d4, d5 = _rows(digits)
    scale, s2, s3, s4, s5, plain = spread[0], spread[1], spread[2], spread[3], spread[4], spread[5]
    for i in range(0, _STRIP, LANES):
        t = mul_mod(centre(load(r_high, i), q, qi) + load(r_low, i), scale, q, qi)
        t = t + mul_mod(load(turns, i), plain, q, qi)
        t = t + mul_mod(load(d2, i), s2, q, qi) + mul_mod(load(d3, i), s3, q, qi)
        t = t + mul_mod(load(d4, i), s4, q, qi) + mul_mod(load(d5, i), s5, q, qi)
        store(out, i, centre(t, q, qi))


@kernel
def rounding(
    c: Floats, mask: Words, high: Words, low: Bytes, limbs: Floats, garner: Floats, spread: Floats, out: Floats
) -> None:
    """What takes a polynomial plus r to a multiple of the last four primes, over their product (steps L.8 and L.9).

    c float64[4, N]: the polynomial modulo those primes, within q; mask uint64[N]: r in [0, p); high uint64[N] and low
    uint8[4·N]: random words for e'; out float64[2, N]: (r + p·g)/(q2q3q4q5) modulo the kept primes, centred.  garner
    and spread hold the constants of :mod:`protocol.lattice.switching`.
    """
    kept, count = out.shape[0], c.shape[0]
    sums, digits, turns = local(count * _STRIP), local(4 * _STRIP), local(_STRIP)
    r_low, r_high = local(_STRIP), local(_STRIP)
    _, _, d4, d5 = _rows(digits)
    last = limbs[kept + count - 1, Q_INVERSE]
    for start in range(0, N, _STRIP):
        stop = start + _STRIP
        _halves(mask[start:stop], r_low, r_high)
        for j in range(count):
            q, qi, source = limbs[kept + j, Q], limbs[kept + j, Q_INVERSE], c[j, start:stop]
            for i in range(0, _STRIP, LANES):
                r = centre(load(r_high, i), q, qi) + load(r_low, i)
                store(sums, j * _STRIP + i, load(source, i) + r)
        _quotient(sums, limbs, garner, digits)
        words = high[start:stop]
        for i in range(0, _STRIP, LANES):
            word = load(words, i) >> _HIGH_SHIFT
            tie = load_4(low, 4 * (start + i))
            store(turns, i, _turns(word, tie, load(d4, i), load(d5, i), last))
        for j in range(kept):
            q, qi = limbs[j, Q], limbs[j, Q_INVERSE]
            _rounding(r_low, r_high, digits, turns, spread[j], q, qi, out[j, start:stop])


@inlined
def _joined(c: Floats, rounded: Floats, i: int, scale: float, q: float, qi: float) -> np.uint64:
    return canonical(mul_mod(load(c, i), scale, q, qi) + load(rounded, i), q, qi)


@kernel
def switch(
    c: Floats,
    mask: Words,
    high: Words,
    low: Bytes,
    limbs: Floats,
    tables: Floats,
    garner: Floats,
    spread: Floats,
    dropped: Floats,
    rounded: Floats,
    work: Floats,
    packed: Bytes,
) -> None:
    """Add r and p·e' to a polynomial and divide it by the last four primes: packed, evaluation form (step L.9).

    c float64[6, N]: evaluations within 2q; mask, high, low, garner and spread as for :func:`rounding`;
    dropped float64[4, N], rounded float64[2, N] and work float64[N] are scratch; packed uint8[2, 102400].
    """
    kept = rounded.shape[0]
    for j in range(dropped.shape[0]):
        inverse(c[kept + j], dropped[j], limbs[kept + j], tables[kept + j])
    rounding(dropped, mask, high, low, limbs, garner, spread, rounded)
    for limb in range(kept):
        q, qi, scale, source, out = limbs[limb, Q], limbs[limb, Q_INVERSE], spread[limb, 0], c[limb], packed[limb]
        forward(rounded[limb], work, limbs[limb], tables[limb])
        for j in range(0, QUARTER, LANES):
            w0 = _joined(source, work, j, scale, q, qi)
            w1 = _joined(source, work, QUARTER + j, scale, q, qi)
            w2 = _joined(source, work, 2 * QUARTER + j, scale, q, qi)
            w3 = _joined(source, work, 3 * QUARTER + j, scale, q, qi)
            pack_words(out, j, w0, w1, w2, w3)


@kernel
def phase(c: Bytes, s: Floats, limbs: Floats, tables: Floats, work: Floats, digits: Floats, out: Words) -> np.uint64:
    """c0 + s·c1 modulo the two kept primes, as two mixed-radix digits uint64[2, N] (step L.10).

    c packed uint8[2, 2, 102400] and s float64[2, N], evaluations; work float64[3, N] is scratch; digits[0] = q0^−1 mod
    q1.  Returns a non-zero value if a residue was not below its prime.
    """
    beyond = np.zeros(LANES, dtype=np.uint64)
    for limb in range(2):
        q, qi, last = limbs[limb, Q], limbs[limb, Q_INVERSE], np.uint64(limbs[limb, Q]) - np.uint64(1)
        x, z = work[0], work[1 + limb]
        c0, c1, key = c[0, limb], c[1, limb], s[limb]
        for quarter in range(4):
            for j in range(0, QUARTER, LANES):
                i = quarter * QUARTER + j
                word, factor = packed_words(c0, j, quarter), packed_words(c1, j, quarter)
                store(beyond, 0, load(beyond, 0) | ((last - word) >> _63) | ((last - factor) >> _63))
                store(x, i, to_float(word) + mul_mod(to_float(factor), load(key, i), q, qi))
        inverse(x, z, limbs[limb], tables[limb])
    q0, i0, q1, i1 = limbs[0, Q], limbs[0, Q_INVERSE], limbs[1, Q], limbs[1, Q_INVERSE]
    z0, z1, out0, out1 = work[1], work[2], out[0], out[1]
    for i in range(0, N, LANES):
        d0 = lift(centre(load(z0, i), q0, i0), q0)
        store(out0, i, to_word(d0))
        store(out1, i, canonical(mul_mod(load(z1, i) - d0, digits[0], q1, i1), q1, i1))
    return np.uint64(beyond.max())


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
