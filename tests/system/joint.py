"""A request computed jointly in one process: the real local part and the real online phase, over dealt material."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from nskd.analysis.agreed import rules_for
from nskd.analysis.impossible import impossible_cells
from nskd.analysis.release import AlsoHide, release_bytes
from nskd.analysis.table import plan_request
from nskd.data.load import load_visits
from nskd.data.query import local_table
from nskd.errors import OperatorError
from nskd.governance.disclosure import KEYS, read_disclosure
from nskd.governance.request_text import parse_request
from nskd.governance.toml import Keys
from nskd.packs.pack import Pack
from protocol.online.arithmetic import Evaluator
from protocol.online.disclosure import disclosure_cost, release
from protocol.party import Party
from tests.cluster import Cluster
from tests.dealer import Dealer


async def joint(pack: Pack, text: str, files: Sequence[Path], disclosure: Mapping[str, object], seed: int) -> bytes:
    """What every seat releases, under the rules that a charter's ``[disclosure]`` would say."""
    request = parse_request(text.encode())
    plan = plan_request(pack.codebook, request)
    parties = len(files)
    keys = Keys(dict(disclosure), allowed=KEYS, where="charter", error=OperatorError)
    agreed = read_disclosure(keys, contributors=parties)
    rules = rules_for(agreed, plan)
    impossible = impossible_cells(plan)
    dealer = Dealer(parties, seed)
    material = dealer.material(**attrs.asdict(disclosure_cost(rules, parties, plan.size)))

    async def seat(party: Party) -> bytes:
        with load_visits(files[party.index], pack.codebook) as dataset:
            own = local_table(dataset, plan)
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        outcome = await release(evaluator, own.values, own.children, rules, AlsoHide(plan.shape, impossible))
        return release_bytes(
            plan,
            outcome.shown,
            outcome.values,
            impossible,
            rounding=agreed.rounding,
            request=bytes(32),
            title=request.title,
        )

    released = await Cluster(parties, seed).run(seat)
    assert len(set(released)) == 1
    return released[0]
