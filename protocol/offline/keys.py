"""Everybody's lattice keys: of the epoch, and of one batch (``docs/protocol.md``, steps 6.1, 6.2 and 6.5)."""

from __future__ import annotations

import attrs

from protocol.lattice import PublicKey, SecretKey, keygen
from protocol.party import SEED_BYTES, Party
from protocol.prg import labelled_hash
from protocol.secret import Secret


@attrs.frozen(eq=False, repr=False)
class Keys(Secret):
    """One's own secret key, and everybody's public ones, in party order."""

    secret: SecretKey
    public: tuple[PublicKey, ...]


async def exchange_keys(party: Party, label: str, key_id: bytes) -> Keys:
    """Everybody makes a key pair for ``key_id`` and broadcasts the public one; on record, not yet confirmed.

    Raises :class:`RemoteProtocolError` (``malformed-message``).  Nothing is proved about keys: replies hide their
    sender's input for any key (step L.8).
    """
    secret, own = await party.work(keygen, key_id, party.entropy(SEED_BYTES))
    told = await party.broadcast(label, own.to_array())
    public = tuple(
        own if k == party.index else PublicKey.from_array(key_id, told[k], party=k) for k in range(len(told))
    )
    return Keys(secret, public)


async def batch_keys(party: Party, epoch_id: bytes) -> Keys:
    """Keys for the ciphertexts of this session alone (step 6.5)."""
    return await exchange_keys(party, "batch-key", labelled_hash("batch key", epoch_id, party.session))
