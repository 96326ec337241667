"""What whole analyses cost among many hospitals: ``python -m tests.bench.analyses``.

Eleven centres with 0.6 million synthetic visits together.  Each centre's local part runs one after the other; the joint
part of all of them runs in one process over memory, every message encoded and decoded, on material from a dealer: what
it takes with stock at hand, all parties on this machine, without the network.  ``make bench BENCH="triples bits"`` says
how long such material takes to make.  Each request is the first of its workshop; nothing earlier is compared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import attrs
import trio

from nskd.analysis.agreed import rules_for
from nskd.analysis.design import sizes_at_most
from nskd.analysis.impossible import impossible_cells
from nskd.analysis.release import AllOrNone, AlsoHide
from nskd.analysis.table import TablePlan, plan_request
from nskd.daemon.localpart import Contribution, LocalPart
from nskd.daemon.modelling import Modelling
from nskd.data.load import Dataset, load_visits
from nskd.governance.disclosure import DisclosureRules
from nskd.governance.request_text import parse_request
from nskd.packs.pack import Pack, load_pack
from nskd.packs.synthetic import generate, write_visits
from protocol.online.arithmetic import Evaluator
from protocol.online.disclosure import Release, disclosure_cost, release
from protocol.online.regression import regression_cost
from protocol.party import Party
from protocol.wire import Message, encode
from tests.cluster import Cluster
from tests.dealer import Dealer

CENTRES: Final = 11
VISITS: Final = 600_000
HEAD: Final = 'title = "T"\npurpose = "improvement"\nmeasure = "visits"\n'
REQUESTS: Final = {
    "rate by month and hospital type": (
        'kind = "rate"\nof = "nsk_status = \'complete\'"\nby = ["visit_month", "hospital_type"]\n'
    ),
    "regression on twelve covariates": (
        'kind = "regression"\nfamily = "logistic"\noutcome = "triage IN (\'red\', \'orange\')"\n'
        'covariates = ["age_band", "sex", "daypart", "delay_abnormal", "admitted", "top_to_toe", "colleague_consult",'
        ' "leck_consult", "vt_advice", "parents_informed", "arrival_mode", "vt_report"]\nwhere = "sex <> \'X\'"\n'
    ),
    "funnel": 'kind = "funnel"\nof = "nsk_status = \'complete\'"\n',
}
T = TypeVar("T")


@attrs.define
class Traffic:
    """What one party sends."""

    rounds: int = 0
    sent: int = 0
    step: str = ""

    def __call__(self, receiver: int, message: Message) -> Message:
        self.sent += sum(len(memoryview(part).cast("B")) for part in encode(message))
        if message.step != self.step:
            self.rounds, self.step = self.rounds + 1, message.step
        return message


def timed(function: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the seconds it took."""
    began_s = time.perf_counter()
    return function(), time.perf_counter() - began_s


def extracts(directory: Path, pack: Pack, centres: int, visits: int) -> list[Dataset]:
    """The centres' data, loaded as a daemon loads it."""
    loaded = []
    for centre in range(centres):
        path = directory / f"{centre}.parquet"
        write_visits(generate(pack, seed=1, centre=centre, visits=visits // centres), path)
        dataset, seconds = timed(lambda: load_visits(path, pack.codebook))  # noqa: B023
        loaded.append(dataset)
    print(f"{centres} centres of {visits // centres:,} visits; loading and checking the last took {seconds:.1f} s")
    return loaded


def measure(name: str, plan: TablePlan, data: Sequence[Dataset]) -> None:
    """Print what one request costs."""
    parties = len(data)
    parts: list[Contribution] = []
    counting = []
    for dataset in data:
        own, seconds = timed(lambda: LocalPart(dataset, bytes(32), lambda request: None).contribution(plan, ()))  # noqa: B023
        parts.append(own)
        counting.append(seconds)
    rules = rules_for(DisclosureRules(), plan)
    impossible, known_s = timed(lambda: impossible_cells(plan))
    cost, sizes = disclosure_cost(rules, parties, plan.size), sizes_at_most(plan)
    cost = cost if sizes is None else cost + regression_cost(sizes)
    dealer = Dealer(parties)

    def jointly() -> tuple[Release, Traffic, float]:
        material = dealer.material(**attrs.asdict(cost))
        traffic = Traffic()

        async def seat(party: Party) -> Release:
            own, patterns = parts[party.index].table, parts[party.index].patterns
            evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
            if patterns is None:
                return await release(evaluator, own.values, own.children, rules, AlsoHide(plan.shape, impossible))
            counted = AllOrNone(impossible)
            counts = await release(evaluator, own.values, own.children, rules, counted)
            modelling = Modelling(plan, impossible, counted, patterns, parties, lambda mix: None, lambda: None)
            model = await modelling.fit(evaluator, counts)
            assert "coefficients" in model, model
            return counts

        released, seconds = timed(lambda: trio.run(Cluster(parties, liar=0, tamper=traffic).run, seat))
        return released[0], traffic, seconds

    jointly()  # once for the kernels
    outcome, traffic, joint_s = jointly()
    print(
        f"{name}: {plan.size:,} cells, {int(outcome.shown.sum()):,} shown; counting at a centre"
        f" {max(counting):.2f} s (all {parties} one after the other {sum(counting):.2f} s), zeros that all know"
        f" {known_s:.2f} s, joint part {joint_s:.2f} s in {traffic.rounds} steps, {traffic.sent / 1e6:.2f} MB sent by a"
        f" party; {cost.triples:,} triples, {cost.bits:,} bits, {cost.masks:,} masks of each"
    )


def main() -> None:
    """Print the figures of each request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--centres", type=int, default=CENTRES)
    parser.add_argument("--visits", type=int, default=VISITS, help="of all centres together")
    options = parser.parse_args()
    pack = load_pack("nsk")
    with tempfile.TemporaryDirectory() as name:
        data = extracts(Path(name), pack, options.centres, options.visits)
        for title, text in REQUESTS.items():
            kind, rest = text.split("\n", 1)
            measure(title, plan_request(pack.codebook, parse_request(f"{kind}\n{HEAD}{rest}".encode())), data)


if __name__ == "__main__":
    main()
