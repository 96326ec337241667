"""Everybody's lattice keys: of the epoch, and of one batch (``docs/protocol.md``, steps 6.1, 6.2 and 6.5)."""

from __future__ import annotations

from functools import partial

import attrs

from protocol.lattice import PublicKey, SecretKey, keygen
from protocol.party import SEED_BYTES, Bytes, Party
from protocol.prg import labelled_hash
from protocol.secret import Secret


@attrs.frozen(eq=False, repr=False)
class Keys(Secret):
    """One's own secret key, and everybody's public ones, in party order."""

    secret: SecretKey
    public: tuple[PublicKey, ...]


def owned(key_id: bytes, owner: int) -> bytes:
    """The id of one party's key: each has an `a` of its own, so that a key cannot be another's in disguise."""
    return labelled_hash("key of", key_id, owner.to_bytes(2, "little"))


async def exchange_keys(party: Party, label: str, key_id: bytes) -> Keys:
    """Everybody makes a key pair for ``key_id`` and broadcasts the public one; on record, not yet confirmed.

    Raises :class:`RemoteProtocolError` (``malformed-message``).  Nothing is proved about keys: replies hide their
    sender's input for any key (step L.8).
    """
    secret, own = await party.work(keygen, owned(key_id, party.index), party.entropy(SEED_BYTES))
    told = await party.broadcast(label, own.to_array())
    theirs = await party.work_all([partial(read_key, key_id, told[peer], peer) for peer in party.peers])
    keys = dict(zip(party.peers, theirs, strict=True)) | {party.index: own}
    return Keys(secret, tuple(keys[k] for k in range(party.parties)))


def read_key(key_id: bytes, array: Bytes, owner: int) -> PublicKey:
    """A party's public key of ``key_id``, from its bytes."""
    return PublicKey.from_array(owned(key_id, owner), array, party=owner)


async def batch_keys(party: Party, epoch_id: bytes) -> Keys:
    """Keys for the ciphertexts of this session alone (step 6.5)."""
    return await exchange_keys(party, "batch-key", labelled_hash("batch key", epoch_id, party.session))
