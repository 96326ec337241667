"""The shuffle: all permutations alike while one party is honest, and a liar at each of its steps."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection

import attrs
import numpy as np
import pytest

from protocol import field
from protocol.errors import Fault, RemoteProtocolError
from protocol.online.arithmetic import Evaluator
from protocol.online.shuffle import permutation, shuffle_cost, shuffled
from protocol.party import Party
from protocol.shares import Shared
from tests.cluster import Cluster, Outcome, entropy_from, lie_at
from tests.dealer import Dealer
from tests.openings import falsify, one_more

ROWS = 4
FIRST, SECOND = np.array([5, 10, 15, 20]), np.array([100, 200, 300, 400])
Matrix = Callable[[np.ndarray], np.ndarray]


async def outcomes(
    parties: int,
    *,
    seed: int = 0,
    cluster: Cluster | None = None,
    lie: Callable[[Evaluator], None] | None = None,
    liars: Collection[int] | None = None,
) -> list[Outcome]:
    """Shuffle two columns; the last party lies, or those given."""
    liars = [parties - 1] if liars is None else liars
    dealer = Dealer(parties, seed=seed)
    material = dealer.material(**attrs.asdict(shuffle_cost(parties, ROWS, 2)))
    columns = [dealer.share(field.elements(each)) for each in (FIRST, SECOND)]

    async def seat(party: Party) -> list[tuple[int, int]]:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        if lie is not None and party.index in liars:
            lie(evaluator)
        first, second = await shuffled(evaluator, [each[party.index] for each in columns])
        assert lie is not None or not any(evaluator.material.left().values())  # the cost is exact
        told = await evaluator.reveal("result", {"first": first, "second": second})
        return list(zip(told["first"].tolist(), told["second"].tolist(), strict=True))

    return await (cluster or Cluster(parties, seed=seed)).outcomes(seat)


@pytest.mark.parametrize("parties", [2, 3, 4, 5, 6])
async def test_rows_stay_together_and_none_is_lost(parties: int) -> None:
    ends = await outcomes(parties)
    assert all(end.error is None for end in ends)
    assert all(end.value == ends[0].value for end in ends)
    assert sorted(ends[0].value) == list(zip(FIRST.tolist(), SECOND.tolist(), strict=True))


def test_every_permutation_is_as_likely() -> None:
    entropy = entropy_from(b"shuffle")
    seen = dict.fromkeys(itertools.permutations(range(3)), 0)
    count = 6000
    for _ in range(count):
        matrix = permutation(entropy, 3).reshape(3, 3)
        assert (matrix.sum(axis=0) == 1).all() and (matrix.sum(axis=1) == 1).all()
        seen[tuple(matrix.argmax(axis=1).tolist())] += 1
    assert sum((n - count / 6) ** 2 / (count / 6) for n in seen.values()) < 26  # 5 degrees of freedom: p ≈ 10^−4


def _inputs(change: Matrix) -> Callable[[Evaluator], None]:
    """Makes a party input another matrix than the one it drew."""

    def lie(evaluator: Evaluator) -> None:
        honest = evaluator.inputs

        async def inputs(own: field.Elements, lengths: list[int]) -> list[Shared]:
            return await honest(change(own), lengths)

        evaluator.inputs = inputs  # type: ignore[method-assign, assignment]

    return lie


@pytest.mark.parametrize("honest", [0, *(pytest.param(party, marks=pytest.mark.long) for party in (1, 2))])
async def test_one_honest_permutation_hides_whose_row_is_whose(honest: int) -> None:
    """The others all input the identity: where the first row ends is as uniform as if they did not."""
    drawn, places, others = 120, np.zeros(ROWS), [party for party in range(3) if party != honest]
    for seed in range(drawn):
        ends = await outcomes(3, seed=1000 * honest + seed, lie=_inputs(_changed()), liars=others)
        places[[row for row, _ in ends[0].value].index(5)] += 1
    assert float(((places - drawn / ROWS) ** 2 / (drawn / ROWS)).sum()) < 21  # 3 degrees of freedom: p ≈ 10^−4


def _changed(*entries: tuple[int, int, int]) -> Matrix:
    def change(matrix: np.ndarray) -> np.ndarray:
        matrix = np.eye(ROWS, dtype=np.uint64)
        for row, column, value in entries:
            matrix[row, column] = value % field.P
        return matrix.reshape(-1)

    return change


LIES: dict[str, Matrix] = {
    "a two": _changed((0, 0, 2)),
    "a two and a minus one": _changed((0, 0, 2), (0, 1, -1), (1, 1, 2), (1, 0, -1)),
    "two ones in a row": _changed((0, 1, 1)),
    "two ones in a column": _changed((1, 1, 0), (1, 0, 1)),
    "two ones in a row, none in another": _changed((0, 1, 1), (1, 1, 0)),
    "an empty row": _changed((2, 2, 0)),
    "nothing": lambda matrix: np.zeros_like(matrix),
    "halves": _changed(*((r, c, pow(2, -1, field.P)) for r in (0, 1) for c in (0, 1))),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.parametrize("parties", [2, 3])
async def test_a_matrix_that_permutes_nothing_is_named_before_anything_is_opened(lie: Matrix, parties: int) -> None:
    opened: list[str] = []

    def lying(evaluator: Evaluator) -> None:
        _inputs(lie)(evaluator)
        reveal = evaluator.reveal

        async def spy(label: str, results: dict[str, Shared]) -> dict[str, field.Elements]:
            opened.append(label)
            return await reveal(label, results)

        evaluator.reveal = spy  # type: ignore[method-assign, assignment]

    for end in (await outcomes(parties, lie=lying))[:-1]:
        assert isinstance(end.error, RemoteProtocolError)
        assert end.error.fault is Fault.CONTRIBUTION
        assert end.error.party == parties - 1
    assert opened == ["permutations"]


def _plus_one(array: np.ndarray) -> np.ndarray:
    array[-1] = (int(array[-1]) + 1) % field.P
    return array


@pytest.mark.parametrize(
    ("label", "change", "to", "fault"),
    [
        ("input", lambda a: a[:-1], None, Fault.MALFORMED),
        ("input", lambda a: np.concatenate([a, a]), None, Fault.MALFORMED),
        ("input", _plus_one, 0, Fault.EQUIVOCATION),
        ("beaver", _plus_one, 0, Fault.EQUIVOCATION),
        ("permutations/0", _plus_one, 0, Fault.EQUIVOCATION),
    ],
)
async def test_a_changed_message_is_named(label: str, change: Matrix, to: int | None, fault: Fault) -> None:
    cluster = Cluster(3, liar=2, tamper=lie_at(label, change, to=to))
    faults = []
    for end in (await outcomes(3, cluster=cluster))[:2]:
        assert isinstance(end.error, RemoteProtocolError)
        faults.append(end.error.fault)
    assert fault in faults
    assert set(faults) <= {fault, Fault.DISCONNECTED}


@pytest.mark.parametrize("which", range(4))  # the proof's product, its opening, and two of the permutations
@pytest.mark.parametrize("row", ["value", "mac"])
async def test_a_wrong_share_told_to_everybody_fails_the_mac_check(which: int, row: str) -> None:
    def lie(evaluator: Evaluator) -> None:
        opened = itertools.count()

        def change(_: str, shared: Shared) -> Shared:
            if next(opened) == which:
                return attrs.evolve(shared, **{row: one_more(getattr(shared, row))})
            return shared

        falsify(evaluator, change)

    for end in (await outcomes(3, lie=lie))[:2]:
        assert isinstance(end.error, RemoteProtocolError)
        assert end.error.fault is Fault.MAC_CHECK
