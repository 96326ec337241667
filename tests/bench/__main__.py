"""``make bench``: figures of this machine, as a table, as ``bench.json`` and as a plot, in ``build/bench``.

``make bench BENCH="triples online table" PARTIES="2 3"`` runs parts of it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from protocol.offline.factory import Product
from protocol.online.comparison import comparison_cost
from tests.bench import arithmetic, fit, mpyc, offline, plot, tables
from tests.bench.cluster import workshop
from tests.bench.exercises import COMPARISON_BITS
from tests.bench.figures import BenchError, Figure, Findings, number, table, write
from tests.bench.wan import WANS, computed

OFFLINE: Final = tuple(product.value for product in Product)
CHOICES: Final = (*OFFLINE, "online", "table", "mpyc")
PARTIES: Final = (2, 3, 4, 5)
TABLE_PARTIES: Final = 3
BATCHES: Final = 3
SIZES: Final = (4, 16, 64)  # ciphertexts of the batches that show how triples scale


@attrs.frozen
class Options:
    """What to measure, and where to put it."""

    bench: Sequence[str]
    parties: Sequence[int]
    batches: int
    out: Path


@attrs.define(eq=False)
class Report:
    """What was found so far: told as it is found, and kept after each part, so that an interrupted run is not lost."""

    out: Path
    findings: Findings = attrs.field(factory=Findings)
    failures: list[str] = attrs.field(factory=list)
    _told: int = 0

    async def part(self, name: str, job: Callable[[], Awaitable[None]]) -> None:
        """Do one part; if it fails, say so and let the others go on."""
        print(f"{name} …", flush=True)
        try:
            await job()
        except* (BenchError, trio.TooSlowError) as group:
            for error in _leaves(group):
                reason = str(error) or "it took longer than it may"
                self.failures.append(f"{name}: {reason}")
                print(f"  failed: {reason}", flush=True)
        self.tell()

    def tell(self) -> None:
        """Print what is new and write all of it."""
        for figure in self.findings.figures[self._told :]:
            print(f"  {figure.name} = {number(figure.value)} {figure.unit} ({figure.note})", flush=True)
        self._told = len(self.findings.figures)
        write(self.findings.figures, self.out / "bench.json")
        plot.write(self.findings, self.out / "bench.svg")


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    found: list[BaseException] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--bench", nargs="+", default=CHOICES, choices=CHOICES, help="what to measure")
    parser.add_argument("--parties", nargs="+", type=int, default=PARTIES, help="numbers of centres")
    parser.add_argument("--batches", type=int, default=BATCHES, help="batches of each kind, the first not counted")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where bench.json goes")
    return Options(**vars(parser.parse_args()))


async def preprocessing(directory: Path, parties: int, options: Options, findings: Findings) -> None:
    """Every kind that was asked for, by one workshop."""
    async with workshop(directory, parties) as running:
        for number_of, name in enumerate(name for name in OFFLINE if name in options.bench):
            product = Product(name)
            measured = await offline.measure(running, product, batches=options.batches, seconds=0)
            findings.figures += offline.figures(measured)
            findings.traffic.append(measured.traffic)
            if not number_of:
                findings.figures.append(offline.start_figure(measured))
            if product is Product.TRIPLES:
                await offline.scaling(running, SIZES, findings)
        peak = running.peak_mib()
    findings.figures.append(Figure("offline_rss_mib", parties, peak, "MiB", "of the largest daemon, at its peak"))


async def online(directory: Path, parties: int, findings: Findings) -> None:
    """Make the stock, stop the daemons, compute with it."""
    exercises = (arithmetic.ROUND, *arithmetic.VECTORS, *arithmetic.COMPARISONS)
    async with workshop(directory, parties) as running:
        await running.fill(arithmetic.stock_for(exercises))
        files = running.files
    accounts = await arithmetic.measure(files, exercises, arithmetic.addresses(files))
    arithmetic.note(exercises, accounts, findings)


async def measure(options: Options) -> Report:
    """All parts that were asked for."""
    report = Report(options.out)
    findings = report.findings
    for parties in options.parties:
        centres = f"{parties} centres"
        with tempfile.TemporaryDirectory(prefix="nskd-") as name:
            directory = Path(name)
            if set(options.bench) & set(OFFLINE):

                async def make(parties: int = parties, directory: Path = directory / "offline") -> None:
                    await preprocessing(directory, parties, options, findings)

                await report.part(f"preprocessing, {centres}", make)
            if "online" in options.bench:

                async def compute(parties: int = parties, directory: Path = directory / "online") -> None:
                    await online(directory, parties, findings)

                await report.part(f"online, {centres}", compute)
            if "table" in options.bench and parties == TABLE_PARTIES:

                async def tabulate(parties: int = parties, directory: Path = directory / "table") -> None:
                    await tables.measure(directory, parties, tables.TABLES, findings)

                await report.part(f"tables, {centres}", tabulate)
        cost = comparison_cost(COMPARISON_BITS, arithmetic.NAMED_COMPARISONS)
        findings.figures += arithmetic.with_offline(findings, parties, cost)
        report.tell()
    if "mpyc" in options.bench:

        async def beside() -> None:
            findings.figures += await mpyc.measure()

        await report.part("MPyC beside it", beside)
    findings.figures += [computed(traffic, wan) for traffic in findings.traffic for wan in WANS]
    findings.figures += fit.laws(findings)
    report.tell()
    return report


def main() -> int:
    """Measure what was asked for; 1 if a part failed."""
    options = _options()
    report = trio.run(measure, options)
    figures = report.findings.figures
    print(f"\n{table(figures)}\n")
    ours = {figure.name: figure.value for figure in figures if figure.parties == mpyc.PARTIES}
    theirs = [figure for figure in figures if figure.name.startswith("mpyc_")]
    print("\n".join([*mpyc.beside(ours, theirs), f"{options.out}/bench.json", f"{options.out}/bench.svg"]))
    print("\n".join(f"failed: {failure}" for failure in report.failures), end="\n" if report.failures else "")
    return int(bool(report.failures))


if __name__ == "__main__":
    sys.exit(main())
