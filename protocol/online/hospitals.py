"""Hospitals told apart, where a charter has it so: overdispersion and points of a funnel (section 17).

A funnel's table has three cells; each hospital's part of them is what it contributed to the table, the same shares.
What is opened of it depends on what its own counts pass, and on whether all hospitals pass.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np
import numpy.typing as npt

from protocol import field
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.material import Cost
from protocol.online.arithmetic import MULTIPLICATION, Evaluator
from protocol.online.comparison import comparison_cost, is_negative
from protocol.online.conjunction import conjunction, conjunction_cost
from protocol.online.differences import none_or_enough, none_or_enough_cost
from protocol.online.disclosure import Cells, Release
from protocol.online.overdispersion import overdispersion, overdispersion_cost
from protocol.online.rounding import VALUE_BITS, rounded, rounding_cost
from protocol.online.rules import Rules
from protocol.online.shuffle import shuffle_cost, shuffled
from protocol.shares import Shared, concatenate, constant, empty

_COUNTED_TESTS = 2  # of children with the event, and of children among the others
_GAP_WIDTH = VALUE_BITS + 2  # holds v(all) − v(events) − T for all counts and thresholds

Score = Callable[[int, int], int]


@attrs.frozen
class Hospitals:
    """Who is told apart, and what of them.

    ``parties`` contribute, in party order.  ``events``, ``others`` and ``size`` are cells of the table.  ``near``
    int64[k] are the pairs with cells of earlier funnels, among all pairs of the table.
    """

    parties: tuple[int, ...]
    events: int
    others: int
    size: int
    points: bool
    overdispersion: bool
    near: npt.NDArray[np.int64] = attrs.field(factory=lambda: np.zeros(0, dtype=np.int64), eq=False)

    def __attrs_post_init__(self) -> None:
        if not self.parties or not (self.points or self.overdispersion):
            raise LocalProtocolError("nobody, or nothing of them, is to be told apart")


@attrs.frozen
class Compared:
    """What was opened.  ``scores``: Σz² in tenths, a multiple of a half; ``points``: (events, size), in order.

    Each is None where it was not asked for, or may not be told.
    """

    scores: int | None = None
    points: tuple[tuple[int, int], ...] | None = None


def hospitals_cost(hospitals: Hospitals, rules: Rules, parties: int) -> Cost:
    """What :func:`compare` consumes at most."""
    count = len(hospitals.parties)
    flags = count * (_COUNTED_TESTS + 1 + hospitals.near.size)
    cost = comparison_cost(_narrow(rules.threshold), count * _COUNTED_TESTS) + comparison_cost(_GAP_WIDTH, count)
    cost += none_or_enough_cost(count * hospitals.near.size, rules.threshold, rules.threshold)
    cost += conjunction_cost(flags, count) + MULTIPLICATION.times(count) + conjunction_cost(count, 1)
    if hospitals.overdispersion:
        cost += overdispersion_cost(count)
    if hospitals.points:
        cost += comparison_cost(_narrow(max(count, companions(rules))), count) + MULTIPLICATION.times(4 * count)
        cost += rounding_cost(rules.rounding, 2 * count) + shuffle_cost(parties, count, columns=2)
    return cost


async def compare(
    evaluator: Evaluator, cells: Cells, released: Release, hospitals: Hospitals, rules: Rules, score: Score
) -> Compared:
    """Open what may be told of the hospitals, after their table was released (steps 17.1 to 17.9).

    ``score`` makes this party's own s from the released numbers of events and of all; see
    :func:`~protocol.online.overdispersion.overdispersion`.
    """
    places = [hospitals.events, hospitals.others, hospitals.size]
    if not released.shown[places].all():
        return Compared()
    passed = await _passed(evaluator, cells, hospitals, rules)
    everybody = await conjunction(evaluator, passed, np.zeros(len(passed), dtype=np.int64), 1)
    scores = None
    events, size = int(released.values[hospitals.events]), int(released.values[hospitals.size])
    if hospitals.overdispersion and await _opened(evaluator, everybody) and 0 < events < size:
        own = score(events, size) if evaluator.party.index in hospitals.parties else 0
        scores = await overdispersion(evaluator, own, hospitals.parties)
    if not hospitals.points:
        return Compared(scores)
    shown = await _shown(evaluator, passed, everybody, rules)
    return Compared(scores, await _points(evaluator, cells, hospitals, shown, rules))


async def _passed(evaluator: Evaluator, cells: Cells, hospitals: Hospitals, rules: Rules) -> Shared:
    """⟨1⟩ for each hospital whose own counts may be told, else ⟨0⟩ (step 17.2)."""
    count, key, threshold = len(hospitals.parties), evaluator.key, rules.threshold
    children = [_of_each(cells.children, hospitals, place) for place in (hospitals.events, hospitals.others)]
    gap = _of_each(cells.values, hospitals, hospitals.size) - _of_each(cells.values, hospitals, hospitals.events)
    few = await is_negative(evaluator, _less(concatenate(children), threshold, evaluator), _narrow(threshold))
    close = await is_negative(evaluator, _less(gap, threshold, evaluator), _GAP_WIDTH)
    below = concatenate([few, close])
    flags = [constant(np.ones(len(below), dtype=np.uint64), key) - below]
    about = [np.tile(np.arange(count), _COUNTED_TESTS + 1)]
    if hospitals.near.size:
        differing = concatenate([cells.differences[party][hospitals.near] for party in hospitals.parties])
        flags.append(await none_or_enough(evaluator, differing, threshold, threshold))
        about.append(np.repeat(np.arange(count), hospitals.near.size))
    passed = await conjunction(evaluator, concatenate(flags), np.concatenate(about), count)
    await _check_flags(evaluator, passed, hospitals)
    return passed


async def _check_flags(evaluator: Evaluator, passed: Shared, hospitals: Hospitals) -> None:
    """Before anything is made of them: of a count out of range a flag could be 2, and count for two (step 17.3)."""
    opened = await evaluator.reveal("flags", {"zeros": await evaluator.multiply(passed, passed) - passed})
    for party, zero in zip(hospitals.parties, opened["zeros"], strict=True):
        if zero:
            raise RemoteProtocolError(Fault.CONTRIBUTION, "a count out of range", party=party)


async def _opened(evaluator: Evaluator, flag: Shared) -> bool:
    """Open whether all pass (step 17.4)."""
    return bool((await evaluator.reveal("hospitals", {"all": flag}))["all"][0])


def companions(rules: Rules) -> int:
    """How many that pass are withheld beside one that does not (step 17.7)."""
    return max(rules.centres, 2 if rules.insider else 1)


async def _shown(evaluator: Evaluator, passed: Shared, everybody: Shared, rules: Rules) -> Shared:
    """⟨1⟩ for each hospital whose point is opened (step 17.7)."""
    count, beside = len(passed), companions(rules)
    before = empty(count)
    for shares, sums in ((passed.value, before.value), (passed.mac, before.mac)):
        sums[0] = 0
        for k in range(1, count):
            sums[k] = (int(sums[k - 1]) + int(shares[k - 1])) % field.P
    first = await is_negative(evaluator, _less(before, beside, evaluator), _narrow(max(count, beside)))
    withheld = await evaluator.multiply(passed, first)
    unless = constant(np.ones(count, dtype=np.uint64), evaluator.key) - everybody[np.zeros(count, dtype=np.int64)]
    return passed - await evaluator.multiply(withheld, unless)


async def _points(
    evaluator: Evaluator, cells: Cells, hospitals: Hospitals, shown: Shared, rules: Rules
) -> tuple[tuple[int, int], ...]:
    """The points that are shown, in an order that says nothing (steps 17.7 to 17.9)."""
    count, base = len(shown), rules.rounding
    columns = [_of_each(cells.values, hospitals, place) for place in (hospitals.events, hospitals.size)]
    kept = await evaluator.multiply(concatenate(columns), concatenate([shown, shown]))
    exact = await rounded(evaluator, kept, base)
    mixed = await shuffled(evaluator, [exact[:count], exact[count:]])
    opened = await evaluator.reveal("points", {"points": concatenate(mixed)})
    events, size = (each.tolist() for each in np.split(field.signed(opened["points"]), 2))
    told = sorted(pair for pair in zip(events, size, strict=True) if pair != (0, 0))
    for e, n in told:
        if not (0 < e <= n < 2 << VALUE_BITS and e % base == n % base == 0):
            raise RemoteProtocolError(Fault.CONTRIBUTION, "a point that no counts make: some centre's are out of range")
    return tuple(told)


def _of_each(vectors: list[Shared], hospitals: Hospitals, place: int) -> Shared:
    """What each hospital contributed to a cell."""
    return concatenate([vectors[party][place : place + 1] for party in hospitals.parties])


def _less(values: Shared, least: int, evaluator: Evaluator) -> Shared:
    return values.plus(np.full(len(values), field.P - least, dtype=np.uint64), evaluator.key)


def _narrow(largest: int) -> int:
    """Bits that hold every difference of two numbers from 0 to ``largest``."""
    return largest.bit_length() + 1
