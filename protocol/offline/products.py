"""Shares of products with everybody else's ciphertexts, and MACs (steps 7.3 and 7.4)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from protocol import field
from protocol.errors import Fault, RemoteProtocolError
from protocol.lattice import VerifiedCiphertexts, decrypt, reply
from protocol.offline.epoch import Epoch
from protocol.offline.slots import Slots, add_slots
from protocol.party import SEED_BYTES, Party
from protocol.shares import Shared


async def cross_products(
    party: Party,
    epoch: Epoch,
    label: str,
    factors: Mapping[int, Sequence[Slots]],
    encrypted: Sequence[VerifiedCiphertexts],
    expected: Mapping[int, int],
    ciphertexts: int,
) -> tuple[dict[int, list[Slots]], dict[int, list[Slots]]]:
    """Multiply own factors into peers' ciphertexts, and decrypt what peers multiplied into one's own.

    ``factors[i]`` are the plaintext vectors this party multiplies into ``encrypted[i]``; ``expected[i]`` is how many
    replies peer i owes, of ``ciphertexts`` each.  Returns, per peer, the shares kept (−r) and the shares decrypted
    (x·y + r): the two ends of one product add up to it.
    """
    kept: dict[int, list[Slots]] = {}
    outgoing: dict[int, list[npt.NDArray[np.uint8]]] = {}
    for peer, vectors in factors.items():
        kept[peer], outgoing[peer] = [], []
        for vector in vectors:
            seed = party.entropy(SEED_BYTES)  # fresh for every reply: a repeated mask would open the difference
            answer, minus_r = await party.work(reply, epoch.public_keys[peer], encrypted[peer], vector, seed)
            outgoing[peer].append(answer)
            kept[peer].append(minus_r)
    senders: Collection[int] = [peer for peer, count in expected.items() if count]
    received = await party.exchange(label, outgoing, senders)
    decrypted: dict[int, list[Slots]] = {}
    for peer in senders:
        parts = received[peer]
        if len(parts) != expected[peer]:
            raise RemoteProtocolError(
                Fault.MALFORMED, f"{len(parts)} replies where {expected[peer]} are due", party=peer
            )
        decrypted[peer] = [
            await party.work(partial(decrypt, party=peer), epoch.secret_key, part, ciphertexts) for part in parts
        ]
    return kept, decrypted


async def all_products(
    party: Party,
    epoch: Epoch,
    label: str,
    factors: Sequence[Slots],
    encrypted: Sequence[VerifiedCiphertexts],
) -> list[Slots]:
    """For each factor x, this party's share of Σ_{i≠j} x_j·y_i over all ordered pairs."""
    kept, decrypted = await cross_products(
        party,
        epoch,
        label,
        dict.fromkeys(party.peers, factors),
        encrypted,
        dict.fromkeys(party.peers, len(factors)),
        len(factors[0]),
    )
    return [
        add_slots(*(part for peer in party.peers for part in (kept[peer][k], decrypted[peer][k])))
        for k in range(len(factors))
    ]


async def authenticate(party: Party, epoch: Epoch, label: str, values: Sequence[Slots]) -> list[Shared]:
    """MACs on additive shares: x·Δ = Σ x_j·Δ_i, through Enc_i(Δ_i) (step 7.4)."""
    crossed = await all_products(party, epoch, label, values, epoch.deltas)
    result = []
    for value, cross in zip(values, crossed, strict=True):
        own = field.scale(value.reshape(-1), epoch.mac_key.delta)
        result.append(Shared(np.ascontiguousarray(value.reshape(-1)), field.add(own, cross.reshape(-1))))
    return result
