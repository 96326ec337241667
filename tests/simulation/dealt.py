"""Epochs and batches without lattices: a dealer makes what the offline phase would, and everything after it is real.

The rounds in which batches are made are not those of the protocol; a coin, a pause in which work gives way to runs, and
one message from all to all stand in for them.  Then come the protocol's own check of all MACs, the digest, storing,
confirming and unlocking.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import msgspec

from protocol import field
from protocol.errors import LocalProtocolError
from protocol.field import Elements
from protocol.material import BIT, SQUARE, TRIPLE, mask_kind
from protocol.offline.authentication import check_macs
from protocol.offline.epoch import Epoch
from protocol.offline.factory import Batch, Made, Product
from protocol.offline.keys import Keys
from protocol.party import SEED_BYTES, Party, octets
from protocol.prg import Prg, labelled_hash
from protocol.shares import MacKey, Shared
from tests.dealer import Dealer
from tests.simulation.machine import here

ITEMS_PER_CIPHERTEXT: Final = 4096  # fewer than a real one has slots
_NO_KEYS: Final = Keys(secret=None, public=())  # type: ignore[arg-type]


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    epoch_id: bytes
    charter: bytes
    index: int
    delta: int


class Bank:
    """What the dealer knows of each epoch, and batches dealt but not yet taken by everybody."""

    def __init__(self) -> None:
        self._deltas: dict[bytes, dict[int, int]] = {}
        self._dealt: dict[bytes, tuple[set[int], list[tuple[tuple[Batch, ...], Shared]]]] = {}

    async def found(self, party: Party, charter_digest: bytes) -> Epoch:
        """In place of :func:`protocol.offline.epoch.found`."""
        epoch_id = labelled_hash("dealt epoch", charter_digest, await party.coin("epoch"))
        delta = int(Prg(party.entropy(SEED_BYTES), "mac key").elements(1)[0])
        self._deltas.setdefault(epoch_id, {})[party.index] = delta
        await party.to_all("dealt", octets(b"keys"))
        await party.confirm()
        return Epoch(epoch_id, charter_digest, MacKey(delta, party.index == 0), _NO_KEYS, ())

    async def make(self, product: Product, party: Party, epoch: Epoch, ciphertexts: int) -> Draft:
        """In place of :func:`protocol.offline.factory.make`."""
        seed = await party.coin(f"dealt/{product.value}")
        await party.work(len, ())  # gives way to runs
        await party.to_all("dealt", octets(seed))
        batches, blind = self._take(product, seed, party, epoch, ciphertexts * ITEMS_PER_CIPHERTEXT)
        return Draft(party, epoch, batches, blind)

    def _take(
        self, product: Product, seed: bytes, party: Party, epoch: Epoch, items: int
    ) -> tuple[tuple[Batch, ...], Shared]:
        taken, shares = self._dealt.get(seed, (set(), []))
        if not shares:
            known = self._deltas[epoch.epoch_id]
            shares = _deal(product, seed, [known[index] for index in range(party.parties)], items)
            while len(self._dealt) > 4:  # of sessions that some party left
                del self._dealt[next(iter(self._dealt))]
            self._dealt[seed] = (taken, shares)
        taken.add(party.index)
        if len(taken) == party.parties:
            self._dealt.pop(seed, None)
        return shares[party.index]


def _deal(product: Product, seed: bytes, deltas: list[int], items: int) -> list[tuple[tuple[Batch, ...], Shared]]:
    dealer = Dealer(len(deltas), int.from_bytes(seed[:8], "little"))
    dealer.keys = [MacKey(delta, k == 0) for k, delta in enumerate(deltas)]
    dealer.delta = sum(deltas) % field.P
    wanted = {
        Product.TRIPLES: {"triples": items},
        Product.SQUARES: {"squares": items},
        Product.BITS: {"bits": items},
        Product.MASKS: {"masks": items},
    }[product]
    kinds = {
        Product.TRIPLES: (TRIPLE,),
        Product.SQUARES: (SQUARE,),
        Product.BITS: (BIT,),
        Product.MASKS: tuple(mask_kind(owner) for owner in range(len(deltas))),
    }[product]
    blinds = dealer.share(Prg(seed, "blind").elements(1))
    made: list[tuple[tuple[Batch, ...], Shared]] = []
    for material, blind in zip(dealer.material(**wanted), blinds, strict=True):
        columns: Mapping[str, Elements] = material._columns
        made.append((tuple(Batch(kind, columns[kind]) for kind in kinds), blind))
    return made


@attrs.frozen(eq=False, repr=False)
class Draft:
    """In place of :class:`protocol.offline.factory.Draft`."""

    party: Party
    epoch: Epoch
    batches: tuple[Batch, ...]
    blind: Shared

    async def checked(self) -> Made:
        """Check all MACs together, as a real batch is."""
        values = [shared for batch in self.batches for shared in _authenticated(batch)]
        if here().spoils_batch:
            here().spoils_batch = False
            values[0].value[0] = (int(values[0].value[0]) + 1) % field.P
        await check_macs(self.party, self.epoch, values, self.blind)
        await self.party.confirm()
        return Made(self.party.transcript(), self.batches)


def _authenticated(batch: Batch) -> list[Shared]:
    """The vectors of a batch with their MACs: half its rows, or all but the owner's own values of masks."""
    rows = batch.columns
    pairs = len(rows) // 2
    return [Shared(rows[k], rows[pairs + k]) for k in range(pairs)]


def seal(epoch: Epoch, index: int) -> bytes:
    """In place of :func:`protocol.offline.epoch.seal`."""
    return msgspec.msgpack.encode(_Stored(epoch.epoch_id, epoch.charter, index, epoch.mac_key.delta))


def unseal(data: bytes) -> Epoch:
    """In place of :func:`protocol.offline.epoch.unseal`."""
    try:
        stored = msgspec.msgpack.decode(data, type=_Stored)
    except msgspec.DecodeError as error:
        raise LocalProtocolError(f"the stored epoch cannot be read: {error}") from error
    return Epoch(stored.epoch_id, stored.charter, MacKey(stored.delta, stored.index == 0), _NO_KEYS, ())
