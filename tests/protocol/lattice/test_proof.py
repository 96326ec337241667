"""The proof of plaintext knowledge: completeness, every way to fail, and rejection sampling."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.lattice import CiphertextBatch, ProverState, commit, encrypt, keygen, packing, verify
from protocol.lattice import proof as proofs
from protocol.lattice.encryption import LIFT
from protocol.lattice.packing import PACKED_BYTES
from protocol.lattice.params import PARAMETERS, Range
from protocol.prg import Prg
from tests.protocol.lattice.conftest import CONTEXT, EPOCH, Batch, Keys, Proof, prove, seed, uniform
from tests.protocol.lattice.test_encryption import opened
from tests.protocol.lattice.test_sampling import chi_square

N, ROWS = PARAMETERS.slots, PARAMETERS.rows


def check(keys: Keys, proof: Proof, **changes: Any) -> Any:
    arguments = {
        "key": keys.public,
        "ciphertexts": proof.batch.ciphertexts,
        "commitment": proof.commitment,
        "context": CONTEXT,
        "challenge": proof.challenge,
        "response": proof.response,
        "constant": proof.batch.openings.constant,
        "party": 1,
    } | changes
    return verify(**arguments)


def refused(keys: Keys, proof: Proof, fault: Fault, **changes: Any) -> None:
    with pytest.raises(RemoteProtocolError) as error:
        check(keys, proof, **changes)
    assert (error.value.fault, error.value.party) == (fault, 1)


def test_an_honest_proof_holds(keys: Keys, proof: Proof) -> None:
    verified = check(keys, proof)
    assert (verified.count, verified.key, verified.constant) == (3, keys.public.digest, False)


def test_an_honest_constant_proof_holds(keys: Keys, constant_proof: Proof) -> None:
    verified = check(keys, constant_proof)
    assert (verified.count, verified.constant) == (1, True)


def test_the_response_is_y_plus_w_times_s(keys: Keys, batch: Batch) -> None:
    state, _ = commit(keys.public, batch.openings, CONTEXT, seed("equation"))
    masks, nonce = state._masks.copy(), state._nonce
    challenge = seed("equation coin")
    response = state.respond(challenge)
    assert response is not None
    assert response[:32].tobytes() == nonce
    selection = proofs._selection(challenge, state._statement, 3)
    secrets = [opened(batch, index) for index in range(3)]
    words = np.empty((5, N), dtype=np.uint64)
    reader = proofs._Response(response, False, None)
    p = PARAMETERS
    for row in (0, 1, 63):
        reader.read(row, words)
        for i in (0, 1, 5000, N - 1):
            chosen = [s for s, w in zip(secrets, selection[row], strict=True) if w]
            y = [int(w) for w in masks[row, :, i]]
            z = [int(w) for w in words[:, i]]
            assert y[0] + (y[1] << 49) - p.message.mask + sum(s["m"][i] for s in chosen) == (
                z[0] + (z[1] << 49) - p.message.accepted
            )
            for at, name, r in ((2, "v", p.ternary), (3, "e0", p.error), (4, "e1", p.error)):
                assert y[at] - r.mask + sum(s[name][i] for s in chosen) == z[at] - r.accepted


def test_another_context_challenge_key_or_commitment_is_refused(keys: Keys, proof: Proof) -> None:
    refused(keys, proof, Fault.PROOF_EQUATION, context=b"prover 0 of session 2")
    refused(keys, proof, Fault.PROOF_EQUATION, challenge=seed("another coin"))
    refused(keys, proof, Fault.PROOF_EQUATION, key=keygen(EPOCH, seed("another key"))[1])
    refused(keys, proof, Fault.PROOF_EQUATION, commitment=bytes(32))
    refused(keys, proof, Fault.PROOF_EQUATION, commitment=b"")


def test_other_ciphertexts_are_refused(keys: Keys, proof: Proof) -> None:
    changed = proof.batch.ciphertexts.packed.copy()
    changed[2, 1, 5, 0] ^= 1
    refused(keys, proof, Fault.PROOF_EQUATION, ciphertexts=CiphertextBatch(changed))
    swapped = np.ascontiguousarray(proof.batch.ciphertexts.packed[[1, 0, 2]])
    refused(keys, proof, Fault.PROOF_EQUATION, ciphertexts=CiphertextBatch(swapped))
    fewer = np.ascontiguousarray(proof.batch.ciphertexts.packed[:2])
    refused(keys, proof, Fault.PROOF_EQUATION, ciphertexts=CiphertextBatch(fewer))


@pytest.mark.parametrize("place", ["nonce", "low", "high", "v", "e0", "e1"])
def test_a_changed_response_is_refused(keys: Keys, proof: Proof, place: str) -> None:
    start = {"nonce": 0, "low": 32, "high": 32 + PACKED_BYTES}.get(place, 0)
    if place in ("v", "e0", "e1"):
        start = 32 + ROWS * 2 * PACKED_BYTES + ("v", "e0", "e1").index(place) * PACKED_BYTES
    response = proof.response.copy()
    response[start] ^= 1
    refused(keys, proof, Fault.PROOF_EQUATION, response=response)


def _edit(proof: Proof, row: int, part: int, value: int) -> np.ndarray:
    """Set coefficient 77 of one part of a row (parts: low, high, v, e0, e1)."""
    response = proof.response.copy()
    messages, smalls = proofs._parts(response, False)
    place = messages[row, part * PACKED_BYTES : (part + 1) * PACKED_BYTES] if part < 2 else smalls[row, part - 2]
    words = np.empty(N, dtype=np.uint64)
    packing.unpack(place, words)
    words[77] = value
    packing.pack(words, place)
    return response


@pytest.mark.parametrize("row", [0, ROWS - 1])
@pytest.mark.parametrize("part", range(5))
def test_bounds_are_exact(keys: Keys, proof: Proof, row: int, part: int) -> None:
    p = PARAMETERS
    high = (2 * p.message.accepted) >> 49
    limit = {0: 1 << 49, 1: high + 1, 2: 2 * p.ternary.accepted}.get(part, 2 * p.error.accepted)
    fault = Fault.MALFORMED if part == 0 else Fault.PROOF_BOUND
    for value in (limit, limit + 1, (1 << 50) - 1):
        refused(keys, proof, fault, response=_edit(proof, row, part, value))
    # one below: in range, so it gets as far as the equation
    if part != 1 and row == 0:
        refused(keys, proof, Fault.PROOF_EQUATION, response=_edit(proof, row, part, limit - 1))


def test_a_message_at_its_bound_is_compared_by_both_digits(keys: Keys, proof: Proof) -> None:
    low, high = (2 * PARAMETERS.message.accepted) % 2**49, (2 * PARAMETERS.message.accepted) >> 49
    at_high = attrs_replace(proof, _edit(proof, 5, 1, high))
    refused(keys, proof, Fault.PROOF_BOUND, response=_edit(at_high, 5, 0, low))
    refused(keys, proof, Fault.PROOF_EQUATION, response=_edit(at_high, 5, 0, low - 1))


def attrs_replace(proof: Proof, response: np.ndarray) -> Proof:
    return Proof(proof.batch, proof.commitment, proof.challenge, response)


def test_wrong_sizes_are_refused(keys: Keys, proof: Proof, constant_proof: Proof) -> None:
    for response in (
        proof.response[:-1],
        np.append(proof.response, np.uint8(0)),
        np.empty(0, dtype=np.uint8),
        proof.response.reshape(2, -1),
        proof.response.view(np.int8),
        constant_proof.response,
    ):
        refused(keys, proof, Fault.MALFORMED, response=response)


def test_a_constant_proof_binds_to_constant_plaintexts(
    keys: Keys, constant_batch: Batch, constant_proof: Proof
) -> None:
    ciphertexts, openings = encrypt(keys.public, constant_batch.slots, seed("delta"))  # declared as any plaintext
    assert ciphertexts.digest() == constant_batch.ciphertexts.digest()
    ordinary = prove(keys, Batch(constant_batch.slots, ciphertexts, openings), "ordinary")
    check(keys, ordinary)
    refused(keys, ordinary, Fault.MALFORMED, constant=True)
    refused(keys, constant_proof, Fault.MALFORMED, constant=False)


def test_a_plaintext_that_is_not_constant_fails_the_constant_proof(keys: Keys) -> None:
    """A cheat who writes a constant proof for an ordinary plaintext: rows that select it cannot be answered."""
    slots = uniform("not constant", 1)
    ciphertexts, openings = encrypt(keys.public, slots, seed("not constant"))
    cheat = type(openings)(openings.words, True, openings.key, openings.ciphertexts)
    false = prove(keys, Batch(slots, ciphertexts, cheat), "cheat")
    refused(keys, false, Fault.PROOF_EQUATION)


def test_masks_serve_once(keys: Keys, batch: Batch) -> None:
    state, _ = commit(keys.public, batch.openings, CONTEXT, seed("once"))
    state.respond(seed("first coin"))
    with pytest.raises(LocalProtocolError, match="commit afresh"):
        state.respond(seed("second coin"))
    assert repr(state).startswith("<ProverState")
    with pytest.raises(TypeError):
        pickle.dumps(state)


def test_openings_of_another_key_are_refused(batch: Batch) -> None:
    with pytest.raises(LocalProtocolError, match="another key"):
        commit(keygen(EPOCH, seed("another key"))[1], batch.openings, CONTEXT, seed("x"))


# --- rejection sampling (step L.7) --------------------------------------------------------------------------


def test_every_secret_gives_the_same_accepted_responses() -> None:
    """The argument of step L.7, exhausted on a small range."""
    small = Range(secret=3, mask_bits=6, batch_max=4)
    for shift in range(-small.shift, small.shift + 1):
        accepted = [y + shift for y in range(-small.mask, small.mask) if -small.accepted <= y + shift < small.accepted]
        assert accepted == list(range(-small.accepted, small.accepted))


@pytest.mark.parametrize("part", ["m", "v", "e0", "e1"])
@pytest.mark.parametrize("secret", [-1, 1])
def test_the_kernel_accepts_exactly_the_range(part: str, secret: int) -> None:
    p = PARAMETERS
    at = {"m": 0, "v": 2, "e0": 3, "e1": 4}[part]
    r = {"m": p.message, "v": p.ternary}.get(part, p.error)
    for z, good in (
        (-r.accepted, True),
        (-r.accepted - 1, False),
        (r.accepted - 1, True),
        (r.accepted, False),
    ):
        chosen, value = 256, secret * r.secret
        y = z - chosen * value
        if not -r.mask <= y < r.mask:
            continue
        masks = np.zeros((5, N), dtype=np.uint64)
        masks[0], masks[1] = p.message.mask % 2**49, p.message.mask >> 49
        masks[2], masks[3], masks[4] = p.ternary.mask, p.error.mask, p.error.mask
        fields = {"m": LIFT, "v": 1, "e0": 21, "e1": 21} | {part: value + {"m": LIFT, "v": 1}.get(part, 21)}
        if part == "m":
            masks[0, 9], masks[1, 9] = (y + p.message.mask) % 2**49, (y + p.message.mask) >> 49
        else:
            masks[at, 9] = y + r.mask
        sums = np.full(N, chosen * (LIFT % 2**49), dtype=np.uint64)
        small = np.full(N, chosen * ((LIFT >> 49 << 38) + (1 << 28) + (21 << 14) + 21), dtype=np.uint64)
        sums[9] = chosen * (fields["m"] % 2**49)
        small[9] = chosen * ((fields["m"] >> 49 << 38) + (fields["v"] << 28) + (fields["e0"] << 14) + fields["e1"])
        offset = p.message.shift + chosen * LIFT
        shifts = [offset % 2**49, offset >> 49, p.ternary.shift + chosen, p.error.shift + 21 * chosen]
        out = np.empty((5, N), dtype=np.uint64)
        bad = proofs._respond(masks, sums, small, np.array(shifts, dtype=np.uint64), out)
        assert (bad == 0) == good
        if good:
            got = int(out[0, 9]) + (int(out[1, 9]) << 49) if part == "m" else int(out[at, 9])
            assert got - r.accepted == z


def test_a_mask_at_the_edge_is_rejected(keys: Keys, batch: Batch) -> None:
    state, _ = commit(keys.public, batch.openings, CONTEXT, seed("edge"))
    state._masks[40, 4, 12_345] = 0
    assert state.respond(seed("edge coin")) is None
    with pytest.raises(LocalProtocolError):
        state.respond(seed("edge coin"))


def test_restarts_are_as_rare_as_derived(batch: Batch) -> None:
    """Over many attempts on the parts that decide: the share of coefficients near the edge."""
    p = PARAMETERS
    exact = 1 - float((1 - 2 * p.ternary.shift / (2 * p.ternary.mask)) ** (N * ROWS))
    assert exact < float(p.rejection)
    assert float(p.rejection) < 2**-7


def test_responses_are_uniform_whatever_the_secret(keys: Keys) -> None:
    """χ² of the top byte of every part, for the two most different plaintexts."""
    p = PARAMETERS
    words = np.empty((5, N), dtype=np.uint64)
    for name, value in (("zero", 0), ("extreme", p.plain_max)):
        slots = np.full((2, N), value, dtype=np.uint64)
        made = Batch(slots, *encrypt(keys.public, slots, seed(name)))
        reader = proofs._Response(prove(keys, made, name).response, False, None)
        cells = np.zeros((4, 256))
        for row in range(ROWS):
            reader.read(row, words)
            scaled = (
                words[1].astype(np.float64) * 2**49 / (2 * p.message.accepted),
                words[2].astype(np.float64) / (2 * p.ternary.accepted),
                words[3].astype(np.float64) / (2 * p.error.accepted),
                words[4].astype(np.float64) / (2 * p.error.accepted),
            )
            for counts, part in zip(cells, scaled, strict=True):
                counts += np.bincount((part * 256).astype(np.int64), minlength=256)
        for counts in cells:
            assert abs(chi_square(counts, np.full(256, counts.sum() / 256))) < 4


def test_the_challenge_is_balanced_and_bound(keys: Keys, proof: Proof) -> None:
    first = proofs._selection(b"c" * 32, b"s" * 32, 256)
    assert first.shape == (ROWS, 256)
    assert set(np.unique(first)) == {0, 1}
    assert abs(int(first.sum()) - first.size // 2) < 4 * (first.size**0.5) / 2
    assert not np.array_equal(first, proofs._selection(b"d" * 32, b"s" * 32, 256))
    assert not np.array_equal(first, proofs._selection(b"c" * 32, b"t" * 32, 256))


def test_commitments_hide_in_their_nonce(keys: Keys, batch: Batch) -> None:
    _, first = commit(keys.public, batch.openings, CONTEXT, seed("n"))
    _, again = commit(keys.public, batch.openings, CONTEXT, seed("n"))
    _, other = commit(keys.public, batch.openings, b"elsewhere", seed("n"))
    assert first == again != other
    assert len(first) == 32
    assert isinstance(commit(keys.public, batch.openings, CONTEXT, seed("m"))[0], ProverState)


def test_sums_of_selected_words() -> None:
    from protocol.lattice import proof_kernels

    words = np.frombuffer(Prg(b"sums", "test").bytes(8 * 256 * N), dtype="<u8").reshape(256, N) >> np.uint64(14)
    words[:, :100] = (1 << 50) - 1
    selection = proofs._selection(b"c" * 32, b"s" * 32, 256)
    selection[3] = 1
    selection[4] = 0
    out = np.empty((ROWS, N), dtype=np.uint64)
    proof_kernels.combine(selection, words, out)
    expected = selection.astype(np.uint64) @ words[:, ::37]
    assert np.array_equal(out[:, ::37], expected)
    assert int(out[3, 0]) == 256 * ((1 << 50) - 1)
