"""A start-up check that this machine and compiler compute what the derivations assume (step L.11).

A missing fused multiply-add, or a compiler that relaxes IEEE arithmetic, would break secrecy and correctness
silently; here it stops the daemon.  Takes a few milliseconds once the kernels are loaded.
"""

from __future__ import annotations

import numpy as np

from protocol import field
from protocol.errors import LocalProtocolError
from protocol.field import P
from protocol.lattice import packing, slots
from protocol.lattice.params import PARAMETERS, PRIME_BITS
from protocol.lattice.transform import LIMBS, TABLES, Floats, N, forward, inverse
from protocol.prg import Prg

_TURN = 4097  # multiply by X^4097: every coefficient moves, some change sign


def _fail(what: str) -> None:
    raise LocalProtocolError(f"self-test failed: {what} is computed wrongly on this machine")


def _turned(x: Floats) -> Floats:
    return np.concatenate([-x[N - _TURN :], x[: N - _TURN]])


def _check_limb(limb: int, prime: int, words: np.ndarray) -> None:
    residues = words % np.uint64(prime)
    residues[:64] = prime - 1
    x = residues.astype(np.float64)
    x[64:128] = -float(prime)
    monomial = np.zeros(N)
    monomial[_TURN] = 1.0
    image, turn, product, result = np.empty((4, N))
    forward(x.copy(), image, LIMBS[limb], TABLES[limb])
    forward(monomial, turn, LIMBS[limb], TABLES[limb])
    # the product is formed in integers, apart from the kernels: 26 bits of one factor at a time
    left, right = image.astype(np.int64) % prime, turn.astype(np.int64) % prime
    exact = [a * b % prime for a, b in zip(left.tolist(), right.tolist(), strict=True)]
    product[:] = exact
    inverse(product, result, LIMBS[limb], TABLES[limb])
    if np.any((result - _turned(x)).astype(np.int64) % prime):
        _fail(f"the transform modulo {prime}")


def selftest() -> None:
    """Compare the transforms and the packing with plain integers; :class:`LocalProtocolError` if they differ."""
    words = np.empty(N, dtype=np.uint64)
    Prg(bytes(32), "lattice self-test").fill(words.view(np.uint8))
    words >>= np.uint64(64 - PRIME_BITS)
    for limb in (0, len(PARAMETERS.primes) - 1):
        _check_limb(limb, PARAMETERS.primes[limb], words)
    packed = np.empty(packing.PACKED_BYTES, dtype=np.uint8)
    unpacked = np.empty_like(words)
    packing.pack(words, packed)
    if packing.unpack(packed, unpacked) != int(words.max()) or np.any(words != unpacked):
        _fail("packing")
    x = words * np.uint64(2047) % np.uint64(P)
    x[:64] = P - 1
    image, turn = x.copy(), np.zeros(N, dtype=np.uint64)
    turn[_TURN] = 1
    slots.to_slots(image)
    slots.to_slots(turn)
    result = field.mul(image, turn)
    slots.to_coefficients(result)
    if np.any(result != np.concatenate([field.neg(x[N - _TURN :]), x[: N - _TURN]])):
        _fail("the transform modulo p")
