"""What a run does beside counting when it fits a model, over memory: all cells or none, and a run made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from nskd.analysis.contribution import Contributions
from nskd.analysis.design import sizes_at_most
from nskd.analysis.impossible import impossible_cells
from nskd.analysis.regression import CaseMix, alike
from nskd.analysis.release import AllOrNone
from nskd.analysis.table import TablePlan, plan_request
from nskd.daemon.modelling import Modelling, settled
from nskd.data.load import Dataset, load_visits
from nskd.data.patterns import local_patterns
from nskd.data.query import local_table
from nskd.governance.request_text import parse_request
from nskd.packs.synthetic import generate, write_visits
from protocol.errors import Fault, RemoteProtocolError
from protocol.field import P
from protocol.online.arithmetic import Evaluator
from protocol.online.disclosure import disclosure_cost, release
from protocol.online.regression import regression_cost
from protocol.online.rules import Rules
from protocol.party import Party
from tests.cluster import Cluster, Outcome, change_part
from tests.dealer import Dealer
from tests.nskd.data.extracts import nsk

TEXT = """kind = "regression"
title = "T"
purpose = "improvement"
measure = "visits"
family = "logistic"
outcome = "nsk_status = 'complete'"
covariates = ["age_band", "sex"]
where = "sex IN {sexes}"
"""
CENTRES = 3


def planned(sexes: str) -> TablePlan:
    return plan_request(nsk().codebook, parse_request(TEXT.replace("{sexes}", sexes).encode()))


@pytest.fixture(scope="module")
def extracts(tmp_path_factory: pytest.TempPathFactory) -> list[Dataset]:
    found = []
    for centre in range(CENTRES):
        path: Path = tmp_path_factory.mktemp("extract") / "visits.parquet"
        write_visits(generate(nsk(), seed=5, centre=centre, visits=1500), path)
        found.append(load_visits(path, nsk().codebook))
    return found


mixes: dict[int, list[CaseMix]] = {}


async def run(plan: TablePlan, extracts: list[Dataset]) -> list[tuple[dict[str, Any], np.ndarray, list[str]]]:
    """The model, the counts shown, and the labels of what was revealed, of every centre."""
    sizes, rules = sizes_at_most(plan), Rules(threshold=10, insider=True, rounding=5)
    assert sizes is not None
    dealer, impossible = Dealer(CENTRES, seed=2), impossible_cells(plan)
    cost = disclosure_cost(rules, CENTRES, plan.size) + regression_cost(sizes)
    material = dealer.material(**attrs.asdict(cost))

    async def seat(party: Party) -> tuple[dict[str, Any], np.ndarray, list[str]]:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        revealed, original = [], evaluator.reveal

        async def reveal(label: str, results: Any) -> dict[str, np.ndarray]:
            if label not in ("bits", "digit", "masks"):  # proofs, and what has no data in it
                revealed.append(label)
            return await original(label, results)

        evaluator.reveal = reveal  # type: ignore[method-assign]
        data = extracts[party.index]
        table, hider = local_table(data, plan), AllOrNone(impossible)
        counts = await release(evaluator, table.values, table.children, rules, hider)
        kept: list[CaseMix] = []
        steps: list[int] = []
        modelling = Modelling(
            plan, impossible, hider, local_patterns(data, plan), CENTRES, kept.append, lambda: steps.append(1)
        )
        model = await modelling.fit(evaluator, counts)
        assert len(steps) == revealed.count("step") + revealed.count("closing")
        mixes[party.index] = kept
        return model, counts.shown, revealed

    return await Cluster(CENTRES).run(seat)


async def test_with_all_cells_safe_there_is_a_model(extracts: list[Dataset]) -> None:
    found = await run(planned("('M', 'V')"), extracts)
    for model, shown, revealed in found:
        assert model == found[0][0]
        assert len(model["coefficients"]) == 5
        assert model["references"] == {"age_band": "0-3", "sex": "M"}
        assert shown.sum() == 2 * (4 + 2)
        assert revealed[:2] == ["pattern", "cells"]
        assert set(revealed[2:]) == {"step", "closing"}
    # of all centres together a model with an intercept expects as many as there are
    (own,) = zip(*(mixes[centre] for centre in range(CENTRES)), strict=True)
    assert sum(each.expected for each in own) == pytest.approx(sum(each.observed for each in own), rel=1e-5)
    for each, data in zip(own, extracts, strict=True):
        query = "SELECT count(*) FROM visits WHERE nsk_status = 'complete' AND sex IN ('M', 'V')"
        ((count,),) = data.fetch(query)
        assert each.observed == count
        assert 0 < each.variance < each.expected


async def test_with_one_small_level_nothing_is_opened_but_that(extracts: list[Dataset]) -> None:
    for model, shown, revealed in await run(planned("('M', 'V', 'X')"), extracts):
        assert model["reason"] == "levels"
        assert model["levels"] == [{"name": "sex", "level": "X"}]
        assert not shown.any()
        assert revealed == ["pattern"]


# --- a run made again -------------------------------------------------------------------------------------------

MODEL = {
    "coefficients": [{"name": "sex", "level": "V", "estimate": 0.2, "error": 0.1}],
    "references": {"sex": "M"},
    "freedom": 200,
    "likelihood_ratio": 12.5,
    "terms": 1,
    "steps": 5,
}


def changed(**values: float) -> dict[str, Any]:
    row = {**MODEL["coefficients"][0], **{k: v for k, v in values.items() if k in ("estimate", "error")}}  # type: ignore[index]
    return {**MODEL, **{k: v for k, v in values.items() if k not in row}, "coefficients": [row]}


def recorded(model: object) -> bytes:
    return json.dumps({"model": model}).encode()


async def settle(
    records: list[bytes | None], change: Callable[[np.ndarray], np.ndarray] | None = None
) -> list[Outcome]:
    def tamper(receiver: int, message: Any) -> Any:
        told = message.step.endswith(".model") and change is not None
        return change_part(message, 0, change) if told else message  # type: ignore[arg-type]

    async def seat(party: Party) -> dict[str, Any]:
        model = await settled(party, MODEL, records[party.index])
        await party.confirm()
        return model

    return await Cluster(3, liar=2, tamper=tamper).outcomes(seat)


async def test_without_a_record_the_model_stands() -> None:
    assert [each.value for each in await settle([None] * 3)] == [MODEL] * 3


async def test_what_is_on_record_is_given_to_who_lacks_it() -> None:
    before = changed(estimate=0.200003, error=0.1000003, likelihood_ratio=12.50003, steps=6)
    assert [each.value for each in await settle([None, recorded(before), recorded(before)])] == [before] * 3


@pytest.mark.parametrize(
    "record",
    [
        changed(estimate=0.2002),
        changed(error=0.1002),
        changed(likelihood_ratio=12.6),
        changed(freedom=201),
        {**MODEL, "more": 1},
        {**MODEL, "coefficients": []},
        {**MODEL, "coefficients": [3]},
        {"reason": "collinear", "levels": []},
    ],
)
async def test_another_model_on_record_ends_the_run(record: dict[str, Any]) -> None:
    for each in await settle([None, recorded(record), None]):
        assert isinstance(each.error, RemoteProtocolError)
        assert each.error.fault is Fault.CONTRIBUTION


async def test_two_models_on_record_end_the_run() -> None:
    for each in await settle([None, recorded(MODEL), recorded(changed(estimate=0.200001))]):
        assert isinstance(each.error, RemoteProtocolError)
        assert each.error.fault is Fault.CONTRIBUTION


@pytest.mark.parametrize(
    "change",
    [
        lambda part: np.frombuffer(b"{", dtype=np.uint8),
        lambda part: np.frombuffer(b"[" * 100_000, dtype=np.uint8),
        lambda part: np.frombuffer(b'{"a": 1}', dtype=np.uint8),  # not in the one spelling
        lambda part: np.frombuffer(b'{"a":NaN}', dtype=np.uint8),
        lambda part: np.frombuffer(b'{"\xff":1}', dtype=np.uint8),  # was an error of our own
        lambda part: np.frombuffer(b'{"a":"\xc3"}', dtype=np.uint8),
        lambda part: np.zeros(3, dtype=np.uint64),
        lambda part: np.zeros((3, 3), dtype=np.uint8),
        lambda part: np.full(600_000, 32, dtype=np.uint8),
        lambda part: np.full(1, P % 256, dtype=np.uint8),
    ],
)
async def test_a_record_that_is_no_model_is_malformed(change: Callable[[np.ndarray], np.ndarray]) -> None:
    for each in (await settle([None] * 3, change))[:2]:
        assert isinstance(each.error, RemoteProtocolError)
        assert each.error.fault in (Fault.MALFORMED, Fault.CONTRIBUTION)


async def test_a_record_in_another_spelling_is_malformed() -> None:
    spelt = np.frombuffer(json.dumps(MODEL).encode(), dtype=np.uint8)
    for each in (await settle([None] * 3, lambda part: spelt))[:2]:
        assert isinstance(each.error, RemoteProtocolError)
        assert each.error.fault is Fault.MALFORMED


def test_models_are_compared_by_their_own_errors() -> None:
    assert alike(MODEL, changed(estimate=0.2 + 0.9e-4))
    assert not alike(MODEL, changed(estimate=0.2 + 1.1e-4))
    assert not alike(MODEL, "model")
    assert not alike(MODEL, {**MODEL, "steps": "5"})


def test_what_the_model_says_of_own_rows_is_kept_sealed_and_erased(tmp_path: Path) -> None:
    contributions = Contributions(tmp_path, lambda label: bytes(32))
    request, found = bytes(range(32)), CaseMix(12.0, 10.5, 9.25)
    assert contributions.case_mix(request) is None
    contributions.keep_case_mix(request, found)
    assert contributions.case_mix(request) == found
    (path,) = tmp_path.iterdir()
    assert b"case" not in path.read_bytes()
    (tmp_path / f"{bytes(32).hex()}.case-mix").write_bytes(path.read_bytes())
    assert contributions.case_mix(bytes(32)) is None, "sealed for another request"
    contributions.erase(request)
    assert contributions.case_mix(request) is None
