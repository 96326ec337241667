"""Points and overdispersion of a funnel against plain numbers, and a liar at each step."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import attrs
import numpy as np
import pytest

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.online import hospitals as module
from protocol.online.arithmetic import Evaluator
from protocol.online.disclosure import contribute, disclosure_cost, release_contributed
from protocol.online.hospitals import Compared, Hospitals, compare, hospitals_cost
from protocol.online.overdispersion import SCORE_MAX, SCORE_UNIT
from protocol.online.rules import Rules
from protocol.party import Party
from protocol.shares import Shared
from tests.cluster import Cluster, Outcome, lie_at
from tests.dealer import Dealer
from tests.openings import false_share, falsify, watch

EVENTS, OTHERS, SIZE = 0, 1, 2
Counts = np.ndarray  # [parties, 3]
NO_PAIRS = np.zeros(0, dtype=np.int64)
USUAL = Rules(10, True, centres=3, rounding=5)


@attrs.frozen
class Case:
    """What all contribute; ``differing`` [parties, pairs] with cells ``cell`` [pairs]."""

    values: Counts
    children: Counts
    differing: np.ndarray
    cell: np.ndarray

    @classmethod
    def of(cls, values: object, children: object = None) -> Case:
        counts = np.array(values)
        return cls(
            counts, counts if children is None else np.array(children), np.zeros((len(counts), 0), int), NO_PAIRS
        )


def exact_score(values: Counts, events: int, size: int) -> int:
    """z² of one hospital in tenths, from the definition."""
    x, n = int(values[EVENTS]), int(values[SIZE])
    target = events / size
    return min(round(SCORE_UNIT * (x - n * target) ** 2 / (n * target * (1 - target))), SCORE_MAX)


async def outcomes(
    case: Case,
    hospitals: Hospitals,
    rules: Rules = USUAL,
    *,
    lie: Callable[[Evaluator], None] | None = None,
    before: Callable[[Evaluator], None] | None = None,
    cluster: Cluster | None = None,
    score: int | None = None,
) -> list[Outcome]:
    """Release and compare; the last party lies from the beginning, or from the end of the table (``before``)."""
    parties = len(case.values)
    dealer = Dealer(parties, seed=int(case.values.sum()))
    table = disclosure_cost(rules, parties, 3, case.cell.size)
    material = dealer.material(**attrs.asdict(table + hospitals_cost(hospitals, rules, parties)))

    async def seat(party: Party) -> Compared:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        last = party.index == parties - 1
        if lie is not None and last:
            lie(evaluator)
        own = case.values[party.index].astype(np.uint64)
        kids = np.array(case.children[party.index]).astype(np.uint64)
        differing = case.differing[party.index].astype(np.uint64)
        cells = await contribute(evaluator, own, kids, rules, differing)
        released = await release_contributed(evaluator, cells, rules, lambda p: p, pairs=case.cell)
        if before is not None and last:
            before(evaluator)
        found = await compare(
            evaluator,
            cells,
            released,
            hospitals,
            rules,
            lambda events, size: exact_score(case.values[party.index], events, size) if score is None else score,
        )
        if lie is before is cluster is None and found.points is not None and released.shown.all():
            left = evaluator.material.left()
            computes_only = party.parties - len(hospitals.parties)
            if not computes_only and (found.scores is not None or not hospitals.overdispersion):
                assert not any(left.values()), left  # the cost is exact
        return found

    return await (cluster or Cluster(parties, seed=parties)).outcomes(seat)


def both(parties: int, **changes: object) -> Hospitals:
    usual = Hospitals(tuple(range(parties)), EVENTS, OTHERS, SIZE, points=True, overdispersion=True)
    return attrs.evolve(usual, **changes)


def nearest(value: int, base: int) -> int:
    return (value + base // 2) // base * base


def plain(case: Case, hospitals: Hospitals, rules: Rules) -> Compared:
    """By definition, in plain numbers; of a table that earlier ones do not close."""
    everybody = case.children.sum(axis=0)
    left = everybody - case.children.max(axis=0) if rules.insider else everybody
    if left.min() < rules.threshold or (case.children > 0).sum(axis=0).min() < rules.centres:
        return Compared()
    own = range(len(hospitals.parties))
    values, children = case.values[list(hospitals.parties)], case.children[list(hospitals.parties)]
    passes = []
    for k in own:
        enough = [children[k, EVENTS], children[k, OTHERS], values[k, SIZE] - values[k, EVENTS]]
        near = case.differing[hospitals.parties[k]][hospitals.near]
        passes.append(min(enough) >= rules.threshold and not any(0 < d < rules.threshold for d in near))
    shown = [k for k in own if passes[k]]
    if not all(passes):
        shown = shown[max(rules.centres, 2 if rules.insider else 1) :]
    points = sorted(
        (nearest(int(values[k, EVENTS]), rules.rounding), nearest(int(values[k, SIZE]), rules.rounding)) for k in shown
    )
    scores = None
    if hospitals.overdispersion and all(passes):
        events, size = (nearest(int(case.values[:, cell].sum()), rules.rounding) for cell in (EVENTS, SIZE))
        scores = nearest(sum(exact_score(values[k], events, size) for k in own), 5)
    return Compared(scores, tuple(points) if hospitals.points else None)


def random_case(rng: np.random.Generator, parties: int, small: float) -> Case:
    """Some hospitals with too few events: one at least if ``small``, the share of them, is not 0."""
    size = rng.integers(200, 4000, parties)
    events = (size * rng.uniform(0.2, 0.8, parties)).astype(int)
    few = rng.random(parties) < small
    few[rng.integers(parties)] |= small > 0
    events[few] = rng.integers(0, 10, few.sum())
    values = np.stack([events, size - events, size], axis=1)
    return Case.of(values)


@pytest.mark.parametrize("parties", [2, 3, *(pytest.param(count, marks=pytest.mark.long) for count in (4, 5, 6))])
@pytest.mark.parametrize("small", [0.0, 0.25])
async def test_what_is_told_equals_its_definition(parties: int, small: float) -> None:
    rng = np.random.default_rng(10 * parties + int(4 * small))
    told = set()
    for rules in (USUAL, Rules(3, False, centres=1), Rules(10, True, centres=2, rounding=3)):
        if rules.centres > parties:
            continue
        for _ in range(2):
            case, hospitals = random_case(rng, parties, small), both(parties)
            expected = plain(case, hospitals, rules)
            for end in await outcomes(case, hospitals, rules):
                assert end.error is None
                assert end.value == expected
            told.add((expected.scores is None, len(expected.points or ())))
    assert not small or any(none for none, _ in told)
    assert small or told == {(False, parties)}


async def test_at_least_two_are_withheld_beside_one_that_fails() -> None:
    """Also where one centre alone may have a cell: of one beside it, that one would know the other's."""
    case, rules = Case.of([[9, 90, 99], *[[100, 90, 190]] * 4]), Rules(10, True)
    ends = await outcomes(case, both(5), rules)
    assert len(ends[0].value.points) == 2
    ends = await outcomes(case, both(5), Rules(10, False))
    assert len(ends[0].value.points) == 3


