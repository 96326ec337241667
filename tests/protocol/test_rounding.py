"""Wide comparisons, digits and rounding against plain integers, and a liar at each opening."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import numpy as np
import pytest

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.material import Cost
from protocol.online.arithmetic import Evaluator
from protocol.online.comparison import WIDE_MAX, WIDTH_MAX, comparison_cost, is_negative
from protocol.online.conjunction import conjunction, conjunction_cost
from protocol.online.digits import BASES, digits_cost, inverse_root, uniform_digits
from protocol.online.rounding import VALUE_BITS, rounded, rounding_cost
from protocol.party import Party
from protocol.shares import Shared
from tests.cluster import Cluster, Outcome
from tests.dealer import Dealer
from tests.openings import false_share, falsify

Computation = Callable[[Evaluator, Shared], Awaitable[Shared]]


async def computed(values: np.ndarray, cost: Cost, computation: Computation, parties: int = 3) -> np.ndarray:
    """What the parties make of shared values; the cost must be exact."""
    dealer = Dealer(parties, seed=values.size)
    material, shares = dealer.material(**attrs.asdict(cost)), dealer.share(field.elements(values))

    async def seat(party: Party) -> np.ndarray:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        result = await computation(evaluator, shares[party.index])
        assert not any(evaluator.material.left().values())
        return (await evaluator.reveal("result", {"result": result}))["result"]

    results = await Cluster(parties, seed=values.size).run(seat)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    return field.signed(results[0])


@pytest.mark.parametrize("width", [WIDTH_MAX + 1, 26, WIDE_MAX])
async def test_wide_signs_are_right_at_every_edge(width: int) -> None:
    half = 1 << (width - 1)
    edges = [-half, -half + 1, -1, 0, 1, half - 1]
    values = np.array([*edges, *np.random.default_rng(width).integers(-half, half, 200)])
    signs = await computed(values, comparison_cost(width, values.size), lambda e, x: is_negative(e, x, width))
    np.testing.assert_array_equal(signs, values < 0)
    with pytest.raises(LocalProtocolError):
        comparison_cost(WIDE_MAX + 1, 1)


def _planned(dealer: Dealer, number: int, count: int, width: int) -> list:
    """Material whose masks are all ``number``."""
    cost = comparison_cost(width, count)
    material = dealer.material(cost.triples, cost.bits)
    digits = np.repeat((number >> np.arange(field.BITS)) & 1, count)
    for party, share in zip(material, dealer.share(digits.astype(np.uint64)), strict=True):
        party._columns["bit"] = np.stack([share.value, share.mac])
    return material


@pytest.mark.parametrize("number", [field.P - 1, field.P - 40_000_000, field.P, (1 << 61) - 1])
@pytest.mark.parametrize("value", [-(1 << 25), -1, 0, (1 << 25) - 1])
async def test_a_mask_that_wraps_is_noticed_and_nothing_wrong_is_told(number: int, value: int) -> None:
    """These masks come once in 2^35 comparisons; each either gives the right sign or says that it was chance."""
    width, dealer = 26, Dealer(2)
    material, shares = _planned(dealer, number, 1, width), dealer.share(field.elements([value]))

    async def seat(party: Party) -> bool:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        negative = await is_negative(evaluator, shares[party.index], width)
        return bool((await evaluator.reveal("result", {"sign": negative}))["sign"][0])

    for outcome in await Cluster(2).outcomes(seat):
        if outcome.error is None:
            assert outcome.value == (value < 0)
            assert value + (1 << 25) + number < field.P
        else:
            assert isinstance(outcome.error, RemoteProtocolError)
            assert outcome.error.fault is Fault.UNLUCKY


@pytest.mark.parametrize("base", BASES)
def test_roots_of_powers(base: int) -> None:
    values = np.array([1, 2, field.P - 1, *np.random.default_rng(base).integers(1, field.P, 200)], dtype=np.uint64)
    powers = np.array([pow(int(v), base, field.P) for v in values], dtype=np.uint64)
    roots = inverse_root(powers, base)
    assert all(pow(int(z), base, field.P) * int(w) % field.P == 1 for z, w in zip(roots, powers, strict=True))
    for bad in (0, next(k for k in range(2, 50) if pow(k, (field.P - 1) // base, field.P) != 1)):
        with pytest.raises(LocalProtocolError):
            inverse_root(np.array([bad], dtype=np.uint64), base)


@pytest.mark.parametrize("base", BASES)
async def test_digits_are_uniform_and_below_the_base(base: int) -> None:
    count = 3000

    async def digit(evaluator: Evaluator, _: Shared) -> Shared:
        return (await uniform_digits(evaluator, count, base)).value(evaluator)

    drawn = await computed(np.zeros(1, dtype=np.int64), digits_cost(base, count), digit)
    expected = count / base
    chi2 = float(((np.bincount(drawn, minlength=base) - expected) ** 2 / expected).sum())
    assert drawn.min() == 0 and drawn.max() == base - 1
    assert chi2 < 24  # 4 degrees of freedom: p ≈ 10^−4


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("parties", [2, 3])
async def test_the_nearest_multiple(base: int, parties: int) -> None:
    top = (1 << VALUE_BITS) - 1
    values = np.array([*range(60), *range(top - 30, top + 1), *np.random.default_rng(base).integers(0, top, 100)])
    result = await computed(values, rounding_cost(base, values.size), lambda e, x: rounded(e, x, base), parties=parties)
    nearest = [min(range(0, v + base, base)[-3:], key=lambda multiple: abs(multiple - v)) for v in values.tolist()]
    np.testing.assert_array_equal(result, nearest)


async def test_no_rounding_costs_nothing() -> None:
    assert rounding_cost(1, 100) == Cost()
    values = np.array([0, 1, 7])
    np.testing.assert_array_equal(await computed(values, Cost(), lambda e, x: rounded(e, x, 1)), values)


async def test_the_masked_value_looks_the_same_for_any_value() -> None:
    """χ² over the low digit and the high bits of what rounding opens, for the smallest and the largest value."""
    count = 2000
    for value in (0, (1 << VALUE_BITS) - 1):
        opened: list[np.ndarray] = []

        async def spied(evaluator: Evaluator, x: Shared, opened: list[np.ndarray] = opened) -> Shared:
            original = evaluator.open_masked

            async def spy(label: str, shared: Shared) -> np.ndarray:
                result = await original(label, shared)
                if label == "round":
                    opened.append(result)
                return result

            evaluator.open_masked = spy  # type: ignore[method-assign]
            return await rounded(evaluator, x, 5)

        await computed(np.full(count, value), rounding_cost(5, count), spied)
        assert int(opened[0].max()) < 5 << 58
        for cells, kinds in ((opened[0] % np.uint64(5), 5), ((opened[0] // np.uint64(5)) >> np.uint64(54), 16)):
            seen = np.bincount(cells.astype(int), minlength=kinds)
            assert float(((seen - count / kinds) ** 2 / (count / kinds)).sum()) < 45, value


async def with_liar(label: str, row: str) -> list[Outcome]:
    """Rounding among three, party 2 changing one share told to everybody; the honest two's outcomes."""
    dealer, values = Dealer(3, seed=4), np.array([3, 12, 100])
    cost = rounding_cost(5, values.size)
    material, shares = dealer.material(**attrs.asdict(cost)), dealer.share(field.elements(values))

    async def seat(party: Party) -> np.ndarray:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        if party.index == 2:
            falsify(evaluator, false_share(label, row))
        result = await rounded(evaluator, shares[party.index], 5)
        return (await evaluator.reveal("result", {"result": result}))["result"]

    return (await Cluster(3, seed=4).outcomes(seat))[:2]


