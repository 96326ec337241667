"""Everybody proves plaintext knowledge of its own ciphertexts, under one joint coin (step 7.2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from protocol.errors import Fault, RemoteProtocolError
from protocol.lattice import (
    CiphertextBatch,
    Openings,
    ProverState,
    PublicKey,
    VerifiedCiphertexts,
    commit,
    verify,
)
from protocol.party import DIGEST_BYTES, SEED_BYTES, Bytes, Party, fixed, octets, single
from protocol.prg import labelled_hash

# An honest proof restarts with probability below 2^−7, so nine in a row happen once in 2^63 batches.
ATTEMPTS_MAX: Final = 9


async def prove_all(
    party: Party,
    label: str,
    public_keys: tuple[PublicKey, ...],
    batches: Sequence[CiphertextBatch],
    openings: Openings,
    *,
    constant: bool,
) -> list[VerifiedCiphertexts]:
    """Prove everybody's ciphertexts, which are on record; returns them in party order.

    ``batches`` are in party order, ``openings`` those of one's own.  ``constant``: everybody proves besides that its
    slots are all equal.

    Rejection sampling makes an honest prover start afresh now and then; those that succeeded wait for the others.
    Raises :class:`RemoteProtocolError` (``proof-equation``, ``proof-bound``, ``malformed-message``).
    """
    contexts = [labelled_hash(f"proof {label}", party.session, k.to_bytes(2, "little")) for k in range(party.parties)]
    verified: dict[int, VerifiedCiphertexts] = {}
    for attempt in range(ATTEMPTS_MAX):
        step = f"{label}/{attempt}"
        pending = [k for k in range(party.parties) if k not in verified]
        state, commitments = await _commit(party, step, pending, public_keys, openings, contexts)
        coin = await party.coin(step)
        challenges = [labelled_hash("proof challenge", coin, context) for context in contexts]
        response = None if state is None else await party.work(state.respond, challenges[party.index])
        received = await party.to_all(f"{step}/response", _NOTHING if response is None else response)
        responses = [
            (_NOTHING if response is None else response) if k == party.index else single(received[k], k)
            for k in range(party.parties)
        ]
        # Who has to start afresh is on record, or parties could be led into different attempts.
        party.record(f"{step}/present", np.array([r.size > 0 for r in responses], dtype=np.uint8))
        await party.confirm()
        answered = [k for k in pending if responses[k].size > 0]
        checked = await party.work_all(
            [
                partial(batches[k].trusted, openings)
                if k == party.index
                else partial(
                    verify,
                    public_keys[k],
                    batches[k],
                    commitments[k],
                    contexts[k],
                    challenges[k],
                    responses[k],
                    constant=constant,
                    party=k,
                )
                for k in answered
            ]
        )
        verified.update(zip(answered, checked, strict=True))
        if len(verified) == party.parties:
            return [verified[k] for k in range(party.parties)]
    late = next(k for k in range(party.parties) if k not in verified)
    raise RemoteProtocolError(Fault.PROOF_BOUND, f"no proof within {ATTEMPTS_MAX} attempts", party=late)


_NOTHING: Final[Bytes] = np.empty(0, dtype=np.uint8)


async def _commit(
    party: Party,
    step: str,
    pending: list[int],
    public_keys: tuple[PublicKey, ...],
    openings: Openings,
    contexts: list[bytes],
) -> tuple[ProverState | None, dict[int, bytes]]:
    state, commitment = None, b""
    if party.index in pending:
        seed = party.entropy(SEED_BYTES)
        state, commitment = await party.work(commit, public_keys[party.index], openings, contexts[party.index], seed)
    told = await party.broadcast(f"{step}/commit", octets(commitment or bytes(DIGEST_BYTES)))
    return state, {k: fixed(told[k], DIGEST_BYTES, k) for k in pending if k != party.index}
