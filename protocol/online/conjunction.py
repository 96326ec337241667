"""Of many decisions about each cell: whether all of them are yes (``docs/protocol.md``, step 11.7)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from protocol.errors import LocalProtocolError
from protocol.material import Cost
from protocol.online.arithmetic import MULTIPLICATION, Evaluator
from protocol.shares import Shared, concatenate

Places = npt.NDArray[np.int64]


def conjunction_cost(flags: int, cells: int) -> Cost:
    """What :func:`conjunction` consumes."""
    return MULTIPLICATION.times(flags - cells)


async def conjunction(evaluator: Evaluator, flags: Shared, cell: Places, cells: int) -> Shared:
    """⟨the product of the flags of each cell⟩; flag k is about cell ``cell[k]``, and each cell has one at least.

    A product and not a count of yes or no: whatever one flag is made to be, a no among the others stays a no.
    """
    if len(flags) != cell.size or not np.array_equal(np.unique(cell), np.arange(cells)):
        raise LocalProtocolError("some cell has no decision, or some decision no cell")
    order = np.argsort(cell, kind="stable")
    flags, cell = flags[order], cell[order]
    while cell.size > cells:
        place = np.arange(cell.size) - np.searchsorted(cell, cell)  # within its cell
        first = np.flatnonzero((place[:-1] % 2 == 0) & (cell[1:] == cell[:-1]))
        alone = np.setdiff1d(np.arange(cell.size), np.concatenate([first, first + 1]))
        products = await evaluator.multiply(flags[first], flags[first + 1])
        flags, cell = concatenate([products, flags[alone]]), np.concatenate([cell[first], cell[alone]])
        order = np.argsort(cell, kind="stable")
        flags, cell = flags[order], cell[order]
    return flags
