"""Replies: products, shares, noise against its bound, flooding, and what decryption refuses."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.field import P
from protocol.lattice import (
    PublicKey,
    Question,
    Reply,
    SecretKey,
    VerifiedCiphertexts,
    decrypt,
    encrypt,
    kernels,
    keygen,
    packing,
    reply_scaled,
    switching,
    to_slots,
)
from protocol.lattice import reply as reply_to_all
from protocol.lattice.keys import PRIMES
from protocol.lattice.packing import PACKED_BYTES
from protocol.lattice.params import PARAMETERS
from protocol.lattice.switching import REPLY_BYTES
from protocol.lattice.transform import LIMBS, TABLES, inverse
from protocol.prg import Prg
from tests.protocol.lattice import reference
from tests.protocol.lattice.conftest import EPOCH, Batch, Keys, seed, uniform
from tests.protocol.lattice.test_sampling import chi_square

N = PARAMETERS.slots


def products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return field.mul(x.reshape(-1), y.reshape(-1)).reshape(x.shape)


def reply(
    key: PublicKey, ciphertexts: VerifiedCiphertexts, x: np.ndarray, seed: bytes, *, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The reply to one question: what is sent and what is kept."""
    (answer,) = reply_to_all([Question(key, ciphertexts, seed, first)], x)
    return answer.packed, answer.kept


def scaled(
    key: PublicKey, ciphertexts: VerifiedCiphertexts, factor: int, seed: bytes, *, first: int = 0, count: int
) -> tuple[np.ndarray, np.ndarray]:
    (answer,) = reply_scaled([Question(key, ciphertexts, seed, first)], factor, count)
    return answer.packed, answer.kept


