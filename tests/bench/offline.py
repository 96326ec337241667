"""Preprocessing by real daemons: separate processes, encrypted sockets, proofs on, stock sealed on disk.

Every daemon of a workshop runs on this machine, over loopback.  One kind at a time is made short by its watermarks,
and the first centre's own log says how many items each batch had, what it sent, and when it was done.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs
import msgspec
import trio

from nskd.control.async_client import AsyncClient
from nskd.packs.pack import load_pack
from nskd.sandbox.centres import Centre, connected, running
from nskd.sandbox.layout import CentreFiles, lay_out
from nskd.sandbox.options import Options, Rules
from protocol.offline.factory import Product
from tests.bench.figures import Figure

PATIENCE_S: Final = 300.0
_ENDLESS: Final = 1_000_000_000  # items: more than any run makes, so that batches are as large as they get
_MARKS: Final = ("triples", "squares", "bits", "masks")
_ASK_EVERY_S: Final = 0.02
CHOICES: Final = tuple(product.value for product in Product)


@attrs.frozen
class Batch:
    """One batch as the log of the first centre tells it."""

    product: str
    items: int
    sent: int  # bytes to all peers, before framing and encryption
    made_s: float  # making and checking
    at: datetime  # when it was stored at all centres


@attrs.frozen
class Measured:
    """What a workshop did while one kind was made."""

    parties: int
    batches: tuple[Batch, ...]
    first_s: float  # from starting the daemons to the first batch that may be used
    peak_mib: float  # of the daemon that took most
    answers_s: tuple[float, ...]  # how long the control socket took to answer, asked all the time

    @property
    def per_second(self) -> float:
        """Items over wall time, from the end of the first batch to the end of the last."""
        first, *later = self.batches
        return sum(batch.items for batch in later) / (later[-1].at - first.at).total_seconds()

    @property
    def bytes_per_item(self) -> float:
        """Bytes sent per item and ordered pair."""
        return sum(b.sent for b in self.batches) / sum(b.items for b in self.batches) / (self.parties - 1)


def _configure(files: Sequence[CentreFiles], product: Product) -> None:
    marks = dict.fromkeys(_MARKS, "{ low = 0, high = 0 }")
    marks[product.value] = f"{{ low = {_ENDLESS}, high = {2 * _ENDLESS} }}"
    section = "[stock]\nhistory_max = 0\n" + "".join(f"{kind} = {value}\n" for kind, value in marks.items())
    for centre in files:
        text = re.sub(r"(?ms)^\[stock.*?(?=^\[(?!stock)|\Z)", "", centre.config.read_text())
        centre.config.write_text(f"{text}\n{section}")


class _LogLine(msgspec.Struct):
    event: str
    at: datetime
    product: str = ""
    outcome: str = ""
    items: int = 0
    bytes_sent: int = 0
    phases: list[dict[str, float | str]] = []


def _batches(log: Path) -> list[Batch]:
    lines = [msgspec.json.decode(line, type=_LogLine) for line in log.read_bytes().splitlines()]
    return [
        Batch(
            line.product,
            line.items,
            sum(int(phase["bytes_sent"]) for phase in line.phases if phase["name"] != "epoch"),
            sum(float(phase["seconds"]) for phase in line.phases if str(phase["name"]).endswith(line.product)),
            line.at,
        )
        for line in lines
        if line.event == "generation" and line.outcome == "made" and line.items
    ]


def _peak_mib(centre: Centre) -> float:
    status = Path(f"/proc/{centre.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        raise RuntimeError("this system does not tell the peak memory of a process")
    return int(found[1]) / 1024


async def _stored(client: AsyncClient, count: int) -> None:
    while count:
        event = await client.next_event()
        if event["kind"] == "generation.phase" and str(event["name"]).startswith("store "):
            count -= 1


@contextlib.asynccontextmanager
async def _asking(centre: Centre, answers: list[float]) -> AsyncIterator[None]:
    """Meanwhile, ask the daemon for its status all the time."""

    async def ask() -> None:
        async with connected(centre) as client:
            while True:
                begun = trio.current_time()
                await client.call("status")
                answers.append(trio.current_time() - begun)
                await trio.sleep(_ASK_EVERY_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        yield
        nursery.cancel_scope.cancel()


async def measure(parties: int, product: Product, *, batches: int) -> Measured:
    """Have ``parties`` daemons make at least ``batches`` batches."""
    answers: list[float] = []
    with tempfile.TemporaryDirectory(prefix="nskd-") as name, trio.fail_after(PATIENCE_S):
        options = Options(parties, (), "nsk", None, 1, None, Rules(10, True), "en", None)
        files = lay_out(Path(name), load_pack("nsk"), "nsk", options)
        _configure(files, product)
        begun = trio.current_time()
        async with running(files) as centres:
            async with connected(centres[0]) as client:
                await client.subscribe(("generation",))
                await _stored(client, 1)
                first_s = trio.current_time() - begun
                async with _asking(centres[0], answers):
                    await _stored(client, batches - 1)
            peak = max(_peak_mib(centre) for centre in centres)
        made = [batch for batch in _batches(files[0].log) if batch.product == product.value]
    return Measured(parties, tuple(made), first_s, peak, tuple(answers))


def figures(product: Product, measured: Measured) -> list[Figure]:
    """The rows of one kind."""
    name, parties = product.value, measured.parties
    size = f"batches of {max(batch.items for batch in measured.batches):,} items"
    rows = [
        Figure(f"{name}_per_s", parties, measured.per_second, "1/s", size),
        Figure(f"bytes_per_{name[:-1]}_pair", parties, measured.bytes_per_item, "B", "sent, per ordered pair"),
    ]
    if product is Product.TRIPLES:
        answers = sorted(measured.answers_s)
        rows += [
            Figure("first_triple_s", parties, measured.first_s, "s", "from start of daemons, kernels compiled before"),
            Figure("offline_rss_mib", parties, measured.peak_mib, "MiB", "largest daemon, peak"),
            Figure("control_ms", parties, answers[len(answers) * 99 // 100] * 1e3, "ms", "99 of 100 status answers"),
        ]
    return rows
