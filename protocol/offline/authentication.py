"""The one check of a batch: all its MACs, in one random combination (``docs/protocol.md``, step 7.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocol import field
from protocol.checking import Checker
from protocol.errors import Fault
from protocol.offline.epoch import Epoch
from protocol.party import Party
from protocol.prg import Prg
from protocol.shares import Shared


async def check_macs(party: Party, epoch: Epoch, values: Sequence[Shared]) -> None:
    """Check the MACs of several vectors of one length, all but their last slots.

    The last value of the first vector hides the combination that is opened, and must not be used again; nor may the
    last values of the others, which are not checked.  Raises :class:`RemoteProtocolError` ``batch-check``, naming
    neither a party nor a slot.
    """
    challenge = Prg(await party.coin("batch"), "batch-check coefficients")
    value, mac = await party.work(_combination, challenge, values)
    checker = Checker(party, epoch.mac_key, Fault.BATCH_CHECK)
    await checker.open("batch/combination", Shared(value, mac))
    await checker.check("batch/check")


def _combination(challenge: Prg, values: Sequence[Shared]) -> tuple[field.Elements, field.Elements]:
    """Σ_t ψ_t·Σ_k χ_k·x_{t,k}, and the last of the first vector: its value and its MAC."""
    weights = [int(psi) for psi in challenge.elements(len(values))]
    chi = challenge.elements(len(values[0]) - 1)
    value, mac = int(values[0].value[-1]), int(values[0].mac[-1])
    for psi, shared in zip(weights, values, strict=True):
        value += psi * field.dot(chi, shared.value[:-1])
        mac += psi * field.dot(chi, shared.mac[:-1])
    return np.array([value % field.P], dtype=np.uint64), np.array([mac % field.P], dtype=np.uint64)
