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
from protocol.lattice.arithmetic import canonical, centre, mul_mod, to_float, to_word
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
_BLOCK: Final = 64
_GROUP: Final = 4

Flags = npt.NDArray[np.uint8]


@inlined
def _wide(low: np.uint64, high: np.uint64, two_49: float, q: float, qi: float) -> float:
    """high·2^49 + low mod q, within 1.2q."""
    return mul_mod(to_float(high), two_49, q, qi) + to_float(low)


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
    for i in range(N):
        x[i] = to_float(ternary[i]) - offset_v
    forward(x, v, limb, table)
    for i in range(N):
        noise = mul_mod(to_float(error_0[i]) - offset_e, plain, q, qi)
        x[i] = centre(_wide(low[i], high[i], two_49, q, qi) - offset_m + noise, q, qi)
    forward(x, m, limb, table)
    for i in range(N):
        x[i] = mul_mod(to_float(error_1[i]) - offset_e, plain, q, qi)
    forward(x, e, limb, table)
    for i in range(N):
        c0[i] = canonical(mul_mod(b[i], v[i], q, qi) + m[i], q, qi)
        c1[i] = canonical(mul_mod(a[i], v[i], q, qi) + e[i], q, qi)


@inlined
def _digits(words: Words, out: Floats) -> None:
    """The top 53 bits of random words as digits in [−2^52, 2^52)."""
    for i in range(out.size):
        word = words[i] >> _FLOOD_SHIFT
        out[i] = to_float(word >> _HALF_WORD) * _TWO_32 + to_float(word & _LOW_HALF) - _FLOOD_HALF


@inlined
def _flood(d0: Floats, d1: Floats, d2: Floats, d3: Floats, radix: Floats, q: float, qi: float, out: Floats) -> None:
    """Σ digit_j·2^(53j) mod q, centred, for every coefficient: one array a digit."""
    r1, r2, r3 = radix[1], radix[2], radix[3]
    for i in range(out.size):
        high = mul_mod(d1[i], r1, q, qi) + mul_mod(d2[i], r2, q, qi) + mul_mod(d3[i], r3, q, qi)
        out[i] = centre(d0[i] + high, q, qi)


@inlined
def _once(t: np.uint64) -> np.uint64:
    """A sum of up to seven elements mod p: (t mod 2^61) + ⌊t/2^61⌋·(2^21 − 1) < 2p."""
    t = t - (t >> np.uint64(61)) * np.uint64(P)
    return min(t, t - np.uint64(P))


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
    for i in range(N):
        sign = plain if plain_x[i] > _HALF_P else 0.0  # a blend: x is lifted to (−p/2, p/2)
        y[i] = centre(_wide(plain_x[i] & _DIGIT_MASK, plain_x[i] >> _DIGIT, two_49, q, qi) - sign, q, qi)
    forward(y, x, limb, table)
    for i in range(N):
        y[i] = centre(mul_mod(to_float(c0[i]), x[i], q, qi) + mul_mod(b[i], v[i], q, qi), q, qi)
    inverse(y, out0, limb, table)
    for i in range(N):
        y[i] = centre(mul_mod(to_float(c1[i]), x[i], q, qi) + mul_mod(a[i], v[i], q, qi), q, qi)
    inverse(y, out1, limb, table)


@inlined
def _add_errors(c: Floats, mask: Words, plain: float, two_49: float, q: float, qi: float, out: Floats) -> None:
    """Sum c + p·out + r modulo one prime, centred, where ``out`` holds e'."""
    for i in range(out.size):
        r = _wide(mask[i] & _DIGIT_MASK, mask[i] >> _DIGIT, two_49, q, qi)
        out[i] = centre(c[i] + mul_mod(out[i], plain, q, qi) + r, q, qi)


@inlined
def _mixed_radix(c: Floats, limbs: Floats, garner: Floats, digits: Floats) -> None:
    """The digits of c mod q2q3q4q5 = d2 + d3·q2 + d4·q2q3 + d5·q2q3q4, from residues float64[6, n]."""
    q2, q3, q4, q5 = limbs[2, Q], limbs[3, Q], limbs[4, Q], limbs[5, Q]
    i2, i3, i4, i5 = limbs[2, Q_INVERSE], limbs[3, Q_INVERSE], limbs[4, Q_INVERSE], limbs[5, Q_INVERSE]
    c2, c3, c4, c5 = c[2], c[3], c[4], c[5]
    f2, f3, f4, f5 = digits[0], digits[1], digits[2], digits[3]
    g0, g1, g2, g3, g4, g5 = garner[0], garner[1], garner[2], garner[3], garner[4], garner[5]
    for i in range(c2.size):
        d2 = to_float(canonical(c2[i], q2, i2))
        d3 = to_float(canonical(mul_mod(c3[i] - d2, g0, q3, i3), q3, i3))
        t = mul_mod(c4[i] - d2, g1, q4, i4) - d3
        d4 = to_float(canonical(mul_mod(t, g2, q4, i4), q4, i4))
        t = mul_mod(c5[i] - d2, g3, q5, i5) - d3
        t = mul_mod(t, g4, q5, i5) - d4
        d5 = to_float(canonical(mul_mod(t, g5, q5, i5), q5, i5))
        f2[i], f3[i], f4[i], f5[i] = d2, d3, d4, d5


@inlined
def _divide(
    c: Floats, digits: Floats, k: Words, spread: Floats, two_49: float, q: float, qi: float, out: Words
) -> None:
    """(c − d)/(q2q3q4q5) − k modulo one kept prime, canonical; digits float64[4, N] are those of d."""
    d2, d3, d4, d5 = digits[0], digits[1], digits[2], digits[3]
    s3, s4, s5, scale = spread[0], spread[1], spread[2], spread[3]
    for i in range(out.size):
        d = d2[i] + mul_mod(d3[i], s3, q, qi) + mul_mod(d4[i], s4, q, qi) + mul_mod(d5[i], s5, q, qi)
        quotient = mul_mod(c[i] - d, scale, q, qi)
        out[i] = canonical(quotient - _wide(k[i] & _DIGIT_MASK, k[i] >> _DIGIT, two_49, q, qi), q, qi)


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
    k2, k3, k4, k5 = factors[0], factors[1], factors[2], factors[3]
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
        for i in range(_STRIP):
            t = mul_p(to_word(d0[i]), k2) + mul_p(to_word(d1[i]), k3)
            t += mul_p(to_word(d2[i]), k4) + mul_p(to_word(d3[i]), k5)
            k[i] = _once(t)
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
        for i in range(N):
            x[i] = to_float(words[i])
        forward(x, y, limbs[j], tables[j])
        for i in range(N):
            y[i] = mul_mod(y[i], key[i], q, qi)
        inverse(y, z, limbs[j], tables[j])
        words = c0[j]
        for i in range(N):
            z[i] = centre(z[i] + to_float(words[i]), q, qi)
    q0, i0, q1, i1 = limbs[0, Q], limbs[0, Q_INVERSE], limbs[1, Q], limbs[1, Q_INVERSE]
    z0, z1, out0, out1 = work[2], work[3], out[0], out[1]
    for i in range(N):
        d0 = canonical(z0[i], q0, i0)
        out0[i] = d0
        out1[i] = canonical(mul_mod(z1[i] - to_float(d0), digits[0], q1, i1), q1, i1)


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
    for i in range(N):
        t = _wide(sums[i] & _DIGIT_MASK, sums[i] >> _DIGIT, two_49, q, qi)
        c[i] = canonical(to_float(c[i]) - t, q, qi)
