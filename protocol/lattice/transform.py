"""Negacyclic number-theoretic transforms modulo the primes of q (``docs/protocol-lattice.md``, step L.4).

Coefficient form is the natural order.  Evaluation form is bit-reversed and then transposed, 64 rows of 256,
so that every inner loop runs over contiguous memory; the order never matters, since evaluation forms only
meet each other.  Both directions work in passes of two stages (radix 4).
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from protocol._jit import kernel
from protocol.field import P
from protocol.lattice.arithmetic import centre, mul_mod
from protocol.lattice.params import PARAMETERS, primitive_root

Floats: TypeAlias = npt.NDArray[np.float64]

N: Final = PARAMETERS.slots
ROWS: Final = 64
COLUMNS: Final = N // ROWS
_TILE: Final = 8

# Constants of a limb, by their index in a row of LIMBS.
Q: Final = 0
Q_INVERSE: Final = 1
N_INVERSE: Final = 2  # 1/N: the inverse transform's factor
LAST: Final = 3  # the last stage's root over N
PLAIN: Final = 4  # p mod q
TWO_49: Final = 5  # 2^49 mod q
_CONSTANTS: Final = 6

# Layout of a row of TABLES: roots of the first eight stages, then one row of COLUMNS roots per butterfly row.
_FIRST: Final = COLUMNS
_HALF: Final = _FIRST + (ROWS - 1) * COLUMNS


@kernel
def forward(x: Floats, out: Floats, limb: Floats, table: Floats) -> None:
    """Coefficients |x| ≤ q to evaluations within 0.51q; ``x`` is overwritten."""
    q, qi = limb[Q], limb[Q_INVERSE]
    quarter = N // 4
    blocks = 1
    while quarter >= ROWS:
        for i in range(blocks):
            start = 4 * quarter * i
            x0 = x[start : start + quarter]
            x1 = x[start + quarter : start + 2 * quarter]
            x2 = x[start + 2 * quarter : start + 3 * quarter]
            x3 = x[start + 3 * quarter : start + 4 * quarter]
            w1, w2, w3 = table[blocks + i], table[2 * (blocks + i)], table[2 * (blocks + i) + 1]
            settle = quarter == ROWS
            for j in range(quarter):
                a, b = x0[j], x1[j]
                if settle:
                    a, b = centre(a, q, qi), centre(b, q, qi)
                c, d = mul_mod(x2[j], w1, q, qi), mul_mod(x3[j], w1, q, qi)
                e, f = mul_mod(b + d, w2, q, qi), mul_mod(b - d, w3, q, qi)
                x0[j], x1[j] = a + c + e, a + c - e
                x2[j], x3[j] = a - c + f, a - c - f
        quarter //= 4
        blocks *= 4
    for k0 in range(0, COLUMNS, _TILE):
        for c0 in range(0, ROWS, _TILE):
            for c in range(c0, c0 + _TILE):
                for k in range(k0, k0 + _TILE):
                    out[c * COLUMNS + k] = x[k * ROWS + c]
    quarter = ROWS // 4
    blocks = 1
    while quarter >= 1:
        settle = quarter == 4
        last = quarter == 1
        for i in range(blocks):
            at1 = _FIRST + (blocks - 1 + i) * COLUMNS
            at2 = _FIRST + (2 * blocks - 1 + 2 * i) * COLUMNS
            v1 = table[at1 : at1 + COLUMNS]
            v2 = table[at2 : at2 + COLUMNS]
            v3 = table[at2 + COLUMNS : at2 + 2 * COLUMNS]
            for j in range(quarter):
                start = (4 * quarter * i + j) * COLUMNS
                step = quarter * COLUMNS
                x0 = out[start : start + COLUMNS]
                x1 = out[start + step : start + step + COLUMNS]
                x2 = out[start + 2 * step : start + 2 * step + COLUMNS]
                x3 = out[start + 3 * step : start + 3 * step + COLUMNS]
                for k in range(COLUMNS):
                    a, b = x0[k], x1[k]
                    if settle:
                        a, b = centre(a, q, qi), centre(b, q, qi)
                    c, d = mul_mod(x2[k], v1[k], q, qi), mul_mod(x3[k], v1[k], q, qi)
                    e, f = mul_mod(b + d, v2[k], q, qi), mul_mod(b - d, v3[k], q, qi)
                    y0, y1, y2, y3 = a + c + e, a + c - e, a - c + f, a - c - f
                    if last:
                        y0, y1 = centre(y0, q, qi), centre(y1, q, qi)
                        y2, y3 = centre(y2, q, qi), centre(y3, q, qi)
                    x0[k], x1[k], x2[k], x3[k] = y0, y1, y2, y3
        quarter //= 4
        blocks *= 4


@kernel
def inverse(x: Floats, out: Floats, limb: Floats, table: Floats) -> None:
    """Evaluations |x| ≤ q to coefficients |y| ≤ 2.02q; ``x`` is overwritten."""
    q, qi = limb[Q], limb[Q_INVERSE]
    quarter = 1
    blocks = ROWS // 4
    while blocks >= 1:
        for i in range(blocks):
            at1 = _HALF + _FIRST + (blocks - 1 + i) * COLUMNS
            at2 = _HALF + _FIRST + (2 * blocks - 1 + 2 * i) * COLUMNS
            v1 = table[at1 : at1 + COLUMNS]
            v2 = table[at2 : at2 + COLUMNS]
            v3 = table[at2 + COLUMNS : at2 + 2 * COLUMNS]
            for j in range(quarter):
                start = (4 * quarter * i + j) * COLUMNS
                step = quarter * COLUMNS
                x0 = x[start : start + COLUMNS]
                x1 = x[start + step : start + step + COLUMNS]
                x2 = x[start + 2 * step : start + 2 * step + COLUMNS]
                x3 = x[start + 3 * step : start + 3 * step + COLUMNS]
                for k in range(COLUMNS):
                    a, b, c, d = x0[k], x1[k], x2[k], x3[k]
                    e, f = mul_mod(a - b, v2[k], q, qi), mul_mod(c - d, v3[k], q, qi)
                    x0[k], x1[k] = centre(a + b + (c + d), q, qi), centre(e + f, q, qi)
                    x2[k] = mul_mod(a + b - (c + d), v1[k], q, qi)
                    x3[k] = mul_mod(e - f, v1[k], q, qi)
        quarter *= 4
        blocks //= 4
    for k0 in range(0, COLUMNS, _TILE):
        for c0 in range(0, ROWS, _TILE):
            for k in range(k0, k0 + _TILE):
                for c in range(c0, c0 + _TILE):
                    out[k * ROWS + c] = x[c * COLUMNS + k]
    quarter = ROWS
    blocks = COLUMNS // 4
    while blocks > 1:
        for i in range(blocks):
            start = 4 * quarter * i
            x0 = out[start : start + quarter]
            x1 = out[start + quarter : start + 2 * quarter]
            x2 = out[start + 2 * quarter : start + 3 * quarter]
            x3 = out[start + 3 * quarter : start + 4 * quarter]
            w1 = table[_HALF + blocks + i]
            w2, w3 = table[_HALF + 2 * (blocks + i)], table[_HALF + 2 * (blocks + i) + 1]
            for j in range(quarter):
                a, b, c, d = x0[j], x1[j], x2[j], x3[j]
                e, f = mul_mod(a - b, w2, q, qi), mul_mod(c - d, w3, q, qi)
                x0[j], x1[j] = centre(a + b + (c + d), q, qi), centre(e + f, q, qi)
                x2[j] = mul_mod(a + b - (c + d), w1, q, qi)
                x3[j] = mul_mod(e - f, w1, q, qi)
        quarter *= 4
        blocks //= 4
    x0 = out[:quarter]
    x1 = out[quarter : 2 * quarter]
    x2 = out[2 * quarter : 3 * quarter]
    x3 = out[3 * quarter :]
    w2, w3 = table[_HALF + 2], table[_HALF + 3]
    scale, turn = limb[N_INVERSE], limb[LAST]
    for j in range(quarter):
        a, b, c, d = x0[j], x1[j], x2[j], x3[j]
        e, f = mul_mod(a - b, w2, q, qi), mul_mod(c - d, w3, q, qi)
        x0[j] = mul_mod(a + b + (c + d), scale, q, qi)
        x1[j] = mul_mod(e + f, scale, q, qi)
        x2[j] = mul_mod(a + b - (c + d), turn, q, qi)
        x3[j] = mul_mod(e - f, turn, q, qi)


def centred(value: int, q: int) -> float:
    """The representative of value mod q in (−q/2, q/2), as the kernels want their constants."""
    value %= q
    return float(value - q if value > q // 2 else value)


def _bit_reversal(count: int) -> npt.NDArray[np.int64]:
    order = np.zeros(1, dtype=np.int64)
    while order.size < count:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def _powers(root: int, q: int) -> Floats:
    """Centred powers root^0 … root^(N−1) in bit-reversed order."""
    powers, power = [], 1
    for _ in range(N):
        powers.append(float(power - q if power > q // 2 else power))
        power = power * root % q
    return np.array(powers)[_bit_reversal(N)]


def _direction(root: int, q: int) -> Floats:
    roots = _powers(root, q)
    rows = [
        roots[COLUMNS * g + h : COLUMNS * 2 * g : g] for g in (1, 2, 4, 8, 16, 32) for h in range(g)
    ]  # roots[256g + kg + h] for k = 0 … 255
    return np.concatenate([roots[:_FIRST], *rows])


def _limb(q: int) -> list[float]:
    root = primitive_root(q, 2 * N)
    last = pow(root, -(N // 2), q)  # the inverse of the first stage's root
    n_inverse = pow(N, -1, q)
    return [
        float(q),
        1.0 / q,
        centred(n_inverse, q),
        centred(last * n_inverse, q),
        centred(P, q),
        centred(1 << 49, q),
    ]


def _table(q: int) -> Floats:
    root = primitive_root(q, 2 * N)
    return np.concatenate([_direction(root, q), _direction(pow(root, -1, q), q)])


LIMBS: Final[Floats] = np.array([_limb(q) for q in PARAMETERS.primes])
TABLES: Final[Floats] = np.stack([_table(q) for q in PARAMETERS.primes])
