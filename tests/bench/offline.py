"""Preprocessing by real daemons: proofs on, every message encrypted, stock sealed on disk.

One kind at a time is made short by its watermarks, and the first centre's own log says how many items each batch had,
what it sent, and when it was done.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

import attrs
import trio

from nskd.sandbox.centres import Centre, connected
from protocol.offline.factory import Product
from protocol.offline.slots import SLOTS_PER_CIPHERTEXT
from tests.bench.cluster import Batch, Workshop, begun, stored
from tests.bench.figures import Figure, Findings, Traffic

ENDLESS: Final = 1_000_000_000  # items: more than any run makes, so that batches are as large as they get
PATIENCE_S: Final = 300.0
_ASK_EVERY_S: Final = 0.02


@attrs.frozen
class Measured:
    """What a workshop did while one kind was made."""

    product: Product
    parties: int
    batches: tuple[Batch, ...]
    first_s: float  # from starting the daemons to the first batch that may be used
    answers_s: tuple[float, ...]  # how long the control socket took to answer, asked all the time

    @property
    def seconds(self) -> float:
        """From the end of the first batch to the end of the last."""
        return (self.batches[-1].at - self.batches[0].at).total_seconds()

    @property
    def per_second(self) -> float:
        """Items over wall time, the first batch not counted."""
        return sum(batch.items for batch in self.batches[1:]) / self.seconds

    @property
    def bytes_per_item(self) -> float:
        """Bytes sent per item and ordered pair."""
        return sum(b.sent for b in self.batches) / sum(b.items for b in self.batches) / (self.parties - 1)

    @property
    def traffic(self) -> Traffic:
        """A batch, the first not counted, on average."""
        later, count = self.batches[1:], len(self.batches) - 1
        items, rounds, sent = (sum(row) for row in zip(*((b.items, b.rounds, b.sent) for b in later), strict=True))
        name = f"{self.product.value}_per_s"
        return Traffic(name, self.parties, items / count, self.seconds / count, rounds // count, sent // count)


async def measure(workshop: Workshop, product: Product, *, batches: int, seconds: float) -> Measured:
    """Have one kind made: at least so many batches after the first, and for so many seconds."""
    before = len(workshop.batches(product))
    delays: list[float] = []
    with trio.fail_after(PATIENCE_S + seconds):
        async with connected(workshop.centres[0]) as client:
            await client.subscribe(("generation",))
            await workshop.keep({product: ENDLESS})
            await stored(client, product)
            begun_s = trio.current_time()
            first_s = begun_s - workshop.began_s
            done = 0
            async with _asking(workshop.centres[0], delays):
                while done < batches - 1 or trio.current_time() - begun_s < seconds:
                    await stored(client, product)
                    done += 1
                await begun(client, product)
                await workshop.keep({})  # so that this one is the last
                await stored(client, product)
        await workshop.rest()
    made = workshop.batches(product)[before:]
    return Measured(product, workshop.parties, tuple(made), first_s, tuple(delays))


@contextlib.asynccontextmanager
async def _asking(centre: Centre, delays: list[float]) -> AsyncIterator[None]:
    """Meanwhile, ask the daemon for its status all the time."""

    async def ask() -> None:
        async with connected(centre) as client:
            while True:
                begun = trio.current_time()
                await client.call("status")
                delays.append(trio.current_time() - begun)
                await trio.sleep(_ASK_EVERY_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        yield
        nursery.cancel_scope.cancel()


def figures(measured: Measured) -> list[Figure]:
    """The rows of one kind."""
    name, parties = measured.product.value, measured.parties
    counted = len(measured.batches) - 1
    size = f"{counted} batches of {measured.batches[-1].items:,} items in {measured.seconds:.1f} s"
    rows = [
        Figure(f"{name}_per_s", parties, measured.per_second, "1/s", size),
        Figure(f"bytes_per_{name[:-1]}_pair", parties, measured.bytes_per_item, "B", "sent, per ordered pair"),
    ]
    if measured.product is Product.TRIPLES:
        answers = sorted(measured.answers_s)
        worst = f"99 of 100 of {len(answers)} status answers while triples are made, the worst {answers[-1] * 1e3:.0f}"
        rows.append(Figure("control_ms", parties, answers[len(answers) * 99 // 100] * 1e3, "ms", worst))
    return rows


def start_figure(measured: Measured) -> Figure:
    """For the first kind made in a workshop."""
    note = "from the start of the daemons to a stored batch; kernels compiled before"
    return Figure("first_triple_s", measured.parties, measured.first_s, "s", note)


async def scaling(workshop: Workshop, ciphertexts: Sequence[int], findings: Findings) -> None:
    """Triples per second in batches of several sizes, each made twice; the quicker one counts."""
    for count in ciphertexts:
        items = count * SLOTS_PER_CIPHERTEXT - 2  # one is spent on the check, one more is asked for
        before = len(workshop.batches(Product.TRIPLES))
        for _ in range(2):
            await workshop.fill({Product.TRIPLES: await workshop.level(Product.TRIPLES) + items})
        made = workshop.batches(Product.TRIPLES)[before:]
        best = max(batch.items / batch.made_s for batch in made)
        size = made[-1].items
        note = f"in batches of {count} ciphertexts"
        findings.figures.append(Figure(f"triples_per_s@{size}", workshop.parties, best, "1/s", note))
