"""Inputs, products and results of one session (``docs/protocol.md``, section 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from protocol import field
from protocol.checking import Checker, Unchecked
from protocol.errors import LocalProtocolError
from protocol.field import Elements
from protocol.material import Cost, Masks, Material
from protocol.online import beaver
from protocol.party import Party, field_elements, single
from protocol.shares import MacKey, Shared, empty

MULTIPLICATION = Cost(triples=1)
SQUARING = Cost(squares=1)

# Longer vectors go block by block: the parts of a step stay in the processor's cache, the event loop gets its turn, and
# an opening stays far below the largest message.
BLOCK: Final = 1 << 17


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
        """⟨x·y⟩ elementwise, one triple each (step 9.2)."""
        return (await self.multiply_many([(x, y)]))[0]

    async def multiply_many(self, pairs: Sequence[tuple[Shared, Shared]]) -> list[Shared]:
        """Independent products of pairs of vectors, in as few openings as their number allows: one a block."""
        for x, y in pairs:
            if len(x) != len(y):
                raise LocalProtocolError(f"vectors of {len(x)} and {len(y)} do not multiply")
        results = [empty(len(x)) for x, _ in pairs]
        for block in _blocks([len(x) for x, _ in pairs]):
            factors = [(pairs[k][0][span], pairs[k][1][span]) for k, span in block]
            triples = self.material.triples(sum(len(x) for x, _ in factors))
            opened = await self.checker.open_masked("beaver", beaver.differences(factors, triples))
            beaver.products(triples, opened, self.key, [results[k][span] for k, span in block])
        return results

    async def square(self, x: Shared) -> Shared:
        """⟨x²⟩ elementwise: one square and half the opening of a product (step 9.2)."""
        result = empty(len(x))
        for block in _blocks([len(x)]):
            ((_, span),) = block
            squares = self.material.squares(span.stop - span.start)
            opened = await self.checker.open_masked("square", x[span] - squares.root)
            beaver.squares(squares, opened, self.key, result[span])
        return result

    async def open_masked(self, label: str, shared: Shared) -> Elements:
        """Open values that a fresh uniform (or statistical) mask hides; for use inside a protocol only."""
        return await self.checker.open_masked(label, shared)

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


def _blocks(lengths: Sequence[int]) -> list[list[tuple[int, slice]]]:
    """Vectors of these lengths in blocks of :data:`BLOCK` elements: each a list of vectors and parts of them."""
    blocks: list[list[tuple[int, slice]]] = []
    room = 0
    for k, length in enumerate(lengths):
        start = 0
        while start < length:
            if not room:
                blocks.append([])
                room = BLOCK
            stop = min(length, start + room)
            blocks[-1].append((k, slice(start, stop)))
            room -= stop - start
            start = stop
    return blocks


def _plain(mask: Masks) -> Elements:
    if mask.plain is None:
        raise LocalProtocolError("this party does not own these masks")
    return mask.plain
