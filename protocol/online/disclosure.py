"""Which cells may be opened, decided before anything is (``docs/protocol.md``, section 11).

Every centre contributes, per cell, its value and its number of distinct children.  A cell is safe when the
children of all centres reach the threshold and, with the insider rule, still do after any one centre's own are
taken away.  Only the yes-or-no pattern is opened; then the values of safe cells are.
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
from protocol.shares import Shared, concatenate, constant, split

Pattern = npt.NDArray[np.bool_]


@attrs.frozen
class Rules:
    """Disclosure rules agreed in the charter."""

    threshold: int
    insider: bool

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.threshold <= 1000:
            raise LocalProtocolError(f"a threshold of {self.threshold} children is not between 1 and 1000")


@attrs.frozen(eq=False)
class Release:
    """What may be shown: ``values`` int64[cells], meaningful where ``shown`` bool[cells] holds, 0 elsewhere."""

    shown: Pattern
    values: npt.NDArray[np.int64]


def _tests_per_cell(rules: Rules, parties: int) -> int:
    return parties if rules.insider else 1


def comparison_width(rules: Rules, parties: int) -> int:
    """Bits that hold every difference between a capped sum and the threshold (step 11.2)."""
    largest = max(rules.threshold, (parties - 1) * rules.threshold)
    return largest.bit_length() + 1


def disclosure_cost(rules: Rules, parties: int, cells: int) -> Cost:
    """What :func:`release` consumes."""
    tests = _tests_per_cell(rules, parties)
    comparisons = comparison_cost(comparison_width(rules, parties), cells * tests)
    return comparisons + MULTIPLICATION.times(cells * (tests - 1)) + Cost(masks=2 * cells)


async def release(
    evaluator: Evaluator,
    values: Elements,
    children: Elements,
    rules: Rules,
    also_hide: Callable[[Pattern], Pattern],
    *,
    before_pattern: Callable[[], None] = lambda: None,
) -> Release:
    """Add up all centres' ``values`` uint64[cells] and open the safe ones to everybody (steps 11.1–11.5).

    ``also_hide`` gets the pattern of safe cells, which is public by then, and returns the cells to be shown: a
    subset, the same at every centre (secondary suppression).  ``before_pattern`` is called before that pattern can be
    seen by anybody.
    """
    cells = values.size
    capped = np.minimum(children, np.uint64(rules.threshold))
    vectors = await evaluator.inputs(np.concatenate([values, capped]), [2 * cells] * evaluator.party.parties)
    halves = [split(vector, [cells, cells]) for vector in vectors]
    total = _sum([half[0] for half in halves])
    safe = await _safe(evaluator, [half[1] for half in halves], rules)
    before_pattern()
    pattern = (await evaluator.reveal("pattern", {"safe": safe}))["safe"]
    primary: Pattern = pattern == 1
    if not np.all(primary | (pattern == 0)):
        raise RemoteProtocolError(Fault.CONTRIBUTION, "a decision is neither yes nor no: a count is out of range")
    shown = also_hide(primary)
    if shown.shape != primary.shape or np.any(shown & ~primary):
        raise LocalProtocolError("secondary suppression may only take cells away")
    released = np.zeros(cells, dtype=np.int64)
    if shown.any():
        opened = await evaluator.reveal("cells", {"cells": total[np.flatnonzero(shown)]})
        released[shown] = field.signed(opened["cells"])
    return Release(shown, released)


async def _safe(evaluator: Evaluator, capped: list[Shared], rules: Rules) -> Shared:
    """⟨1⟩ for each safe cell, else ⟨0⟩.

    Centres cap their counts at T beforehand: Σ min(k_i, T) ≥ T exactly when Σ k_i ≥ T, so that comparisons are
    over a few bits whatever the size of the workshop (step 11.2).
    """
    cells = len(capped[0])
    everybody = _sum(capped)
    groups = [everybody - own for own in capped] if rules.insider else [everybody]
    threshold = np.full(cells * len(groups), field.P - rules.threshold, dtype=np.uint64)
    margins = concatenate(groups).plus(threshold, evaluator.key)
    width = comparison_width(rules, len(capped))
    below = await is_negative(evaluator, margins, width)
    one = constant(np.ones(len(below), dtype=np.uint64), evaluator.key)
    flags = split(one - below, [cells] * len(groups))
    while len(flags) > 1:
        odd = len(flags) % 2
        pairs = list(zip(flags[odd::2], flags[odd + 1 :: 2], strict=True))
        flags = flags[:odd] + await evaluator.multiply_many(pairs)
    return flags[0]


def _sum(vectors: list[Shared]) -> Shared:
    total = vectors[0]
    for vector in vectors[1:]:
        total = total + vector
    return total
