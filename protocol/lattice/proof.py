"""Proof of plaintext knowledge for a batch of ciphertexts (``docs/protocol-lattice.md``, step L.7).

The prover encrypts V masks, sends a hash of these ciphertexts, learns a 0/1 matrix W from a joint coin, and
opens Y + W·S unless a coefficient falls outside the range that it hits equally often for every S.  The
verifier recomputes the hashed ciphertexts from the response.  {0,1} challenges prove the ciphertexts
themselves, and that a plaintext is constant.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final

import attrs
import numpy as np

from protocol._jit import kernel
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.lattice import packing, sampling
from protocol.lattice.digest import DIGEST_BYTES, digests
from protocol.lattice.encryption import (
    FIELD_ERROR_0,
    FIELD_HIGH,
    FIELD_TERNARY,
    LIFT,
    CiphertextBatch,
    Encryptor,
    Openings,
    VerifiedCiphertexts,
    check_count,
)
from protocol.lattice.kernels import ERROR_0, ERROR_1, HIGH, LOW, TERNARY, WORD_ROWS
from protocol.lattice.keys import PRIMES, PublicKey, check_seed
from protocol.lattice.lanes import aligned
from protocol.lattice.packing import PACKED_BYTES, Bytes, Words
from protocol.lattice.params import DIGIT_BITS, PARAMETERS
from protocol.lattice.proof_kernels import Flags, combine
from protocol.prg import Prg, labelled_hash
from protocol.secret import Secret

N: Final = PARAMETERS.slots
ROWS: Final = PARAMETERS.rows
HASH_BYTES: Final = 32
_SMALL_ROWS: Final = WORD_ROWS - TERNARY  # v, e0, e1
_CONSTANT_BYTES: Final = 16  # two digits of one coefficient

_M, _V, _E = PARAMETERS.message, PARAMETERS.ternary, PARAMETERS.error
_MASK_SHIFTS: Final = np.array(
    [
        64 - DIGIT_BITS,
        64 - (_M.mask_bits + 1 - DIGIT_BITS),
        63 - _V.mask_bits,
        63 - _E.mask_bits,
        63 - _E.mask_bits,
    ],
    dtype=np.uint64,
)
_DIGIT = np.int64(DIGIT_BITS)
_DIGIT_MASK = np.int64((1 << DIGIT_BITS) - 1)
_FIELD_14 = np.uint64((1 << 14) - 1)
_FIELD_10 = np.uint64((1 << 10) - 1)


def _digits(value: int) -> tuple[int, int]:
    return value & ((1 << DIGIT_BITS) - 1), value >> DIGIT_BITS


# Responses are sent as z + accepted, in [0, 2·accepted).
_LIMIT_LOW, _LIMIT_HIGH = (np.int64(d) for d in _digits(2 * _M.accepted))
_LIMIT_V, _LIMIT_E = np.int64(2 * _V.accepted), np.int64(2 * _E.accepted)


@kernel
def _respond(masks: Words, sums: Words, small: Words, shifts: Words, out: Words) -> np.int64:
    """One row of Y + W·S + accepted; returns a non-zero value if any coefficient is out of range.

    shifts: the digits of what the offsets of masks, secrets and response differ by, for m, v and e.
    """
    bad = np.int64(0)
    low, high, ternary, error_0, error_1 = (
        masks[LOW],
        masks[HIGH],
        masks[TERNARY],
        masks[ERROR_0],
        masks[ERROR_1],
    )
    low_out, high_out, ternary_out, error_0_out, error_1_out = (
        out[LOW],
        out[HIGH],
        out[TERNARY],
        out[ERROR_0],
        out[ERROR_1],
    )
    for i in range(N):
        t = np.int64(low[i]) + np.int64(sums[i]) - np.int64(shifts[0])
        l = t & _DIGIT_MASK  # noqa: E741
        h = np.int64(high[i]) + np.int64(small[i] >> FIELD_HIGH) - np.int64(shifts[1]) + (t >> _DIGIT)
        low_out[i], high_out[i] = np.uint64(l), np.uint64(h)
        borrow = (l - _LIMIT_LOW) >> np.int64(63)  # −1 if l < limit
        bad |= h | (_LIMIT_HIGH - h - np.int64(1) - borrow)  # negative if h < 0 or (h, l) ≥ limit
    for i in range(N):
        v = np.int64(ternary[i]) + np.int64((small[i] >> FIELD_TERNARY) & _FIELD_10) - np.int64(shifts[2])
        e = np.int64(error_0[i]) + np.int64((small[i] >> FIELD_ERROR_0) & _FIELD_14) - np.int64(shifts[3])
        f = np.int64(error_1[i]) + np.int64(small[i] & _FIELD_14) - np.int64(shifts[3])
        ternary_out[i], error_0_out[i], error_1_out[i] = np.uint64(v), np.uint64(e), np.uint64(f)
        bad |= v | e | f | (_LIMIT_V - np.int64(1) - v) | (_LIMIT_E - np.int64(1) - e) | (_LIMIT_E - np.int64(1) - f)
    return bad & np.int64(-(1 << 63))


def response_bytes(constant: bool) -> int:
    """The size of a response."""
    message = _CONSTANT_BYTES if constant else 2 * PACKED_BYTES
    return HASH_BYTES + ROWS * (message + _SMALL_ROWS * PACKED_BYTES)


def _selection(challenge: bytes, statement: bytes, count: int) -> Flags:
    """The matrix W of a coin: uint8[V, U] of zeros and ones, bound to what is proved."""
    prg = Prg(labelled_hash("lattice challenge", challenge, statement), "lattice challenge")
    bits = np.unpackbits(np.frombuffer(prg.bytes(ROWS * PARAMETERS.batch_max // 8), dtype=np.uint8))
    return np.ascontiguousarray(bits.reshape(ROWS, PARAMETERS.batch_max)[:, :count])


def _statement(key: bytes, ciphertexts: bytes, count: int, constant: bool, context: bytes) -> bytes:
    return labelled_hash("lattice statement", key, ciphertexts, count.to_bytes(4, "little"), bytes([constant]), context)


def _commitment(statement: bytes, nonce: bytes, pieces: Iterable[bytes]) -> bytes:
    """The hash of all rows' mask ciphertexts: pieces in the order row, part, limb."""
    return labelled_hash("lattice masks", statement, nonce, b"".join(pieces))


