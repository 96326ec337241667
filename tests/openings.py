"""What one party opens in a test, watched or falsified: values that a mask hides, and those that nothing does."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from protocol import field
from protocol.checking import Unchecked
from protocol.online.arithmetic import Evaluator
from protocol.shares import Shared

Change = Callable[[str, Shared], Shared]  # the label of an opening, and what is opened in place of what should be


def falsify(evaluator: Evaluator, change: Change) -> None:
    """Open what ``change`` makes of it, and compute on with that: the liar covers its tracks."""
    checker = evaluator.checker
    plainly, masked = checker.open, checker.open_masked

    async def lying(label: str, shared: Shared) -> Unchecked:
        return await plainly(label, change(label, shared))

    async def lying_masked(label: str, shared: Shared) -> np.ndarray:
        return await masked(label, change(label, shared))

    checker.open = lying  # type: ignore[method-assign]
    checker.open_masked = lying_masked  # type: ignore[method-assign]


def watch(evaluator: Evaluator, seen: list[tuple[str, np.ndarray]]) -> None:
    """Note every opened vector with its label."""
    checker = evaluator.checker
    plainly, masked = checker.open, checker.open_masked

    async def noting(label: str, shared: Shared) -> Unchecked:
        opening = await plainly(label, shared)
        seen.append((label, opening._values))
        return opening

    async def noting_masked(label: str, shared: Shared) -> np.ndarray:
        values = await masked(label, shared)
        seen.append((label, values))
        return values

    checker.open = noting  # type: ignore[method-assign]
    checker.open_masked = noting_masked  # type: ignore[method-assign]


def one_more(array: np.ndarray) -> np.ndarray:
    """The vector with its last element one larger."""
    changed = array.copy()
    changed[-1] = (int(changed[-1]) + 1) % field.P
    return changed


def false_share(label: str, row: str) -> Change:
    """One more in the ``row`` (value or mac) of every opening with this label."""

    def change(step: str, shared: Shared) -> Shared:
        return attrs.evolve(shared, **{row: one_more(getattr(shared, row))}) if step == label else shared

    return change
