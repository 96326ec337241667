"""The follow-up cascade: how many of those at one step reach the next, and how many of those at the start.

Steps are an ordered chain: whoever is at a step was at all before.  Step-wise proportions are of the step before,
cumulative ones of the first; both with exact intervals (:mod:`~nskd.statistics.binomial`), for rounded counts
covering every compatible pair.

A suppressed step has no proportions; the next has no step-wise one, but a cumulative one as long as the first is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from nskd.statistics.binomial import Proportion, proportion
from nskd.statistics.figure import Count, StatisticsError, check_count
from nskd.statistics.rounding import EXACT, Rounding


@attrs.frozen
class Step:
    """A condition and how many meet it and all before."""

    name: str
    count: Count


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
        before = None
        if index:
            before = proportion(step.count, steps[index - 1].count, level=level, rounding=rounding)
        stages.append(Stage(step, before, proportion(step.count, steps[0].count, level=level, rounding=rounding)))
    return tuple(stages)
