"""Which cells may be opened, decided before anything is (``docs/protocol.md``, section 11).

Every centre contributes, per cell, its value, its number of distinct children and whether it has any.  All rules are
tests on shares; only whether a cell passes all of them is opened, one bit a cell that does not say which it failed.
Then the values of cells that do are rounded, on shares, and opened.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import numpy.typing as npt

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.field import Elements
from protocol.material import Cost
from protocol.online.arithmetic import MULTIPLICATION, Evaluator
from protocol.online.comparison import comparison_cost, is_negative
from protocol.online.conjunction import conjunction, conjunction_cost
from protocol.online.differences import (
    NO_DIFFERENCES,
    Differences,
    differences_cost,
    far_or_equal,
    tests_per_pair,
)
from protocol.online.rounding import VALUE_BITS, rounded, rounding_cost
from protocol.online.rules import Dominance, Rules
from protocol.shares import Shared, concatenate, constant, split, total

Pattern = npt.NDArray[np.bool_]

_ROWS_PER_CELL = 3  # value, children, whether any


@attrs.frozen(eq=False)
class Release:
    """What may be shown: ``values`` int64[cells], meaningful where ``shown`` bool[cells] holds, 0 elsewhere."""

    shown: Pattern
    values: npt.NDArray[np.int64]


@attrs.frozen(eq=False, repr=False)
class Cells:
    """What all centres contribute, a vector a centre."""

    values: list[Shared]
    children: list[Shared]
    present: list[Shared]
    differences: list[Shared]


def value_max(parties: int) -> int:
    """The most that a centre's own value may be, so that the joint one stays below 2^20 (step 11.1)."""
    return ((1 << VALUE_BITS) - 1) // parties


def comparison_width(rules: Rules, parties: int) -> int:
    """Bits that hold every difference between a sum of capped children, or of centres, and what is asked for."""
    largest = max(rules.threshold, (parties - 1) * rules.threshold, parties, rules.centres)
    return largest.bit_length() + 1


def dominance_width(dominance: Dominance, parties: int) -> int:
    """Bits that hold every test of dominance."""
    reach = max(abs(whole + part) for whole, minus in dominance.tests(parties) for part in (0, *minus.values()))
    return (reach << VALUE_BITS).bit_length() + 1


def _narrow_tests(rules: Rules, parties: int) -> int:
    """Comparisons with the threshold, with the number of centres, and with none at all."""
    return (parties if rules.insider else 1) + (rules.centres > 1) + rules.show_zeros


def disclosure_cost(rules: Rules, parties: int, cells: int, pairs: int = 0) -> Cost:
    """What :func:`release` consumes at most: rounding is for the cells that are shown."""
    narrow = _narrow_tests(rules, parties)
    cost = Cost(masks=_ROWS_PER_CELL * cells) + MULTIPLICATION.times(parties * cells)
    cost += comparison_cost(comparison_width(rules, parties), cells * narrow)
    wide = len(rules.dominance.tests(parties)) if rules.dominance else 0
    if rules.dominance and wide:
        cost += comparison_cost(dominance_width(rules.dominance, parties), cells * wide)
    flags = cells * (narrow - rules.show_zeros + wide)
    if pairs:
        cost += differences_cost(rules, parties, pairs)
        flags += pairs * tests_per_pair(rules, parties)
    return cost + conjunction_cost(flags, cells) + rounding_cost(rules.rounding, cells)


async def release(
    evaluator: Evaluator,
    values: Elements,
    children: Elements,
    rules: Rules,
    also_hide: Callable[[Pattern], Pattern],
    *,
    differences: Differences = NO_DIFFERENCES,
    before_pattern: Callable[[], None] = lambda: None,
) -> Release:
    """Add up all centres' ``values`` uint64[cells] and open the safe ones to everybody (steps 11.1–11.9).

    ``also_hide`` gets the pattern of safe cells, which is public by then, and returns the cells to be shown: a
    subset, the same at every centre (secondary suppression).  ``before_pattern`` is called before that pattern can be
    seen by anybody.
    """
    cells = await contribute(evaluator, values, children, rules, differences.children)
    return await release_contributed(
        evaluator, cells, rules, also_hide, pairs=differences.cell, before_pattern=before_pattern
    )


