"""Keys and ciphertexts: against plain integers, their encodings, and what they refuse."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.field import P
from protocol.lattice import (
    CiphertextBatch,
    PublicKey,
    SecretKey,
    VerifiedCiphertexts,
    encrypt,
    encryption,
    kernels,
    keygen,
    packing,
)
from protocol.lattice.keys import PRIMES
from protocol.lattice.packing import PACKED_BYTES
from protocol.lattice.params import PARAMETERS
from protocol.lattice.transform import LIMBS, TABLES, Floats, inverse
from tests.protocol.lattice import reference
from tests.protocol.lattice.conftest import EPOCH, Batch, Keys, seed, uniform

N = PARAMETERS.slots


def coefficients(words: np.ndarray, limb: int) -> list[int]:
    """Evaluation form to coefficients in [0, q)."""
    result: Floats = np.empty(N)
    inverse(words.astype(np.float64), result, LIMBS[limb], TABLES[limb])
    return [int(c) % PRIMES[limb] for c in result]


def opened(batch: Batch, index: int) -> dict[str, list[int]]:
    low, packed = batch.openings.words[:, index]
    high = (packed >> np.uint64(38)).astype(object)
    return {
        "m": [int(h) * 2**49 + int(w) - 2**60 for h, w in zip(high, low, strict=True)],
        "v": [int(w) - 1 for w in (packed >> np.uint64(28)) & np.uint64(1023)],
        "e0": [int(w) - 21 for w in (packed >> np.uint64(14)) & np.uint64(16383)],
        "e1": [int(w) - 21 for w in packed & np.uint64(16383)],
    }


def test_public_key_is_made_as_specified(keys: Keys) -> None:
    q = PRIMES[0]
    b, a = coefficients(keys.public.b[0], 0), coefficients(keys.public.a[0], 0)
    s = [int(d) - 1 for d in keys.secret.digits]
    noise = [reference.centre(x + y, q) for x, y in zip(b, reference.multiply(a, s, q), strict=True)]
    inverse_p = pow(P, -1, q)
    errors = [reference.centre(x * inverse_p, q) for x in noise]
    assert max(map(abs, errors)) <= 21
    assert 9 < sum(e * e for e in errors) / N < 12  # variance 10.5


def test_ciphertext_equals_the_plain_formula(keys: Keys, batch: Batch) -> None:
    parts = opened(batch, 0)
    assert max(map(abs, parts["m"])) <= PARAMETERS.message.secret
    slots = batch.slots[0].copy()
    lifted = np.empty_like(slots)
    encryption.encode(slots, lifted)
    assert [m % P for m in parts["m"]] == [int(x) for x in lifted]
    words = np.empty((2, 6, N), dtype=np.uint64)
    batch.ciphertexts.unpack(0, words)
    for limb in (0, 5):
        b, a = coefficients(keys.public.b[limb], limb), coefficients(keys.public.a[limb], limb)
        expected = reference.encrypt(b, a, parts["m"], parts["v"], parts["e0"], parts["e1"], PRIMES[limb])
        assert coefficients(words[0, limb], limb) == expected[0]
        assert coefficients(words[1, limb], limb) == expected[1]


@pytest.mark.parametrize("extreme", ["lowest", "highest"])
def test_the_kernel_at_the_extremes_of_a_response(keys: Keys, extreme: str) -> None:
    """The widest words that a proof lets through."""
    p, limb = PARAMETERS, 2
    q = PRIMES[limb]
    ranges = (p.message.accepted, p.ternary.accepted, p.error.accepted)
    values = [0 if extreme == "lowest" else 2 * r - 1 for r in ranges]
    words = np.empty((5, N), dtype=np.uint64)
    words[kernels.LOW], words[kernels.HIGH] = values[0] % 2**49, values[0] >> 49
    words[kernels.TERNARY], words[kernels.ERROR_0], words[kernels.ERROR_1] = values[1], values[2], values[2]
    packed = np.empty((2, len(PRIMES), PACKED_BYTES), dtype=np.uint8)
    encryption.Encryptor(keys.public, *ranges).ciphertext(words, packed)
    out = np.empty((2, N), dtype=np.uint64)
    for part in range(2):
        packing.unpack(packed[part, limb], out[part])
    m, v, e = ([x - r] * N for x, r in zip(values, ranges, strict=True))
    b, a = coefficients(keys.public.b[limb], limb), coefficients(keys.public.a[limb], limb)
    expected = reference.encrypt(b, a, m, v, e, e, q)
    assert coefficients(out[0], limb) == expected[0]
    assert coefficients(out[1], limb) == expected[1]
    assert out.max() < q


def test_encodings_round_trip(keys: Keys, batch: Batch) -> None:
    again = CiphertextBatch.from_array(batch.ciphertexts.to_array(), 3)
    assert again.digest() == batch.ciphertexts.digest()
    key = PublicKey.from_array(EPOCH, keys.public.to_array())
    assert key.digest == keys.public.digest
    assert np.array_equal(key.a, keys.public.a)
    assert np.array_equal(key.b, keys.public.b)
    secret = SecretKey.from_bytes(EPOCH, keys.secret.to_bytes())
    assert np.array_equal(secret.s, keys.secret.s)
    verified = batch.ciphertexts.trusted(batch.openings)
    stored = VerifiedCiphertexts.from_bytes(verified.to_bytes())
    assert stored.key == keys.public.digest
    assert stored.batch.digest() == batch.ciphertexts.digest()
    assert batch.ciphertexts.to_array().size == 3 * 75 * N


def test_seeds_separate_and_repeat(keys: Keys) -> None:
    slots = uniform("same", 1)
    first = encrypt(keys.public, slots, seed("a"))[0].digest()
    assert encrypt(keys.public, slots, seed("a"))[0].digest() == first
    assert encrypt(keys.public, slots, seed("b"))[0].digest() != first
    assert keygen(EPOCH, seed("key"))[1].digest == keys.public.digest
    assert keygen(EPOCH[::-1], seed("key"))[1].digest != keys.public.digest


@pytest.mark.parametrize("limb", range(6))
@pytest.mark.parametrize("excess", [0, 1])
def test_residues_beyond_their_prime_are_refused(keys: Keys, batch: Batch, limb: int, excess: int) -> None:
    words = np.zeros(N, dtype=np.uint64)
    words[-1] = PRIMES[limb] + excess
    ciphertexts = batch.ciphertexts.to_array()[: encryption.CIPHERTEXT_BYTES].copy()
    packing.pack(words, ciphertexts.reshape(2, 6, PACKED_BYTES)[1, limb])
    with pytest.raises(RemoteProtocolError) as error:
        CiphertextBatch.from_array(ciphertexts, 1, party=2)
    assert (error.value.fault, error.value.party) == (Fault.MALFORMED, 2)
    public = keys.public.to_array().copy()
    packing.pack(words, public.reshape(6, PACKED_BYTES)[limb])
    with pytest.raises(RemoteProtocolError) as error:
        PublicKey.from_array(EPOCH, public, party=1)
    assert (error.value.fault, error.value.party) == (Fault.MALFORMED, 1)


@pytest.mark.parametrize(
    "array",
    [
        np.empty(0, dtype=np.uint8),
        np.zeros(encryption.CIPHERTEXT_BYTES - 1, dtype=np.uint8),
        np.zeros(encryption.CIPHERTEXT_BYTES + 1, dtype=np.uint8),
        np.zeros((1, encryption.CIPHERTEXT_BYTES), dtype=np.uint8),
        np.zeros(encryption.CIPHERTEXT_BYTES // 8, dtype=np.uint64),
    ],
)
def test_wrong_sizes_are_refused(array: np.ndarray) -> None:
    for parse in (lambda: CiphertextBatch.from_array(array, 1), lambda: PublicKey.from_array(EPOCH, array)):
        with pytest.raises(RemoteProtocolError) as error:
            parse()
        assert error.value.fault is Fault.MALFORMED


def test_misuse_is_refused(keys: Keys, batch: Batch, constant_batch: Batch) -> None:
    good = uniform("misuse", 1)
    beyond = good.copy()
    beyond[0, 7] = P
    for slots in (beyond, good[0], good.astype(np.int64), good[:, :-1], np.empty((0, N), dtype=np.uint64)):
        with pytest.raises(LocalProtocolError):
            encrypt(keys.public, slots, seed("x"))
    with pytest.raises(LocalProtocolError, match="constant"):
        encrypt(keys.public, good, seed("x"), constant=True)
    with pytest.raises(LocalProtocolError, match="seed"):
        encrypt(keys.public, good, b"short")
    with pytest.raises(LocalProtocolError, match="seed"):
        keygen(EPOCH, bytes(31))
    with pytest.raises(LocalProtocolError, match="other ciphertexts"):
        batch.ciphertexts.trusted(constant_batch.openings)
    with pytest.raises(LocalProtocolError):
        SecretKey.from_bytes(EPOCH, bytes([3]) * N)
    with pytest.raises(LocalProtocolError):
        SecretKey.from_bytes(EPOCH, bytes(N - 1))
    for data in (b"", bytes(33), bytes(32 + encryption.CIPHERTEXT_BYTES)):
        with pytest.raises(LocalProtocolError):
            VerifiedCiphertexts.from_bytes(data)


def test_secrets_do_not_show(keys: Keys, batch: Batch) -> None:
    for secret in (keys.secret, batch.openings):
        assert repr(secret).startswith(f"<{type(secret).__name__}")
        with pytest.raises(TypeError):
            pickle.dumps(secret)
