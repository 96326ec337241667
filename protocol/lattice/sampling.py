"""Random polynomials, from seeds, in constant time (``docs/protocol-lattice.md``, step L.6).

No value drawn here decides a branch or an index: rejection looks only at bytes that are then thrown away,
digits come out by multiplication and shift, and binomials are population counts.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from protocol._jit import kernel
from protocol.lattice.arithmetic import popcount
from protocol.lattice.packing import Bytes, Words
from protocol.lattice.params import PARAMETERS, PRIME_BITS
from protocol.prg import Prg

N: Final = PARAMETERS.slots
NOISE: Final = PARAMETERS.noise
_TRITS: Final = 5  # 3^5 = 243: a byte below that is five uniform digits
_DRAW: Final = 4096  # bytes; N/5 = 3277 are needed and 243/256 of them serve
_NOISE_BITS = np.uint64(NOISE)
_NOISE_MASK = np.uint64((1 << NOISE) - 1)


@kernel
def _digits(raw: Bytes, out: Words) -> None:
    for place in range(_TRITS):
        target = out[place::_TRITS]
        for i in range(target.size):
            rest = np.uint64(raw[i])
            third = (rest * np.uint64(171)) >> np.uint64(9)  # ⌊rest / 3⌋ for rest < 256
            target[i] = rest - np.uint64(3) * third
            raw[i] = np.uint8(third)


@kernel
def _binomial(words: Words, out: Words) -> None:
    for i in range(out.size):
        ups = popcount(words[i] & _NOISE_MASK)
        downs = popcount((words[i] >> _NOISE_BITS) & _NOISE_MASK)
        out[i] = ups + _NOISE_BITS - downs


def ternary(prg: Prg, out: Words) -> None:
    """V + 1 for uniform v in {−1, 0, 1}: uint64[N] in {0, 1, 2}, without bias."""
    kept = np.empty(0, dtype=np.uint8)
    while kept.size < -(-N // _TRITS):
        raw = np.frombuffer(prg.bytes(_DRAW), dtype=np.uint8)
        kept = np.concatenate([kept, raw[raw < 3**_TRITS]])
    _digits(kept, out)


def binomial(prg: Prg, out: Words) -> None:
    """E + 21 for the difference e of two sums of 21 bits: uint64[N] in [0, 42]."""
    fill(prg, out)
    _binomial(out, out)


def fill(prg: Prg, out: Words) -> None:
    """Uniform 64-bit words."""
    prg.fill(out.reshape(-1).view(np.uint8))


def public_residues(label: bytes) -> Words:
    """uint64[6, N], uniform modulo each prime, that everybody derives from a label: SHAKE-256 and rejection."""
    result = np.empty((len(PARAMETERS.primes), N), dtype=np.uint64)
    for index, prime in enumerate(PARAMETERS.primes):
        shake = hashlib.shake_256(label + bytes([index]))
        words = np.frombuffer(shake.digest(8 * (N + 64)), dtype="<u8") >> np.uint64(64 - PRIME_BITS)
        words = words[words < prime]  # a word is beyond its prime with probability below 2^−28: 64 spare ones do
        result[index] = words[:N]
    return result
