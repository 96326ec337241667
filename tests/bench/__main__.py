"""``make bench``: figures of this machine, as a table and as ``build/bench/bench.json``.

``make bench BENCH="triples bits" PARTIES="2 3"`` runs parts of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import trio

from protocol.offline.factory import Product
from tests.bench import offline
from tests.bench.figures import Figure, number, table, write

BATCHES: Final = 4


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--bench", nargs="*", default=[], choices=[*offline.CHOICES, []], help="what to measure")
    parser.add_argument("--parties", nargs="*", type=int, default=[], help="numbers of centres")
    parser.add_argument("--batches", type=int, default=BATCHES, help="batches of each kind, the first not counted")
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where bench.json goes")
    return parser.parse_args()


def main() -> None:
    """Measure what was asked for, telling each figure as it is found."""
    options = _options()
    found: list[Figure] = []
    for parties in options.parties or (2, 3, 4, 5):
        for name in options.bench or offline.CHOICES:
            product = Product(name)
            print(f"{name}, {parties} centres …", flush=True)
            measured = trio.run(_measured, parties, product, options.batches)
            for figure in offline.figures(product, measured):
                print(f"  {figure.name} = {number(figure.value)} {figure.unit} ({figure.note})", flush=True)
                found.append(figure)
            write(found, options.out / "bench.json")  # after each, so that an interrupted run is not lost
    print(f"\n{table(found)}\n\n{options.out / 'bench.json'}")


async def _measured(parties: int, product: Product, batches: int) -> offline.Measured:
    return await offline.measure(parties, product, batches=batches)


if __name__ == "__main__":
    main()
