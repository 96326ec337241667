"""Random shared bits, each from a square (``docs/protocol.md``, section 8).

A square (a, a²) costs half the products of a triple; opening a² gives ±a up to sign, and (a/√a² + 1)/2 is a
uniform bit (Damgård, Fitzi, Kiltz, Nielsen, Toft, TCC 2006, section 4; here with MACs from the square).
"""

from __future__ import annotations

import numpy as np

from protocol import field
from protocol.checking import Checker
from protocol.errors import Fault, RemoteProtocolError
from protocol.field import Elements
from protocol.lattice import encrypt
from protocol.offline.epoch import Epoch
from protocol.offline.products import authenticate, cross_products
from protocol.offline.proofs import prove_all
from protocol.offline.slots import Slots, add_slots, multiply_slots, uniform_slots
from protocol.party import SEED_BYTES, Party
from protocol.prg import Prg
from protocol.shares import Shared


async def make_bits(party: Party, epoch: Epoch, ciphertexts: int) -> Elements:
    """``ciphertexts``·N bits (minus the odd zero square); returns uint64[2, count]: values and MACs."""
    root, square = await _squares(party, epoch, ciphertexts)
    checker = Checker(party, epoch.mac_key, Fault.SACRIFICE)
    opening = await checker.open("bit/square", square)
    await checker.check("bit/check")
    opened = opening.released()
    if not opened.all():  # a = 0 has probability 2^−61 per bit, and is dropped: its sign says nothing
        keep = np.flatnonzero(opened)
        root, opened = root[keep], np.ascontiguousarray(opened[keep])
    inverse_root = await party.work(field.inverse_sqrt, opened)
    if not np.all(field.mul(field.mul(inverse_root, inverse_root), opened) == 1):
        raise RemoteProtocolError(Fault.SACRIFICE, "an opened square has no root")
    half = pow(2, -1, field.P)
    ones = np.ones(opened.size, dtype=np.uint64)
    bits = root.times(inverse_root).plus(ones, epoch.mac_key).scale(half)
    return np.stack([bits.value, bits.mac])


async def _squares(party: Party, epoch: Epoch, ciphertexts: int) -> tuple[Shared, Shared]:
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