@pytest.mark.parametrize("failing", [(0,), (3,), (1, 4), (0, 1, 2, 3, 4, 5)])
async def test_beside_one_that_fails_the_first_that_pass_are_withheld(failing: tuple[int, ...]) -> None:
    """So that the table less the points shown is never one hospital's, nor that of two."""
    values = [[9 if k in failing else 100 + k, 500, 509 if k in failing else 600 + k] for k in range(6)]
    case, hospitals = Case.of(values), both(6)
    ends = await outcomes(case, hospitals)
    assert [end.value for end in ends] == [plain(case, hospitals, USUAL)] * 6
    withheld = 6 - len(ends[0].value.points)
    assert withheld == min(6, len(failing) + 3)
    assert ends[0].value.scores is None


async def test_a_point_needs_children_with_and_without_and_neither() -> None:
    enough = [100, 100, 200]
    for values, children in (
        ([9, 191, 200], [9, 100, 109]),  # too few with
        ([191, 9, 200], [100, 9, 109]),  # too few without
        ([50, 20, 59], [50, 20, 59]),  # children in both groups: nine are in "all" and not in "events"
        ([400, 400, 800], [9, 100, 105]),  # many visits of few children
    ):
        case = Case.of([values, *[enough] * 5], [children, *[enough] * 5])
        ends = await outcomes(case, both(6))
        assert len(ends[0].value.points) == 2, values
        assert ends[0].value == plain(case, both(6), USUAL)


@pytest.mark.parametrize("near", [True, False])
async def test_a_point_that_differs_from_an_earlier_one_by_a_few_children_fails(near: bool) -> None:
    """All together differ by many, so the table is shown; one hospital by four children."""
    values = np.array([[100, 100, 200]] * 6)
    differing = np.full((6, 2), 40)
    differing[4, 1] = 4
    differing[5, 0] = 0
    case = Case(values, values, differing, np.array([EVENTS, SIZE]))
    hospitals = both(6, near=np.array([0, 1] if near else [0]))
    ends = await outcomes(case, hospitals)
    assert [end.value for end in ends] == [plain(case, hospitals, USUAL)] * 6
    assert len(ends[0].value.points) == (2 if near else 6)


