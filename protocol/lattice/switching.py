"""Replies and their decryption (``docs/protocol-lattice.md``, steps L.8 to L.10).

P_j multiplies its plaintext x into P_i's proved ciphertext of y, adds a mask r, and floods everything that
could carry x.  The reply is then divided by four of its six primes, which costs no secrecy and leaves 25
bytes a slot.  What both ends are left with is added up as polynomials; :func:`to_slots` makes slots of the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import attrs
import numpy as np

from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.field import Elements, P
from protocol.lattice import kernels, packing, slots
from protocol.lattice.encryption import Slots, VerifiedCiphertexts, check_count, check_slots, encode
from protocol.lattice.keys import PRIMES, PublicKey, SecretKey, check_seed
from protocol.lattice.lanes import LANES, aligned
from protocol.lattice.packing import PACKED_BYTES, Bytes, Words
from protocol.lattice.params import FLOOD_DIGIT_BITS, FLOOD_DIGITS, KEPT, PARAMETERS, TIE_BITS
from protocol.lattice.transform import LIMBS, TABLES, Floats, centred
from protocol.prg import Prg

Polynomials: TypeAlias = Elements
"""Coefficients of plaintexts in [0, p): uint64[U, N]."""

N: Final = PARAMETERS.slots
REPLY_BYTES: Final = 2 * KEPT * PACKED_BYTES

_RADIX: Final[Floats] = np.array(
    [[centred(1 << (FLOOD_DIGIT_BITS * j), q) for j in range(FLOOD_DIGITS)] for q in PRIMES]
)

# Constants of kernels.rounding: −1/p modulo the dropped primes, inverses for the mixed-radix digits …
_Q2, _Q3, _Q4, _Q5 = PRIMES[KEPT:]
_GARNER: Final[Floats] = np.array(
    [
        *(centred(-pow(P, -1, q), q) for q in PRIMES[KEPT:]),
        centred(pow(_Q2, -1, _Q3), _Q3),
        centred(pow(_Q2, -1, _Q4), _Q4),
        centred(pow(_Q3, -1, _Q4), _Q4),
        centred(pow(_Q2, -1, _Q5), _Q5),
        centred(pow(_Q3, -1, _Q5), _Q5),
        centred(pow(_Q4, -1, _Q5), _Q5),
    ]
)
_RADICES: Final = (1, _Q2, _Q2 * _Q3, _Q2 * _Q3 * _Q4)
# … and modulo the kept primes 1/(q2q3q4q5), p times those radices over it, and p.
_SPREAD: Final[Floats] = np.array(
    [
        [centred(f * pow(PARAMETERS.dropped, -1, q), q) for f in (1, *(P * r for r in _RADICES))] + [centred(P, q)]
        for q in PRIMES[:KEPT]
    ]
)

_DIGITS: Final[Floats] = np.array([centred(pow(PRIMES[0], -1, PRIMES[1]), PRIMES[1])])
_RESTORE: Final = np.array([f * PARAMETERS.dropped % P for f in (1, PRIMES[0], -PARAMETERS.kept)], dtype=np.uint64)
_BOUND: Final = np.uint64(PARAMETERS.phase_digits)


@attrs.frozen(eq=False)
class Question:
    """A peer's proved ciphertexts that are to be multiplied, from number ``first`` on; a single one serves any number.

    The seed is 32 random bytes used for nothing else: two replies with one seed would show the difference of their x.
    """

    key: PublicKey = attrs.field(repr=False)
    ciphertexts: VerifiedCiphertexts = attrs.field(repr=False)
    seed: bytes = attrs.field(repr=False)
    first: int = 0

    def check(self, count: int) -> None:
        """Raise :class:`LocalProtocolError` unless ``count`` plaintexts can be multiplied in."""
        check_seed(self.seed)
        if self.ciphertexts.key != self.key.digest:
            raise LocalProtocolError("these ciphertexts were proved under another key")
        held, first = self.ciphertexts.count, self.first
        if first < 0 or first + (1 if held == 1 else count) > held:
            raise LocalProtocolError(f"{count} plaintexts from {first} on do not match {held} ciphertexts")

    def ciphertext(self, index: int) -> Bytes:
        """The one that plaintext ``index`` meets: uint8[2, 6, 102400]."""
        packed: Bytes = self.ciphertexts.batch.packed[self.first + (0 if self.ciphertexts.count == 1 else index)]
        return packed


@attrs.frozen(eq=False)
class Reply:
    """What is sent, uint8[U·409600], and what is kept, −r."""

    packed: Bytes = attrs.field(repr=False)
    kept: Polynomials = attrs.field(repr=False)

    @classmethod
    def of(cls, count: int) -> Reply:
        """Room for the replies to ``count`` ciphertexts."""
        return cls(np.empty(count * REPLY_BYTES, dtype=np.uint8), np.empty((count, N), dtype=np.uint64))

    def part(self, first: int, stop: int) -> Reply:
        """A view of some of them."""
        return Reply(self.packed[first * REPLY_BYTES : stop * REPLY_BYTES], self.kept[first:stop])


def reply(questions: Sequence[Question], x: Slots, out: Sequence[Reply] | None = None) -> list[Reply]:
    """Multiply plaintext slots x uint64[U, N] into peers' proved ciphertexts, masked (steps L.8, L.9).

    Vector k meets ciphertext ``first`` + k of each question.  x is transformed once for all of them.
    """
    check_slots(x)
    repliers = _repliers(questions, x.shape[0], out)
    plain: Words = aligned(N, dtype=np.uint64)
    work: Floats = aligned(1, N)
    evaluations: Floats = aligned(len(PRIMES), N)
    for index in range(x.shape[0]):
        encode(x[index], plain)
        kernels.evaluate(plain, LIMBS, TABLES, work, evaluations)
        for replier in repliers:
            replier.add(index, evaluations)
    return [replier.reply for replier in repliers]


def reply_scaled(
    questions: Sequence[Question], factor: int, count: int, out: Sequence[Reply] | None = None
) -> list[Reply]:
    """The same for ``count`` vectors whose slots all equal ``factor`` in [0, p).

    A constant polynomial is its own evaluation form, so nothing of x is transformed.
    """
    check_count(count)
    if not 0 <= factor < P:
        raise LocalProtocolError("a factor is not below p")
    evaluations: Floats = aligned(len(PRIMES), N)
    kernels.evaluate_constant(np.full(LANES, factor, dtype=np.uint64), LIMBS, evaluations)
    repliers = _repliers(questions, count, out)
    for index in range(count):
        for replier in repliers:
            replier.add(index, evaluations)
    return [replier.reply for replier in repliers]


class _Scratch:
    """Memory for one reply at a time."""

    def __init__(self) -> None:
        self.flood: Bytes = aligned(FLOOD_DIGITS, PACKED_BYTES, dtype=np.uint8)
        self.high: Words = aligned(N, dtype=np.uint64)
        self.low: Bytes = aligned(N * TIE_BITS // 8, dtype=np.uint8)
        self.product: Floats = aligned(2, len(PRIMES), N)
        self.work: Floats = aligned(N)
        self.none = np.zeros(N, dtype=np.uint64)
        self.dropped: Floats = aligned(len(PRIMES) - KEPT, N)
        self.rounded: Floats = aligned(KEPT, N)


def _repliers(questions: Sequence[Question], count: int, out: Sequence[Reply] | None) -> list[_Replier]:
    for question in questions:
        question.check(count)
    scratch = _Scratch()
    out = [Reply.of(count) for _ in questions] if out is None else out
    return [_Replier(question, place, scratch) for question, place in zip(questions, out, strict=True)]


class _Replier:
    """Makes the replies to one question."""

    def __init__(self, question: Question, out: Reply, scratch: _Scratch) -> None:
        self.reply = out
        self._question, self._scratch = question, scratch
        self._flood_prg = Prg(question.seed, "lattice reply flood")
        self._mask_prg = Prg(question.seed, "lattice reply mask")
        self._packed = out.packed.reshape(-1, 2, KEPT, PACKED_BYTES)

    def add(self, index: int, x: Floats) -> None:
        """Make reply ``index`` for a plaintext in evaluation form, float64[6, N]."""
        key, scratch, prg = self._question.key, self._scratch, self._flood_prg
        c = self._question.ciphertext(index)
        mask = self._mask_prg.elements(N)
        prg.fill(scratch.flood.reshape(-1))
        kernels.multiply(x, scratch.flood, _RADIX, c, key.b, key.a, LIMBS, TABLES, scratch.work, scratch.product)
        for part, added in enumerate((mask, scratch.none)):
            prg.fill(scratch.high.view(np.uint8))
            prg.fill(scratch.low)
            kernels.switch(
                scratch.product[part],
                added,
                scratch.high,
                scratch.low,
                LIMBS,
                TABLES,
                _GARNER,
                _SPREAD,
                scratch.dropped,
                scratch.rounded,
                scratch.work,
                self._packed[index, part],
            )
        slots.negate(mask, self.reply.kept[index])


def to_slots(polynomials: Polynomials) -> Slots:
    """Plaintexts to the slots they hold, in place."""
    for polynomial in polynomials:
        slots.to_slots(polynomial)
    return polynomials


def decrypt(key: SecretKey, replies: Bytes, count: int, *, party: int | str | None = None) -> Polynomials:
    """Decrypt a peer's replies to one's own ciphertexts: x·y + r, uint64[count, N] (step L.10).

    :class:`RemoteProtocolError` ``malformed-message`` for a wrong size or residue, and
    ``decryption-anomaly`` for noise that no honest reply has.  After an anomaly the key must be destroyed
    and never used again: its occurrence may depend on s.
    """
    check_count(count)
    replies = packing.received(replies, count * REPLY_BYTES, f"{count} replies", party)
    packed = replies.reshape(count, 2, KEPT, PACKED_BYTES)
    result = np.empty((count, N), dtype=np.uint64)
    digits: Words = aligned(KEPT, N, dtype=np.uint64)
    work: Floats = aligned(1 + KEPT, N)
    anomaly = 0
    for index in range(count):
        if kernels.phase(packed[index], key.s, LIMBS, TABLES, work, _DIGITS, digits):
            raise RemoteProtocolError(Fault.MALFORMED, "a reply has a residue beyond its prime", party=party)
        anomaly |= int(kernels.decode(digits, _BOUND, np.uint64(PRIMES[1]), _RESTORE, result[index]))
    if anomaly:  # only now, so that the place does not show in the time
        raise RemoteProtocolError(Fault.DECRYPTION, "a reply's noise is beyond any honest one", party=party)
    return result
