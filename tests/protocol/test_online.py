"""The online phase against plain integers, and against liars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import pytest

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.material import Cost, Material
from protocol.online import arithmetic
from protocol.online.arithmetic import Evaluator
from protocol.online.comparison import WIDTH_MAX, comparison_cost, is_negative, statistical_bits
from protocol.online.disclosure import Release, disclosure_cost, release, value_max
from protocol.online.rules import Dominance, Rules
from protocol.party import Party
from protocol.shares import Shared
from protocol.wire import Message
from tests.cluster import Cluster, Outcome, lie_at
from tests.dealer import Dealer
from tests.openings import false_share, falsify, watch


def evaluator_for(party: Party, dealer: Dealer, material: list) -> Evaluator:
    return Evaluator(party, dealer.keys[party.index], material[party.index])


@pytest.mark.parametrize("parties", [2, 3, 5])
async def test_products_equal_plain_integers(parties: int) -> None:
    dealer = Dealer(parties, seed=parties)
    count = 100
    material = dealer.material(triples=count, masks=count, squares=count)
    rng = np.random.default_rng(parties)
    inputs = [field.elements(rng.integers(-1000, 1000, count)) for _ in range(parties)]

    async def seat(party: Party) -> np.ndarray:
        evaluator = evaluator_for(party, dealer, material)
        vectors = await evaluator.inputs(inputs[party.index], [count] * parties)
        product = await evaluator.multiply(vectors[0], vectors[1])
        square = await evaluator.square(vectors[0])
        revealed = await evaluator.reveal("result", {"product": product + square + vectors[-1].scale(3)})
        return revealed["product"]

    results = await Cluster(parties, seed=parties).run(seat)
    signed = [field.signed(v) for v in inputs]
    for result in results:
        np.testing.assert_array_equal(field.signed(result), signed[0] * signed[1] + signed[0] ** 2 + 3 * signed[-1])


async def test_long_vectors_go_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "BLOCK", 7)
    dealer = Dealer(3)
    lengths = [3, 0, 10, 1, 14]
    material = dealer.material(triples=sum(lengths), squares=10)
    plain = [np.arange(k, k + length) - 5 for k, length in enumerate(lengths)]
    shares = [dealer.share(field.elements(values)) for values in plain]

    async def seat(party: Party) -> dict[str, np.ndarray]:
        evaluator = evaluator_for(party, dealer, material)
        own = [each[party.index] for each in shares]
        products = await evaluator.multiply_many([(x, x.scale(3)) for x in own])
        assert party.rounds == 4  # 28 products in blocks of 7
        products.append(await evaluator.square(own[2]))
        return await evaluator.reveal("result", {str(k): product for k, product in enumerate(products)})

    for result in await Cluster(3).run(seat):
        for k, values in enumerate(plain):
            np.testing.assert_array_equal(field.signed(result[str(k)]), 3 * values**2)
        np.testing.assert_array_equal(field.signed(result["5"]), plain[2] ** 2)


@pytest.mark.parametrize("width", [2, 3, 4, 5, 8, 13, WIDTH_MAX])
async def test_signs_are_right_at_every_edge(width: int) -> None:
    half = 1 << (width - 1)
    rng = np.random.default_rng(width)
    edges = [-half, -half + 1, -1, 0, 1, half - 1]
    values = np.array([*[e for e in edges if -half <= e < half], *rng.integers(-half, half, 200)])
    dealer = Dealer(3, seed=width)
    cost = comparison_cost(width, values.size)
    material = dealer.material(triples=cost.triples, bits=cost.bits)
    shares = dealer.share(field.elements(values))

    async def seat(party: Party) -> np.ndarray:
        evaluator = evaluator_for(party, dealer, material)
        negative = await is_negative(evaluator, shares[party.index], width)
        assert not any(evaluator.material.left().values())  # the cost is exact
        return (await evaluator.reveal("result", {"negative": negative}))["negative"]

    for result in await Cluster(3).run(seat):
        np.testing.assert_array_equal(result, values < 0)


def test_all_comparisons_of_a_call_leak_little_together() -> None:
    for width in range(2, WIDTH_MAX + 1):
        for count in (1, 2, 3, 1000, 1 << 20):
            sigma = statistical_bits(width, count)
            assert 40 <= sigma <= 59 - width
            assert count <= 1 << (sigma - 40) or sigma == 59 - width
    with pytest.raises(LocalProtocolError):
        statistical_bits(WIDTH_MAX + 1, 1)


async def test_masked_comparisons_look_uniform() -> None:
    """χ² over the high bits of what a comparison opens: the same for the smallest and the largest value."""
    width, count = 6, 4096
    half = 1 << (width - 1)
    seen = {}
    for value in (-half, half - 1):
        dealer = Dealer(2, seed=value + half)
        cost = comparison_cost(width, count)
        material = dealer.material(triples=cost.triples, bits=cost.bits)
        shares = dealer.share(field.elements(np.full(count, value)))

        async def seat(
            party: Party, dealer: Dealer = dealer, material: Sequence[Material] = material, shares: Any = shares
        ) -> np.ndarray:
            evaluator = evaluator_for(party, dealer, material)
            captured = {}
            original = evaluator.open_masked

            async def spy(label, shared):  # type: ignore[no-untyped-def]
                captured[label] = await original(label, shared)
                return captured[label]

            evaluator.open_masked = spy  # type: ignore[method-assign]
            await is_negative(evaluator, shares[party.index], width)
            return captured["compare"]

        opened = (await Cluster(2).run(seat))[0]
        mask_bits = width + statistical_bits(width, count)
        assert int(opened.max()) < 1 << (mask_bits + 1)
        seen[value] = opened
        for shift in (0, 3, mask_bits - 4):  # low bits carry the value, high bits its size
            cells = np.bincount(((opened >> np.uint64(shift)) & np.uint64(15)).astype(int), minlength=16)
            chi2 = float(((cells - count / 16) ** 2 / (count / 16)).sum())
            assert chi2 < 45, (value, shift, chi2)  # 15 degrees of freedom: p ≈ 10^−4


def plain_rule(values: np.ndarray, children: np.ndarray, rules: Rules) -> Release:
    total = children.sum(axis=0)
    shown = total >= rules.threshold
    if rules.insider:
        shown &= np.all(total[None, :] - children >= rules.threshold, axis=0)
    return Release(shown, np.where(shown, values.sum(axis=0), 0))


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
@pytest.mark.parametrize("insider", [True, False])
async def test_exactly_the_safe_cells_are_opened(parties: int, insider: bool) -> None:
    rng = np.random.default_rng(parties * 2 + insider)
    for threshold in (1, 2, 10, 37):
        rules = Rules(threshold=threshold, insider=insider)
        cells = 40
        children = rng.integers(0, 2 * threshold, size=(parties, cells)) * rng.integers(0, 2, size=(parties, cells))
        children[:, 0] = threshold // parties + 1  # just enough together
        children[:, 1] = 0
        children[0, 1] = 10**5  # one centre alone
        values = children + rng.integers(0, 1000, size=children.shape)
        dealer = Dealer(parties, seed=threshold)
        cost = disclosure_cost(rules, parties, cells)
        material = dealer.material(cost.triples, cost.bits, cost.masks)

        async def seat(
            party: Party, v: Any = values, c: Any = children, r: Rules = rules, d: Dealer = dealer, m: Any = material
        ) -> Release:
            evaluator = evaluator_for(party, d, m)
            own, kids = v[party.index].astype(np.uint64), c[party.index].astype(np.uint64)
            result = await release(evaluator, own, kids, r, lambda primary: primary)
            assert not any(evaluator.material.left().values())
            return result

        expected = plain_rule(values, children, rules)
        for result in await Cluster(parties).run(seat):
            np.testing.assert_array_equal(result.shown, expected.shown)
            np.testing.assert_array_equal(result.values, expected.values)


def plain_decision(values: np.ndarray, children: np.ndarray, rules: Rules) -> np.ndarray:
    """Which cells all rules allow, in plain integers, from the definition of each."""
    allowed = plain_rule(values, children, rules).shown
    allowed &= (children > 0).sum(axis=0) >= rules.centres
    if rules.dominance:
        total, ranked = values.sum(axis=0), -np.sort(-values, axis=0)
        allowed &= 100 * ranked[0] <= rules.dominance.share * total
        allowed &= 100 * (ranked[0] + ranked[1]) <= rules.dominance.pair * total
        allowed &= 100 * (total - ranked[0] - ranked[1]) >= rules.dominance.rest * ranked[0]
    return allowed | (rules.show_zeros & (children.sum(axis=0) == 0))


EVERY_RULE = [
    Rules(4, True, centres=3),
    Rules(4, False, centres=2, show_zeros=True),
    Rules(3, True, show_zeros=True),
    Rules(3, False, dominance=Dominance(share=85)),
    Rules(3, False, dominance=Dominance(pair=90)),
    Rules(3, False, dominance=Dominance(rest=10)),
    Rules(3, False, dominance=Dominance(rest=100)),
    Rules(3, True, centres=3, show_zeros=True, rounding=5, dominance=Dominance(85, 90, 10)),
    Rules(10, True, centres=3, show_zeros=False, rounding=5, dominance=Dominance(60, 75, 40)),
]


@pytest.mark.parametrize("rules", EVERY_RULE, ids=str)
@pytest.mark.parametrize("parties", [2, 3, 4])
async def test_every_rule_equals_its_definition(parties: int, rules: Rules) -> None:
    rng = np.random.default_rng(parties)
    cells = 150
    children = rng.integers(0, 12, size=(parties, cells)) * rng.integers(0, 4, size=(parties, cells)).clip(0, 1)
    children[:, :10] = 0
    values = children * rng.integers(1, 30, size=children.shape)
    for k in range(10, 30):  # around 85 and 90 per cent of 100, and 10 per cent of somebody's
        children[:, k] = 20
        values[:, k] = 0
        values[0, k], values[1, k], values[-1, k] = 75 + k, int(rng.integers(20)), int(rng.integers(20))
    values[0, 30:32], children[0, 30:32] = value_max(parties), 7
    dealer = Dealer(parties, seed=parties)
    cost = disclosure_cost(rules, parties, cells)
    material = dealer.material(**attrs.asdict(cost))

    async def seat(party: Party) -> Release:
        evaluator = evaluator_for(party, dealer, material)
        own, kids = (rows[party.index].astype(np.uint64) for rows in (values, children))
        return await release(evaluator, own, kids, rules, lambda primary: primary)

    shown = plain_decision(values, children, rules)
    exact = values.sum(axis=0)
    base = rules.rounding
    for result in await Cluster(parties).run(seat):
        np.testing.assert_array_equal(result.shown, shown)
        np.testing.assert_array_equal(result.values, np.where(shown, (exact + base // 2) // base * base, 0))


def test_rules_of_dominance_that_follow_are_not_tested() -> None:
    assert len(Dominance(85, 90, 10).tests(3)) == 3 + 3
    assert len(Dominance(100, 90, 11).tests(3)) == 3 + 6
    assert Dominance().tests(5) == []
    for bad in ({"share": 0}, {"pair": 101}, {"rest": -1}):
        with pytest.raises(LocalProtocolError):
            Dominance(**bad)


async def test_exact_values_are_never_opened() -> None:
    """Every opening of a run in which values are rounded: none is an exact value of a shown cell, or depends on it."""
    rules, cells = Rules(3, True, rounding=5), 40
    values = np.full(cells, 33, dtype=np.uint64)
    cost = disclosure_cost(rules, 3, cells)
    dealer, opened = Dealer(3), list[tuple[str, np.ndarray]]()
    material = dealer.material(**attrs.asdict(cost))

    async def seat(party: Party) -> Release:
        evaluator = evaluator_for(party, dealer, material)
        watch(evaluator, opened)
        return await release(evaluator, values, values, rules, lambda p: p)

    for result in await Cluster(3).run(seat):
        assert result.values.tolist() == [100] * cells
    exact = {33, 66, 99}
    assert {label for label, _ in opened} >= {"round", "cells/0", "pattern/0", "bits/0", "digit/0"}
    assert not any(exact & set(array.tolist()) for _, array in opened)


@pytest.mark.parametrize("answer", [2, field.P - 1, 3])
async def test_a_centre_that_says_more_than_yes_is_named(answer: int) -> None:
    """With 2 for "I have some", a liar would open a cell that one other centre alone has children in."""
    rules = Rules(3, True, centres=3)
    cost = disclosure_cost(rules, 3, 1)
    dealer = Dealer(3)
    material = dealer.material(**attrs.asdict(cost))

    async def seat(party: Party) -> Release:
        evaluator = evaluator_for(party, dealer, material)
        own = np.array([50 if party.index == 0 else 0], dtype=np.uint64)
        if party.index == 2:
            honest = evaluator.inputs

            async def inputs(mine: field.Elements, lengths: list[int]) -> list[Shared]:
                return await honest(np.array([1, 3, answer], dtype=np.uint64), lengths)

            evaluator.inputs = inputs  # type: ignore[method-assign, assignment]
        return await release(evaluator, own, own, rules, lambda p: p)

    for outcome in (await Cluster(3).outcomes(seat))[:2]:
        assert isinstance(outcome.error, RemoteProtocolError)
        assert outcome.error.fault is Fault.CONTRIBUTION
        assert outcome.error.party == 2


async def test_secondary_suppression_only_takes_away() -> None:
    dealer = Dealer(2)
    rules = Rules(threshold=2, insider=False)
    cost = disclosure_cost(rules, 2, 3)
    own = np.array([5, 0, 7], dtype=np.uint64)

    async def seat(party: Party, more: bool) -> Release:
        material = Dealer(2).material(cost.triples, cost.bits, cost.masks)
        hide = (lambda p: ~p) if more else (lambda p: p & np.array([True, True, False]))
        return await release(evaluator_for(party, dealer, material), own, own, rules, hide)

    for result in await Cluster(2).run(lambda party: seat(party, False)):
        assert result.shown.tolist() == [True, False, False]
        assert result.values.tolist() == [10, 0, 0]
    with pytest.raises(LocalProtocolError):
        await Cluster(2).run(lambda party: seat(party, True))


async def test_unchecked_openings_are_not_numbers() -> None:
    dealer = Dealer(2)
    shares = dealer.share(field.elements([1, 2, 3]))

    async def seat(party: Party) -> None:
        evaluator = Evaluator(party, dealer.keys[party.index], dealer.material()[party.index])
        opening = await evaluator.checker.open("x", shares[party.index])
        for misuse in (lambda: np.asarray(opening), opening.released, lambda: np.add(opening, 1)):
            with pytest.raises(LocalProtocolError):
                misuse()
        await evaluator.checker.check()
        assert opening.released().tolist() == [1, 2, 3]

    await Cluster(2).run(seat)


def plus_one(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint64:
        array[..., 0] = (array[..., 0] + np.uint64(1)) % np.uint64(field.P)
    else:
        array[..., -1] ^= 1
    return array


MESSAGE_LIES = [
    # step, told to whom, the fault named
    ("beaver", 1, Fault.EQUIVOCATION),
    ("input", 1, Fault.EQUIVOCATION),
    ("coin/pattern/before/commit", 1, Fault.EQUIVOCATION),
    ("coin/pattern/before/open", None, Fault.COMMITMENT),
    ("pattern/before/sigma/open", None, Fault.COMMITMENT),
    ("cells/0", 0, Fault.EQUIVOCATION),
    ("bits/0", 0, Fault.EQUIVOCATION),
    ("digit/0", 1, Fault.EQUIVOCATION),
    ("round", 0, Fault.EQUIVOCATION),
    ("coin/digit/before/open", None, Fault.COMMITMENT),
]


async def run_with_liar(cluster: Cluster, lie: Callable[[Evaluator], None]) -> list[Outcome]:
    """The whole disclosure among three, party 2 lying; returns the outcomes of the honest two."""
    cells = 8
    dealer = Dealer(cluster.parties, seed=1)
    rules = Rules(3, True, centres=2, rounding=5, dominance=Dominance(85, 90, 10))
    cost = disclosure_cost(rules, cluster.parties, cells)
    material = dealer.material(cost.triples, cost.bits, cost.masks)
    own = np.arange(cells, dtype=np.uint64)

    async def seat(party: Party) -> Release:
        evaluator = evaluator_for(party, dealer, material)
        if party.index == 2:
            lie(evaluator)
        return await release(evaluator, own, own, rules, lambda p: p)

    outcomes = (await cluster.outcomes(seat))[:2]
    assert all(o.value is None for o in outcomes), "something was released"
    return outcomes


@pytest.mark.parametrize(("label", "to", "fault"), MESSAGE_LIES)
async def test_a_changed_message_is_named_and_nothing_is_released(label: str, to: int | None, fault: Fault) -> None:
    cluster = Cluster(3, liar=2, tamper=lie_at(label, plus_one, to=to))
    outcomes = await run_with_liar(cluster, lambda _: None)
    faults = [o.error.fault for o in outcomes if isinstance(o.error, RemoteProtocolError)]
    assert len(faults) == 2
    assert fault in faults
    assert set(faults) <= {fault, Fault.DISCONNECTED}  # the other may see the first one leave


@pytest.mark.parametrize("label", ["beaver", "compare", "bits/0", "pattern/0", "digit/0", "round", "cells/0"])
@pytest.mark.parametrize("row", ["value", "mac"])
async def test_a_wrong_share_told_to_everybody_fails_the_mac_check(label: str, row: str) -> None:
    """The liar covers its tracks: it computes on with its wrong share, so that all records agree."""

    def lie(evaluator: Evaluator) -> None:
        falsify(evaluator, false_share(label, row))

    outcomes = await run_with_liar(Cluster(3), lie)
    for outcome in outcomes:
        assert isinstance(outcome.error, RemoteProtocolError)
        assert outcome.error.fault is Fault.MAC_CHECK


async def test_a_replayed_or_reordered_message_is_unexpected() -> None:
    earlier: dict[int, Message] = {}

    def replay(receiver: int, message: Message) -> Message:
        return earlier.setdefault(receiver, message)

    outcomes = await run_with_liar(Cluster(3, liar=2, tamper=replay), lambda _: None)
    assert any(isinstance(o.error, RemoteProtocolError) and o.error.fault is Fault.UNEXPECTED for o in outcomes)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[:-1],
        lambda a: a.astype(np.uint32) if a.dtype == np.uint64 else a,
        lambda a: np.full_like(a, np.uint64(field.P)),
        lambda a: a.reshape(1, -1),
    ],
)
async def test_a_malformed_array_is_named(change: Callable[[np.ndarray], np.ndarray]) -> None:
    outcomes = await run_with_liar(Cluster(3, liar=2, tamper=lie_at("beaver", change)), lambda _: None)
    assert all(isinstance(o.error, RemoteProtocolError) for o in outcomes)
    assert Fault.MALFORMED in [o.error.fault for o in outcomes]  # type: ignore[union-attr, attr-defined]


async def test_a_coin_copied_from_another_party_is_refused() -> None:
    """The sender is part of every commitment, so an echo of somebody's coin cannot be opened."""
    copied: dict[str, np.ndarray] = {}

    async def honest(party: Party) -> bytes:
        return await party.coin("test")

    cluster = Cluster(2)
    outcomes = []

    async def seat(party: Party) -> bytes:
        if party.index == 0:
            return await honest(party)
        # The echo: say whatever the other says, a moment later.
        first = await party.exchange("coin/test/commit", {}, [0])
        copied["commit"] = first[0][0]
        party.rounds -= 1
        await party.exchange("coin/test/commit", {0: [copied["commit"]]}, [])
        party.record("coin/test/commit", copied["commit"], copied["commit"])
        second = await party.exchange("coin/test/open", {}, [0])
        party.rounds -= 1
        await party.exchange("coin/test/open", {0: [second[0][0]]}, [])
        return b""

    outcomes = await cluster.outcomes(seat)
    assert isinstance(outcomes[0].error, RemoteProtocolError)
    assert outcomes[0].error.fault is Fault.COMMITMENT


async def test_material_is_never_handed_out_twice() -> None:
    dealer = Dealer(2)
    material = dealer.material(triples=5)[0]
    first, second = material.triples(2), material.triples(3)
    assert not set(first.a.value.tolist()) & set(second.a.value.tolist())
    with pytest.raises(LocalProtocolError):
        material.triples(1)
    assert Cost(triples=1, bits=2, masks=3).by_kind(2) == {"triple": 1, "bit": 2, "mask/0": 3, "mask/1": 3}


async def test_what_must_be_zero_is_not_opened_after_a_false_product() -> None:
    """Falsified by 1, b·b − b is b: who has a child in which cell, of every centre, whatever any rule says (11.3)."""
    seen: list[tuple[str, np.ndarray]] = []

    def lie(evaluator: Evaluator) -> None:
        watch(evaluator, seen)
        falsify(evaluator, false_share("beaver", "value"))

    for outcome in await run_with_liar(Cluster(3), lie):
        assert isinstance(outcome.error, RemoteProtocolError)
        assert outcome.error.fault is Fault.MAC_CHECK
    assert {label for label, _ in seen} == {"beaver"}
