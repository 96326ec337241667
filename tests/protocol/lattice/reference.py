"""The lattice layer in plain Python integers: slow, and obviously right."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.field import P
from protocol.lattice.params import PARAMETERS, TURNS_HALF, primitive_root

N = PARAMETERS.slots
PRIMES = PARAMETERS.primes


def centre(value: int, modulus: int) -> int:
    value %= modulus
    return value - modulus if value > modulus // 2 else value


def multiply(x: Sequence[int], y: Sequence[int], modulus: int) -> list[int]:
    """Product modulo X^N + 1, by evaluating non-negative polynomials at a large power of two."""
    width = 2 * modulus.bit_length() + len(x).bit_length() + 7 & ~7
    size = width // 8

    def number(values: Sequence[int]) -> int:
        return int.from_bytes(b"".join((v % modulus).to_bytes(size, "little") for v in values), "little")

    data = (number(x) * number(y)).to_bytes(2 * len(x) * size, "little")
    wide = [int.from_bytes(data[i * size : (i + 1) * size], "little") for i in range(2 * len(x))]
    return [(wide[i] - wide[i + len(x)]) % modulus for i in range(len(x))]


def reverse_bits(value: int, bits: int = 14) -> int:
    return int(format(value, f"0{bits}b")[::-1], 2)


def evaluate(coefficients: Sequence[int], position: int, modulus: int) -> int:
    """The value at the root that belongs to a position of the bit-reversed order."""
    point = pow(primitive_root(modulus, 2 * N), 2 * reverse_bits(position) + 1, modulus)
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * point + coefficient) % modulus
    return value


def crt(residues: Sequence[int], primes: Sequence[int]) -> int:
    """The centred integer with these residues."""
    modulus = 1
    for q in primes:
        modulus *= q
    total = sum(r * (modulus // q) * pow(modulus // q, -1, q) for r, q in zip(residues, primes, strict=True))
    return centre(total, modulus)


def encrypt(
    b: Sequence[int],
    a: Sequence[int],
    m: Sequence[int],
    v: Sequence[int],
    e0: Sequence[int],
    e1: Sequence[int],
    q: int,
) -> tuple[list[int], list[int]]:
    """One limb, everything in coefficient form."""
    bv, av = multiply(b, v, q), multiply(a, v, q)
    return (
        [(x + P * y + z) % q for x, y, z in zip(bv, e0, m, strict=True)],
        [(x + P * y) % q for x, y in zip(av, e1, strict=True)],
    )


def rounding(r: int, residues: Sequence[int], high: int, low: int) -> list[int]:
    """(r + p·g)/Q modulo the kept primes for C + r with these residues modulo the dropped ones (step L.9)."""
    dropped = PARAMETERS.dropped
    q4, q5 = PRIMES[4:]
    c = crt(residues, PRIMES[2:])
    least = -c * pow(P, -1, dropped) % dropped
    rest, d5 = least % (dropped // q5), least // (dropped // q5)
    d4 = rest // (dropped // q5 // q4)
    turns = -(-(high - d5 + (low > d4 >> 18)) // q5) - TURNS_HALF
    g = least + dropped * turns
    assert (c + P * g) % dropped == 0
    return [(r + P * g) * pow(dropped, -1, q) % q for q in PRIMES[:2]]
