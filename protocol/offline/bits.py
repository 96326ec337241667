"""Random shared bits, each from a square (``docs/protocol.md``, step 8.3).

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
from protocol.offline.squares import UncheckedSquares, make_squares
from protocol.party import Party
from protocol.secret import Secret
from protocol.shares import Shared


class UncheckedBits(Secret):
    """Squares on their way to become bits."""

    def __init__(self, party: Party, epoch: Epoch, squares: UncheckedSquares) -> None:
        self._party = party
        self._epoch = epoch
        self._squares = squares

    async def checked(self) -> Elements:
        """Check the squares, open and check a², take roots; uint64[2, count]: values and MACs.

        Raises :class:`RemoteProtocolError`; after a failure the epoch must be destroyed.
        """
        party, epoch = self._party, self._epoch
        value, square, mac, mac_of_square = await self._squares.checked()
        checker = Checker(party, epoch.mac_key, Fault.BATCH_CHECK)
        opening = await checker.open("bit/square", Shared(square, mac_of_square))
        await checker.check("bit/check")
        return await party.work(_bits, Shared(value, mac), opening.released(), epoch)


async def make_bits(party: Party, epoch: Epoch, ciphertexts: int) -> UncheckedBits:
    """``ciphertexts``·N bits (minus the odd zero square), still to be checked."""
    return UncheckedBits(party, epoch, await make_squares(party, epoch, ciphertexts))


def _bits(root: Shared, opened: Elements, epoch: Epoch) -> Elements:
    if not opened.all():  # a = 0 has probability 2^−61 per bit, and is dropped: its sign says nothing
        keep = np.flatnonzero(opened)
        root, opened = root[keep], np.ascontiguousarray(opened[keep])
    inverse_root = field.inverse_sqrt(opened)
    if not np.all(field.mul(field.mul(inverse_root, inverse_root), opened) == 1):
        raise RemoteProtocolError(Fault.BATCH_CHECK, "an opened square has no root")
    half = pow(2, -1, field.P)
    ones = np.ones(opened.size, dtype=np.uint64)
    bits = root.times(inverse_root).plus(ones, epoch.mac_key).scale(half)
    return np.stack([bits.value, bits.mac])
