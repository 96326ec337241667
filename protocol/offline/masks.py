"""Input masks: values one party knows and everybody holds shares of (steps 7.6 and 7.7)."""

from __future__ import annotations

import numpy as np

from protocol import field
from protocol.checking import Checker
from protocol.errors import Fault
from protocol.field import Elements
from protocol.offline.epoch import Epoch
from protocol.offline.products import cross_products
from protocol.offline.slots import Slots, add_slots, uniform_slots
from protocol.party import Party
from protocol.prg import Prg
from protocol.shares import Shared


async def make_masks(party: Party, epoch: Epoch, ciphertexts: int) -> list[Elements]:
    """``ciphertexts``·N − 1 masks of every owner, in party order.

    Returns uint64[2, count] (value shares, MAC shares) per owner, and uint64[3, count] for one's own, the third
    row being the masks themselves.  The last slot of each owner is spent on the check.
    """
    own = uniform_slots(party, ciphertexts, "mask")
    factors = {peer: [own] for peer in party.peers}
    kept, decrypted = await cross_products(
        party, epoch, "mask/macs", factors, epoch.deltas, dict.fromkeys(party.peers, 1), ciphertexts
    )
    shared = [
        _own_share(own, epoch, kept) if k == party.index else _other_share(decrypted[k][0])
        for k in range(party.parties)
    ]
    await _check(party, epoch, shared)
    columns = []
    for k, masks in enumerate(shared):
        rows = [masks.value[:-1], masks.mac[:-1]]
        if k == party.index:
            rows.append(own.reshape(-1)[:-1])
        columns.append(np.stack(rows))
    return columns


def _own_share(own: Slots, epoch: Epoch, kept: dict[int, list[Slots]]) -> Shared:
    flat = own.reshape(-1)
    mine = field.scale(flat, epoch.mac_key.delta).reshape(own.shape)
    return Shared(flat, add_slots(mine, *(parts[0] for parts in kept.values())).reshape(-1))


def _other_share(decrypted: Slots) -> Shared:
    mac = decrypted.reshape(-1)
    return Shared(np.zeros_like(mac), mac)


async def _check(party: Party, epoch: Epoch, shared: list[Shared]) -> None:
    """Open one random combination of each owner's masks, blinded by its last one, and check its MAC (step 7.7).

    Without it, an owner could authenticate different values towards different parties.
    """
    challenge = Prg(await party.coin("masks"), "mask-check coefficients")
    checker = Checker(party, epoch.mac_key, Fault.SACRIFICE)
    combined = []
    for masks in shared:
        coefficients = challenge.elements(len(masks))
        coefficients[-1] = 1
        combined.append([field.dot(coefficients, masks.value), field.dot(coefficients, masks.mac)])
    columns = np.array(combined, dtype=np.uint64).T
    rows = Shared(np.ascontiguousarray(columns[0]), np.ascontiguousarray(columns[1]))
    await checker.open("masks/combination", rows)
    await checker.check("masks/check")
