"""What to make next: for requests that wait, then to keep a stock, whose size follows what runs have used.  Pure.

Per kind a *target* says between which levels the stock is kept: the configured marks, raised to what history foresees.
*History* is the last finished runs, each with the time it finished and the items it used.  A run counts half as much
for every ``HALF_LIFE_S`` that have passed since; what is foreseen is what ``RUNS_AHEAD`` more runs would use, or as
many as still count if these are fewer, so that the stock shrinks back to the configured marks where nobody asks any
more.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import attrs

from protocol.material import BIT, SQUARE, TRIPLE, mask_kind

RUNS_REMEMBERED: Final = 50
RUNS_AHEAD: Final = 10
HALF_LIFE_S: Final = 30 * 86_400
AMPLE_TIMES: Final = 4
"""So many times what this centre could ever want of a kind is more than another may have made here."""
AMPLE_LEAST: Final = 10_000_000
"""What any centre could want, as far as others are concerned: some set their marks lower than the first centre does."""


@attrs.frozen
class Watermarks:
    """Make more when the level falls below ``low``, until ``high`` is reached."""

    low: int
    high: int


@attrs.frozen
class Use:
    """One finished run: when (seconds since 1970), and how many items of each kind it used."""

    at: int
    items: Mapping[str, int]


@attrs.frozen
class Target:
    """Between which levels a kind is kept, and whether history has raised the configured ones."""

    low: int
    high: int
    raised: bool = False


@attrs.frozen
class Policy:
    """What this centre keeps in stock: marks by kind, and how far history may raise them (0: not at all)."""

    marks: Mapping[str, Watermarks]
    history_max: int = 0

    def targets(self, history: Sequence[Use], now: int) -> dict[str, Target]:
        """The target of each kind; a kind whose marks are both 0 is made on request only, whatever history says."""
        ahead = foreseen(history, now)
        return {kind: self._target(mark, ahead.get(kind, 0)) for kind, mark in self.marks.items()}

    def is_ample(self, items: int, requested: int) -> bool:
        """Whether so many of a kind are more than a first centre in good order would have had made.

        ``requested`` are those that open requests will use.  The first centre goes by its own marks, and may know of
        requests that have not come here yet: so this is far above what it would be for this centre alone.
        """
        most = max(AMPLE_LEAST, self.history_max, *(mark.high for mark in self.marks.values()))
        return items >= AMPLE_TIMES * (most + requested)

    def _target(self, mark: Watermarks, ahead: int) -> Target:
        if mark.high == 0:
            return Target(0, 0)
        high = max(mark.high, min(ahead, self.history_max))
        low = max(mark.low, min(ahead, self.history_max) // 2)
        return Target(low, high, raised=(low, high) != (mark.low, mark.high))


@attrs.frozen
class Shortage:
    """One kind that is short, and how many items are to be made."""

    kind: str
    items: int


def marks_by_kind(
    triples: Watermarks, squares: Watermarks, bits: Watermarks, masks: Watermarks, parties: int
) -> dict[str, Watermarks]:
    """The configured marks, with one kind of mask per owner."""
    return {TRIPLE: triples, SQUARE: squares, BIT: bits, **{mask_kind(owner): masks for owner in range(parties)}}


def foreseen(history: Sequence[Use], now: int) -> dict[str, int]:
    """Items by kind that the next runs will use, if they are like those of late."""
    weights = [2.0 ** (-max(0, now - use.at) / HALF_LIFE_S) for use in history]
    scale = min(1.0, RUNS_AHEAD / max(sum(weights), 1.0))
    sums: dict[str, float] = {}
    for weight, use in zip(weights, history, strict=True):
        for kind, items in use.items.items():
            sums[kind] = sums.get(kind, 0.0) + weight * items
    return {kind: math.ceil(scale * items) for kind, items in sums.items()}


def total_demand(needs: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of what several requests will consume, per kind."""
    demand: dict[str, int] = {}
    for need in needs:
        for kind, items in need.items():
            demand[kind] = demand.get(kind, 0) + items
    return demand


def being_filled(
    levels: Mapping[str, int], targets: Mapping[str, Target], before: Collection[str] = ()
) -> frozenset[str]:
    """The kinds to fill: below low, or being filled ``before`` and not up to high yet."""
    return frozenset(
        kind
        for kind, target in targets.items()
        if levels.get(kind, 0) < (target.high if kind in before else target.low)
    )


def worst_shortage(
    levels: Mapping[str, int],
    needs: Sequence[Mapping[str, int]],
    targets: Mapping[str, Target],
    filling: Collection[str],
) -> Shortage | None:
    """What to make next; None when nothing is short.

    ``needs`` are what requests wait for, in the order in which they are to be served: the first that lacks anything
    decides, and as much is made as all of them lack.  When none does, the kinds in ``filling`` are filled.  In both
    cases the kind furthest below what is wanted, relative to it, goes first, so that none starves beside a larger one.
    """
    total = total_demand(needs)
    upto: dict[str, int] = {}
    for need in needs:
        upto = total_demand((upto, need))
        kind = _furthest_below(levels, upto)
        if kind is not None:
            return Shortage(kind, total[kind] - levels.get(kind, 0))
    kind = _furthest_below(levels, {kind: targets[kind].high for kind in filling})
    return None if kind is None else Shortage(kind, targets[kind].high - levels.get(kind, 0))


def _furthest_below(levels: Mapping[str, int], wanted: Mapping[str, int]) -> str | None:
    """The kind whose level is the smallest part of what is wanted; of equals the first by name."""
    below = [(levels.get(kind, 0) / items, kind) for kind, items in wanted.items() if levels.get(kind, 0) < items]
    return min(below)[1] if below else None