def opened(secret: SecretKey, answer: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """What both ends add up to, in slots."""
    decrypted = decrypt(secret, answer, len(kept))
    return to_slots(field.add(decrypted.reshape(-1), kept.reshape(-1)).reshape(kept.shape))


def test_shares_add_up_to_products(keys: Keys, batch: Batch) -> None:
    x = uniform("x", 3)
    x[0, :6] = [0, P - 1, P - 1, 1, P // 2, P // 2 + 1]
    answer, kept = reply(keys.public, batch.ciphertexts.trusted(batch.openings), x, seed("reply"))
    assert answer.size == 3 * 25 * N
    assert np.array_equal(opened(keys.secret, answer, kept), products(x, batch.slots))


@pytest.mark.parametrize("value", [0, 1, P - 1, P // 2, P // 2 + 1])
def test_extreme_plaintexts(keys: Keys, value: int) -> None:
    y = np.full((1, N), value, dtype=np.uint64)
    x = np.full((1, N), P - 1, dtype=np.uint64)
    ciphertexts, openings = encrypt(keys.public, y, seed("extreme"))
    answer, kept = reply(keys.public, ciphertexts.trusted(openings), x, seed("extreme reply"))
    assert np.array_equal(opened(keys.secret, answer, kept), products(x, y))


def test_one_ciphertext_serves_many_vectors(keys: Keys, constant_batch: Batch) -> None:
    x = uniform("many", 4)
    answer, kept = reply(keys.public, constant_batch.ciphertexts.trusted(constant_batch.openings), x, seed("many"))
    expected = field.scale(x.reshape(-1), int(constant_batch.slots[0, 0])).reshape(x.shape)
    assert np.array_equal(opened(keys.secret, answer, kept), expected)


def test_part_of_a_batch_is_multiplied(keys: Keys, batch: Batch) -> None:
    verified = batch.ciphertexts.trusted(batch.openings)
    x = uniform("part", 2)
    answer, kept = reply(keys.public, verified, x, seed("part"), first=1)
    assert np.array_equal(opened(keys.secret, answer, kept), products(x, batch.slots[1:]))


@pytest.mark.parametrize("factor", [0, 1, P - 1, P // 2, P // 2 + 1, 0x0DEA_DBEE_F123_4567 % P])
def test_a_scaled_reply_is_the_reply_to_equal_slots(keys: Keys, batch: Batch, factor: int) -> None:
    verified = batch.ciphertexts.trusted(batch.openings)
    answer, kept = scaled(keys.public, verified, factor, seed("scaled"), first=1, count=2)
    expected = reply(keys.public, verified, np.full((2, N), factor, dtype=np.uint64), seed("scaled"), first=1)
    assert np.array_equal(answer, expected[0])
    assert np.array_equal(kept, expected[1])


def test_one_ciphertext_is_scaled_many_times(keys: Keys, constant_batch: Batch) -> None:
    verified = constant_batch.ciphertexts.trusted(constant_batch.openings)
    answer, kept = scaled(keys.public, verified, 7, seed("many"), count=3)
    expected = field.scale(np.repeat(constant_batch.slots, 3, axis=0).reshape(-1), 7).reshape(3, N)
    assert np.array_equal(opened(keys.secret, answer, kept), expected)


def test_several_questions_are_answered_as_each_alone(keys: Keys, batch: Batch) -> None:
    """One transform of x serves all; nothing else is shared, and answers may go where the caller wants them."""
    verified = batch.ciphertexts.trusted(batch.openings)
    x = uniform("several", 2)
    questions = [Question(keys.public, verified, seed(f"question {k}"), k) for k in range(2)]
    room = Reply.of(5)
    out = [room.part(0, 2), room.part(3, 5)]
    together = reply_to_all(questions, x, out)
    for k, (question, answer) in enumerate(zip(questions, together, strict=True)):
        packed, kept = reply(keys.public, verified, x, question.seed, first=k)
        assert np.array_equal(answer.packed, packed)
        assert np.array_equal(answer.kept, kept)
        assert np.array_equal(room.kept[3 * k : 3 * k + 2], kept)
    assert not np.array_equal(together[0].kept, together[1].kept)


class Errors:
    """Random words for e', with extremes: ``high`` 63 bits and ``low`` 32."""

    def __init__(self, name: str) -> None:
        prg = Prg(name.encode(), "test")
        self.words = np.frombuffer(prg.bytes(8 * N), dtype="<u8").copy()
        self.low = np.frombuffer(prg.bytes(4 * N), dtype="<u4").copy()
        self.words[:200:5] = 0
        self.words[1:200:5] = (1 << 64) - 1
        self.low[:200:3] = 0
        self.low[1:200:3] = (1 << 32) - 1
        turn = PRIMES[5] << 1  # as in the upper 63 bits
        self.words[200:300] = np.arange(100, dtype=np.uint64) * np.uint64(turn)
        self.words[300:400] = np.arange(100, dtype=np.uint64) * np.uint64(turn) + np.uint64(turn - 2)

    def high(self, i: int) -> int:
        return int(self.words[i]) >> 1


def _rounded(c: np.ndarray, mask: np.ndarray, errors: Errors) -> np.ndarray:
    out = np.empty((2, N))
    low = errors.low.view(np.uint8)
    kernels.rounding(c, mask, errors.words, low, LIMBS, switching._GARNER, switching._SPREAD, out)
    return out


def test_a_reply_is_rounded_by_its_definition() -> None:
    """Errors, mask and modulus switch in plain integers; residues, words and masks at their extremes too."""
    rng = np.random.default_rng(3)
    c = np.stack([rng.integers(-q, q + 1, N).astype(np.float64) for q in PRIMES[2:]])
    for row, q in zip(c, PRIMES[2:], strict=True):
        row[:64] = q - 1
        row[64:128] = -float(q)
        row[128:192] = q // 2
        row[192:195] = [0, 1, -1]
        row[200:400] = 0  # with an r of nought: g is nought too, and the words decide alone
    errors = Errors("errors")
    mask = Prg(b"mask", "test").elements(N)
    mask[:200:3] = P - 1
    mask[192:250] = 0
    mask[300:350] = 0
    out = _rounded(c, mask, errors)
    for row, q in zip(out, PRIMES, strict=False):
        assert np.abs(row).max() <= 0.51 * q
    for i in [*range(0, 420, 3), *range(420, N, 31)]:
        r = int(mask[i])
        residues = [int(x) + r for x in c[:, i]]
        expected = reference.rounding(r, residues, errors.high(i), int(errors.low[i]))
        assert [int(x) % q for x, q in zip(out[:, i], PRIMES, strict=False)] == expected


def test_errors_and_switch_are_post_processing_of_an_error_drawn_before() -> None:
    """The reply depends on e' = y·S + z as if it had been added first and the sum switched (step L.9)."""
    rng = np.random.default_rng(8)
    q2, q3, q4, q5 = PRIMES[2:]
    small, dropped = q2 * q3 * q4, PARAMETERS.dropped
    for _ in range(200):
        c = int(rng.integers(0, 1 << 62)) * int(rng.integers(0, 1 << 62)) ** 3 % dropped
        g = -c * pow(P, -1, dropped) % dropped
        y, z = int(rng.integers(0, 1 << 63)), int(rng.integers(0, 1 << 62)) ** 3 % small
        error = y * small + z
        before = c + P * error
        switched = before + P * (-before * pow(P, -1, dropped) % dropped)
        assert switched % dropped == 0
        turns = -(-(y - g // small + (z > g % small)) // q5)
        assert switched == c + P * (g + dropped * turns)


def test_the_bit_between_neighbours_has_the_probability_it_should() -> None:
    """[z > g mod S] by 32 bits of its highest digit: off by less than ``tie_error`` whatever the digit."""
    q4 = PRIMES[4]
    for digit in (0, 1, (1 << 18) - 1, 1 << 18, q4 // 2, q4 - 1):
        above = Fraction((1 << 32) - 1 - (digit >> 18), 1 << 32)
        for rest in (0, 1):  # g mod S is digit·q2q3 plus something in [0, q2q3)
            assert abs(above - (1 - Fraction(digit + rest, q4))) <= PARAMETERS.tie_error
    assert PARAMETERS.tie_error < Fraction(1, 1 << 27)


def _digits(packed: np.ndarray) -> list[int]:
    """Flooding polynomials uint8[4, 102400] as integers."""
    words = np.empty((4, N), dtype=np.uint64)
    for row, polynomial in zip(words, packed, strict=True):
        packing.unpack(polynomial, row)
    return [sum((int(w) - (1 << 49)) << (50 * j) for j, w in enumerate(column)) for column in words.T]


def test_flooding_residues_equal_their_definition() -> None:
    flood = np.frombuffer(Prg(b"expand", "test").bytes(4 * PACKED_BYTES), dtype=np.uint8).reshape(4, -1).copy()
    for polynomial, first in zip(flood, (0, (1 << 50) - 1, 0, (1 << 50) - 1), strict=True):
        words = np.empty(N, dtype=np.uint64)
        packing.unpack(polynomial, words)
        words[:10], words[10:20], words[20:30] = 0, (1 << 50) - 1, first
        packing.pack(words, polynomial)
    out = np.empty((6, N))
    kernels.expand(flood, switching._RADIX, LIMBS, out)
    values = _digits(flood)
    assert max(map(abs, values)) == PARAMETERS.flood_max
    for limb, q in enumerate(PRIMES):
        assert np.abs(out[limb]).max() <= 0.51 * q
        assert all(int(out[limb, i]) % q == values[i] % q for i in [*range(32), *range(100, N, 97)])


def _phases(keys: Keys, answer: np.ndarray) -> list[int]:
    words = np.empty((2, 2, N), dtype=np.uint64)
    for part in range(2):
        for limb in range(2):
            packing.unpack(answer.reshape(2, 2, PACKED_BYTES)[part, limb], words[part, limb])
    s = [int(d) - 1 for d in keys.secret.digits]
    limbs = []
    for limb in range(2):
        q = PRIMES[limb]
        for part in words[:, limb]:
            coefficients = np.empty(N)
            inverse(part.astype(np.float64), coefficients, LIMBS[limb], TABLES[limb])
            part[:] = coefficients.astype(np.int64) % q
        product = reference.multiply([int(w) for w in words[1, limb]], s, q)
        limbs.append([(int(w) + v) % q for w, v in zip(words[0, limb], product, strict=True)])
    return [reference.crt(pair, PRIMES[:2]) for pair in zip(*limbs, strict=True)]


def test_measured_noise_stays_below_its_bound(keys: Keys, batch: Batch) -> None:
    x = uniform("noise", 3)
    answer, kept = reply(keys.public, batch.ciphertexts.trusted(batch.openings), x, seed("noise"))
    phases = _phases(keys, answer[:REPLY_BYTES])
    largest = max(map(abs, phases))
    assert largest <= PARAMETERS.switched_phase < PARAMETERS.phase_digits * PRIMES[0]
    # the bound is a worst case: random signs leave about 1/√N of it, and no less than a thousandth
    assert largest > PARAMETERS.switched_phase >> 10
    # and the phases are the plaintext: decryption by plain integers
    coefficients = np.array([f * PARAMETERS.dropped % P for f in phases], dtype=np.uint64)
    assert np.array_equal(coefficients, decrypt(keys.secret, answer[:REPLY_BYTES], 1)[0])
    assert np.array_equal(opened(keys.secret, answer[:REPLY_BYTES], kept[:1]), products(x[:1], batch.slots[:1]))


def _with_phase(value: int) -> np.ndarray:
    """A reply (value, 0): its phase is a constant polynomial, in evaluation form."""
    answer = np.zeros((2, 2, PACKED_BYTES), dtype=np.uint8)
    for limb in range(2):
        packing.pack(np.full(N, value % PRIMES[limb], dtype=np.uint64), answer[0, limb])
    return answer.reshape(-1)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_anomaly_is_noticed_exactly_beyond_the_bound(keys: Keys, sign: int) -> None:
    bound = PARAMETERS.phase_digits * PRIMES[0]
    inside = bound - 1 if sign > 0 else -bound
    decrypt(keys.secret, _with_phase(inside), 1)
    for beyond in (inside + sign, PARAMETERS.kept // 2, sign * (PARAMETERS.kept // 2), sign * (bound << 3)):
        with pytest.raises(RemoteProtocolError) as error:
            decrypt(keys.secret, _with_phase(beyond), 1, party=1)
        assert (error.value.fault, error.value.party) == (Fault.DECRYPTION, 1)


def test_an_anomaly_does_not_tell_its_place(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever reply of a call is wrong, and however many: all are decrypted first, and one thing is said."""
    good, wrong = (_with_phase(value) for value in (0, PARAMETERS.kept // 2))
    decode, decoded, said = kernels.decode, 0, set[str]()

    def counted(*arguments: object) -> object:
        nonlocal decoded
        decoded += 1
        return decode(*arguments)

    monkeypatch.setattr(kernels, "decode", counted)
    for places in ({0}, {1}, {2}, {0, 2}, {0, 1, 2}):
        replies = np.concatenate([wrong if place in places else good for place in range(3)])
        with pytest.raises(RemoteProtocolError) as error:
            decrypt(keys.secret, replies, 3)
        assert error.value.fault is Fault.DECRYPTION
        said.add(str(error.value))
        assert decoded == 3
        decoded = 0
    assert len(said) == 1


def test_wrong_replies_are_anomalies(keys: Keys, batch: Batch) -> None:
    verified = batch.ciphertexts.trusted(batch.openings)
    answer, _ = reply(keys.public, verified, uniform("x", 3), seed("reply"))
    changed = answer.copy()
    changed[5] ^= 1
    other, other_key = keygen(EPOCH, seed("another key"))
    for secret, bad in ((other, answer), (keys.secret, changed)):
        with pytest.raises(RemoteProtocolError) as error:
            decrypt(secret, bad, 3)
        assert error.value.fault is Fault.DECRYPTION
    high = answer.copy()
    high[6 * N] ^= 2  # the top plane
    with pytest.raises(RemoteProtocolError) as error:
        decrypt(keys.secret, high, 3)
    assert error.value.fault in {Fault.DECRYPTION, Fault.MALFORMED}
    assert other_key.digest != keys.public.digest


def test_malformed_replies_are_refused(keys: Keys) -> None:
    words = np.zeros(N, dtype=np.uint64)
    words[3] = PRIMES[1]
    large = np.zeros((2, 2, PACKED_BYTES), dtype=np.uint8)
    packing.pack(words, large[1, 1])
    for array in (
        large.reshape(-1),
        np.zeros(REPLY_BYTES - 1, dtype=np.uint8),
        np.zeros(2 * REPLY_BYTES, dtype=np.uint8),
        np.zeros(REPLY_BYTES // 8, dtype=np.uint64),
        large,
    ):
        with pytest.raises(RemoteProtocolError) as error:
            decrypt(keys.secret, array, 1, party=3)
        assert (error.value.fault, error.value.party) == (Fault.MALFORMED, 3)


def test_misuse_is_refused(keys: Keys, batch: Batch) -> None:
    verified = batch.ciphertexts.trusted(batch.openings)
    _, other = keygen(EPOCH, seed("another key"))
    with pytest.raises(LocalProtocolError, match="another key"):
        reply(other, verified, uniform("x", 3), seed("reply"))
    for count, first in ((4, 0), (1, 3), (3, 1), (1, -1)):
        with pytest.raises(LocalProtocolError, match="do not match"):
            reply(keys.public, verified, uniform("x", count), seed("reply"), first=first)
        with pytest.raises(LocalProtocolError, match="do not match"):
            scaled(keys.public, verified, 5, seed("reply"), first=first, count=count)
    for factor in (-1, P):
        with pytest.raises(LocalProtocolError, match="factor"):
            scaled(keys.public, verified, factor, seed("reply"), count=3)
    for count in (0, 257):
        with pytest.raises(LocalProtocolError, match="1 to 256"):
            scaled(keys.public, verified, 5, seed("reply"), count=count)
    with pytest.raises(LocalProtocolError, match="not below p"):
        reply(keys.public, verified, np.full((3, N), P, dtype=np.uint64), seed("reply"))
    with pytest.raises(LocalProtocolError, match="seed"):
        reply(keys.public, verified, uniform("x", 3), b"")


def test_replies_look_the_same_for_any_plaintext(keys: Keys, batch: Batch) -> None:
    """Both halves of the decrypted sum are uniform, and the phase does not follow |x| (flood statistic)."""
    verified = batch.ciphertexts.trusted(batch.openings)
    sizes = []
    for name, x in (
        ("zero", np.zeros((3, N), dtype=np.uint64)),
        ("full", np.full((3, N), P // 2, dtype=np.uint64)),
    ):
        answer, kept = reply(keys.public, verified, x, seed(f"look {name}"))
        for share in (decrypt(keys.secret, answer, 3), kept):
            cells = np.bincount((share.reshape(-1) >> np.uint64(53)).astype(np.int64), minlength=256)
            assert abs(chi_square(cells, np.full(256, share.size / 256))) < 4
        phases = np.array([float(f) for f in _phases(keys, answer[:REPLY_BYTES])])
        sizes.append(float(phases.std()))
    assert 0.97 < sizes[0] / sizes[1] < 1.03
