"""The one check of a batch: all its MACs, in one random combination (``docs/protocol.md``, step 7.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocol import field
from protocol.checking import Checker
from protocol.errors import Fault
from protocol.offline.epoch import Epoch
from protocol.offline.products import Crossed, Multiplication, Part, multiply
from protocol.offline.slots import Slots, scale_slots, uniform_slots
from protocol.party import Party
from protocol.prg import Prg
from protocol.secret import Secret
from protocol.shares import Shared


async def blinding(party: Party, epoch: Epoch) -> Shared:
    """One uniform value that nobody knows, its MAC made from the proved Enc(Δ) (step 8.1); to be used once."""
    recipe = _Blind(party, epoch, uniform_slots(party, 1, "blind"))
    await multiply(party, "blind", recipe, 1)
    return Shared(recipe.own.reshape(-1)[:1], recipe.mac.reshape(-1)[:1])


class _Blind(Secret):
    """One's own values times everybody's Δ."""

    def __init__(self, party: Party, epoch: Epoch, own: Slots) -> None:
        self._peers = party.peers
        self._epoch = epoch
        self.own = own
        self.mac: Slots = np.empty_like(own)

    def first(self, part: Part) -> Sequence[Multiplication]:
        epoch = self._epoch
        return (Multiplication(part.of(self.own), epoch.deltas, epoch.keys, asked=self._peers, due=self._peers),)

    def second(self, part: Part, crossed: Sequence[Crossed]) -> Sequence[Multiplication]:
        part.of(self.mac)[:] = crossed[0].shares(scale_slots(part.of(self.own), self._epoch.mac_key.delta))
        return ()

    def done(self, part: Part, crossed: Sequence[Crossed]) -> None:
        """There is one stage."""


async def check_macs(party: Party, epoch: Epoch, values: Sequence[Shared], blind: Shared) -> None:
    """Check the MACs of several vectors of one length.

    ``blind`` is one uniform value that hides the combination that is opened, and must not be used again.  Its MAC must
    have been made from Enc(Δ): nothing else ties the batch to the Δ that was proved (step 8.2).  Raises
    :class:`RemoteProtocolError` ``batch-check``, naming neither a party nor a slot.
    """
    challenge = Prg(await party.coin("batch"), "batch-check coefficients")
    combined = await party.work(_combination, challenge, values, blind)
    checker = Checker(party, epoch.mac_key, Fault.BATCH_CHECK)
    await checker.open_masked("batch/combination", combined)
    await checker.check("batch/check")


def _combination(challenge: Prg, values: Sequence[Shared], blind: Shared) -> Shared:
    """Σ_t ψ_t·Σ_k χ_k·x_{t,k} + blind."""
    weights = [int(psi) for psi in challenge.elements(len(values))]
    chi = challenge.elements(len(values[0]))
    value, mac = int(blind.value[0]), int(blind.mac[0])
    for psi, shared in zip(weights, values, strict=True):
        sums = field.dots(chi, shared.value, shared.mac)
        value, mac = value + psi * sums[0], mac + psi * sums[1]
    return Shared(np.array([value % field.P], dtype=np.uint64), np.array([mac % field.P], dtype=np.uint64))