async def test_only_those_who_contribute_are_hospitals() -> None:
    values = np.array([[100, 100, 200], [0, 0, 0], [120, 80, 200], [130, 300, 430], [90, 100, 190]])
    case, hospitals = Case.of(values), attrs.evolve(both(5), parties=(0, 2, 3, 4))
    for end in await outcomes(case, hospitals):
        assert end.error is None
        assert end.value == plain(case, hospitals, USUAL)
        assert end.value.scores is not None


async def test_nothing_is_told_of_a_table_that_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_passed", None)  # not even computed
    case = Case.of([[3, 100, 103], [2, 100, 102], [4, 100, 104]])
    for end in await outcomes(case, both(3)):
        assert end.value == Compared(None, None)


@pytest.mark.parametrize(("points", "overdispersion"), [(True, False), (False, True)])
async def test_what_is_not_asked_for_is_not_told(points: bool, overdispersion: bool) -> None:
    case = random_case(np.random.default_rng(5), 4, 0.0)
    hospitals = both(4, points=points, overdispersion=overdispersion)
    for end in await outcomes(case, hospitals):
        assert end.value == plain(case, hospitals, USUAL)
        assert (end.value.points is None, end.value.scores is None) == (not points, not overdispersion)
    with pytest.raises(LocalProtocolError):
        both(4, points=False, overdispersion=False)


async def test_a_rate_of_nobody_has_no_scores() -> None:
    """z would divide by zero; among those who pass, only a liar's negative count comes to that."""
    lie = _contributes({EVENTS: -sum(row[EVENTS] for row in HONEST.values[:3])})
    for end in (await outcomes(HONEST, both(4, points=False), lie=lie))[:3]:
        assert end.value == Compared(None, None)


async def test_no_opening_depends_on_an_exact_count_or_on_whose_it_is() -> None:
    """Every value opened, under one order of hospitals and another: exact counts are not among them."""
    values = [[101, 302, 403], [207, 404, 611], [333, 111, 444], [151, 152, 303]]
    seen: list[tuple[str, np.ndarray]] = []

    ends = await outcomes(Case.of(values), both(4), before=lambda evaluator: watch(evaluator, seen))
    assert all(end.error is None for end in ends)
    told = [array.tolist() for label, array in seen if label == "points/0"]
    assert sorted(told[0]) == sorted(nearest(v, 5) for row in values for v in (row[EVENTS], row[SIZE]))
    exact = {v for row in values for v in row}
    assert not any(exact & set(array.tolist()) for _, array in seen)
    assert {label for label, _ in seen} >= {"flags/0", "hospitals/0", "scores/0", "overdispersion/0", "permutations/0"}
    assert all(not array.any() for label, array in seen if label in ("flags/0", "scores/0", "permutations/0"))


# --- liars --------------------------------------------------------------------------------------------------

HONEST = Case.of([[100, 100, 200], [120, 90, 210], [130, 300, 430], [90, 100, 190]])


def _faults(ends: list[Outcome]) -> list[Fault]:
    assert all(end.value is None for end in ends), "something was released"
    assert all(isinstance(end.error, RemoteProtocolError) for end in ends)
    return [end.error.fault for end in ends]  # type: ignore[union-attr, attr-defined]


def _second_input(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Evaluator], None]:
    """Lies at the next input: the first after the table is the score."""

    def lie(evaluator: Evaluator) -> None:
        honest, calls = evaluator.inputs, itertools.count()

        async def inputs(own: field.Elements, lengths: list[int]) -> list[Shared]:
            return await honest(change(own) if next(calls) == 0 else own, lengths)

        evaluator.inputs = inputs  # type: ignore[method-assign, assignment]

    return lie


def _contributes(claims: dict[int, int]) -> Callable[[Evaluator], None]:
    """Lies in the table: values first, then children."""

    def lie(evaluator: Evaluator) -> None:
        honest, calls = evaluator.inputs, itertools.count()

        async def inputs(own: field.Elements, lengths: list[int]) -> list[Shared]:
            if next(calls) == 0:
                own = own.copy()
                for place, claimed in claims.items():
                    own[place] = claimed % field.P
            return await honest(own, lengths)

        evaluator.inputs = inputs  # type: ignore[method-assign, assignment]

    return lie


def _spied(lie: Callable[[Evaluator], None], opened: list[str]) -> Callable[[Evaluator], None]:
    """Notes what is revealed."""

    def lying(evaluator: Evaluator) -> None:
        lie(evaluator)
        reveal = evaluator.reveal

        async def spy(label: str, results: dict[str, Shared]) -> dict[str, field.Elements]:
            opened.append(label)
            return await reveal(label, results)

        evaluator.reveal = spy  # type: ignore[method-assign, assignment]

    return lying


