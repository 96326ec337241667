"""Replies and their decryption (``docs/protocol-lattice.md``, steps L.8 to L.10).

P_j multiplies its plaintext x into P_i's proved ciphertext of y, adds a mask r, and floods everything that
could carry x.  The reply is then divided by four of its six primes, which costs no secrecy and leaves 25
bytes a slot.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.field import P
from protocol.lattice import kernels, packing, sampling, slots
from protocol.lattice.encryption import Slots, VerifiedCiphertexts, check_count, check_slots, encode
from protocol.lattice.keys import PRIMES, PublicKey, SecretKey, check_seed
from protocol.lattice.lanes import aligned
from protocol.lattice.packing import PACKED_BYTES, Bytes, Words
from protocol.lattice.params import FLOOD_DIGIT_BITS, FLOOD_DIGITS, KEPT, PARAMETERS
from protocol.lattice.transform import LIMBS, TABLES, Floats, centred
from protocol.prg import Prg

N: Final = PARAMETERS.slots
REPLY_BYTES: Final = 2 * KEPT * PACKED_BYTES

_RADIX: Final[Floats] = np.array(
    [[centred(1 << (FLOOD_DIGIT_BITS * j), q) for j in range(FLOOD_DIGITS)] for q in PRIMES]
)
_SCALED_RADIX: Final[Floats] = np.array(
    [[centred(P << (FLOOD_DIGIT_BITS * j), q) for j in range(FLOOD_DIGITS)] for q in PRIMES]
)

# Constants of kernels.finish: inverses for the mixed-radix digits of c modulo the dropped primes …
_Q2, _Q3, _Q4, _Q5 = PRIMES[KEPT:]
_GARNER: Final[Floats] = np.array(
    [
        centred(pow(_Q2, -1, _Q3), _Q3),
        centred(pow(_Q2, -1, _Q4), _Q4),
        centred(pow(_Q3, -1, _Q4), _Q4),
        centred(pow(_Q2, -1, _Q5), _Q5),
        centred(pow(_Q3, -1, _Q5), _Q5),
        centred(pow(_Q4, -1, _Q5), _Q5),
    ]
)
_RADICES: Final = (1, _Q2, _Q2 * _Q3, _Q2 * _Q3 * _Q4)
# … those radices and 1/(q2q3q4q5) modulo the kept primes …
_SPREAD: Final[Floats] = np.array(
    [[*(centred(r, q) for r in _RADICES[1:]), centred(pow(PARAMETERS.dropped, -1, q), q)] for q in PRIMES[:KEPT]]
)
# … and −radix/(q2q3q4q5) mod p, for the correction that keeps the plaintext.
_CORRECTION: Final = np.array([-r * pow(PARAMETERS.dropped, -1, P) % P for r in _RADICES], dtype=np.uint64)

_DIGITS: Final[Floats] = np.array([centred(pow(PRIMES[0], -1, PRIMES[1]), PRIMES[1])])
_RESTORE: Final = np.array([f * PARAMETERS.dropped % P for f in (1, PRIMES[0], -PARAMETERS.kept)], dtype=np.uint64)
_BOUND: Final = np.uint64(PARAMETERS.phase_digits)


def reply(
    key: PublicKey, ciphertexts: VerifiedCiphertexts, x: Slots, seed: bytes, *, first: int = 0
) -> tuple[Bytes, Slots]:
    """Multiply plaintext slots x uint64[U, N] into a peer's proved ciphertexts, masked (steps L.8, L.9).

    One ciphertext serves any number of vectors; otherwise vector k meets ciphertext ``first`` + k.  Returns the
    bytes to send, uint8[U·409600], and the share −r kept: slots uint64[U, N].  The seed is 32 random bytes
    used for nothing else: two replies with one seed would show the difference of their x.
    """
    check_slots(x)
    replier = _Replier(key, ciphertexts, seed, first, x.shape[0])
    plain: Words = aligned(N, dtype=np.uint64)
    for index in range(x.shape[0]):
        encode(x[index], plain)
        replier.add(index, partial(kernels.reply_limb, plain))
    return replier.packed.reshape(-1), replier.kept


def reply_scaled(
    key: PublicKey, ciphertexts: VerifiedCiphertexts, factor: int, seed: bytes, *, first: int = 0, count: int
) -> tuple[Bytes, Slots]:
    """The same for ``count`` vectors whose slots all equal ``factor`` in [0, p).

    A constant polynomial is its own evaluation form, so nothing of x is transformed.
    """
    check_count(count)
    if not 0 <= factor < P:
        raise LocalProtocolError("a factor is not below p")
    replier = _Replier(key, ciphertexts, seed, first, count)
    for index in range(count):
        replier.add(index, partial(kernels.scale_limb, np.uint64(factor)))
    return replier.packed.reshape(-1), replier.kept


class _Replier:
    """Makes replies to ``count`` ciphertexts from ``first`` on; keeps its scratch memory."""

    def __init__(self, key: PublicKey, ciphertexts: VerifiedCiphertexts, seed: bytes, first: int, count: int) -> None:
        check_seed(seed)
        if ciphertexts.key != key.digest:
            raise LocalProtocolError("these ciphertexts were proved under another key")
        self._one = ciphertexts.count == 1
        if first < 0 or first + (1 if self._one else count) > ciphertexts.count:
            raise LocalProtocolError(f"{count} plaintexts from {first} on do not match {ciphertexts.count} ciphertexts")
        self._key, self._ciphertexts, self._first = key, ciphertexts, first
        self._flood_prg, self._mask_prg = Prg(seed, "lattice reply flood"), Prg(seed, "lattice reply mask")
        self.kept: Slots = np.empty((count, N), dtype=np.uint64)
        self.packed: Bytes = np.empty((count, 2, KEPT, PACKED_BYTES), dtype=np.uint8)
        self._flood: Words = aligned(FLOOD_DIGITS, N, dtype=np.uint64)
        self._product: Floats = aligned(2, len(PRIMES), N)  # the first half holds v' until its product replaces it
        self._work: Floats = aligned(4, N)
        self._none = np.zeros(N, dtype=np.uint64)
        self._switched: Words = aligned(KEPT, N, dtype=np.uint64)

    def add(self, index: int, limb_kernel: Callable[..., None]) -> None:
        """Make reply ``index`` with the kernel that multiplies x into one limb."""
        key, flood, product = self._key, self._flood, self._product
        c = self._ciphertexts.batch.packed[self._first + (0 if self._one else index)]
        mask = self._mask_prg.elements(N)
        sampling.fill(self._flood_prg, flood)
        kernels.expand(flood, _RADIX, LIMBS, product[0])
        for limb in range(len(PRIMES)):
            limb_kernel(
                product[0, limb],
                c[0, limb],
                c[1, limb],
                key.b[limb],
                key.a[limb],
                LIMBS[limb],
                TABLES[limb],
                self._work,
                product[0, limb],
                product[1, limb],
            )
        for part, added in enumerate((mask, self._none)):
            sampling.fill(self._flood_prg, flood)
            kernels.finish(
                product[part], flood, added, _SCALED_RADIX, LIMBS, _GARNER, _SPREAD, _CORRECTION, self._switched
            )
            for limb in range(KEPT):
                packing.pack(self._switched[limb], self.packed[index, part, limb])
        slots.to_slots(mask)
        slots.negate(mask, self.kept[index])


def decrypt(key: SecretKey, replies: Bytes, count: int, *, party: int | str | None = None) -> Slots:
    """Decrypt a peer's replies to one's own ciphertexts: x·y + r, slots uint64[count, N] (step L.10).

    :class:`RemoteProtocolError` ``malformed-message`` for a wrong size or residue, and
    ``decryption-anomaly`` for noise that no honest reply has.  After an anomaly the key must be destroyed
    and never used again: its occurrence may depend on s.
    """
    check_count(count)
    replies = packing.received(replies, count * REPLY_BYTES, f"{count} replies", party)
    packed = replies.reshape(count, 2, KEPT, PACKED_BYTES)
    packing.check_residues(packed, PRIMES[:KEPT], "a reply", party)
    result = np.empty((count, N), dtype=np.uint64)
    c: Words = aligned(2, KEPT, N, dtype=np.uint64)
    digits: Words = aligned(KEPT, N, dtype=np.uint64)
    work: Floats = aligned(2 + KEPT, N)
    anomaly = 0
    for index in range(count):
        for polynomial, words in zip(packed[index].reshape(-1, PACKED_BYTES), c.reshape(-1, N), strict=True):
            packing.unpack(polynomial, words)
        kernels.phase(c[0], c[1], key.s, LIMBS, TABLES, work, _DIGITS, digits)
        anomaly |= int(kernels.decode(digits, _BOUND, np.uint64(PRIMES[1]), _RESTORE, result[index]))
        slots.to_slots(result[index])
    if anomaly:  # only now, so that the place does not show in the time
        raise RemoteProtocolError(Fault.DECRYPTION, "a reply's noise is beyond any honest one", party=party)
    return result
