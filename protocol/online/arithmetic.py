"""Inputs, products and results of one session (``docs/protocol.md``, section 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protocol import field
from protocol.checking import Checker, Unchecked
from protocol.errors import LocalProtocolError
from protocol.field import Elements
from protocol.material import Cost, Masks, Material
from protocol.party import Party, field_elements, single
from protocol.shares import MacKey, Shared, concatenate, split

MULTIPLICATION = Cost(triples=1)
SQUARING = Cost(squares=1)


class Evaluator:
    """Computes on shares for one party in one session."""

    def __init__(self, party: Party, key: MacKey, material: Material) -> None:
        self.party = party
        self.key = key
        self.material = material
        self.checker = Checker(party, key)

    async def inputs(self, own: Elements, lengths: Sequence[int]) -> list[Shared]:
        """Every party contributes a vector; returns all of them shared, in party order (step 9.1).

        ``lengths`` are public.  The owner tells everybody x − r; the difference goes on record.
        """
        party = self.party
        if own.size != lengths[party.index]:
            raise LocalProtocolError(f"{own.size} values to contribute where {lengths[party.index]} were agreed")
        masks = [self.material.masks(owner, length) for owner, length in enumerate(lengths)]
        difference = field.sub(own, _plain(masks[party.index]))
        received = await party.to_all("input", difference)
        differences = [
            difference if k == party.index else field_elements(single(received[k], k), lengths[k], k)
            for k in range(party.parties)
        ]
        party.record("input", *differences)
        return [mask.shared.plus(d, self.key) for mask, d in zip(masks, differences, strict=True)]

    async def multiply(self, x: Shared, y: Shared) -> Shared:
        """⟨x·y⟩ elementwise, one round, one triple each (Beaver, CRYPTO 1991; step 9.2)."""
        if len(x) != len(y):
            raise LocalProtocolError(f"vectors of {len(x)} and {len(y)} do not multiply")
        count = len(x)
        triples = self.material.triples(count)
        opened = await self.checker.open("beaver", concatenate([x - triples.a, y - triples.b]))
        both = opened.masked()
        e, d = both[:count], both[count:]
        a, b, c = triples.a, triples.b, triples.c
        product = Shared(field.beaver(c.value, b.value, e, a.value, d), field.beaver(c.mac, b.mac, e, a.mac, d))
        return product.plus(field.mul(e, d), self.key)

    async def square(self, x: Shared) -> Shared:
        """⟨x²⟩ elementwise: one round, one square and half the opening of a product (step 9.2)."""
        squares = self.material.squares(len(x))
        e = (await self.checker.open("square", x - squares.root)).masked()
        return (squares.square + squares.root.times(field.scale(e, 2))).plus(field.mul(e, e), self.key)

    async def multiply_many(self, pairs: Sequence[tuple[Shared, Shared]]) -> list[Shared]:
        """Several independent products in the one round."""
        product = await self.multiply(concatenate([x for x, _ in pairs]), concatenate([y for _, y in pairs]))
        return split(product, [len(x) for x, _ in pairs])

    async def open_masked(self, label: str, shared: Shared) -> Elements:
        """Open values that a fresh uniform (or statistical) mask hides; for use inside a protocol only."""
        return (await self.checker.open(label, shared)).masked()

    async def reveal(self, label: str, results: Mapping[str, Shared]) -> dict[str, Elements]:
        """Open results to everybody, after checking all that led to them, and then the results (step 9.3).

        The first check makes sure that nothing is opened on the strength of a cheated value; the second covers
        the opened results themselves.
        """
        await self.checker.check(f"{label}/before")
        opened: dict[str, Unchecked] = {
            name: await self.checker.open(f"{label}/{k}", shared) for k, (name, shared) in enumerate(results.items())
        }
        await self.checker.check(f"{label}/after")
        return {name: opening.released() for name, opening in opened.items()}


def _plain(mask: Masks) -> Elements:
    if mask.plain is None:
        raise LocalProtocolError("this party does not own these masks")
    return mask.plain
