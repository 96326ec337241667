"""The follow-up cascade: how many of those at one step reach the next, and how many of those at the start.

Steps are an ordered chain: whoever is at a step was at all before.  Step-wise proportions are of the step before,
cumulative ones of the first; both with exact intervals (:mod:`~nskd.statistics.binomial`), for counts known to a range
covering every compatible pair.

A suppressed step has no proportions; the next has no step-wise one, but a cumulative one as long as the first is known.

*From a partition* (:func:`reached`).  Let n₀ count those who reach no step, nₖ those who reach step k and none further,
and U all.  Each is rounded by itself, so each is known to a range.  Of *visits* Rₖ = nₖ + … + n_K = U − (n₀ + … + nₖ₋₁)
reach step k: both sums are known to a range, and Rₖ lies in both.  *Distinct children* are another matter: one who
came twice can count under two steps, once in U.  Each who reaches step k on some visit counts in nₖ + … + n_K, some
more than once, and in the largest of these at least; each who does not counts in n₀ + … + nₖ₋₁.  So

    max(nₖ, …, n_K, U − (n₀ + … + nₖ₋₁)) ≤ Rₖ ≤ min(nₖ + … + n_K, U),

and the number given, nₖ + … + n_K, is too high by the children that it counts twice.  Since R₁ ≥ R₂ ≥ …, no range need
begin below the next one's beginning, nor end above the end of the one before.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from nskd.statistics.binomial import Proportion, proportion, proportion_within
from nskd.statistics.figure import Count, StatisticsError, check_count
from nskd.statistics.rounding import EXACT, Rounding

Range = tuple[int, int]


@attrs.frozen
class Step:
    """A condition and how many meet it and all before; ``within`` the true number lies, where that is known apart."""

    name: str
    count: Count
    within: Range | None = None


@attrs.frozen
class Stage:
    """A step with its proportions: ``of_before`` is None for the first."""

    step: Step
    of_before: Proportion | None
    of_first: Proportion


def cascade(steps: Sequence[Step], *, level: float = 0.95, rounding: Rounding = EXACT) -> tuple[Stage, ...]:
    """The stages in order; raises :class:`StatisticsError` for a step larger than any before it."""
    lowest: Count = None
    for step in steps:
        check_count(step.count, step.name)
        if step.count is not None:
            if lowest is not None and step.count > lowest:
                raise StatisticsError(
                    f"{step.count} reach this step, of {lowest} at one before",
                    where=step.name,
                    remedy="Give steps each of which is a part of the one before.",
                )
            lowest = step.count
    stages = []
    for index, step in enumerate(steps):
        before = _share(step, steps[index - 1], level, rounding) if index else None
        stages.append(Stage(step, before, _share(step, steps[0], level, rounding)))
    return tuple(stages)


def reached(
    names: Sequence[str],
    none: Count,
    furthest: Sequence[Count],
    everybody: Count,
    *,
    distinct: bool,
    rounding: Rounding = EXACT,
) -> tuple[Step, ...]:
    """The steps of a partition: ``furthest`` reach a step and none further, ``none`` reach no step.

    ``distinct`` says that people are counted rather than events.  A step has no count where the cells that it takes
    are suppressed.
    """
    before: list[Count] = [none]
    found: list[tuple[int, Range] | None] = []
    for index in range(len(names)):
        found.append(_reach(before, furthest[index:], everybody, distinct, rounding))
        before.append(furthest[index])
    _narrow(found)
    steps = []
    most: int | None = None
    for name, each in zip(names, found, strict=True):
        if each is None:
            steps.append(Step(name, None))
            continue
        # Numbers rounded apart can contradict each other by a little: what is given can be true, and no step is larger
        # than any before it.
        value = min(max(each[0], each[1][0]), each[1][1])
        most = value if most is None else min(value, most)
        steps.append(Step(name, most, each[1]))
    return tuple(steps)


def _reach(
    before: Sequence[Count], after: Sequence[Count], everybody: Count, distinct: bool, rounding: Rounding
) -> tuple[int, Range] | None:
    """The number given and the range of the true one."""
    below, above = _sum(before, rounding), _sum(after, rounding)
    whole = None if everybody is None else (everybody, rounding.counts(everybody))
    rest = None
    if below is not None and whole is not None:
        (less, (low, high)), (all_, (fewest, greatest)) = below, whole
        rest = max(all_ - less, 0), (max(fewest - high, 0), max(greatest - low, 0))
    if above is None:
        return None if distinct else rest
    value, (low, high) = above
    if distinct:
        low = max(rounding.counts(each)[0] for each in after if each is not None)
        low = max(low, rest[1][0] if rest is not None else 0)
        high = min(high, whole[1][1] if whole is not None else high)
    elif rest is not None:
        low, high = max(low, rest[1][0]), min(high, rest[1][1])
    return value, _ordered(low, high)


def _narrow(found: list[tuple[int, Range] | None]) -> None:
    """Let no range begin below the next one's beginning, nor end above the end of the one before."""
    least = 0
    for index in range(len(found) - 1, -1, -1):
        each = found[index]
        if each is not None:
            least = max(least, each[1][0])
            found[index] = each[0], _ordered(least, each[1][1])
    most: int | None = None
    for index, each in enumerate(found):
        if each is not None:
            most = each[1][1] if most is None else min(most, each[1][1])
            found[index] = each[0], _ordered(each[1][0], most)


def _ordered(low: int, high: int) -> Range:
    """A range; ends that contradict each other come from counts that no true ones round to."""
    if low > high:
        raise StatisticsError(
            f"no true number can lie from {low} to {high}",
            where="cascade",
            remedy="Give counts of one partition and their own total.",
        )
    return low, high


def _sum(counts: Sequence[Count], rounding: Rounding) -> tuple[int, Range] | None:
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return None
    ranges = [rounding.counts(count) for count in known]
    return sum(known), (sum(low for low, _ in ranges), sum(high for _, high in ranges))


def _share(step: Step, of: Step, level: float, rounding: Rounding) -> Proportion:
    if step.count is None or of.count is None:
        return proportion(step.count, of.count, level=level)
    some = step.within or rounding.counts(step.count)
    return proportion_within(step.count, of.count, some, of.within or rounding.counts(of.count), level=level)