@pytest.mark.parametrize("label", ["digit/0", "beaver", "round"])
@pytest.mark.parametrize("row", ["value", "mac"])
async def test_a_false_share_stops_the_rounding(label: str, row: str) -> None:
    for outcome in await with_liar(label, row):
        assert isinstance(outcome.error, RemoteProtocolError)
        assert outcome.error.fault is Fault.MAC_CHECK


async def test_a_false_power_is_noticed_before_it_masks_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    original = Evaluator.open_masked

    async def spy(self: Evaluator, label: str, shared: Shared) -> np.ndarray:
        opened.append(label)
        return await original(self, label, shared)

    monkeypatch.setattr(Evaluator, "open_masked", spy)
    await with_liar("digit/0", "value")
    assert "round" not in opened


async def test_all_flags_of_a_cell_must_hold() -> None:
    rng = np.random.default_rng(8)
    for cells in (1, 5, 40):
        about = np.concatenate([np.arange(cells), rng.integers(0, cells, 3 * cells)])
        flags = (rng.random(about.size) < 0.8).astype(np.int64)
        result = await computed(
            flags,
            conjunction_cost(about.size, cells),
            lambda e, x, about=about, cells=cells: conjunction(e, x, about, cells),
        )
        np.testing.assert_array_equal(result, [int(flags[about == k].all()) for k in range(cells)])
    flags = np.array([0, 17, -3])  # whatever a liar makes of some, a no stays a no
    about = np.zeros(3, dtype=np.int64)
    assert (await computed(flags, conjunction_cost(3, 1), lambda e, x: conjunction(e, x, about, 1))).tolist() == [0]
    with pytest.raises(LocalProtocolError):
        await computed(flags, Cost(), lambda e, x: conjunction(e, x, about, 2))
