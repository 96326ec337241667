"""Tails, tests of size and inverses on shares, against whole numbers and numpy; masks at their edges; liars."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import numpy as np
import pytest

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.material import Cost, Material
from protocol.online.arithmetic import Evaluator
from protocol.online.fixed_point import (
    REACH,
    TAIL_MAX,
    FieldMasks,
    below_cost,
    from_fixed,
    is_below,
    masks_cost,
    to_fixed,
    without_tail,
)
from protocol.online.inverse import (
    FRACTION,
    SCALE_BITS,
    Need,
    approximate_inverse,
    refined,
    refinement_need,
    start_need,
    times_vector,
)
from protocol.party import Party
from protocol.shares import Shared, concatenate
from tests.cluster import Cluster, Outcome
from tests.dealer import Dealer
from tests.openings import false_share, falsify

Computation = Callable[[Evaluator, FieldMasks, Shared], Awaitable[Shared]]


async def computed(values: np.ndarray, need: Need, computation: Computation, parties: int = 3) -> np.ndarray:
    """What the parties make of shared elements of the field; the need must be exact."""
    dealer = Dealer(parties, seed=values.size)
    material = dealer.material(**attrs.asdict(need.cost + masks_cost(need.masks)))
    shares = dealer.share(values.astype(np.uint64))

    async def seat(party: Party) -> np.ndarray:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        masks = await FieldMasks.prepare(evaluator, need.masks)
        result = await computation(evaluator, masks, shares[party.index])
        assert not any(evaluator.material.left().values())
        assert masks.left() == 0
        return (await evaluator.reveal("result", {"result": result}))["result"]

    results = await Cluster(parties, seed=values.size).run(seat)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    return results[0]


@pytest.mark.parametrize("tail", [1, 18, 24, TAIL_MAX])
async def test_tails_are_cut_at_every_edge(tail: int) -> None:
    edges = [-REACH, -REACH + 1, -1, 0, 1, (1 << tail) - 1, -(1 << tail), REACH - 1]
    values = np.array([*edges, *np.random.default_rng(tail).integers(-REACH, REACH, 400)])
    need = Need(masks=values.size)
    result = await computed(field.elements(values), need, lambda e, m, x: without_tail(e, m, x, tail))
    more = field.signed(result) - (values >> tail)
    assert set(more.tolist()) <= {0, 1}
    exact = values % (1 << tail) == 0
    assert not more[exact].any()


async def test_what_is_cut_off_decides_how_often_one_more_comes_out() -> None:
    count, tail = 4000, 20
    for part in (0.25, 0.9):
        values = np.full(count, int(part * (1 << tail)) - (5 << tail))
        need = Need(masks=count)
        result = await computed(field.elements(values), need, lambda e, m, x: without_tail(e, m, x, tail), 2)
        more = field.signed(result) + 5
        assert abs(more.mean() - part) < 5 * (part * (1 - part) / count) ** 0.5


def planned(dealer: Dealer, material: list[Material], numbers: list[int]) -> None:
    """Make the masks these numbers."""
    digits = np.array([(number >> k) & 1 for k in range(field.BITS) for number in numbers], dtype=np.uint64)
    for party, share in zip(material, dealer.share(digits), strict=True):
        party._columns["bit"] = np.stack([share.value, share.mac])


MASKS = [0, 1, 1 << 59, (1 << 60) - 1, 1 << 60, field.P - (1 << 60), field.P - 40, field.P - 2]


@pytest.mark.parametrize("value", [-REACH, -1, 0, 12345 << 20, REACH - 1])
async def test_a_sum_that_wraps_is_seen_whatever_the_mask(value: int) -> None:
    count, tail = len(MASKS), 20
    dealer = Dealer(2, seed=7)
    material = dealer.material(**attrs.asdict(masks_cost(count)))
    planned(dealer, material, MASKS)
    shares = dealer.share(field.elements([value] * count))

    async def seat(party: Party) -> np.ndarray:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        masks = await FieldMasks.prepare(evaluator, count)
        cut = await without_tail(evaluator, masks, shares[party.index], tail)
        return (await evaluator.reveal("result", {"cut": cut}))["cut"]

    result = field.signed((await Cluster(2).run(seat))[0])
    assert set((result - (value >> tail)).tolist()) <= {0, 1}


@pytest.mark.parametrize("number", [field.P - 1, field.P, (1 << 61) - 1])
async def test_a_mask_outside_the_field_ends_the_run(number: int) -> None:
    dealer = Dealer(2, seed=7)
    material = dealer.material(**attrs.asdict(masks_cost(3)))
    planned(dealer, material, [5, number, 1 << 60])

    async def seat(party: Party) -> None:
        await FieldMasks.prepare(Evaluator(party, dealer.keys[party.index], material[party.index]), 3)

    for outcome in await Cluster(2).outcomes(seat):
        assert isinstance(outcome.error, RemoteProtocolError)
        assert outcome.error.fault is Fault.UNLUCKY


async def test_opened_tails_look_uniform_even_for_values_out_of_range() -> None:
    count = 4000
    for value in (-REACH, REACH - 1, field.P // 2):
        opened: list[np.ndarray] = []

        async def spied(
            evaluator: Evaluator, masks: FieldMasks, x: Shared, opened: list[np.ndarray] = opened
        ) -> Shared:
            original = evaluator.open_masked

            async def spy(label: str, shared: Shared) -> np.ndarray:
                opened.append(await original(label, shared))
                return opened[-1]

            evaluator.open_masked = spy  # type: ignore[method-assign]
            return await without_tail(evaluator, masks, x, 24)

        await computed(field.elements(np.full(count, value)), Need(masks=count), spied, 2)
        for shift in (0, 24, 57):
            cells = np.bincount(((opened[0] >> np.uint64(shift)) & np.uint64(15)).astype(int), minlength=16)
            assert float(((cells - count / 16) ** 2 / (count / 16)).sum()) < 45, (value, shift)


@pytest.mark.parametrize("bound", [1, 2, 1 << 24, 1 << 48, field.P - 1])
async def test_below_is_exact_on_the_whole_field(bound: int) -> None:
    edges = [0, 1, bound - 1, bound % field.P, (bound + 1) % field.P, field.P - 1, field.P // 2]
    rng = np.random.default_rng(5)
    values = np.array([*edges, *rng.integers(0, field.P, 100), *rng.integers(0, bound, 100)], dtype=np.uint64)
    need = Need(below_cost(values.size), values.size)
    result = await computed(values, need, lambda e, m, x: is_below(e, m, x, bound))
    np.testing.assert_array_equal(result, values < np.uint64(bound))


def test_numbers_that_do_not_fit_are_refused() -> None:
    values = np.array([0.5, -3.25, 2.0**34])
    np.testing.assert_array_equal(from_fixed(to_fixed(values, 24), 24), values)
    for bad in (2.0**35, float("nan"), float("inf")):
        with pytest.raises(LocalProtocolError):
            to_fixed(np.array([bad]), 24)


# --- inverses -------------------------------------------------------------------------------------------------


def matrix(size: int, least: float, most: float, seed: int) -> np.ndarray:
    """Symmetric, its eigenvalues between the two and these among them."""
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.normal(size=(size, size)))
    values = np.exp(rng.uniform(np.log(least), np.log(most), size))
    values[0], values[-1] = least, most
    return (q * values) @ q.T


def inverse_need(size: int, refinements: int) -> Need:
    return start_need(size) + refinement_need(size).times(refinements)


async def inverted(given: np.ndarray, refinements: int = 2) -> tuple[np.ndarray, bool]:
    size = len(given)

    async def computation(evaluator: Evaluator, masks: FieldMasks, x: Shared) -> Shared:
        inverse = await approximate_inverse(evaluator, masks, x, size)
        for _ in range(refinements):
            inverse, fine = await refined(evaluator, masks, x, inverse, size, 10)
        return concatenate([inverse, fine])

    result = await computed(to_fixed(given, FRACTION), inverse_need(size, refinements), computation, 2)
    return from_fixed(result[:-1], FRACTION).reshape(size, size), bool(result[-1])


@pytest.mark.parametrize(("least", "most"), [(0.1, 0.15), (0.02, 0.6), (0.004, 1.9), (2.0**-9, 0.3)])
@pytest.mark.parametrize("size", [1, 2, 7])
async def test_inverses_within_the_bound_derived(size: int, least: float, most: float) -> None:
    given = matrix(size, least, most, size) if size > 1 else np.array([[least]])
    found, fine = await inverted(given)
    assert fine
    exact = np.linalg.inv(given)
    # step 18.6: rounding of the matrix and of E = 1 − AV, each multiplied once more by V
    norm = np.linalg.norm(exact, 2)
    bound = 2.0**-FRACTION * size * norm * (norm + 2)
    assert np.abs(found - exact).max() <= bound
    np.testing.assert_array_equal(found, found.T)


@pytest.mark.parametrize(
    "values",
    [[0.0, 0.2, 0.3], [2.0**-14, 0.1, 0.1], [0.1, 0.1, 2.5], [0.1, 0.1, 40.0], [-0.1, 0.1, 0.1], [1e6, 0.1, 1.0]],
)
async def test_what_has_no_inverse_is_told(values: list[float]) -> None:
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    _, fine = await inverted((q * values) @ q.T, refinements=1)
    assert not fine


async def test_times_a_vector() -> None:
    values = np.array([[1, -2, 3], [4, 5, 6], [7, 8, -9]])
    vector = np.array([10, 20, -30])

    async def computation(evaluator: Evaluator, masks: FieldMasks, x: Shared) -> Shared:
        masks.take(1)
        return await times_vector(evaluator, x[:9], x[9:], 3)

    result = await computed(
        field.elements(np.concatenate([values.reshape(-1), vector])), Need(Cost(triples=9), 1), computation
    )
    np.testing.assert_array_equal(field.signed(result), values @ vector)


# --- a liar ---------------------------------------------------------------------------------------------------


async def with_liar(label: str, row: str) -> list[Outcome]:
    """An inverse among three, party 2 changing one share told to everybody; the honest two's outcomes."""
    dealer, size = Dealer(3, seed=4), 2
    need = inverse_need(size, 1)
    material = dealer.material(**attrs.asdict(need.cost + masks_cost(need.masks)))
    shares = dealer.share(to_fixed(matrix(size, 0.1, 0.3, 1), FRACTION))

    async def seat(party: Party) -> np.ndarray:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        if party.index == 2:
            falsify(evaluator, false_share(label, row))
        masks = await FieldMasks.prepare(evaluator, need.masks)
        x = shares[party.index]
        inverse = await approximate_inverse(evaluator, masks, x, size)
        inverse, fine = await refined(evaluator, masks, x, inverse, size, 10)
        return (await evaluator.reveal("result", {"inverse": inverse, "fine": fine}))["inverse"]

    return (await Cluster(3, seed=4).outcomes(seat))[:2]


@pytest.mark.parametrize("label", ["masks/0", "tail", "below", "beaver"])
@pytest.mark.parametrize("row", ["value", "mac"])
async def test_a_false_share_stops_it(label: str, row: str) -> None:
    for outcome in await with_liar(label, row):
        assert isinstance(outcome.error, RemoteProtocolError)
        assert outcome.error.fault is Fault.MAC_CHECK


def test_the_scale_leaves_room_for_eigenvalues_sixteen_times_what_is_expected() -> None:
    assert 2.0**-SCALE_BITS * 16 == 2.0