def _mask_words(prg: Prg, constant: bool, out: Words) -> None:
    """One row of masks + 2^mask_bits, uint64[5, N]; a constant's mask has zero coefficients but the first."""
    sampling.fill(prg, out)
    np.right_shift(out, _MASK_SHIFTS[:, np.newaxis], out=out)
    if constant:
        out[LOW, 1:], out[HIGH, 1:] = _digits(_M.mask)


class ProverState(Secret):
    """Masks that were committed to, good for exactly one response."""

    def __init__(self, openings: Openings, statement: bytes, masks: Words, nonce: bytes) -> None:
        self._openings: Openings | None = openings
        self._statement = statement
        self._masks = masks
        self._nonce = nonce

    def respond(self, challenge: bytes) -> Bytes | None:
        """The response to a coin's 32 bytes, or None if this attempt must be given up and nothing sent.

        Consumes the state: a second response under the same masks would show the plaintexts.
        """
        openings, self._openings = self._openings, None
        if openings is None:
            raise LocalProtocolError("these masks have been used: commit afresh")
        count = openings.words.shape[1]
        selection = _selection(challenge, self._statement, count)
        sums: Words = aligned(2, ROWS, N, dtype=np.uint64)
        for part in range(2):
            combine(selection, openings.words[part], sums[part])
        writer = _Writer(openings.constant, self._nonce)
        bad = 0
        for row, chosen in enumerate(selection.sum(axis=1, dtype=np.int64)):
            # offsets: masks carry 2^k, each chosen secret its own lift, the response `accepted`
            low, high = _digits(_M.shift + int(chosen) * LIFT)
            small = (_V.shift + int(chosen), _E.shift + int(chosen) * PARAMETERS.noise)
            shifts = np.array([low, high, *small], dtype=np.uint64)
            bad |= int(_respond(self._masks[row], sums[0, row], sums[1, row], shifts, self._masks[row]))
            if not bad:
                writer.row(row, self._masks[row])
        self._masks = np.empty(0, dtype=np.uint64)
        return None if bad else writer.array


class _Writer:
    """Builds a response: nonce, message digits, small parts."""

    def __init__(self, constant: bool, nonce: bytes) -> None:
        self.array = np.empty(response_bytes(constant), dtype=np.uint8)
        self.array[:HASH_BYTES] = np.frombuffer(nonce, dtype=np.uint8)
        self._messages, self._smalls = _parts(self.array, constant)
        self._constant = constant

    def row(self, row: int, words: Words) -> None:
        if self._constant:
            self._messages[row] = np.ascontiguousarray(words[:TERNARY, 0]).view(np.uint8)
        else:
            for part in (LOW, HIGH):
                packing.pack(words[part], self._messages[row, part * PACKED_BYTES : (part + 1) * PACKED_BYTES])
        for part in range(_SMALL_ROWS):
            packing.pack(words[TERNARY + part], self._smalls[row, part])


def _parts(array: Bytes, constant: bool) -> tuple[Bytes, Bytes]:
    """Views of a response: messages uint8[V, …] and small parts uint8[V, 3, PACKED_BYTES]."""
    width = _CONSTANT_BYTES if constant else 2 * PACKED_BYTES
    middle = HASH_BYTES + ROWS * width
    return array[HASH_BYTES:middle].reshape(ROWS, width), array[middle:].reshape(ROWS, _SMALL_ROWS, PACKED_BYTES)


