"""How much stock is wanted: what open requests will need, and the watermarks of the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from protocol.material import BIT, TRIPLE, mask_kind


@attrs.frozen
class Watermarks:
    """Make more when the level falls below ``low``, until ``high`` is reached."""

    low: int
    high: int


@attrs.frozen
class Shortage:
    """One kind that is short, and how many items are to be made."""

    kind: str
    items: int


def watermarks_by_kind(triples: Watermarks, bits: Watermarks, masks: Watermarks, parties: int) -> dict[str, Watermarks]:
    """The configured marks, with one kind of mask per owner."""
    return {TRIPLE: triples, BIT: bits, **{mask_kind(owner): masks for owner in range(parties)}}


def total_demand(needs: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of what several requests will consume, per kind."""
    demand: dict[str, int] = {}
    for need in needs:
        for kind, items in need.items():
            demand[kind] = demand.get(kind, 0) + items
    return demand


def worst_shortage(
    levels: Mapping[str, int], marks: Mapping[str, Watermarks], demand: Mapping[str, int]
) -> Shortage | None:
    """The kind furthest below what is wanted, relative to it; None when nothing is short.

    Demand goes first: what a request waits for is made before the watermarks are filled.
    """
    waiting = [
        (levels.get(kind, 0) / items, kind, items - levels.get(kind, 0))
        for kind, items in demand.items()
        if levels.get(kind, 0) < items
    ]
    low = [
        (levels.get(kind, 0) / mark.low, kind, mark.high - levels.get(kind, 0))
        for kind, mark in marks.items()
        if levels.get(kind, 0) < mark.low
    ]
    for short in (waiting, low):
        if short:
            _, kind, items = min(short)
            return Shortage(kind, items)
    return None
