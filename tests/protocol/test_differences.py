"""Cells that differ from earlier ones by a few children: against plain integers, and against liars."""

from __future__ import annotations

import attrs
import numpy as np
import pytest

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.online.arithmetic import Evaluator
from protocol.online.differences import NO_DIFFERENCES, Differences
from protocol.online.disclosure import Release, disclosure_cost, release
from protocol.online.rules import Rules
from protocol.party import Party
from protocol.shares import Shared
from tests.cluster import Cluster, Outcome, lie_at
from tests.dealer import Dealer


async def compared(
    children: np.ndarray,
    cell: np.ndarray,
    differing: np.ndarray,
    rules: Rules,
    *,
    lie: int | None = None,
    cluster: Cluster | None = None,
) -> list[Outcome]:
    """Release a table whose pairs differ by ``differing`` [parties, pairs]; the last party says ``lie`` for all."""
    parties, cells = children.shape
    dealer = Dealer(parties, seed=cells)
    material = dealer.material(**attrs.asdict(disclosure_cost(rules, parties, cells, cell.size)))

    async def seat(party: Party) -> Release:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        own = children[party.index].astype(np.uint64)
        if lie is not None and party.index == parties - 1:
            honest = evaluator.inputs

            async def inputs(mine: field.Elements, lengths: list[int]) -> list[Shared]:
                mine = mine.copy()
                mine[3 * cells :] = lie % field.P
                return await honest(mine, lengths)

            evaluator.inputs = inputs  # type: ignore[method-assign, assignment]
        differences = Differences(cell, differing[party.index].astype(np.uint64))
        result = await release(evaluator, own, own, rules, lambda p: p, differences=differences)
        assert lie is not None or not any(evaluator.material.left().values())
        return result

    return await (cluster or Cluster(parties, seed=parties)).outcomes(seat)


@pytest.mark.parametrize("parties", [2, 3, 5])
@pytest.mark.parametrize("insider", [True, False])
@pytest.mark.parametrize("threshold", [3, 10, 400])
async def test_pairs_that_differ_by_a_few_close_their_cell(parties: int, insider: bool, threshold: int) -> None:
    rng = np.random.default_rng(parties * threshold + insider)
    cells, pairs = 30, 120
    children = np.full((parties, cells), 2 * threshold)
    cell = np.sort(rng.integers(0, cells - 3, pairs))  # the last cells have nothing to be compared with
    differing = rng.integers(0, threshold, (parties, pairs)) * (rng.random((parties, pairs)) < 0.15)
    differing[:, rng.random(pairs) < 0.7] = 0
    differing[:, rng.random(pairs) < 0.1] = 7 * threshold
    total = differing.sum(axis=0)
    sums = total - differing if insider else total[None, :]
    near = np.any((sums > 0) & (sums < threshold), axis=0)
    closed = np.isin(np.arange(cells), cell[near])
    assert 0 < closed.sum() < cells
    for outcome in await compared(children, cell, differing, Rules(threshold, insider)):
        assert outcome.error is None
        np.testing.assert_array_equal(outcome.value.shown, ~closed)


@pytest.mark.parametrize("lie", [0, 1, 5, 10, 11, 19, 20, 10**6, field.P // 2, -1, -3, -10])
async def test_no_lie_opens_what_differs_by_a_few_honest_children(lie: int) -> None:
    """A liar knows its own rows: what is left when it takes them away is the honest difference, whatever it says."""
    children = np.full((3, 6), 50)
    differing = np.array([[0, 3, 0, 1, 9, 20], [0, 0, 1, 4, 0, 20], [0] * 6])
    for outcome in (await compared(children, np.arange(6), differing, Rules(10, True), lie=lie))[:2]:
        if outcome.error is None:
            assert not outcome.value.shown[1:5].any()
        else:
            assert isinstance(outcome.error, RemoteProtocolError)
            assert outcome.error.fault is Fault.CONTRIBUTION


async def test_without_the_insider_rule_a_lie_would_open_it() -> None:
    children, differing = np.full((3, 1), 50), np.array([[3], [0], [0]])
    honest = await compared(children, np.zeros(1, dtype=np.int64), differing, Rules(10, False), lie=0)
    assert not honest[0].value.shown[0]
    lying = await compared(children, np.zeros(1, dtype=np.int64), differing, Rules(10, False), lie=10)
    assert lying[0].value.shown[0]


async def test_only_the_pattern_says_anything_and_it_does_not_say_why() -> None:
    """The same steps, sizes and openings whether a cell is closed for its children or for its difference."""
    steps: list[list[tuple[str, tuple[int, ...]]]] = []
    for few, near in ((3, 0), (50, 4)):
        seen: list[tuple[str, tuple[int, ...]]] = []

        def tamper(receiver: int, message, seen=seen):  # type: ignore[no-untyped-def]
            seen.append((message.step, tuple(part.size for part in message.parts)))
            return message

        children = np.array([[few, 50], [few, 50], [0, 50]])
        differing = np.array([[near, 0], [0, 0], [0, 0]])
        cluster = Cluster(3, liar=0, tamper=tamper)
        outcomes = await compared(children, np.arange(2), differing, Rules(10, True), cluster=cluster)
        assert [o.value.shown.tolist() for o in outcomes] == [[False, True]] * 3
        steps.append(seen)
    assert steps[0] == steps[1]


@pytest.mark.parametrize("label", ["input", "beaver", "compare"])
async def test_a_false_message_is_named(label: str) -> None:
    def plus_one(array: np.ndarray) -> np.ndarray:
        array[-1] = (int(array[-1]) + 1) % field.P
        return array

    cluster = Cluster(3, liar=2, tamper=lie_at(label, plus_one, to=1))
    children, differing = np.full((3, 2), 50), np.zeros((3, 2), dtype=np.int64)
    for outcome in (await compared(children, np.arange(2), differing, Rules(10, True), cluster=cluster))[:2]:
        assert isinstance(outcome.error, RemoteProtocolError)
        assert outcome.error.fault in (Fault.EQUIVOCATION, Fault.DISCONNECTED)


def test_a_number_for_each_pair() -> None:
    assert NO_DIFFERENCES.cell.size == 0
    with pytest.raises(LocalProtocolError):
        Differences(np.zeros(2, dtype=np.int64), np.zeros(3, dtype=np.uint64))
