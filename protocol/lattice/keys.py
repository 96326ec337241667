"""Key pairs (``docs/protocol-lattice.md``, step L.6): b = −a·s + p·e with a common, public a.

``a`` comes from the key's id, which names what the key belongs to (an epoch or one batch), through SHAKE-256, so
nobody chooses it.  Nothing is proved about b: replies hide their sender's input for any b (step L.8).
"""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np

from protocol._jit import kernel
from protocol.errors import LocalProtocolError
from protocol.lattice import packing, sampling
from protocol.lattice.arithmetic import canonical, centre, mul_mod
from protocol.lattice.lanes import LANES, aligned, load, store
from protocol.lattice.packing import PACKED_BYTES, Bytes, Words
from protocol.lattice.params import KEPT, PARAMETERS
from protocol.lattice.transform import LIMBS, PLAIN, Q_INVERSE, TABLES, Floats, Q, forward
from protocol.prg import Prg, labelled_hash
from protocol.secret import Secret

N: Final = PARAMETERS.slots
PRIMES: Final = PARAMETERS.primes
SEED_BYTES: Final = 32
_SECRET_BYTES: Final = N  # one byte a coefficient


@attrs.frozen(eq=False)
class PublicKey:
    """b and a, in evaluation form float64[6, N] within q/2; ``digest`` names the key and its ``key_id``.

    ``key_id`` names what the key belongs to, an epoch or one batch; ``a`` comes from it.
    """

    key_id: bytes
    b: Floats = attrs.field(repr=False)
    a: Floats = attrs.field(repr=False)
    packed: Bytes = attrs.field(repr=False)
    digest: bytes = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        digest = labelled_hash("lattice public key", self.key_id, self.packed.reshape(-1).data)
        object.__setattr__(self, "digest", digest)

    def to_array(self) -> Bytes:
        """uint8[6·102400], for the wire and for storage."""
        return self.packed.reshape(-1)

    @classmethod
    def from_array(cls, key_id: bytes, array: Bytes, *, party: int | str | None = None) -> PublicKey:
        """A peer's key; :class:`RemoteProtocolError` (``malformed-message``) unless size and residues fit."""
        array = packing.received(array, len(PRIMES) * PACKED_BYTES, "a public key", party)
        packed = array.reshape(len(PRIMES), PACKED_BYTES).copy()
        packing.check_residues(packed, PRIMES, "a public key", party)
        words = np.empty((len(PRIMES), N), dtype=np.uint64)
        for limb, residues in zip(packed, words, strict=True):
            packing.unpack(limb, residues)
        return cls(key_id, _factors(words), public_a(key_id), packed)


@attrs.frozen(eq=False, repr=False)
class SecretKey(Secret):
    """s: uint8[N] with s + 1 in {0, 1, 2}, and its evaluations modulo the primes that replies keep."""

    key_id: bytes
    digits: Bytes
    s: Floats

    def to_bytes(self) -> bytes:
        """For storage under the caller's seal only."""
        return self.digits.tobytes()

    @classmethod
    def from_bytes(cls, key_id: bytes, data: bytes) -> SecretKey:
        """The inverse of :meth:`to_bytes`; :class:`LocalProtocolError` if the bytes are no key."""
        digits = np.frombuffer(data, dtype=np.uint8)
        if digits.size != _SECRET_BYTES or digits.max() > 2:
            raise LocalProtocolError("the stored bytes are no secret key")
        return cls(key_id, digits.copy(), _evaluate(digits.astype(np.float64) - 1.0, KEPT))


def public_a(key_id: bytes) -> Floats:
    """The common polynomial of all keys with this id: float64[6, N], uniform."""
    return _factors(sampling.public_residues(labelled_hash("lattice a", key_id)))


def _factors(residues: Words) -> Floats:
    """Residues uint64[6, N] in [0, q) as products want them: float64[6, N], within q/2."""
    x, q = residues.astype(np.float64), LIMBS[:, Q, np.newaxis]
    result: Floats = aligned(*x.shape)
    result[:] = np.where(x > q / 2, x - q, x)
    return result


def _evaluate(coefficients: Floats, count: int) -> Floats:
    """Evaluation form of small integer coefficients modulo the first ``count`` primes."""
    result: Floats = aligned(count, N)
    for limb in range(count):
        forward(coefficients.copy(), result[limb], LIMBS[limb], TABLES[limb])
        _centre(result[limb], LIMBS[limb])
    return result


@kernel
def _centre(x: Floats, limb: Floats) -> None:
    q, qi = limb[Q], limb[Q_INVERSE]
    for i in range(0, N, LANES):
        store(x, i, centre(load(x, i), q, qi))


@kernel
def _public(a: Floats, s: Floats, e: Floats, limb: Floats, out: Words) -> None:
    q, qi, plain = limb[Q], limb[Q_INVERSE], limb[PLAIN]
    for i in range(0, N, LANES):
        noise = mul_mod(load(e, i), plain, q, qi)
        store(out, i, canonical(noise - mul_mod(load(a, i), load(s, i), q, qi), q, qi))


def check_seed(seed: bytes) -> None:
    """Seeds are 32 bytes; anything else is a caller's mistake."""
    if len(seed) != SEED_BYTES:
        raise LocalProtocolError(f"a seed takes {SEED_BYTES} bytes, not {len(seed)}")


def keygen(key_id: bytes, seed: bytes) -> tuple[SecretKey, PublicKey]:
    """A fresh key pair for what ``key_id`` names, from a seed of 32 random bytes used for nothing else."""
    check_seed(seed)
    prg = Prg(seed, "lattice key")
    words = np.empty((2, N), dtype=np.uint64)
    sampling.ternary(prg, words[0])
    sampling.binomial(prg, words[1])
    s = _evaluate(words[0].astype(np.float64) - 1.0, len(PRIMES))
    e = _evaluate(words[1].astype(np.float64) - float(PARAMETERS.noise), len(PRIMES))
    a = public_a(key_id)
    residues = np.empty((len(PRIMES), N), dtype=np.uint64)
    packed = np.empty((len(PRIMES), PACKED_BYTES), dtype=np.uint8)
    for limb in range(len(PRIMES)):
        _public(a[limb], s[limb], e[limb], LIMBS[limb], residues[limb])
        packing.pack(residues[limb], packed[limb])
    secret = SecretKey(key_id, words[0].astype(np.uint8), s[:KEPT])
    return secret, PublicKey(key_id, _factors(residues), a, packed)


__all__ = ["PRIMES", "SEED_BYTES", "PublicKey", "SecretKey", "check_seed", "keygen", "public_a"]
