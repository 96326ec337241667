"""Encryption: plaintext slots to ciphertexts, and what the sender keeps for the proof (step L.6).

A ciphertext is (b·v + p·e0 + m, a·v + p·e1) in evaluation form, 12 packed polynomials: 75 bytes a slot.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from protocol._jit import kernel
from protocol.errors import LocalProtocolError
from protocol.field import Elements, P
from protocol.lattice import kernels, packing, sampling, slots
from protocol.lattice.digest import digests
from protocol.lattice.keys import PRIMES, PublicKey, check_seed
from protocol.lattice.lanes import LANES, aligned, load, store, where_negative
from protocol.lattice.packing import PACKED_BYTES, Bytes, Words
from protocol.lattice.params import DIGIT_BITS, PARAMETERS
from protocol.lattice.proof_kernels import subtract_from_encryption
from protocol.lattice.transform import LIMBS, TABLES, Floats, centred
from protocol.prg import Prg, labelled_hash
from protocol.secret import Secret

Slots: TypeAlias = npt.NDArray[np.uint64]

N: Final = PARAMETERS.slots
CIPHERTEXT_BYTES: Final = 2 * len(PRIMES) * PACKED_BYTES
LIFT: Final = 1 << 60  # a centred plaintext coefficient plus this is in [0, 2^61)

# An opening is two words a coefficient.  The first is the low digit of m + LIFT.  The second holds, from bit
# 0: e1 + 21 (14 bits), e0 + 21 (14 bits), v + 1 (10 bits), the high digit of m + LIFT.  Each field has room
# for a sum over U = 256 ciphertexts.
FIELD_ERROR_0: Final = np.uint64(14)
FIELD_TERNARY: Final = np.uint64(28)
FIELD_HIGH: Final = np.uint64(38)

_DIGIT = np.uint64(DIGIT_BITS)
_DIGIT_MASK = np.uint64((1 << DIGIT_BITS) - 1)
_HALF_P = np.uint64(P // 2)
_LIFT_UP, _LIFT_DOWN = np.uint64(LIFT), np.uint64(LIFT - P + (1 << 64))


@attrs.frozen(eq=False)
class CiphertextBatch:
    """Ciphertexts uint8[U, 2, 6, 102400] with canonical residues; nothing is proved about them yet."""

    packed: Bytes = attrs.field(repr=False)

    @property
    def count(self) -> int:
        """How many ciphertexts."""
        return int(self.packed.shape[0])

    def to_array(self) -> Bytes:
        """uint8[U·1228800] for the wire."""
        return self.packed.reshape(-1)

    @classmethod
    def from_array(cls, array: Bytes, count: int, *, party: int | str | None = None) -> CiphertextBatch:
        """A peer's ciphertexts, kept as a view; the array must not change any more.

        :class:`RemoteProtocolError` (``malformed-message``) unless size and residues fit.
        """
        check_count(count)
        array = packing.received(array, count * CIPHERTEXT_BYTES, f"{count} ciphertexts", party)
        packed = array.reshape(count, 2, len(PRIMES), PACKED_BYTES)
        packing.check_residues(packed, PRIMES, "a ciphertext", party)
        return cls(packed)

    def digest(self) -> bytes:
        """SHA-256 of the batch, by way of its polynomials' digests."""
        return self._digest

    @cached_property
    def _digest(self) -> bytes:
        return labelled_hash("lattice ciphertexts", digests(self.packed.reshape(-1, PACKED_BYTES)))

    def unpack(self, index: int, out: Words) -> None:
        """Residues of one ciphertext, uint64[2, 6, N]."""
        for polynomial, words in zip(self.packed[index].reshape(-1, PACKED_BYTES), out.reshape(-1, N), strict=True):
            packing.unpack(polynomial, words)

    def trusted(self, openings: Openings) -> VerifiedCiphertexts:
        """One's own batch, whose openings one has: no proof needed."""
        if openings.ciphertexts != self.digest():
            raise LocalProtocolError("these openings belong to other ciphertexts")
        return VerifiedCiphertexts(self, openings.key, openings.constant)


@attrs.frozen(eq=False, repr=False)
class Openings(Secret):
    """Plaintexts and randomness of a batch, words uint64[2, U, N]; kept until the batch is proved."""

    words: Words
    constant: bool
    key: bytes
    ciphertexts: bytes


@attrs.frozen(eq=False)
class VerifiedCiphertexts:
    """Ciphertexts under the key with this digest whose proof held; ``constant`` if it showed equal slots.

    Made by :func:`~protocol.lattice.proof.verify`, :meth:`CiphertextBatch.trusted` and :meth:`from_bytes`
    only; a reply accepts nothing else.
    """

    batch: CiphertextBatch
    key: bytes
    constant: bool

    @property
    def count(self) -> int:
        """How many ciphertexts."""
        return self.batch.count

    def to_bytes(self) -> bytes:
        """For storage under the caller's seal only: what is read back counts as proved."""
        return self.key + bytes([self.constant]) + self.batch.packed.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> VerifiedCiphertexts:
        """The inverse of :meth:`to_bytes`; :class:`LocalProtocolError` if the bytes are none."""
        header = 33
        count, rest = divmod(len(data) - header, CIPHERTEXT_BYTES)
        if rest or count < 1 or data[32] > 1:
            raise LocalProtocolError("the stored bytes are no ciphertexts")
        packed = np.frombuffer(data, dtype=np.uint8, offset=header).reshape(count, 2, len(PRIMES), PACKED_BYTES)
        return cls(CiphertextBatch(packed.copy()), data[:32], bool(data[32]))


