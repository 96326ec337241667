"""Attacks find nothing in random workshops; and with any one rule off, one of them finds something.

A few workshops each time; ``make attack`` tries thousands and prints what bounds alone give away.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import attrs
import numpy as np
import pytest

from nskd.analysis.suppression import derivable
from protocol.online.rules import Dominance, Rules
from tests.attack import attacks
from tests.attack.model import Agreed, Released, changed, random_plan, random_world, release

WORKSHOPS = int(os.environ.get("NSKD_ATTACK", "15"))
USUAL = Agreed(Rules(10, True, centres=3, rounding=5, dominance=Dominance(85, 90, 10)))
RULES = USUAL.rules
Played = tuple[list[Released], list[str | None]]


def played(seed: int, agreed: Agreed, *, still: bool) -> Played:
    """A sequence of tables of one workshop; ``still``: the data never change."""
    rng = np.random.default_rng(seed)
    world = random_world(rng, int(rng.integers(3, 6)))
    released: list[Released] = []
    conditions: list[str | None] = []
    for _ in range(5):
        plan, only = random_plan(rng)
        released.append(release(world, plan, only, agreed, released))
        conditions.append(only)
        if not still:
            world = changed(rng, world)
    return released, conditions


# What is found in a workshop whose data change …
MOVING: dict[str, Callable[[list[Released]], int]] = {
    "small cells": lambda moving: len(attacks.small_cells(moving, RULES)),
    "empty cells": lambda moving: len(attacks.empty_cells(moving)),
    "one centre subtracts": lambda moving: len(attacks.one_centre_subtracts(moving, RULES)),
    "one centre is left": lambda moving: len(attacks.one_centre_is_left(moving)),
    "one centre dominates": lambda moving: attacks.close_estimates(moving, 85, 10)["share"],
    "two centres dominate": lambda moving: attacks.close_estimates(moving, 85, 10)["pair"],
    "little is left beside one": lambda moving: attacks.close_estimates(moving, 85, 10)["rest"],
    "differencing": lambda moving: len(attacks.differencing(moving, RULES)),
}
# … and in one whose data do not, where it is known which condition a table had.
STILL: dict[str, Callable[[list[Released], list[str | None]], int]] = {
    "follows from totals": lambda still, _: len(attacks.follows_from_totals(still)),
    "linear system": lambda still, conditions: len(attacks.linear_system(still, conditions)),
}


def found(agreed: Agreed, seed: int, attack: str) -> int:
    """What one attack finds in one workshop."""
    if attack in STILL:
        return STILL[attack](*played(seed, agreed, still=True))
    return MOVING[attack](played(seed, agreed, still=False)[0])


def test_attacks_find_nothing() -> None:
    shown = 0
    for seed in range(WORKSHOPS):
        moving, _ = played(seed, USUAL, still=False)
        still, conditions = played(seed, USUAL, still=True)
        result = {name: attack(moving) for name, attack in MOVING.items()}
        result |= {name: attack(still, conditions) for name, attack in STILL.items()}
        assert not any(result.values()), (seed, result)
        shown += sum(int(each.shown.sum()) for each in moving)
    assert shown > WORKSHOPS, "there was something to attack"


def without(**changes: object) -> Agreed:
    return attrs.evolve(USUAL, rules=attrs.evolve(USUAL.rules, **changes))


OFF: dict[str, tuple[Agreed, str]] = {
    "threshold": (without(threshold=1, insider=False), "small cells"),
    "insider": (without(insider=False), "one centre subtracts"),
    "centres_min": (without(centres=1, dominance=None), "one centre is left"),
    "dominance": (without(dominance=Dominance(100, 90, 10)), "one centre dominates"),
    "nk": (without(dominance=Dominance(85, 100, 10)), "two centres dominate"),
    "p_percent, where nk does not imply it": (without(dominance=Dominance(85, 100, 0)), "little is left beside one"),
    "rounding": (without(rounding=1), "linear system"),
    "zeros": (without(show_zeros=True), "empty cells"),
    "secondary suppression": (attrs.evolve(USUAL, secondary=False), "follows from totals"),
    "differencing": (attrs.evolve(USUAL, differencing=False), "differencing"),
}


@pytest.mark.parametrize("rule", OFF)
def test_with_a_rule_off_an_attack_succeeds(rule: str) -> None:
    agreed, attack = OFF[rule]
    for seed in range(400):
        if found(agreed, seed, attack):
            return
    pytest.fail(f"without {rule}, {attack} found nothing: that rule is not tested here")


def test_every_rule_is_switched_off_once() -> None:
    keys = {field.name for field in attrs.fields(Rules)} - {"show_zeros", "centres"}
    named = {rule.split(",")[0] for rule in OFF}
    assert named >= keys | {"zeros", "centres_min", "nk", "p_percent", "differencing"}


def test_what_bounds_give_away(capsys: pytest.CaptureFixture[str]) -> None:
    """Not covered by the rules: that no number is negative.  Counted, so that it is known how much that is."""
    count: dict[str, int] = dict.fromkeys(("closed", "under five values", "one value", "one value, not zero"), 0)
    for seed in range(WORKSHOPS):
        for each in played(seed, USUAL, still=True)[0]:
            exact = each.visits.sum(axis=0)
            low, high = attacks.bounds(each)
            assert np.all((low <= exact) & (exact <= high)), "the bounds are true"
            closed = ~each.shown & ~each.safe
            assert not (derivable(each.plan.shape, ~each.shown) & closed & (exact > 0)).any()
            width = (high - low)[closed]
            count["closed"] += int(closed.sum())
            count["under five values"] += int((width < attacks.ALLOWED).sum())
            count["one value"] += int((width == 0).sum())
            count["one value, not zero"] += int(((width == 0) & (exact[closed] > 0)).sum())
    assert count["one value, not zero"] == 0
    with capsys.disabled():
        if "NSKD_ATTACK" in os.environ:
            print(f"\n{WORKSHOPS} workshops: {count}")
