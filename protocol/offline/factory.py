"""One entry for the daemon's background generation: a batch of one kind (``docs/protocol.md``, step 7.8)."""

from __future__ import annotations

import enum

import attrs

from protocol.errors import LocalProtocolError
from protocol.field import Elements
from protocol.limits import OFFLINE_BATCH_CIPHERTEXTS_MAX
from protocol.material import BIT, SQUARE, TRIPLE, mask_kind
from protocol.offline.bits import make_bits
from protocol.offline.epoch import Epoch
from protocol.offline.masks import make_masks
from protocol.offline.slots import SLOTS_PER_CIPHERTEXT
from protocol.offline.squares import make_squares
from protocol.offline.triples import make_triples
from protocol.party import Party


class Product(enum.StrEnum):
    """What one generation session makes."""

    TRIPLES = "triples"
    SQUARES = "squares"
    BITS = "bits"
    MASKS = "masks"  # of every owner at once


@attrs.frozen(eq=False)
class Batch:
    """One kind of a session's output: ``columns`` are secret shares, uint64[rows, count]."""

    kind: str
    columns: Elements = attrs.field(repr=False)


@attrs.frozen(eq=False)
class Made:
    """Everything a generation session made, and the digest that every party got alike."""

    digest: bytes
    batches: tuple[Batch, ...]


def ciphertexts_for(items: int) -> int:
    """How many ciphertexts per party a session should use to make ``items``, within the bound on memory."""
    return min(max(1, -(-(items + 1) // SLOTS_PER_CIPHERTEXT)), OFFLINE_BATCH_CIPHERTEXTS_MAX)


async def make(product: Product, party: Party, epoch: Epoch, ciphertexts: int) -> Made:
    """Make one batch together; nothing of it may be used before every party has confirmed ``digest``."""
    if not 1 <= ciphertexts <= OFFLINE_BATCH_CIPHERTEXTS_MAX:
        raise LocalProtocolError(f"a batch has 1 to {OFFLINE_BATCH_CIPHERTEXTS_MAX} ciphertexts, not {ciphertexts}")
    if product is Product.TRIPLES:
        batches = [Batch(TRIPLE, await make_triples(party, epoch, ciphertexts))]
    elif product is Product.SQUARES:
        batches = [Batch(SQUARE, await make_squares(party, epoch, ciphertexts))]
    elif product is Product.BITS:
        batches = [Batch(BIT, await make_bits(party, epoch, ciphertexts))]
    else:
        columns = await make_masks(party, epoch, ciphertexts)
        batches = [Batch(mask_kind(owner), rows) for owner, rows in enumerate(columns)]
    await party.confirm()
    return Made(party.transcript(), tuple(batches))