def check_count(count: int) -> None:
    """A batch has 1 to ``PARAMETERS.batch_max`` ciphertexts; another count is a caller's mistake."""
    if not 1 <= count <= PARAMETERS.batch_max:
        raise LocalProtocolError(f"a batch has 1 to {PARAMETERS.batch_max} ciphertexts, not {count}")


def check_slots(array: Slots) -> None:
    """Slots are uint64[U, N] in [0, p); anything else is a caller's mistake."""
    if array.dtype != np.uint64 or array.ndim != 2 or array.shape[1] != N:
        raise LocalProtocolError(f"slots are uint64[U, {N}], not {array.dtype}{array.shape}")
    check_count(array.shape[0])
    if array.max() >= P:
        raise LocalProtocolError("a slot is not below p")


class Encryptor:
    """Encrypts coefficient words under one key; keeps its scratch memory."""

    def __init__(self, key: PublicKey, message_offset: int, ternary_offset: int, error_offset: int) -> None:
        self._key = key
        self._offsets = np.array(
            [[centred(message_offset, q), float(ternary_offset), float(error_offset)] for q in PRIMES]
        )
        self._work: Floats = aligned(4, N)
        self._limbs: Words = aligned(2, N, dtype=np.uint64)

    def ciphertext(self, words: Words, packed: Bytes) -> None:
        """The ciphertext of words uint64[5, N], in evaluation form: uint8[2, 6, 102400]."""
        key = self._key
        kernels.encrypt(words, self._offsets, key.b, key.a, LIMBS, TABLES, self._work, self._limbs, packed)

    def less(self, words: Words, limb: int, sums0: Words, sums1: Words, packed: Bytes) -> None:
        """One limb of the same less sums uint64[N] of either half: uint8[2, 102400]."""
        key = self._key
        subtract_from_encryption(
            words,
            self._offsets[limb],
            key.b[limb],
            key.a[limb],
            LIMBS[limb],
            TABLES[limb],
            self._work,
            self._limbs,
            sums0,
            sums1,
            packed,
        )


def encode(values: Elements, out: Elements) -> None:
    """Slots to coefficients in [0, p)."""
    out[:] = values
    slots.to_coefficients(out)


@kernel
def _open(plain: Words, words: Words, opening: Words) -> None:
    """Write the digits of m + LIFT, lifted from coefficients in [0, p), and the opening uint64[2, N]."""
    low, high, ternary = words[kernels.LOW], words[kernels.HIGH], words[kernels.TERNARY]
    error_0, error_1 = words[kernels.ERROR_0], words[kernels.ERROR_1]
    first, second = opening[0], opening[1]
    for i in range(0, N, LANES):
        word = load(plain, i)
        lifted = word + where_negative(_HALF_P - word, _LIFT_DOWN, _LIFT_UP)
        digit, upper = lifted & _DIGIT_MASK, lifted >> _DIGIT
        store(low, i, digit)
        store(high, i, upper)
        store(first, i, digit)
        errors = load(error_1, i) | (load(error_0, i) << FIELD_ERROR_0)
        store(second, i, errors | (load(ternary, i) << FIELD_TERNARY) | (upper << FIELD_HIGH))


def encrypt(key: PublicKey, values: Slots, seed: bytes, *, constant: bool = False) -> tuple[CiphertextBatch, Openings]:
    """Encrypt slots uint64[U, N] with randomness from a seed of 32 random bytes used for nothing else.

    ``constant`` declares that all slots of a ciphertext are equal, which its proof will then show.
    """
    check_seed(seed)
    check_slots(values)
    if constant and np.any(values != values[:, :1]):
        raise LocalProtocolError("a constant plaintext has equal slots")
    count = values.shape[0]
    prg = Prg(seed, "lattice encryption")
    encryptor = Encryptor(key, LIFT, 1, PARAMETERS.noise)
    packed = np.empty((count, 2, len(PRIMES), PACKED_BYTES), dtype=np.uint8)
    openings = np.empty((2, count, N), dtype=np.uint64)
    words: Words = aligned(kernels.WORD_ROWS, N, dtype=np.uint64)
    plain: Words = aligned(N, dtype=np.uint64)
    for index in range(count):
        encode(values[index], plain)
        sampling.ternary(prg, words[kernels.TERNARY])
        sampling.binomial(prg, words[kernels.ERROR_0])
        sampling.binomial(prg, words[kernels.ERROR_1])
        _open(plain, words, openings[:, index])
        encryptor.ciphertext(words, packed[index])
    batch = CiphertextBatch(packed)
    return batch, Openings(openings, constant, key.digest, batch.digest())