async def release_contributed(
    evaluator: Evaluator,
    cells: Cells,
    rules: Rules,
    also_hide: Callable[[Pattern], Pattern],
    *,
    pairs: npt.NDArray[np.int64] = NO_DIFFERENCES.cell,
    before_pattern: Callable[[], None] = lambda: None,
) -> Release:
    """The same of what was contributed, for callers that go on with it; ``pairs`` int64[pairs] are their cells."""
    safe = await _safe(evaluator, cells, rules, pairs)
    before_pattern()
    pattern = (await evaluator.reveal("pattern", {"safe": safe}))["safe"]
    primary: Pattern = pattern == 1
    if not np.all(primary | (pattern == 0)):
        raise RemoteProtocolError(Fault.CONTRIBUTION, "a decision is neither yes nor no: a count is out of range")
    shown = also_hide(primary)
    if shown.shape != primary.shape or np.any(shown & ~primary):
        raise LocalProtocolError("secondary suppression may only take cells away")
    released = np.zeros(primary.size, dtype=np.int64)
    if shown.any():
        exact = total(cells.values)[np.flatnonzero(shown)]
        opened = await evaluator.reveal("cells", {"cells": await rounded(evaluator, exact, rules.rounding)})
        released[shown] = field.signed(opened["cells"])
    return Release(shown, released)


async def contribute(
    evaluator: Evaluator, values: Elements, children: Elements, rules: Rules, differing: Elements
) -> Cells:
    """Every centre's own, capped where only the threshold matters (steps 11.1 to 11.3)."""
    parties, count, cap = evaluator.party.parties, values.size, np.uint64(rules.threshold)
    if count and values.max() > value_max(parties):
        raise LocalProtocolError(f"a value above {value_max(parties)}, the most that is computed with")
    present = (children > 0).astype(np.uint64)
    own = np.concatenate([values, np.minimum(children, cap), present, np.minimum(differing, cap)])
    vectors = await evaluator.inputs(own, [own.size] * parties)
    parts = [split(vector, [count, count, count, differing.size]) for vector in vectors]
    cells = Cells(*([part[k] for part in parts] for k in range(4)))
    await _check_bits(evaluator, cells.present)
    return cells


async def _check_bits(evaluator: Evaluator, bits: list[Shared]) -> None:
    """Open b² − b for each, which is 0 for an honest centre's, and name a centre that has others (step 11.3)."""
    together = concatenate(bits)
    opened = await evaluator.reveal("bits", {"zeros": await evaluator.multiply(together, together) - together})
    for k, zeros in enumerate(np.split(opened["zeros"], len(bits))):
        if zeros.any():
            raise RemoteProtocolError(Fault.CONTRIBUTION, "an answer that is neither yes nor no", party=k)


async def _safe(evaluator: Evaluator, cells: Cells, rules: Rules, pairs: npt.NDArray[np.int64]) -> Shared:
    """⟨1⟩ for each safe cell, else ⟨0⟩."""
    count = len(cells.children[0])
    flags = await _counted(evaluator, cells, rules)
    empty_cells = flags.pop() if rules.show_zeros else None
    if rules.dominance:
        flags += await _not_dominated(evaluator, cells.values, rules.dominance)
    about = [np.arange(count)] * len(flags)
    if pairs.size:
        flags.append(await far_or_equal(evaluator, cells.differences, rules))
        about += [pairs] * tests_per_pair(rules, len(cells.children))
    safe = await conjunction(evaluator, concatenate(flags), np.concatenate(about), count)
    return safe if empty_cells is None else safe + empty_cells  # no cell is both


async def _counted(evaluator: Evaluator, cells: Cells, rules: Rules) -> list[Shared]:
    """Flags of enough children, of enough centres, and, last, of none (steps 11.2 to 11.4)."""
    everybody, present = total(cells.children), total(cells.present)
    asked = [(group, rules.threshold) for group in (everybody - own for own in cells.children)]
    if not rules.insider:
        asked = [(everybody, rules.threshold)]
    if rules.centres > 1:
        asked.append((present, rules.centres))
    if rules.show_zeros:
        asked.append((present, 1))
    key = evaluator.key
    margins = [group.plus(np.full(len(group), field.P - least, dtype=np.uint64), key) for group, least in asked]
    below = await is_negative(evaluator, concatenate(margins), comparison_width(rules, len(cells.children)))
    flags = split(_not(evaluator, below), [len(everybody)] * len(asked))
    if rules.show_zeros:
        flags[-1] = _not(evaluator, flags[-1])
    return flags


async def _not_dominated(evaluator: Evaluator, values: list[Shared], dominance: Dominance) -> list[Shared]:
    """Flags of tests of dominance (step 11.5)."""
    tests = dominance.tests(len(values))
    if not tests:
        return []
    everybody = total(values)
    sums = []
    for whole, minus in tests:
        parts = [values[i].scale(factor) for i, factor in minus.items()]
        sums.append(total([everybody.scale(whole), *parts]))
    below = await is_negative(evaluator, concatenate(sums), dominance_width(dominance, len(values)))
    return split(_not(evaluator, below), [len(everybody)] * len(tests))


def _not(evaluator: Evaluator, flags: Shared) -> Shared:
    return constant(np.ones(len(flags), dtype=np.uint64), evaluator.key) - flags
