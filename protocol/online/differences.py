"""Whether a cell differs from an earlier one by a few children only (``docs/protocol.md``, section 11, differencing).

A *pair* is a cell of this table and a cell of an earlier one.  Each centre counts, on its own rows, the children who
make the two differ; the joint number must be none, or reach the threshold, also without any one centre's own.
"""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from protocol import field
from protocol.errors import LocalProtocolError
from protocol.field import Elements
from protocol.material import Cost
from protocol.online.arithmetic import MULTIPLICATION, Evaluator
from protocol.online.comparison import comparison_cost, is_negative
from protocol.online.rules import Rules
from protocol.shares import Shared, concatenate, constant, total


@attrs.frozen(eq=False, repr=False)
class Differences:
    """This centre's side of all pairs: ``cell`` int64[pairs], public; ``children`` uint64[pairs], its own."""

    cell: npt.NDArray[np.int64]
    children: Elements

    def __attrs_post_init__(self) -> None:
        if self.cell.shape != self.children.shape or self.cell.ndim != 1:
            raise LocalProtocolError("a number of children for each pair")


NO_DIFFERENCES = Differences(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.uint64))


def tests_per_pair(rules: Rules, parties: int) -> int:
    """One without each centre in turn, or one."""
    return parties if rules.insider else 1


def differences_cost(rules: Rules, parties: int, pairs: int) -> Cost:
    """What :func:`far_or_equal` consumes, the inputs included."""
    tests = pairs * tests_per_pair(rules, parties)
    return none_or_enough_cost(tests, rules.threshold, _largest(rules, parties)) + Cost(masks=pairs)


async def far_or_equal(evaluator: Evaluator, capped: list[Shared], rules: Rules) -> Shared:
    """⟨1⟩ where a joint number is 0 or reaches the threshold T, else ⟨0⟩; one test after another for all pairs."""
    everybody = total(capped)
    sums = concatenate([everybody - own for own in capped] if rules.insider else [everybody])
    return await none_or_enough(evaluator, sums, rules.threshold, _largest(rules, len(capped)))


def none_or_enough_cost(tests: int, threshold: int, largest: int) -> Cost:
    """What :func:`none_or_enough` consumes."""
    return comparison_cost(_width(threshold, largest), tests) + MULTIPLICATION.times(tests)


async def none_or_enough(evaluator: Evaluator, numbers: Shared, threshold: int, largest: int) -> Shared:
    """⟨1⟩ where a number, from 0 to ``largest``, is 0 or reaches the threshold T, else ⟨0⟩.

    S lies strictly between ½ and T − ½ exactly if (2S − 1)(2S − 2T + 1) < 0.
    """
    doubled, key = numbers.scale(2), evaluator.key
    low = np.full(len(numbers), field.P - 1, dtype=np.uint64)
    high = np.full(len(numbers), (1 - 2 * threshold) % field.P, dtype=np.uint64)
    product = await evaluator.multiply(doubled.plus(low, key), doubled.plus(high, key))
    few = await is_negative(evaluator, product, _width(threshold, largest))
    return constant(np.ones(len(few), dtype=np.uint64), key) - few


def _largest(rules: Rules, parties: int) -> int:
    """The most that a sum of capped numbers comes to."""
    return max(1, parties - 1 if rules.insider else parties) * rules.threshold


def _width(threshold: int, largest: int) -> int:
    """Bits that hold (2S − 1)(2S − 2T + 1) for every S."""
    return max((2 * largest - 1) * (2 * largest - 2 * threshold + 1), threshold**2).bit_length() + 1
