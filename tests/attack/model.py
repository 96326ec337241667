"""Random workshops and sequences of tables, released by the rules in plain integers.

The rules on shares are compared with plain integers in ``tests/protocol``; here thousands of workshops are wanted, so
the joint part is left out.  Layout, correspondence, populations, tests of dominance and secondary suppression are the
real ones.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np

from nskd.analysis.pairs import corresponding
from nskd.analysis.population import Population, differences, population
from nskd.analysis.release import AlsoHide
from nskd.analysis.table import TablePlan, plan_table
from nskd.governance.question import Measure
from nskd.packs.codebook import TOTAL, Codebook, Level, Text, Variable, VariableType
from protocol.online.rules import Rules

LEVELS = {"a": ("a0", "a1", "a2"), "b": ("b0", "b1", "b2"), "c": ("c0", "c1")}
BOOK = Codebook(
    variables={
        name: Variable(name, VariableType.CATEGORY, Text(name, name), tuple(Level(key, key, key) for key in keys))
        for name, keys in LEVELS.items()
    },
    visit_id="visit",
    person_link="person",
    month=None,
    rules=(),
    forbidden={},
    digest=b"",
)
KEY = b"k" * 32


@attrs.frozen
class Child:
    """One child at one centre: where it is in every table, and how often it came."""

    name: str
    levels: tuple[str, str, str]
    visits: int


Centre = list[Child]
World = list[Centre]


@attrs.frozen(eq=False)
class Released:
    """A table as all see it, and, for whoever judges the attack, the truth behind it."""

    plan: TablePlan
    shown: np.ndarray
    values: np.ndarray
    visits: np.ndarray  # [centres, cells]
    children: np.ndarray
    people: list[Population]
    safe: np.ndarray
    rounding: int


@attrs.frozen
class Agreed:
    """The rules, and the two that are not tests on shares of this table."""

    rules: Rules
    secondary: bool = True
    differencing: bool = True


def random_world(rng: np.random.Generator, centres: int) -> World:
    """Skewed: levels that are rare, centres that are small, children that come often."""
    sizes = rng.integers(5, 120, centres)
    if rng.random() < 0.15:  # one has nearly all, and the others are alike
        sizes[:] = rng.integers(5, 9)
        sizes[0] *= 24
    rare = rng.random() < 0.2  # something that two of the centres alone have
    weights = [rng.dirichlet(np.full(len(levels), 0.7)) for levels in LEVELS.values()]
    world: World = []
    for centre in range(centres):
        count = int(sizes[centre])
        drawn = [rng.choice(levels, count, p=p) for levels, p in zip(LEVELS.values(), weights, strict=True)]
        if rare and centre >= 2:
            drawn[0] = np.where(drawn[0] == "a2", "a0", drawn[0])
        often = 1 + rng.geometric(0.8, count) * (rng.random(count) < 0.2)
        world.append(
            [
                Child(f"{centre}:{k}", levels, int(visits))
                for k, (levels, visits) in enumerate(
                    zip(zip(*map(np.ndarray.tolist, drawn), strict=True), often, strict=True)
                )
            ]
        )
    return world


def changed(rng: np.random.Generator, world: World) -> World:
    """A new extract at one centre: a few children more or fewer, or none."""
    at, few = int(rng.integers(len(world))), int(rng.integers(-4, 5))
    centre = world[at]
    if few < 0:
        centre = centre[-few:]
    new = (
        [attrs.evolve(centre[k % len(centre)], name=f"new{rng.integers(2**60)}") for k in range(few)] if centre else []
    )
    return [*world[:at], centre + new, *world[at + 1 :]]


def random_plan(rng: np.random.Generator) -> tuple[TablePlan, str | None]:
    """Rows, perhaps columns, perhaps totals, perhaps only one level of c: the condition's level."""
    names = [str(name) for name in rng.permutation(["a", "b"])][: int(rng.integers(1, 3))]
    only = None if rng.random() < 0.5 else str(rng.choice(LEVELS["c"]))
    return plan_of(names[:1], names[1:], margins=bool(rng.random() < 0.7)), only


def plan_of(rows: list[str], columns: list[str], *, margins: bool, measure: Measure = Measure.VISITS) -> TablePlan:
    return plan_table(BOOK, rows=rows, columns=columns, measure=measure, margins=margins)


def inside(levels: np.ndarray, cell: Mapping[str, str], only: str | None) -> np.ndarray:
    """The children, by their levels [children, variables], that a cell counts."""
    wanted = dict(cell) if only is None else {**cell, "c": only}
    found = np.ones(len(levels), dtype=np.bool_)
    for k, name in enumerate(LEVELS):
        if wanted.get(name, TOTAL) != TOTAL:
            found &= levels[:, k] == wanted[name]
    return found


def allowed(rules: Rules, visits: np.ndarray, children: np.ndarray) -> np.ndarray:
    """The cells that pass every test on this table alone, from the definitions."""
    total = children.sum(axis=0)
    safe = total >= rules.threshold
    if rules.insider:
        safe &= np.all(total - children >= rules.threshold, axis=0)
    safe &= (children > 0).sum(axis=0) >= rules.centres
    for whole, minus in rules.dominance.tests(len(visits)) if rules.dominance else ():
        safe &= whole * visits.sum(axis=0) + sum(part * visits[i] for i, part in minus.items()) >= 0
    return safe | (rules.show_zeros & (total == 0))


def release(world: World, plan: TablePlan, only: str | None, agreed: Agreed, history: list[Released]) -> Released:
    """What the workshop shows of a table, after those of ``history``."""
    rules = agreed.rules
    visits = np.zeros((len(world), plan.size), dtype=np.int64)
    children, people = np.zeros_like(visits), []
    for k, centre in enumerate(world):
        levels = np.array([child.levels for child in centre], dtype=object).reshape(len(centre), len(LEVELS))
        came = np.array([child.visits for child in centre], dtype=np.int64)
        where: list[tuple[int, str, int]] = []
        for index, cell in enumerate(plan.cells):
            found = inside(levels, cell, only)
            visits[k, index], children[k, index] = came[found].sum(), found.sum()
            if index < plan.shape.interior:
                where += [(index, centre[i].name, centre[i].visits) for i in np.flatnonzero(found)]
        people.append(population(where, KEY))
    safe = allowed(rules, visits, children)
    if agreed.differencing:
        for before in history:
            pairs = corresponding(plan, before.plan)
            apart = differing(people, plan, before, pairs)
            safe[pairs[0][near(apart, rules)]] = False
    nothing = np.zeros(plan.size, np.bool_)
    shown = AlsoHide(plan.shape, nothing)(safe) if agreed.secondary else safe.copy()
    exact = visits.sum(axis=0)
    values = (exact + rules.rounding // 2) // rules.rounding * rules.rounding
    return Released(plan, shown, values, visits, children, people, safe, rules.rounding)


def differing(people: list[Population], plan: TablePlan, before: Released, pairs: np.ndarray) -> np.ndarray:
    """Children by which the cells of each pair differ, at each centre: [centres, pairs]."""
    return np.array(
        [
            differences(now, plan.shape, then, before.plan.shape, pairs)
            for now, then in zip(people, before.people, strict=True)
        ]
    ).reshape(len(people), pairs.shape[1])


def near(apart: np.ndarray, rules: Rules) -> np.ndarray:
    """The pairs that differ by a few, to everybody or to a centre that takes its own away."""
    sums = apart.sum(axis=0) - (apart if rules.insider else np.zeros_like(apart))
    return np.any((sums > 0) & (sums < rules.threshold), axis=0)
