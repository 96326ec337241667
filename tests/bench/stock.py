"""Times of the stock on disk: ``python -m tests.bench.stock [DIRECTORY]``, about 5 seconds.

Processor time is what a batch costs the preprocessing beside it; the rate is what this disk does with it.  DIRECTORY
(by default a temporary one) chooses the disk; about 200 MB are needed.  Prints the least of many runs, since other work
on the machine only ever adds.
"""

from __future__ import annotations

import itertools
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nskd.credentials import StorageKey
from nskd.stockpile import Incoming, Segment, Stockpile
from protocol.material import BIT, TRIPLE

ROUNDS = 7
TRIPLES = 1 << 20
BITS = 1 << 21


def measure(work: Callable[[], object]) -> tuple[float, float]:
    """Processor and elapsed time of one call, in seconds; the kernel's part on behalf of this thread included."""
    cpu, wall = time.thread_time(), time.perf_counter()
    work()
    return time.thread_time() - cpu, time.perf_counter() - wall


def row(name: str, times: list[tuple[float, float]], size: int) -> None:
    """Print the least of ``times`` for ``size`` bytes."""
    cpu, wall = (min(column) for column in zip(*times, strict=True))
    print(f"{name:34}{cpu * 1e3:10.2f}{wall * 1e3:10.2f}{cpu / size * 1e9:14.3f}{size / wall / 1e6:10.0f}", flush=True)


def batches(stock: Stockpile, kind: str, rows: int, count: int) -> None:
    """Whole batches in and out, and small ranges."""
    columns = np.random.default_rng(1).integers(0, 1 << 60, (rows, count), dtype=np.uint64)
    ids = itertools.count(1)
    writes, wholes, parts = [], [], []
    for _ in range(ROUNDS):
        number = next(ids).to_bytes(8, "big")
        batch = kind.encode().ljust(8, b"-") + number

        def write(batch: bytes = batch) -> None:
            admission = stock.intake.admit([Incoming(batch, kind, bytes(32), columns)])
            stock.intake.seal(admission)
            stock.intake.record(admission)
            stock.unlock(batch)

        writes.append(measure(write))
        for place in range(4):
            session = kind.encode().ljust(7, b"-") + bytes([place]) + number
            stock.reserve(session, {kind: [Segment(batch, 1000 * place, 1000 * place + 1000)]})
            parts.append(measure(lambda session=session: stock.take(session)))  # type: ignore[misc]
        session = kind.encode().ljust(7, b"-") + b"w" + number
        stock.reserve(session, {kind: [Segment(batch, 4000, count)]})
        wholes.append(measure(lambda session=session: stock.take(session)))  # type: ignore[misc]
    row(f"store {count:,} {kind}s", writes, columns.nbytes)
    row(f"take {count - 4000:,} {kind}s", wholes, columns.nbytes - 4000 * 8 * rows)
    row(f"take 1,000 {kind}s", parts, 1000 * 8 * rows)


def main() -> None:
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as directory:
        print(f"{'':34}{'cpu ms':>10}{'ms':>10}{'cpu ns a byte':>14}{'MB/s':>10}")
        with Stockpile.open(Path(directory) / "stock", StorageKey.generate()) as stock:
            stock.begin_epoch(bytes(range(32)), bytes(1 << 20))
            batches(stock, TRIPLE, 6, TRIPLES)
            batches(stock, BIT, 2, BITS)
    print(f"most memory ever: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
