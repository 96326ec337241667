"""Replies: products, shares, noise against its bound, flooding, and what decryption refuses."""

from __future__ import annotations

import numpy as np
import pytest

from protocol import field
from protocol._jit import kernel
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.field import P
from protocol.lattice import decrypt, encrypt, kernels, keygen, packing, reply, reply_scaled, switching
from protocol.lattice.keys import PRIMES
from protocol.lattice.packing import PACKED_BYTES
from protocol.lattice.params import PARAMETERS
from protocol.lattice.switching import REPLY_BYTES
from protocol.lattice.transform import LIMBS
from protocol.prg import Prg
from tests.protocol.lattice import reference
from tests.protocol.lattice.conftest import EPOCH, Batch, Keys, seed, uniform
from tests.protocol.lattice.test_sampling import chi_square

N = PARAMETERS.slots


def products(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return field.mul(x.reshape(-1), y.reshape(-1)).reshape(x.shape)


def total(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return field.add(x.reshape(-1), y.reshape(-1)).reshape(x.shape)


def test_shares_add_up_to_products(keys: Keys, batch: Batch) -> None:
    x = uniform("x", 3)
    x[0, :6] = [0, P - 1, P - 1, 1, P // 2, P // 2 + 1]
    answer, kept = reply(keys.public, batch.ciphertexts.trusted(batch.openings), x, seed("reply"))
    assert answer.size == 3 * 25 * N
    assert np.array_equal(total(decrypt(keys.secret, answer, 3), kept), products(x, batch.slots))


@pytest.mark.parametrize("value", [0, 1, P - 1, P // 2, P // 2 + 1])
def test_extreme_plaintexts(keys: Keys, value: int) -> None:
    y = np.full((1, N), value, dtype=np.uint64)
    x = np.full((1, N), P - 1, dtype=np.uint64)
    ciphertexts, openings = encrypt(keys.public, y, seed("extreme"))
    answer, kept = reply(keys.public, ciphertexts.trusted(openings), x, seed("extreme reply"))
    assert np.array_equal(total(decrypt(keys.secret, answer, 1), kept), products(x, y))


def test_one_ciphertext_serves_many_vectors(keys: Keys, constant_batch: Batch) -> None:
    x = uniform("many", 4)
    answer, kept = reply(keys.public, constant_batch.ciphertexts.trusted(constant_batch.openings), x, seed("many"))
    expected = field.scale(x.reshape(-1), int(constant_batch.slots[0, 0])).reshape(x.shape)
    assert np.array_equal(total(decrypt(keys.secret, answer, 4), kept), expected)


def test_part_of_a_batch_is_multiplied(keys: Keys, batch: Batch) -> None:
    verified = batch.ciphertexts.trusted(batch.openings)
    x = uniform("part", 2)
    answer, kept = reply(keys.public, verified, x, seed("part"), first=1)
    assert np.array_equal(total(decrypt(keys.secret, answer, 2), kept), products(x, batch.slots[1:]))


@pytest.mark.parametrize("factor", [0, 1, P - 1, P // 2, P // 2 + 1, 0x0DEA_DBEE_F123_4567 % P])
def test_a_scaled_reply_is_the_reply_to_equal_slots(keys: Keys, batch: Batch, factor: int) -> None:
    verified = batch.ciphertexts.trusted(batch.openings)
    answer, kept = reply_scaled(keys.public, verified, factor, seed("scaled"), first=1, count=2)
    expected = reply(keys.public, verified, np.full((2, N), factor, dtype=np.uint64), seed("scaled"), first=1)
    assert np.array_equal(answer, expected[0])
    assert np.array_equal(kept, expected[1])


def test_one_ciphertext_is_scaled_many_times(keys: Keys, constant_batch: Batch) -> None:
    verified = constant_batch.ciphertexts.trusted(constant_batch.openings)
    answer, kept = reply_scaled(keys.public, verified, 7, seed("many"), count=3)
    expected = field.scale(np.repeat(constant_batch.slots, 3, axis=0).reshape(-1), 7).reshape(3, N)
    assert np.array_equal(total(decrypt(keys.secret, answer, 3), kept), expected)


def _finish(c: np.ndarray, flood: np.ndarray, mask: np.ndarray) -> np.ndarray:
    out = np.empty((2, N), dtype=np.uint64)
    constants = (switching._SCALED_RADIX, LIMBS, switching._GARNER, switching._SPREAD, switching._CORRECTION)
    kernels.finish(c, flood, mask, *constants, out)
    return out


@kernel
def _dots(digits: np.ndarray, factors: np.ndarray, out: np.ndarray) -> None:
    for i in range(out.size):
        out[i] = kernels._dot(digits[0, i], digits[1, i], digits[2, i], digits[3, i], factors)


def test_the_correction_is_exact_at_its_extremes() -> None:
    rng = np.random.default_rng(6)
    top = (1 << 50) - 1
    digits = rng.integers(0, top + 1, (4, 500)).astype(np.float64)
    digits[:, 0], digits[:, 1], digits[:, 2] = top, 0, 1 << 25
    digits[0, 3:20] = top
    out = np.empty(500, dtype=np.uint64)
    for factors in ([P - 1] * 4, [0, 1, P - 1, P // 2], [int(v) for v in rng.integers(0, P, 4)]):
        _dots(digits, np.array(factors, dtype=np.uint64), out)
        for column, k in zip(digits.T, out, strict=True):
            assert int(k) == sum(int(d) * f for d, f in zip(column, factors, strict=True)) % P


def _digits(words: np.ndarray) -> int:
    return sum((int(w) >> 11) * 2 ** (53 * j) - 2 ** (52 + 53 * j) for j, w in enumerate(words))


def test_a_reply_is_finished_by_its_definition() -> None:
    """Errors, mask and modulus switch in plain integers; residues, digits and masks at their extremes too."""
    rng = np.random.default_rng(3)
    c = np.stack([rng.integers(-q, q + 1, N).astype(np.float64) for q in PRIMES])
    for limb, q in enumerate(PRIMES):
        c[limb, :64] = q - 1
        c[limb, 64:128] = -float(q)
        c[limb, 128:192] = q // 2
        c[limb, 192:195] = [0, 1, -1]
    flood = np.frombuffer(Prg(b"flood", "test").bytes(8 * 4 * N), dtype="<u8").reshape(4, N).copy()
    flood[:, :200:4] = 0
    flood[:, 1:200:4] = (1 << 64) - 1
    flood[:, 192:300] = 1 << 63  # zero
    mask = Prg(b"mask", "test").elements(N)
    mask[:200:3] = P - 1
    mask[192:250] = 0
    out = _finish(c, flood, mask)
    for i in [*range(0, 320, 3), *range(320, N, 31)]:
        e, r = _digits(flood[:, i]), int(mask[i])
        assert abs(e) <= PARAMETERS.flood_max
        residues = [(int(x) + P * e + r) % q for x, q in zip(c[:, i], PRIMES, strict=True)]
        assert [int(w) for w in out[:, i]] == reference.switched(residues)


def test_flooding_residues_equal_their_definition() -> None:
    flood = np.frombuffer(Prg(b"expand", "test").bytes(8 * 4 * N), dtype="<u8").reshape(4, N).copy()
    flood[:, :10] = 0
    flood[:, 10:20] = (1 << 64) - 1
    out = np.empty((6, N))
    kernels.expand(flood, switching._RADIX, LIMBS, out)
    for limb, q in enumerate(PRIMES):
        assert np.abs(out[limb]).max() <= 0.51 * q
        assert all(int(out[limb, i]) % q == _digits(flood[:, i]) % q for i in [*range(32), *range(100, N, 97)])


def _phases(keys: Keys, answer: np.ndarray) -> list[int]:
    words = np.empty((2, 2, N), dtype=np.uint64)
    for part in range(2):
        for limb in range(2):
            packing.unpack(answer.reshape(2, 2, PACKED_BYTES)[part, limb], words[part, limb])
    s = [int(d) - 1 for d in keys.secret.digits]
    limbs = []
    for limb in range(2):
        q = PRIMES[limb]
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
    from protocol.lattice import slots

    slots.to_slots(coefficients)
    assert np.array_equal(coefficients, decrypt(keys.secret, answer[:REPLY_BYTES], 1)[0])
    assert np.array_equal(total(coefficients[None], kept[:1]), products(x[:1], batch.slots[:1]))


def _with_phase(value: int) -> np.ndarray:
    """A reply (value, 0): its phase is the same constant in every coefficient."""
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


def test_wrong_replies_are_anomalies(keys: Keys, batch: Batch) -> None:
    verified = batch.ciphertexts.trusted(batch.openings)
    answer, _ = reply(keys.public, verified, uniform("x", 3), seed("reply"))
    changed = answer.copy()
    changed[5] ^= 1
    other, other_key = keygen(EPOCH, seed("another key"))
    for secret, bad in ((other, answer), (keys.secret, changed[::1])):
        if bad is changed:  # a low bit is within the noise: it changes the plaintext, which the MACs notice
            assert not np.array_equal(decrypt(secret, bad, 3), decrypt(secret, answer, 3))
            continue
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
            reply_scaled(keys.public, verified, 5, seed("reply"), first=first, count=count)
    for factor in (-1, P):
        with pytest.raises(LocalProtocolError, match="factor"):
            reply_scaled(keys.public, verified, factor, seed("reply"), count=3)
    for count in (0, 257):
        with pytest.raises(LocalProtocolError, match="1 to 256"):
            reply_scaled(keys.public, verified, 5, seed("reply"), count=count)
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
        decrypted = decrypt(keys.secret, answer, 3)
        for share in (decrypted, kept):
            cells = np.bincount((share.reshape(-1) >> np.uint64(53)).astype(np.int64), minlength=256)
            assert abs(chi_square(cells, np.full(256, share.size / 256))) < 4
        phases = np.array([float(f) for f in _phases(keys, answer[:REPLY_BYTES])])
        sizes.append(float(phases.std()))
    assert 0.97 < sizes[0] / sizes[1] < 1.03
