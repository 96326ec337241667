"""Which cells of a new table are compared with which of an earlier one: a matter of the two requests alone.

Two cells *correspond* unless they require different levels of a variable that both tables have (of an axis that the
requests define, if both define it alike).  Totals require none,
so a cell is compared with its own totals in the earlier table as well, and a table over other variables is compared
cell by cell: what matters is who is in a cell, not what it is called.  Cells that require different levels share no
visit, and nothing follows from subtracting one of them from the other.
"""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from nskd.analysis.table import TablePlan
from nskd.errors import OperatorError
from nskd.packs.codebook import TOTAL

# Joint tests of one table, over all earlier ones: 4 million triples and 18 million random bits, some minutes' work.
TESTS_MAX: Final = 300_000

Pairs = NDArray[np.int64]  # [2, pairs]: cells of the new table, in order, and of the earlier one


@attrs.frozen(eq=False)
class Pairing:
    """All pairs of a table: how many, and which of them, int64[k], are with cells of an earlier *funnel*."""

    count: int
    funnels: NDArray[np.int64]


NO_PAIRS: Final = Pairing(0, np.zeros(0, dtype=np.int64))


class TooManyPairsError(OperatorError):
    """A table has more to be compared than can be."""


def corresponding(new: TablePlan, earlier: TablePlan) -> Pairs:
    """The pairs of cells that correspond."""
    meant = {earlier.meaning(name) for name in earlier.names}
    common = [name for name in new.names if new.meaning(name) in meant]
    by_key: dict[tuple[str, ...], list[int]] = {}
    for index, cell in enumerate(earlier.cells):
        by_key.setdefault(tuple(cell[name] for name in common), []).append(index)
    fitting: dict[tuple[str, ...], list[int]] = {}
    pairs: list[tuple[int, int]] = []
    for index, cell in enumerate(new.cells):
        key = tuple(cell[name] for name in common)
        if key not in fitting:
            fitting[key] = sorted(k for other, found in by_key.items() if _agree(key, other) for k in found)
        pairs += [(index, k) for k in fitting[key]]
        if len(pairs) > TESTS_MAX:
            raise too_many(len(pairs))
    return np.array(pairs, dtype=np.int64).reshape(-1, 2).T


def _agree(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return all(a == b or TOTAL in (a, b) for a, b in zip(one, other, strict=True))


def too_many(pairs: int) -> TooManyPairsError:
    """Make the error for a table with so many pairs, or more."""
    return TooManyPairsError(
        f"comparing the table with earlier ones takes {pairs:,} comparisons or more, {TESTS_MAX:,} can be made",
        where="rows and columns",
        remedy="Ask for fewer or coarser groups, or for no totals.",
    )
