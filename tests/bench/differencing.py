"""What comparing a table with a hundred earlier ones costs: ``python -m tests.bench.differencing``.

Age by result of the screening with totals, twenty cells, three centres of 7,000 visits each; the joint part in one
process, on material from a dealer.  ``make bench BENCH="triples bits"`` says how long such material takes to make.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import attrs
import trio

from nskd.analysis.agreed import rules_for
from nskd.analysis.populations import Record
from nskd.analysis.table import TablePlan, plan_table
from nskd.daemon.history import Earlier
from nskd.daemon.localpart import Contribution, LocalPart
from nskd.data.load import load_visits
from nskd.governance.disclosure import DisclosureRules
from nskd.packs.pack import Pack, load_pack
from nskd.packs.synthetic import generate, write_visits
from protocol.online.arithmetic import Evaluator
from protocol.online.disclosure import Release, disclosure_cost, release
from protocol.party import Party
from tests.cluster import Cluster
from tests.dealer import Dealer

PARTIES = 3
VISITS = 7000


def contributed(directory: Path, pack: Pack, plan: TablePlan, centre: int, back: int) -> tuple[Contribution, float]:
    """One centre's part, and the seconds it took to count."""
    path = directory / f"{centre}.csv"
    write_visits(generate(pack, seed=1, centre=centre, visits=VISITS), path)
    with load_visits(path, pack.codebook) as dataset:
        before = LocalPart(dataset, bytes(32), lambda request: None).contribution(plan, ())
        record = Record((), (), before.population)
        part = LocalPart(dataset, bytes(32), lambda request: record)
        began_s = time.perf_counter()
        own = part.contribution(plan, [Earlier(bytes([k]) * 32, plan) for k in range(back)])
        return own, time.perf_counter() - began_s


def main() -> None:
    """Print the figures with and without earlier tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--back", type=int, default=100, help="earlier tables")
    back = parser.parse_args().back
    pack = load_pack("nsk")
    plan = plan_table(pack.codebook, rows=["age_band"], columns=["nsk_positive"], measure="children", margins=True)
    rules = rules_for(DisclosureRules(), plan)
    with tempfile.TemporaryDirectory() as name:
        for count in (0, back):
            parts = [contributed(Path(name), pack, plan, centre, count) for centre in range(PARTIES)]
            pairs = parts[0][0].differences.cell.size
            cost = disclosure_cost(rules, PARTIES, plan.size, pairs)
            dealer = Dealer(PARTIES)
            material = dealer.material(**attrs.asdict(cost))

            async def seat(party: Party, dealer=dealer, material=material, parts=parts) -> Release:  # type: ignore[no-untyped-def]
                own = parts[party.index][0]
                return await release(
                    Evaluator(party, dealer.keys[party.index], material[party.index]),
                    own.table.values,
                    own.table.children,
                    rules,
                    lambda safe: safe,
                    differences=own.differences,
                )

            trio.run(Cluster(PARTIES).run, seat)  # once for the kernels
            material = dealer.material(**attrs.asdict(cost))
            began_s = time.perf_counter()
            shown = trio.run(Cluster(PARTIES).run, lambda party, m=material, s=seat: s(party, material=m))[0].shown
            joint_s = time.perf_counter() - began_s
            print(
                f"{count} earlier tables: {pairs:,} pairs, {cost.triples:,} triples, {cost.bits:,} bits,"
                f" {cost.masks:,} masks a centre; {max(seconds for _, seconds in parts):.2f} s to count at a centre,"
                f" {joint_s:.2f} s jointly (all in one process); {int(shown.sum())} of {plan.size} cells shown"
            )


if __name__ == "__main__":
    main()
