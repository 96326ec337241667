"""The disclosure rules on plain numbers: what the joint part decides on shares, for who has made all the data up.

Each rule as its definition has it (``docs/protocol.md``, section 11), not as it is computed on shares: no capping, no
integer tests that follow from each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.online.disclosure import Release
from protocol.online.hospitals import Compared, Hospitals, companions
from protocol.online.overdispersion import SCORE_ROUNDING
from protocol.online.rules import PER_CENT, Dominance, Rules

Counts = NDArray[np.int64]  # [centres, cells]
Mask = NDArray[np.bool_]  # [cells]


def broken(values: Counts, children: Counts, rules: Rules) -> dict[str, Mask]:
    """Which cells break which rule, by its key in the charter's ``[disclosure]``; a cell that breaks none is safe."""
    everybody = children.sum(axis=0)
    found = {"threshold": everybody < rules.threshold}
    if rules.insider:
        found["insider"] = (everybody - children).min(axis=0) < rules.threshold
    found["centres_min"] = (children > 0).sum(axis=0) < rules.centres
    if rules.dominance is not None:
        found |= _dominated(values, rules.dominance)
    if rules.show_zeros:
        found = {rule: cells & (everybody > 0) for rule, cells in found.items()}
    return found


def safe_of(found: Mapping[str, Mask]) -> Mask:
    """The cells that break no rule."""
    unsafe: Mask = np.logical_or.reduce(list(found.values()))
    return ~unsafe


def rounded(values: NDArray[np.int64], base: int) -> NDArray[np.int64]:
    """The nearest multiples of ``base``, which is odd."""
    return (values + base // 2) // base * base


def compared(
    values: Counts,
    children: Counts,
    released: Release,
    asked: Hospitals,
    rules: Rules,
    scores: Callable[[int, int], Sequence[int]],
) -> Compared:
    """What of the hospitals may be told (section 17); there are no earlier funnels.

    ``scores`` gives everybody's z² in tenths, from the released numbers of events and of all.
    """
    if not released.shown[[asked.events, asked.others, asked.size]].all():
        return Compared()
    gap = values[:, asked.size] - values[:, asked.events]
    enough = np.minimum(children[:, [asked.events, asked.others]].min(axis=1), gap) >= rules.threshold
    passing = [party for party in asked.parties if enough[party]]
    everybody = len(passing) == len(asked.parties)
    events, size = int(released.values[asked.events]), int(released.values[asked.size])
    total = None
    if asked.overdispersion and everybody and 0 < events < size:
        total = int(rounded(np.array(sum(scores(events, size)[party] for party in asked.parties)), SCORE_ROUNDING))
    if not asked.points:
        return Compared(total)
    shown = passing if everybody else passing[companions(rules) :]
    points = rounded(values[np.ix_(shown, [asked.events, asked.size])], rules.rounding).tolist()
    return Compared(total, tuple(sorted((e, n) for e, n in points)))


def _dominated(values: Counts, dominance: Dominance) -> dict[str, Mask]:
    everything = values.sum(axis=0)
    first, second = -np.sort(-values, axis=0)[:2]
    return {
        "dominance": PER_CENT * first > dominance.share * everything,
        "nk": PER_CENT * (first + second) > dominance.pair * everything,
        # Of any two centres, beside whom the others have too little of what the larger has.
        "p_percent": PER_CENT * (everything - first - second) < dominance.rest * first,
    }
