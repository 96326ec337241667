"""Authenticated squares: half the products of a triple (``docs/protocol.md``, steps 8.1 and 8.2)."""

from __future__ import annotations

import numpy as np

from protocol import field
from protocol.checking import Checker
from protocol.errors import Fault
from protocol.field import Elements
from protocol.lattice import encrypt
from protocol.offline.epoch import Epoch
from protocol.offline.products import authenticate, cross_products
from protocol.offline.proofs import prove_all
from protocol.offline.slots import Slots, add_slots, multiply_slots, uniform_slots
from protocol.party import SEED_BYTES, Party
from protocol.prg import Prg
from protocol.shares import Shared


async def make_squares(party: Party, epoch: Epoch, ciphertexts: int) -> Elements:
    """``ciphertexts``·N squares; returns uint64[4, count]: a, a² and their MACs."""
    root, square = await shared_squares(party, epoch, ciphertexts)
    return np.stack([root.value, square.value, root.mac, square.mac])


async def shared_squares(party: Party, epoch: Epoch, ciphertexts: int) -> tuple[Shared, Shared]:
    """⟨a⟩ and ⟨a²⟩; twice as many are made, the second half is sacrificed for the first (steps 8.1 and 8.2)."""
    a = uniform_slots(party, 2 * ciphertexts, "square")
    batch, openings = await party.work(encrypt, epoch.public_keys[party.index], a, party.entropy(SEED_BYTES))
    encrypted = await prove_all(party, "square", epoch.public_keys, batch, openings)
    # Each unordered pair needs one product, doubled; who replies to whom alternates, so that work is even.
    mine = {peer: [a] for peer in party.peers if _replies(party.index, peer)}
    due = {peer: 0 if _replies(party.index, peer) else 1 for peer in party.peers}
    kept, decrypted = await cross_products(party, epoch, "square/products", mine, encrypted, due, len(a))
    doubled = field.scale(_sum_of(a, kept, decrypted).reshape(-1), 2).reshape(a.shape)
    square = add_slots(multiply_slots(a, a), doubled)
    root, squared = await authenticate(party, epoch, "square/macs", [a, square])
    middle = len(root) // 2
    await _sacrifice(party, epoch, (root[:middle], squared[:middle]), (root[middle:], squared[middle:]))
    return root[:middle], squared[:middle]


def _replies(index: int, peer: int) -> bool:
    """Whether ``index`` multiplies into the ciphertext of ``peer``, rather than the other way round."""
    return (index < peer) == ((index + peer) % 2 == 0)


def _sum_of(like: Slots, kept: dict[int, list[Slots]], decrypted: dict[int, list[Slots]]) -> Slots:
    parts = [part for group in (kept, decrypted) for vectors in group.values() for part in vectors]
    return add_slots(np.zeros_like(like), *parts)


async def _sacrifice(party: Party, epoch: Epoch, kept: tuple[Shared, Shared], spent: tuple[Shared, Shared]) -> None:
    """With ρ = t·a − â opened, t²·a² − â² − ρ·(t·a + â) must be zero (step 8.2)."""
    (a, c), (a_hat, c_hat) = kept, spent
    t = int(Prg(await party.coin("sacrifice"), "sacrifice").elements(1)[0])
    checker = Checker(party, epoch.mac_key, Fault.SACRIFICE)
    rho = (await checker.open("sacrifice/rho", a.scale(t) - a_hat)).masked()
    checker.expect_zero(c.scale(t * t) - c_hat - (a.scale(t) + a_hat).times(rho))
    await checker.check("sacrifice/check")