@pytest.mark.parametrize("claimed", [SCORE_MAX + 1, -1, -20, 1 << 20, field.P // 2, field.P - 1024, 1 << 11, 3 << 10])
async def test_a_score_out_of_bounds_is_named_before_the_sum_is_opened(claimed: int) -> None:
    lie = _second_input(lambda own: np.full_like(own, claimed % field.P))
    opened: list[str] = []
    ends = (await outcomes(HONEST, both(4), before=_spied(lie, opened)))[:-1]
    assert _faults(ends) == [Fault.CONTRIBUTION] * 3
    assert [end.error.party for end in ends] == [3] * 3  # type: ignore[union-attr, attr-defined]
    assert opened == ["flags", "hospitals", "scores"]


async def test_scores_up_to_the_bound_are_taken() -> None:
    for own in (0, SCORE_MAX):
        for end in await outcomes(HONEST, both(4), score=own):
            assert end.value.scores == nearest(4 * own, 5)
    ends = await outcomes(HONEST, both(4), score=SCORE_MAX + 1)
    assert isinstance(ends[0].error, LocalProtocolError)


@pytest.mark.parametrize("claimed", [26, 31, -7])
@pytest.mark.parametrize("row", [3 + EVENTS, 3 + OTHERS])
async def test_a_count_that_makes_a_flag_two_is_named(claimed: int, row: int) -> None:
    """One hospital fails; the liar's flag would count for two of those withheld beside it, or for minus one."""
    values = np.array([[100, 100, 200], [9, 90, 99], [130, 300, 430], [90, 100, 190], [100, 200, 300]])

    opened: list[str] = []
    lie = _spied(_contributes({row: claimed}), opened)
    ends = (await outcomes(Case.of(values), both(5), Rules(10, False), lie=lie))[:-1]
    assert _faults(ends) == [Fault.CONTRIBUTION] * 4
    assert [end.error.party for end in ends] == [4] * 4  # type: ignore[union-attr, attr-defined]
    assert [label for label in opened if label not in ("bits", "digit")] == ["pattern", "cells", "flags"]


async def test_a_point_that_no_counts_make_ends_the_run() -> None:
    """The liar contributes no event, and says that many children have one."""
    ends = (await outcomes(HONEST, both(4), lie=_contributes({EVENTS: 0})))[:-1]
    assert _faults(ends) == [Fault.CONTRIBUTION] * 3
    assert all(end.error.party is None for end in ends)  # type: ignore[union-attr, attr-defined]


def _plus_one(array: np.ndarray) -> np.ndarray:
    array[-1] = (int(array[-1]) + 1) % field.P
    return array


OPENED = ("flags/0", "hospitals/0", "scores/0", "round", "overdispersion/0", "permutations/0", "points/0", "digit/0")


@pytest.mark.parametrize("label", [*OPENED, "beaver", "compare"])
@pytest.mark.parametrize("row", ["value", "mac"])
async def test_a_wrong_share_told_to_everybody_fails_the_mac_check(label: str, row: str) -> None:
    def lie(evaluator: Evaluator) -> None:
        falsify(evaluator, false_share(label, row))

    assert _faults((await outcomes(HONEST, both(4), before=lie))[:-1]) == [Fault.MAC_CHECK] * 3


@pytest.mark.parametrize(
    "label", ["flags/0", "hospitals/0", "scores/0", "overdispersion/0", "permutations/0", "points/0"]
)
async def test_two_stories_are_noticed(label: str) -> None:
    cluster = Cluster(4, liar=3, tamper=lie_at(label, _plus_one, to=1))
    faults = set(_faults((await outcomes(HONEST, both(4), cluster=cluster))[:-1]))
    assert Fault.EQUIVOCATION in faults
    assert faults <= {Fault.EQUIVOCATION, Fault.DISCONNECTED}


@pytest.mark.parametrize(("label", "after"), [("flags/0", None), ("scores/0", "hospitals/0")])
async def test_nothing_that_follows_from_a_false_product_is_opened(label: str, after: str | None) -> None:
    """Falsified by e, a product holds e times its other factor, and what must be 0 tells what is in it (17.3, 17.5)."""
    seen: list[tuple[str, np.ndarray]] = []

    def change(step: str, shared: Shared) -> Shared:
        begun = after is None or any(each == after for each, _ in seen)
        return false_share("beaver", "value")(step, shared) if begun else shared

    def lie(evaluator: Evaluator) -> None:
        watch(evaluator, seen)
        falsify(evaluator, change)

    assert _faults((await outcomes(HONEST, both(4), before=lie))[:-1]) == [Fault.MAC_CHECK] * 3
    labels = {each for each, _ in seen}
    assert "beaver" in labels
    assert label not in labels
