"""Distributions of what the lattice layer draws; the seeds are fixed, so nothing here is flaky."""

from __future__ import annotations

import math

import numpy as np

from protocol.lattice import sampling
from protocol.lattice.keys import PRIMES, public_a
from protocol.lattice.params import PARAMETERS
from protocol.prg import Prg

N = PARAMETERS.slots


def chi_square(observed: np.ndarray, expected: np.ndarray) -> float:
    """Normalised: about standard normal for many cells."""
    freedom = observed.size - 1
    return (float(((observed - expected) ** 2 / expected).sum()) - freedom) / math.sqrt(2 * freedom)


def test_ternary_is_uniform() -> None:
    out = np.empty(N, dtype=np.uint64)
    prg = Prg(b"ternary", "test")
    counts, places = np.zeros(3), np.zeros((5, 3))
    for _ in range(20):
        sampling.ternary(prg, out)
        counts += np.bincount(out.astype(np.int64), minlength=3)
        for place in range(5):
            places[place] += np.bincount(out[place::5].astype(np.int64), minlength=3)
    assert counts.size == 3
    assert chi_square(counts, np.full(3, counts.sum() / 3)) < 4
    for row in places:
        assert chi_square(row, np.full(3, row.sum() / 3)) < 4


def test_every_accepted_byte_gives_its_base_three_digits() -> None:
    raw = np.zeros(-(-N // 5), dtype=np.uint8)
    raw[:243] = np.arange(243)
    out = np.empty(N, dtype=np.uint64)
    sampling._digits(raw, out)
    for byte in range(243):
        assert sum(int(d) * 3**k for k, d in enumerate(out[5 * byte : 5 * byte + 5])) == byte


def test_binomial() -> None:
    out = np.empty(N, dtype=np.uint64)
    prg = Prg(b"binomial", "test")
    counts = np.zeros(43)
    for _ in range(20):
        sampling.binomial(prg, out)
        counts += np.bincount(out.astype(np.int64), minlength=43)
    weights = np.array([math.comb(42, k) for k in range(43)], dtype=np.float64) / 2**42
    common = weights * counts.sum() > 20
    assert chi_square(counts[common], weights[common] * counts.sum()) < 4
    ones, zeros = (
        np.full(N, (1 << 21) - 1, dtype=np.uint64),
        np.full(N, ((1 << 21) - 1) << 21, dtype=np.uint64),
    )
    sampling._binomial(ones, out)
    assert np.all(out == 42)
    sampling._binomial(zeros, out)
    assert np.all(out == 0)


def test_the_common_polynomial_is_uniform_and_separated() -> None:
    a, other = public_a(b"1" * 32), public_a(b"2" * 32)
    for limb, prime in enumerate(PRIMES):
        assert -prime < 2 * a[limb].min() <= 2 * a[limb].max() < prime
        cells = np.bincount((a[limb] % prime * 64 / prime).astype(np.int64), minlength=64)
        assert abs(chi_square(cells, np.full(64, N / 64))) < 4
    assert not np.any(a == other)
    assert np.array_equal(a, public_a(b"1" * 32))
