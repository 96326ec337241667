"""A workshop of real daemons on this machine: a process each, encrypted loopback sockets, stock sealed on disk."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs
import msgspec
import trio

from nskd.control import answers
from nskd.control.async_client import AsyncClient
from nskd.packs.pack import load_pack
from nskd.sandbox.centres import Centre, connected, running
from nskd.sandbox.layout import CentreFiles, lay_out
from nskd.sandbox.options import Options, Rules
from protocol.offline.factory import Product
from tests.bench.figures import BenchError

RULES: Final = Rules(10, True)
PACK: Final = "nsk"


@attrs.frozen
class Batch:
    """One batch as the log of the first centre tells it."""

    product: str
    items: int
    rounds: int
    sent: int  # bytes to all peers, before framing and encryption
    made_s: float  # making, checking and storing
    at: datetime  # when it was stored at all centres


class _LogLine(msgspec.Struct):
    event: str
    at: datetime
    product: str = ""
    outcome: str = ""
    items: int = 0
    phases: list[dict[str, float | str]] = []


@attrs.define(eq=False)
class Workshop:
    """Running daemons; the first of them orders what is made."""

    files: Sequence[CentreFiles]
    centres: Sequence[Centre]
    began_s: float  # trio's clock, when the first was started

    @property
    def parties(self) -> int:
        """How many centres there are."""
        return len(self.centres)

    async def keep(self, marks: Mapping[Product, int]) -> None:
        """Have the first centre keep so many items of each kind, and none of the others."""
        wanted = {product: marks.get(product, 0) for product in Product}
        lines = [
            f"{product.value} = {{ low = {count}, high = {count + bool(count)} }}" for product, count in wanted.items()
        ]
        config = self.files[0].config
        text = re.sub(r"(?ms)^\[stock\].*?(?=^\[|\Z)", "", config.read_text())
        config.write_text("\n".join([text, "[stock]", "history_max = 0", *lines, ""]))
        async with connected(self.centres[0]) as client:
            await client.call("reload", {})

    async def level(self, product: Product) -> int:
        """Items of a kind that may be used; of masks, those of the owner that has fewest."""
        stock = await self._stock()
        levels = [row.level for row in stock.rows if row.kind.startswith(product.value.removesuffix("s"))]
        return min(levels, default=0)

    async def fill(self, need: Mapping[Product, int]) -> None:
        """Return when there is at least so much in stock and no more is being made."""
        async with connected(self.centres[0]) as client:
            await client.subscribe(("generation",))
            for product, count in need.items():
                await self.keep({product: count})
                while await self.level(product) < count:
                    await stored(client, product)
        await self.rest()

    async def rest(self) -> None:
        """Have nothing more made, and return when the log of what was made is complete."""
        async with connected(self.centres[0]) as client:
            await client.subscribe(("generation",))
            await self.keep({})
            while (await self._stock()).generating:
                while (await client.next_event())["kind"] != "generation.end":
                    pass

    async def _stock(self) -> answers.StockAnswer:
        async with connected(self.centres[0]) as client:
            return msgspec.convert(await client.call("stock"), answers.StockAnswer)

    def batches(self, product: Product) -> list[Batch]:
        """Every batch of a kind so far, from the log of the first centre."""
        lines = [msgspec.json.decode(line, type=_LogLine) for line in self.files[0].log.read_bytes().splitlines()]
        return [
            _batch(line)
            for line in lines
            if (line.event, line.outcome, line.product) == ("generation", "made", product.value)
        ]

    def peak_mib(self) -> float:
        """The most memory that any of the daemons ever had."""
        return max(_peak_mib(centre) for centre in self.centres)


def _batch(line: _LogLine) -> Batch:
    phases = [phase for phase in line.phases if phase["name"] != "epoch"]
    return Batch(
        line.product,
        line.items,
        sum(int(phase["rounds"]) for phase in phases),
        sum(int(phase["bytes_sent"]) for phase in phases),
        sum(float(phase["seconds"]) for phase in phases),
        line.at,
    )


def _peak_mib(centre: Centre) -> float:
    status = Path(f"/proc/{centre.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        raise BenchError(
            "this system does not tell the peak memory of a process", where="/proc", remedy="Run this under Linux."
        )
    return int(found[1]) / 1024


async def begun(client: AsyncClient, product: Product) -> None:
    """Wait until the making of a batch of this kind begins; ``client`` has subscribed to generation."""
    while True:
        event = await client.next_event()
        if event["kind"] == "generation.begin" and event["name"] == product.value:
            return


async def stored(client: AsyncClient, product: Product) -> None:
    """Wait until a batch of this kind is stored at every centre; ``client`` has subscribed to generation."""
    while True:
        event = await client.next_event()
        if event["kind"] == "generation.phase" and event["name"] == f"store {product.value}":
            return


@contextlib.asynccontextmanager
async def workshop(directory: Path, parties: int) -> AsyncIterator[Workshop]:
    """Lay out and start so many centres with synthetic data; stop them on the way out, whatever happened."""
    options = Options(parties, (), PACK, None, 1, None, RULES, "en", None)
    files = lay_out(directory, load_pack(PACK), PACK, options)
    began_s = trio.current_time()
    async with running(files) as centres, trio.open_nursery() as nursery:
        for centre in centres:
            nursery.start_soon(_notice_end, centre)
        yield Workshop(files, centres, began_s)
        nursery.cancel_scope.cancel()


async def _notice_end(centre: Centre) -> None:
    await centre.process.wait()
    raise BenchError(
        f"its daemon ended (status {centre.process.returncode}): {centre.complaint()}",
        where=f"centre {centre.name}",
        remedy="Correct that and run the benchmark again.",
    )
