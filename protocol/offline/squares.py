"""Authenticated squares: half the work of a triple (``docs/protocol.md``, steps 8.1 and 8.2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocol.field import Elements
from protocol.lattice import VerifiedCiphertexts
from protocol.offline.authentication import blinding, check_macs
from protocol.offline.ciphertexts import proved_ciphertexts
from protocol.offline.epoch import Epoch
from protocol.offline.keys import Keys, batch_keys
from protocol.offline.products import Crossed, Multiplication, Part, multiply
from protocol.offline.slots import Slots, add_slots, multiply_slots, scale_slots, uniform_slots
from protocol.party import Party
from protocol.secret import Secret
from protocol.shares import Shared


class UncheckedSquares(Secret):
    """Squares that nobody may use yet."""

    def __init__(self, party: Party, epoch: Epoch, recipe: _Recipe, blind: Shared) -> None:
        self._party = party
        self._epoch = epoch
        self._recipe = recipe
        self._blind = blind

    async def checked(self) -> Elements:
        """Check all at once (step 8.2); uint64[4, U·N]: a, a² and their MACs.

        Raises :class:`RemoteProtocolError`; after a failure the epoch must be destroyed.
        """
        rows = self._recipe.rows.reshape(4, -1)
        await check_macs(self._party, self._epoch, [Shared(rows[k], rows[2 + k]) for k in range(2)], self._blind)
        return rows


async def make_squares(party: Party, epoch: Epoch, ciphertexts: int) -> UncheckedSquares:
    """``ciphertexts``·N squares, still to be checked (step 8.1)."""
    a = uniform_slots(party, ciphertexts, "square")
    keys = await batch_keys(party, epoch.epoch_id)
    encrypted = await proved_ciphertexts(party, "square", keys, a)
    recipe = _Recipe(party, epoch, keys, encrypted, a)
    await multiply(party, "square", recipe, ciphertexts)
    return UncheckedSquares(party, epoch, recipe, await blinding(party, epoch))


class _Recipe(Secret):
    """Δa and a²; then Δa² = m(a)·a."""

    def __init__(
        self, party: Party, epoch: Epoch, keys: Keys, encrypted: Sequence[VerifiedCiphertexts], a: Slots
    ) -> None:
        self._peers = party.peers
        # One answer per unordered pair, doubled; who gives it alternates, so that work is even.
        self._asked = tuple(peer for peer in party.peers if _replies(party.index, peer))
        self._due = tuple(peer for peer in party.peers if not _replies(party.index, peer))
        self._delta = epoch.mac_key.delta
        self._keys = keys
        self._encrypted = encrypted
        self.rows: Slots = np.empty((4, *a.shape), dtype=np.uint64)
        self.rows[0] = a

    def first(self, part: Part) -> Sequence[Multiplication]:
        a = part.of(self.rows[0])
        return (
            Multiplication(self._delta, self._encrypted, self._keys, asked=self._peers, due=self._peers),
            Multiplication(a, self._encrypted, self._keys, asked=self._asked, due=self._due),
        )

    def second(self, part: Part, crossed: Sequence[Crossed]) -> Sequence[Multiplication]:
        a, square, mac, _ = (part.of(row) for row in self.rows)
        mac[:] = crossed[0].shares(scale_slots(a, self._delta))
        half = crossed[1].shares(np.zeros_like(a))
        square[:] = add_slots(multiply_slots(a, a), half, half)
        return (Multiplication(mac, self._encrypted, self._keys, asked=self._peers, due=self._peers),)

    def done(self, part: Part, crossed: Sequence[Crossed]) -> None:
        a, _, mac, mac_of_square = (part.of(row) for row in self.rows)
        mac_of_square[:] = crossed[0].shares(multiply_slots(mac, a))


def _replies(index: int, peer: int) -> bool:
    """Whether ``index`` multiplies into the ciphertext of ``peer``, rather than the other way round."""
    return (index < peer) == ((index + peer) % 2 == 0)