def commit(key: PublicKey, openings: Openings, context: bytes, seed: bytes) -> tuple[ProverState, bytes]:
    """Begin a proof: the state that answers the coin, and the commitment (32 bytes) to send before it.

    ``context`` names prover and session.  The seed is 32 random bytes used for nothing else, another attempt
    included.  Takes 42 MB while the state lives.
    """
    check_seed(seed)
    if openings.key != key.digest:
        raise LocalProtocolError("these openings belong to another key")
    statement = _statement(key.digest, openings.ciphertexts, openings.words.shape[1], openings.constant, context)
    nonce = Prg(seed, "lattice mask nonce").bytes(HASH_BYTES)
    prg = Prg(seed, "lattice masks")
    encryptor = Encryptor(key, _M.mask, _V.mask, _E.mask)
    masks: Words = aligned(ROWS, WORD_ROWS, N, dtype=np.uint64)
    packed = np.empty((2, len(PRIMES), PACKED_BYTES), dtype=np.uint8)
    pieces = []
    for row in range(ROWS):
        _mask_words(prg, openings.constant, masks[row])
        encryptor.ciphertext(masks[row], packed)
        pieces.append(digests(packed.reshape(-1, PACKED_BYTES)))
    return ProverState(openings, statement, masks, nonce), _commitment(statement, nonce, pieces)


def _piece(row: int, part: int, limb: int) -> int:
    return (row * 2 + part) * len(PRIMES) + limb


@attrs.frozen(eq=False)
class _Response:
    """A peer's response of the right size; reads rows and checks their bounds."""

    array: Bytes
    constant: bool
    party: int | str | None

    @property
    def nonce(self) -> bytes:
        return self.array[:HASH_BYTES].tobytes()

    def read(self, row: int, out: Words) -> None:
        """One row of z + accepted, uint64[5, N]."""
        messages, smalls = _parts(self.array, self.constant)
        if self.constant:
            out[LOW], out[HIGH] = _digits(_M.accepted)
            out[:TERNARY, 0] = messages[row].view("<u8")
        else:
            for part in (LOW, HIGH):
                packing.unpack(messages[row, part * PACKED_BYTES : (part + 1) * PACKED_BYTES], out[part])
        for part in range(_SMALL_ROWS):
            packing.unpack(smalls[row, part], out[TERNARY + part])

    def check(self, row: int, out: Words) -> None:
        """Read a row; RemoteProtocolError (``proof-bound``) if a part is out of range."""
        self.read(row, out)
        if out[LOW].max() >> DIGIT_BITS:
            raise RemoteProtocolError(Fault.MALFORMED, "a digit of a response is too large", party=self.party)
        low_limit, high_limit = _digits(2 * _M.accepted)
        beyond = (out[HIGH] > high_limit) | ((out[HIGH] == high_limit) & (out[LOW] >= low_limit))
        small = out[TERNARY].max() < 2 * _V.accepted and out[ERROR_0:].max() < 2 * _E.accepted
        if beyond.any() or not small:
            raise RemoteProtocolError(Fault.PROOF_BOUND, "a response is out of range", party=self.party)


def verify(
    key: PublicKey,
    ciphertexts: CiphertextBatch,
    commitment: bytes,
    context: bytes,
    challenge: bytes,
    response: Bytes,
    *,
    constant: bool,
    party: int | str | None,
) -> VerifiedCiphertexts:
    """Check a peer's response; with ``constant``, also that every plaintext has equal slots.

    ``key`` is the prover's; context and challenge are the verifier's own view of what the prover was given.

    :class:`RemoteProtocolError` ``malformed-message``, ``proof-bound`` or ``proof-equation``.
    """
    count = ciphertexts.count
    check_count(count)
    answer = _Response(packing.received(response, response_bytes(constant), "a response", party), constant, party)
    words: Words = aligned(ROWS, WORD_ROWS, N, dtype=np.uint64)
    for row in range(ROWS):
        answer.check(row, words[row])
    statement = _statement(key.digest, ciphertexts.digest(), count, constant, context)
    selection = _selection(challenge, statement, count)
    encryptor = Encryptor(key, _M.accepted, _V.accepted, _E.accepted)
    residues: Words = aligned(count, N, dtype=np.uint64)
    sums: Words = aligned(2, ROWS, N, dtype=np.uint64)
    packed = np.empty((2, PACKED_BYTES), dtype=np.uint8)
    pieces = [b""] * (ROWS * 2 * len(PRIMES))
    for limb in range(len(PRIMES)):
        for part in range(2):
            for index in range(count):
                packing.unpack(ciphertexts.packed[index, part, limb], residues[index])
            combine(selection, residues, sums[part])
        for row in range(ROWS):
            encryptor.less(words[row], limb, sums[0, row], sums[1, row], packed)
            both = digests(packed)
            for part in range(2):
                pieces[_piece(row, part, limb)] = both[part * DIGEST_BYTES : (part + 1) * DIGEST_BYTES]
    if not hmac.compare_digest(_commitment(statement, answer.nonce, pieces), commitment):
        raise RemoteProtocolError(Fault.PROOF_EQUATION, "a response does not open its commitment", party=party)
    return VerifiedCiphertexts(ciphertexts, key.digest, constant)
