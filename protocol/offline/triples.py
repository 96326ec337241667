"""Authenticated multiplication triples (``docs/protocol.md``, steps 7.1 to 7.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocol.field import Elements
from protocol.lattice import VerifiedCiphertexts
from protocol.offline.authentication import check_macs
from protocol.offline.ciphertexts import proved_ciphertexts
from protocol.offline.epoch import Epoch
from protocol.offline.keys import Keys, batch_keys
from protocol.offline.products import Crossed, Multiplication, Part, multiply
from protocol.offline.slots import Slots, multiply_slots, scale_slots, uniform_slots
from protocol.party import Party
from protocol.secret import Secret
from protocol.shares import Shared


class UncheckedTriples(Secret):
    """Triples that nobody may use yet."""

    def __init__(self, party: Party, epoch: Epoch, recipe: _Recipe) -> None:
        self._party = party
        self._epoch = epoch
        self._recipe = recipe

    async def checked(self) -> Elements:
        """Check all at once (step 7.5); uint64[6, U·N − 1]: a, b, c and their MACs.

        Raises :class:`RemoteProtocolError`; after a failure the epoch must be destroyed.
        """
        rows = self._recipe.rows.reshape(6, -1)
        kept, last = rows[:, :-1], rows[:, -1:]
        values = [Shared(kept[k], kept[3 + k]) for k in range(3)]
        await check_macs(self._party, self._epoch, values, blind=Shared(last[0], last[3]))
        return kept


async def make_triples(party: Party, epoch: Epoch, ciphertexts: int) -> UncheckedTriples:
    """``ciphertexts``·N − 1 triples, still to be checked (steps 7.1 to 7.4)."""
    a = uniform_slots(party, ciphertexts, "triple a")
    b = uniform_slots(party, ciphertexts, "triple b")
    keys = await batch_keys(party, epoch.epoch_id)
    encrypted = await proved_ciphertexts(party, "triple", keys, b)
    recipe = _Recipe(party, epoch, keys, encrypted, a, b)
    await multiply(party, "triple", recipe, ciphertexts)
    return UncheckedTriples(party, epoch, recipe)


class _Recipe(Secret):
    """Δa, Δb and ab; then Δab = m(a)·b."""

    def __init__(
        self,
        party: Party,
        epoch: Epoch,
        keys: Keys,
        encrypted: Sequence[VerifiedCiphertexts],
        a: Slots,
        b: Slots,
    ) -> None:
        self._peers = party.peers
        self._epoch = epoch
        self._keys = keys
        self._encrypted = encrypted
        self.rows: Slots = np.empty((6, *a.shape), dtype=np.uint64)
        self.rows[0], self.rows[1] = a, b

    def _times_b(self, factor: Slots | int) -> Multiplication:
        return Multiplication(factor, self._encrypted, self._keys, asked=self._peers, due=self._peers)

    def first(self, part: Part) -> Sequence[Multiplication]:
        a, epoch = part.of(self.rows[0]), self._epoch
        return (
            Multiplication(a, epoch.deltas, epoch.keys, asked=self._peers, due=self._peers),
            self._times_b(epoch.mac_key.delta),
            self._times_b(a),
        )

    def second(self, part: Part, crossed: Sequence[Crossed]) -> Sequence[Multiplication]:
        delta = self._epoch.mac_key.delta
        a, b, c, mac_a, mac_b, _ = (part.of(row) for row in self.rows)
        mac_a[:] = crossed[0].shares(scale_slots(a, delta))
        mac_b[:] = crossed[1].shares(scale_slots(b, delta))
        c[:] = crossed[2].shares(multiply_slots(a, b))
        return (self._times_b(mac_a),)

    def done(self, part: Part, crossed: Sequence[Crossed]) -> None:
        _, b, _, mac_a, _, mac_c = (part.of(row) for row in self.rows)
        mac_c[:] = crossed[0].shares(multiply_slots(mac_a, b))
