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
from protocol.offline.epoch import Epoch
from protocol.offline.squares import shared_squares
from protocol.party import Party


async def make_bits(party: Party, epoch: Epoch, ciphertexts: int) -> Elements:
    """``ciphertexts``·N bits (minus the odd zero square); returns uint64[2, count]: values and MACs."""
    root, square = await shared_squares(party, epoch, ciphertexts)
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
