"""The disclosure rules on plain numbers: what the joint part decides on shares, for who has made all the data up.

Each rule as its definition has it (``docs/protocol.md``, section 11), not as it is computed on shares: no capping, no
integer tests that follow from each other.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

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


def _dominated(values: Counts, dominance: Dominance) -> dict[str, Mask]:
    everything = values.sum(axis=0)
    first, second = -np.sort(-values, axis=0)[:2]
    return {
        "dominance": PER_CENT * first > dominance.share * everything,
        "nk": PER_CENT * (first + second) > dominance.pair * everything,
        # Of any two centres, beside whom the others have too little of what the larger has.
        "p_percent": PER_CENT * (everything - first - second) < dominance.rest * first,
    }
