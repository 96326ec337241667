"""Transforms modulo the primes of q and modulo p, against plain integers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from protocol import field
from protocol._jit import kernel
from protocol.field import P
from protocol.lattice import packing, slots
from protocol.lattice.arithmetic import canonical, centre, mul_mod
from protocol.lattice.butterflies import GATHER_INPUT, GATHER_OUTPUT, SPREAD_OUTPUT
from protocol.lattice.lanes import LANES, load, store
from protocol.lattice.packing import Words
from protocol.lattice.params import PARAMETERS, product_size
from protocol.lattice.selftest import selftest
from protocol.lattice.transform import COLUMNS, LIMBS, ROWS, TABLES, Floats, N, forward, inverse
from protocol.prg import Prg
from tests.protocol.lattice import reference

PRIMES = PARAMETERS.primes


@kernel
def _products(x: Floats, w: Floats, q: float, qi: float, out: Floats) -> None:
    for i in range(x.size):
        out[i] = mul_mod(x[i], w[i], q, qi)


@kernel
def _canonicals(x: Floats, q: float, qi: float, out: Words, centred: Floats) -> None:
    for i in range(x.size):
        out[i] = canonical(x[i], q, qi)
        centred[i] = centre(x[i], q, qi)


def _residues(name: str, q: int, kind: str) -> np.ndarray:
    rng = np.random.default_rng(7)
    if kind == "random":
        words = np.frombuffer(Prg(name.encode(), "test").bytes(8 * N), dtype="<u8") % np.uint64(q)
        return words.astype(np.float64)
    if kind == "largest":
        return np.full(N, float(q))
    if kind == "smallest":
        return np.full(N, -float(q))
    if kind == "alternating":
        return np.where(np.arange(N) % 2 == 0, float(q), -float(q))
    return np.where(rng.integers(0, 2, N) == 0, float(q), -float(q))


KINDS = ("random", "largest", "smallest", "alternating", "signs")


def test_mul_mod_is_exact_at_the_extremes_of_its_range() -> None:
    for limb, q in enumerate(PRIMES):
        half = q // 2
        top = 1 << 52  # a flooding digit, a little above 4q
        edges = [0, 1, -1, half, -half, half - 1, q, -q, q - 1, 4 * q, -4 * q, 3 * q + half, top, -top, top - 1]
        weights = [0, 1, -1, half, -half, half - 1, 3, 1 << 48]
        rng = np.random.default_rng(limb)
        edges += [int(x) for x in rng.integers(-4 * q, 4 * q + 1, 1500)]
        weights += [int(w) for w in rng.integers(-half, half + 1, 20)]
        x = np.array([float(e) for e in edges for _ in weights])
        w = np.array([float(v) for _ in edges for v in weights])
        out = np.empty_like(x)
        _products(x, w, float(q), 1.0 / q, out)
        for e, v, r in zip(x.tolist(), w.tolist(), out.tolist(), strict=True):
            assert (int(e) * int(v) - int(r)) % q == 0
            assert abs(r) <= product_size(Fraction(abs(int(e)), q)) * q


def test_a_factor_below_the_prime_may_meet_twice_as_little() -> None:
    """Residues in [0, q) as they come from bytes, before anything has centred them."""
    for limb, q in enumerate(PRIMES):
        rng = np.random.default_rng(limb)
        edges = [0, 1, q - 1, q // 2, 2 * q, -2 * q, *(int(x) for x in rng.integers(-2 * q, 2 * q + 1, 500))]
        weights = [0, 1, q - 1, q // 2, q // 2 + 1, *(int(w) for w in rng.integers(0, q, 20))]
        x = np.array([float(e) for e in edges for _ in weights])
        w = np.array([float(v) for _ in edges for v in weights])
        out = np.empty_like(x)
        _products(x, w, float(q), 1.0 / q, out)
        for e, v, r in zip(x.tolist(), w.tolist(), out.tolist(), strict=True):
            assert (int(e) * int(v) - int(r)) % q == 0
            assert abs(r) <= 0.5 * q + 0.19 * abs(e)


def test_canonical_and_centre() -> None:
    for limb, q in enumerate(PRIMES):
        rng = np.random.default_rng(limb)
        values = [k * q + d for k in range(-7, 8) for d in (-1, 0, 1, q // 2, q // 2 + 1)]
        values += [int(x) for x in rng.integers(-8 * q + 1, 8 * q, 5000)]
        x = np.array(values, dtype=np.float64)
        out, middle = np.empty(x.size, dtype=np.uint64), np.empty(x.size)
        _canonicals(x, float(q), 1.0 / q, out, middle)
        assert [int(r) for r in out] == [v % q for v in values]
        assert np.abs(middle).max() <= 0.51 * q
        assert all((int(m) - v) % q == 0 for m, v in zip(middle.tolist(), values, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_forward_evaluates_at_the_documented_roots(kind: str) -> None:
    for limb in (0, 5):
        q = PRIMES[limb]
        x = _residues("evaluate", q, kind)
        out = np.empty(N)
        forward(x.copy(), out, LIMBS[limb], TABLES[limb])
        assert np.abs(out).max() <= float(SPREAD_OUTPUT) * q
        coefficients = [int(c) for c in x]
        for row, column in ((0, 0), (0, 1), (63, 255), (17, 200)):
            value = reference.evaluate(coefficients, column * ROWS + row, q)
            assert int(out[row * COLUMNS + column]) % q == value


@pytest.mark.parametrize("kind", KINDS)
def test_inverse_undoes_forward(kind: str) -> None:
    for limb, q in enumerate(PRIMES):
        x = _residues("undo", q, kind)
        image, back = np.empty(N), np.empty(N)
        forward(x.copy(), image, LIMBS[limb], TABLES[limb])
        inverse(np.fmod(image, q), back, LIMBS[limb], TABLES[limb])
        assert np.abs(back).max() <= float(GATHER_OUTPUT) * q
        assert not np.any((back - x).astype(np.int64) % q)


@pytest.mark.parametrize("kind", KINDS[1:])
def test_inverse_of_extreme_evaluations(kind: str) -> None:
    q = PRIMES[3]
    x = _residues("inverse", q, kind)
    x *= float(GATHER_INPUT)
    x[:N:3] = 1.0
    back, again = np.empty(N), np.empty(N)
    inverse(x.copy(), back, LIMBS[3], TABLES[3])
    forward(np.fmod(back, q), again, LIMBS[3], TABLES[3])
    assert not np.any((again - x).astype(np.int64) % q)


def _centred(x: Floats, q: int) -> Floats:
    x = np.fmod(x, q)
    return np.where(np.abs(x) > q / 2, x - np.sign(x) * q, x)


def test_products_are_negacyclic() -> None:
    q = PRIMES[1]
    x, y = _residues("left", q, "random"), _residues("right", q, "largest")
    y[::2] = 5.0
    fx, fy, product = np.empty(N), np.empty(N), np.empty(N)
    forward(x.copy(), fx, LIMBS[1], TABLES[1])
    forward(y.copy(), fy, LIMBS[1], TABLES[1])
    _products(fx, _centred(fy, q), float(q), 1.0 / q, product)
    result = np.empty(N)
    inverse(np.fmod(product, q), result, LIMBS[1], TABLES[1])
    expected = reference.multiply([int(c) for c in x], [int(c) for c in y], q)
    assert [int(c) % q for c in result] == expected


@kernel
def _slot_products(x: Words, w: Words, ratio: Words, out: Words, vector: Words) -> None:
    for i in range(x.size):
        out[i] = slots._times(x[i], w[i], ratio[i])
    for i in range(0, x.size, LANES):
        store(vector, i, slots._times(load(x, i), load(w, i), load(ratio, i)))


def test_a_slot_product_is_below_4p_for_any_word() -> None:
    rng = np.random.default_rng(5)
    words = [0, 1, P - 1, P, 4 * P - 1, 8 * P - 1, (1 << 64) - 1, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63]
    words += [int(v) for v in rng.integers(0, 1 << 64, 245, dtype=np.uint64)]
    weights = [0, 1, 2, P - 1, P // 2, (1 << 32) - 1, 1 << 32, *(int(v) for v in rng.integers(0, P, 25))]
    pairs = [(x, w) for x in words for w in weights]
    x, w, ratio = (
        np.array(values, dtype=np.uint64)
        for values in ([x for x, _ in pairs], [w for _, w in pairs], [(w << 64) // P for _, w in pairs])
    )
    out, vector = np.empty_like(x), np.empty_like(x)
    _slot_products(x, w, ratio, out, vector)
    assert np.array_equal(out, vector)
    assert all(int(r) < 4 * P and (a * b - int(r)) % P == 0 for (a, b), r in zip(pairs, out, strict=True))


@pytest.mark.parametrize("value", [0, 1, P - 1, None])
def test_slots_and_coefficients(value: int | None) -> None:
    x = Prg(b"slots", "test").elements(N) if value is None else np.full(N, value, dtype=np.uint64)
    image = x.copy()
    slots.to_slots(image)
    coefficients = [int(c) for c in x]
    for position in (0, 1, 8191, 16383):
        assert int(image[position]) == reference.evaluate(coefficients, position, P)
    back = image.copy()
    slots.to_coefficients(back)
    assert np.array_equal(back, x)
    assert field.is_canonical(image)


def test_a_constant_polynomial_has_equal_slots() -> None:
    x = np.zeros(N, dtype=np.uint64)
    x[0] = 12345
    slots.to_slots(x)
    assert np.all(x == 12345)


def test_slots_multiply_as_polynomials_do() -> None:
    x, y = Prg(b"x", "test").elements(N), Prg(b"y", "test").elements(N)
    x[:100], y[50:150] = P - 1, P - 1
    fx, fy = x.copy(), y.copy()
    slots.to_slots(fx)
    slots.to_slots(fy)
    product = field.mul(fx, fy)
    slots.to_coefficients(product)
    assert [int(c) for c in product] == reference.multiply([int(c) for c in x], [int(c) for c in y], P)


def test_selftest_passes() -> None:
    selftest()


def test_packing_holds_every_50_bit_word() -> None:
    for words in (
        np.frombuffer(Prg(b"pack", "test").bytes(8 * N), dtype="<u8") >> np.uint64(14),
        np.full(N, (1 << 50) - 1, dtype=np.uint64),
        np.zeros(N, dtype=np.uint64),
    ):
        packed, back = np.empty(packing.PACKED_BYTES, dtype=np.uint8), np.empty(N, dtype=np.uint64)
        packing.pack(words, packed)
        assert packing.unpack(packed, back) == int(words.max())
        assert np.array_equal(back, words)
        low = np.frombuffer(packed.tobytes()[: 4 * N], dtype="<u4")
        assert [int(w) & 0xFFFF_FFFF for w in words[:50]] == [int(v) for v in low[:50]]


def test_every_packed_byte_string_is_canonical() -> None:
    packed = np.frombuffer(Prg(b"bytes", "test").bytes(packing.PACKED_BYTES), dtype=np.uint8)
    words, again = np.empty(N, dtype=np.uint64), np.empty(packing.PACKED_BYTES, dtype=np.uint8)
    packing.unpack(packed, words)
    packing.pack(words, again)
    assert np.array_equal(packed, again)
