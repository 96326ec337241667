"""Joint tables by real daemons, from submission to release: approvals, all disclosure rules, secondary suppression.

Once from nothing but an epoch, once with everything in stock that the table takes.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import attrs
import trio
from rich.console import Console

from nskd.analysis.agreed import rules_for
from nskd.analysis.table import TablePlan, plan_table
from nskd.governance.disclosure import DisclosureRules
from nskd.governance.limits import CENTRES_MIN_DEFAULT
from nskd.packs.pack import load_pack
from nskd.sandbox.drive import ask
from nskd.sandbox.watch import PhaseLine, Watch
from protocol.material import BIT, SQUARE, TRIPLE, mask_kind
from protocol.offline.factory import Product
from protocol.online.disclosure import disclosure_cost
from tests.bench.cluster import PACK, RULES, Workshop, workshop
from tests.bench.figures import BenchError, Figure, Findings, Traffic

TABLES: Final = (  # rows, columns; with margins
    (("visit_year",), ("age_band", "arrival_mode")),
    (("visit_quarter",), ("age_band", "arrival_mode")),
    (("visit_month",), ("age_band", "arrival_mode")),
    (("visit_month",), ("age_band", "sex", "arrival_mode")),
)
NAMED: Final = TABLES[2]  # 1,029 cells
_KINDS: Final = {Product.TRIPLES: TRIPLE, Product.SQUARES: SQUARE, Product.BITS: BIT, Product.MASKS: mask_kind(0)}
Axes = tuple[tuple[str, ...], tuple[str, ...]]


@attrs.frozen
class Made:
    """One table: how large, how long from submission to release, and the phases at the first centre meanwhile."""

    cells: int
    shown: int
    seconds: float
    phases: tuple[PhaseLine, ...]

    def traffic(self, name: str, parties: int) -> Traffic:
        """All of it as one."""
        rounds, sent = (sum(column) for column in zip(*((p.rounds, p.bytes_sent) for p in self.phases), strict=True))
        return Traffic(name, parties, None, self.seconds, rounds, sent)


async def table(running: Workshop, axes: Axes) -> Made:
    """Submit a request at the first centre, approve it at each, wait for the release."""
    watch = Watch(Console(file=io.StringIO()))
    began_s = trio.current_time()
    answer = await ask(running.centres, _request(axes), watch)
    seconds = trio.current_time() - began_s
    if answer.release is None:
        raise BenchError("nothing was released", where="the table", remedy="See the centres' logs.")
    cells = answer.release["cells"]
    shown = sum(cell["value"] is not None for cell in cells)
    return Made(len(cells), shown, seconds, tuple(watch.phases))


def need(axes: Axes, parties: int) -> dict[Product, int]:
    """The stock a table takes."""
    agreed = DisclosureRules(RULES.threshold, RULES.insider, min(parties, CENTRES_MIN_DEFAULT))  # the rest as usual
    table = plan(axes)
    by_kind = disclosure_cost(rules_for(agreed, table), parties, table.size).by_kind(parties)
    return {product: by_kind[kind] for product, kind in _KINDS.items() if kind in by_kind}


def plan(axes: Axes) -> TablePlan:
    """The table as every centre lays it out."""
    rows, columns = axes
    return plan_table(load_pack(PACK).codebook, rows=rows, columns=columns, measure="children", margins=True)


def _request(axes: Axes) -> str:
    rows, columns = axes
    return (
        f'kind = "table"\ntitle = "Benchmark: {plan(axes).size} cells"\npurpose = "improvement"\n'
        f'rows = {list(rows)!r}\ncolumns = {list(columns)!r}\nmeasure = "children"\nmargins = true\n'
    )


async def measure(directory: Path, parties: int, sizes: tuple[Axes, ...], findings: Findings) -> None:
    """The named table from nothing, then tables of several sizes from stock.

    Each is the first of its workshop: what comparing with earlier tables takes is a benchmark of its own
    (``python -m tests.bench.differencing``), and between tables of a thousand cells it is more than the table.
    """
    async with workshop(directory / "cold", parties) as running:
        await running.fill({Product.SQUARES: 1})  # founds the epoch; no table takes squares
        made = await table(running, NAMED)
    findings.figures.append(_figure("table1000_cold_s", parties, made, "an epoch and no stock"))
    findings.traffic.append(made.traffic("table1000_cold_s", parties))
    for number, axes in enumerate(sizes):
        async with workshop(directory / str(number), parties) as running:
            await running.fill(need(axes, parties))
            made = await table(running, axes)
        findings.figures.append(_figure(f"table_stock_s@{made.cells}", parties, made, "all in stock"))
        if axes == NAMED:
            findings.figures.append(_figure("table1000_stock_s", parties, made, "all in stock"))
            findings.traffic.append(made.traffic("table1000_stock_s", parties))


def _figure(name: str, parties: int, made: Made, stock: str) -> Figure:
    note = (
        f"{made.cells:,} cells with margins, threshold {RULES.threshold}, all other rules as they are usually, "
        "secondary suppression; no earlier table"
        f" ({made.shown:,} shown); from submission to release; {stock}"
    )
    return Figure(name, parties, made.seconds, "s", note)
