"""Everybody's ciphertexts of its own vectors, told and proved (``docs/protocol.md``, steps 6.3 and 7.2)."""

from __future__ import annotations

from functools import partial

from protocol.lattice import CiphertextBatch, VerifiedCiphertexts, encrypt
from protocol.offline.keys import Keys
from protocol.offline.proofs import prove_all
from protocol.offline.slots import Slots
from protocol.party import SEED_BYTES, Bytes, Party, octets, single


async def proved_ciphertexts(
    party: Party, label: str, keys: Keys, values: Slots, *, constant: bool = False
) -> list[VerifiedCiphertexts]:
    """Encrypt one's own slots uint64[U, N], tell everybody, and prove; returns everybody's, in party order.

    ``constant``: everybody proves besides that its slots are all equal.
    Raises :class:`RemoteProtocolError` (``proof-equation``, ``proof-bound``, ``malformed-message``).
    """
    seed = party.entropy(SEED_BYTES)
    own, openings = await party.work(partial(encrypt, constant=constant), keys.public[party.index], values, seed)
    told = await party.to_all(f"{label}/ciphertexts", own.to_array())
    theirs = await party.work_all([partial(_read, single(told[peer], peer), own.count, peer) for peer in party.peers])
    batches = dict(zip(party.peers, theirs, strict=True)) | {party.index: own}
    in_order = [batches[k] for k in range(party.parties)]
    # What was told goes on record as its digests, which the proofs need besides.
    party.record(f"{label}/ciphertexts", *(octets(batch.digest()) for batch in in_order))
    return await prove_all(party, label, keys.public, in_order, openings, constant=constant)


def _read(array: Bytes, count: int, peer: int) -> CiphertextBatch:
    batch = CiphertextBatch.from_array(array, count, party=peer)
    batch.digest()  # computed here, away from the event loop, and kept
    return batch
