"""An epoch: everybody's lattice keys, and one MAC key nobody knows (``docs/protocol.md``, section 6)."""

from __future__ import annotations

from typing import Final

import attrs
import msgspec
import numpy as np

from protocol.errors import LocalProtocolError
from protocol.field import P
from protocol.lattice import PARAMETERS, SecretKey, VerifiedCiphertexts
from protocol.offline.ciphertexts import proved_ciphertexts
from protocol.offline.keys import Keys, exchange_keys, owned, read_key
from protocol.party import SEED_BYTES, Party
from protocol.prg import Prg, labelled_hash
from protocol.secret import Secret
from protocol.shares import MacKey

STATE_FORMAT: Final = 3


@attrs.frozen(eq=False, repr=False)
class Epoch(Secret):
    """What a party keeps for as long as material of this epoch may be made or used; ``charter`` is a digest."""

    epoch_id: bytes
    charter: bytes
    mac_key: MacKey
    keys: Keys
    deltas: tuple[VerifiedCiphertexts, ...]  # Enc_k(Δ_k) of every party k, proved to be constant


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    format: int
    epoch_id: bytes
    charter: bytes
    index: int
    delta: int
    secret_key: bytes
    public_keys: list[bytes]
    deltas: list[bytes]


async def found(party: Party, charter_digest: bytes) -> Epoch:
    """Found a new epoch together (steps 6.1–6.4)."""
    epoch_id = labelled_hash("epoch", charter_digest, party.parties.to_bytes(2, "little"), await party.coin("epoch"))
    keys = await exchange_keys(party, "public-key", epoch_id)
    delta = int(Prg(party.entropy(SEED_BYTES), "mac key").elements(1)[0])
    slots = np.full((1, PARAMETERS.slots), delta, dtype=np.uint64)
    deltas = await proved_ciphertexts(party, "delta", keys, slots, constant=True)
    await party.confirm()
    return Epoch(epoch_id, charter_digest, MacKey(delta, party.index == 0), keys, tuple(deltas))


def seal(epoch: Epoch, index: int) -> bytes:
    """The epoch as bytes, for storage under a key of the daemon's."""
    return msgspec.msgpack.encode(
        _Stored(
            STATE_FORMAT,
            epoch.epoch_id,
            epoch.charter,
            index,
            epoch.mac_key.delta,
            epoch.keys.secret.to_bytes(),
            [key.to_array().tobytes() for key in epoch.keys.public],
            [delta.to_bytes() for delta in epoch.deltas],
        )
    )


def unseal(data: bytes) -> Epoch:
    """The inverse of :func:`seal`; the bytes are the daemon's own, authenticated by its storage key."""
    try:
        stored = msgspec.msgpack.decode(data, type=_Stored)
    except msgspec.DecodeError as error:
        raise LocalProtocolError(f"the stored epoch cannot be read: {error}") from error
    if stored.format != STATE_FORMAT or not 0 <= stored.delta < P:
        raise LocalProtocolError("the stored epoch has an unknown format")
    public_keys = tuple(
        read_key(stored.epoch_id, np.frombuffer(key, dtype=np.uint8), k) for k, key in enumerate(stored.public_keys)
    )
    return Epoch(
        stored.epoch_id,
        stored.charter,
        MacKey(stored.delta, stored.index == 0),
        Keys(SecretKey.from_bytes(owned(stored.epoch_id, stored.index), stored.secret_key), public_keys),
        tuple(VerifiedCiphertexts.from_bytes(delta) for delta in stored.deltas),
    )
