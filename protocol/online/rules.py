"""The disclosure rules that centres have agreed, and what each asks of a cell (``docs/protocol.md``, section 11)."""

from __future__ import annotations

from itertools import combinations
from math import gcd
from typing import Final

import attrs

from protocol import limits
from protocol.errors import LocalProtocolError
from protocol.online.rounding import ROUNDINGS, UNROUNDED

THRESHOLD_MAX: Final = 1000
PER_CENT: Final = 100


@attrs.frozen
class Dominance:
    """When one centre, or two, make up too much of a magnitude; each in per cent.

    ``share``: no centre has more than that of the cell (100: any may).  ``pair``: no two centres have, NK(2, ·).
    ``rest``: for any two centres, what the others have is at least that of what either has, p % (0: need not be).
    """

    share: int = PER_CENT
    pair: int = PER_CENT
    rest: int = 0

    def __attrs_post_init__(self) -> None:
        if not all(0 <= each <= PER_CENT for each in (self.share, self.pair, self.rest)) or not self.share:
            raise LocalProtocolError("a rule of dominance is not a percentage")

    def tests(self, parties: int) -> list[tuple[int, dict[int, int]]]:
        """What must not be negative: Σ_i (whole + minus_i)·v_i as (whole, {i: minus_i}), one a test (step 11.5).

        Leaves out what follows: with a pair rule of k % the rest is at least (100 − k) % of the whole, so of anybody's.
        """
        centres, pairs = range(parties), list(combinations(range(parties), 2))
        found: list[tuple[int, dict[int, int]]] = []
        if self.share < PER_CENT:
            found += [_reduced(self.share, {i: PER_CENT}) for i in centres]
        if self.pair < PER_CENT:
            found += [_reduced(self.pair, {i: PER_CENT, j: PER_CENT}) for i, j in pairs]
        if self.rest > PER_CENT - self.pair:
            ordered = [(i, j) for i in centres for j in centres if i != j]
            found += [_reduced(PER_CENT, {i: PER_CENT + self.rest, j: PER_CENT}) for i, j in ordered]
        return found


def _reduced(whole: int, parts: dict[int, int]) -> tuple[int, dict[int, int]]:
    common = gcd(whole, *parts.values())
    return whole // common, {i: -part // common for i, part in parts.items()}


@attrs.frozen
class Rules:
    """Disclosure rules agreed in the charter; what is left out is not asked for.

    ``threshold``: distinct children a cell must count, also without any one centre's own if ``insider``.  ``centres``:
    centres with a child in it.  ``show_zeros``: a cell in which no centre has any may be shown.  ``rounding``: what
    values are shown as multiples of.  ``dominance``: of one or two centres, for magnitudes.
    """

    threshold: int
    insider: bool
    centres: int = 1
    show_zeros: bool = False
    rounding: int = UNROUNDED
    dominance: Dominance | None = None

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.threshold <= THRESHOLD_MAX:
            raise LocalProtocolError(f"a threshold of {self.threshold} children is not between 1 and {THRESHOLD_MAX}")
        if not 1 <= self.centres <= limits.PARTIES_MAX:
            raise LocalProtocolError(f"{self.centres} centres with children in a cell cannot be asked for")
        if self.rounding not in ROUNDINGS:
            raise LocalProtocolError(f"values can be rounded to multiples of {ROUNDINGS}, not of {self.rounding}")
