"""One entry for the daemon's background generation: a batch of one kind (``docs/protocol.md``, step 7.8)."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import attrs

from protocol.errors import LocalProtocolError
from protocol.field import Elements
from protocol.limits import OFFLINE_BATCH_CIPHERTEXTS_MAX, OFFLINE_SESSION_CIPHERTEXTS_MAX
from protocol.material import BIT, SQUARE, TRIPLE, mask_kind
from protocol.offline.bits import make_bits
from protocol.offline.epoch import Epoch
from protocol.offline.masks import make_masks
from protocol.offline.slots import SLOTS_PER_CIPHERTEXT
from protocol.offline.squares import make_squares
from protocol.offline.triples import make_triples
from protocol.party import Party
from protocol.secret import Secret


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


def ciphertexts_max(parties: int) -> int:
    """The most ciphertexts per party in one session, so that its memory does not grow with the workshop."""
    return min(OFFLINE_BATCH_CIPHERTEXTS_MAX, OFFLINE_SESSION_CIPHERTEXTS_MAX // parties)


def ciphertexts_for(items: int, parties: int) -> int:
    """How many ciphertexts per party a session should use to make ``items``: a slot of each batch is spent."""
    return min(max(1, -(-(items + 1) // SLOTS_PER_CIPHERTEXT)), ciphertexts_max(parties))


class Unchecked(Protocol):
    """What a recipe made and nobody may use yet."""

    async def checked(self) -> Any:
        """Check it, by MACs: one array, or one per owner for masks."""
        ...


@attrs.frozen(eq=False, repr=False)
class Draft(Secret):
    """A batch made but not checked (:func:`make`).

    Making it proves nothing with the MAC key, so it may go on beside a run; checking it does, and must not (step 5.9).
    """

    product: Product
    party: Party
    made: Unchecked

    async def checked(self) -> Made:
        """Check it together; nothing of it may be used before every party has confirmed ``digest`` (step 7.8)."""
        columns = await self.made.checked()
        if self.product is Product.MASKS:
            batches = tuple(Batch(mask_kind(owner), rows) for owner, rows in enumerate(columns))
        else:
            batches = (Batch(_KINDS[self.product], columns),)
        await self.party.confirm()
        return Made(self.party.transcript(), batches)


async def make(product: Product, party: Party, epoch: Epoch, ciphertexts: int) -> Draft:
    """Make one batch together, all but its check.  Raises :class:`RemoteProtocolError`."""
    most = ciphertexts_max(party.parties)
    if not 1 <= ciphertexts <= most:
        raise LocalProtocolError(f"a batch of {party.parties} parties has 1 to {most} ciphertexts, not {ciphertexts}")
    return Draft(product, party, await _RECIPES[product](party, epoch, ciphertexts))


_KINDS: Final = {Product.TRIPLES: TRIPLE, Product.SQUARES: SQUARE, Product.BITS: BIT}
_RECIPES: Final[Mapping[Product, Callable[[Party, Epoch, int], Awaitable[Unchecked]]]] = {
    Product.TRIPLES: make_triples,
    Product.SQUARES: make_squares,
    Product.BITS: make_bits,
    Product.MASKS: make_masks,
}
