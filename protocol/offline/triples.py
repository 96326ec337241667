"""Authenticated multiplication triples, and the sacrifice that makes them trustworthy (steps 7.1–7.5)."""

from __future__ import annotations

import numpy as np

from protocol.checking import Checker
from protocol.errors import Fault
from protocol.field import Elements
from protocol.lattice import encrypt
from protocol.offline.epoch import Epoch
from protocol.offline.products import all_products, authenticate
from protocol.offline.proofs import prove_all
from protocol.offline.slots import add_slots, multiply_slots, uniform_slots
from protocol.party import SEED_BYTES, Party
from protocol.prg import Prg
from protocol.shares import Shared


async def make_triples(party: Party, epoch: Epoch, ciphertexts: int) -> Elements:
    """``ciphertexts``·N triples; returns uint64[6, count]: a, b, c and their MACs.

    Raises :class:`RemoteProtocolError`; a failed sacrifice means that the epoch must be destroyed.
    """
    a = uniform_slots(party, ciphertexts, "triple a")
    a_hat = uniform_slots(party, ciphertexts, "triple a^")
    b = uniform_slots(party, ciphertexts, "triple b")
    batch, openings = await party.work(encrypt, epoch.public_keys[party.index], b, party.entropy(SEED_BYTES))
    encrypted = await prove_all(party, "triple", epoch.public_keys, batch, openings)
    crossed = await all_products(party, epoch, "triple/products", [a, a_hat], encrypted)
    c = add_slots(multiply_slots(a, b), crossed[0])
    c_hat = add_slots(multiply_slots(a_hat, b), crossed[1])
    x, x_hat, y, z, z_hat = await authenticate(party, epoch, "triple/macs", [a, a_hat, b, c, c_hat])
    await _sacrifice(party, epoch, (x, y, z), (x_hat, z_hat))
    return np.stack([x.value, y.value, z.value, x.mac, y.mac, z.mac])


async def _sacrifice(
    party: Party, epoch: Epoch, kept: tuple[Shared, Shared, Shared], spent: tuple[Shared, Shared]
) -> None:
    """Spend (â, ĉ) to check (a, b, c) (step 7.5).

    With t tossed after all are fixed, ρ = t·a − â is opened and t·c − ĉ − ρ·b must be zero.  One combined check
    covers both; its failure names no slot.
    """
    (a, b, c), (a_hat, c_hat) = kept, spent
    t = int(Prg(await party.coin("sacrifice"), "sacrifice").elements(1)[0])
    checker = Checker(party, epoch.mac_key, Fault.SACRIFICE)
    rho = (await checker.open("sacrifice/rho", a.scale(t) - a_hat)).masked()
    checker.expect_zero(c.scale(t) - c_hat - b.times(rho))
    await checker.check("sacrifice/check")
