"""Input masks: values one party knows and everybody holds shares of (``docs/protocol.md``, steps 7.6 and 7.7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocol import field
from protocol.checking import Checker
from protocol.errors import Fault
from protocol.field import Elements
from protocol.offline.epoch import Epoch
from protocol.offline.products import Crossed, Multiplication, Part, multiply
from protocol.offline.slots import Slots, scale_slots, uniform_slots
from protocol.party import Party
from protocol.prg import Prg
from protocol.secret import Secret
from protocol.shares import Shared


class UncheckedMasks(Secret):
    """Every owner's masks, which nobody may use yet."""

    def __init__(self, party: Party, epoch: Epoch, recipe: _Recipe) -> None:
        self._party = party
        self._epoch = epoch
        self._recipe = recipe

    async def checked(self) -> list[Elements]:
        """Check all owners' masks (step 7.7); the last slot of each is spent.

        Returns uint64[2, U·N − 1] (value shares, MAC shares) per owner in party order, and uint64[3, …] for one's own,
        the third row being the masks themselves.  Raises :class:`RemoteProtocolError`; after a failure the epoch must
        be destroyed.
        """
        own, macs = self._recipe.own.reshape(-1), self._recipe.macs
        shared = [
            Shared(own if k == self._party.index else np.zeros_like(own), mac.reshape(-1)) for k, mac in enumerate(macs)
        ]
        await _check(self._party, self._epoch, shared)
        columns = []
        for k, masks in enumerate(shared):
            rows = [masks.value[:-1], masks.mac[:-1]]
            if k == self._party.index:
                rows.append(own[:-1])
            columns.append(np.stack(rows))
        return columns


async def make_masks(party: Party, epoch: Epoch, ciphertexts: int) -> UncheckedMasks:
    """``ciphertexts``·N − 1 masks of every owner, still to be checked (step 7.6)."""
    recipe = _Recipe(party, epoch, uniform_slots(party, ciphertexts, "mask"))
    await multiply(party, "mask", recipe, ciphertexts)
    return UncheckedMasks(party, epoch, recipe)


class _Recipe(Secret):
    """One's own masks times everybody's Δ; MAC shares per owner."""

    def __init__(self, party: Party, epoch: Epoch, own: Slots) -> None:
        self._index = party.index
        self._peers = party.peers
        self._epoch = epoch
        self.own = own
        self.macs: Slots = np.empty((party.parties, *own.shape), dtype=np.uint64)

    def first(self, part: Part) -> Sequence[Multiplication]:
        epoch = self._epoch
        return (Multiplication(part.of(self.own), epoch.deltas, epoch.keys, asked=self._peers, due=self._peers),)

    def second(self, part: Part, crossed: Sequence[Crossed]) -> Sequence[Multiplication]:
        (times_delta,) = crossed
        mine = scale_slots(part.of(self.own), self._epoch.mac_key.delta)
        part.of(self.macs[self._index])[:] = times_delta.shares_kept(mine)
        for peer in self._peers:
            part.of(self.macs[peer])[:] = times_delta.shares_of(peer)
        return ()

    def done(self, part: Part, crossed: Sequence[Crossed]) -> None:
        raise AssertionError("masks take one stage")


async def _check(party: Party, epoch: Epoch, shared: Sequence[Shared]) -> None:
    """Open one random combination of each owner's masks, blinded by its last one, and check its MAC (step 7.7).

    Without it, an owner could authenticate different values towards different parties.
    """
    challenge = Prg(await party.coin("masks"), "mask-check coefficients")
    value, mac = await party.work(_combinations, challenge, shared)
    checker = Checker(party, epoch.mac_key, Fault.BATCH_CHECK)
    await checker.open_masked("masks/combination", Shared(value, mac))
    await checker.check("masks/check")


def _combinations(challenge: Prg, shared: Sequence[Shared]) -> tuple[Elements, Elements]:
    values, macs = [], []
    for masks in shared:
        coefficients = challenge.elements(len(masks))
        coefficients[-1] = 1
        value, mac = field.dots(coefficients, masks.value, masks.mac)
        values.append(value)
        macs.append(mac)
    return np.array(values, dtype=np.uint64), np.array(macs, dtype=np.uint64)
