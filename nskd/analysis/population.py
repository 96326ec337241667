"""Who is in each cell of a table, at one centre: what a later table is compared with.

A child is in a cell with its number of visits there.  Two cells differ by the children whose numbers differ: the ones
who are in one of them only, and the ones who came once more.  Children are known by a keyed digest of their pseudonym,
so a population says nothing to anybody without the centre's key, and compares across extracts, however often one is
replaced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from nskd.analysis.pairs import Pairs
from nskd.analysis.shape import TableShape

_PERSON_BYTES: Final = 8  # two of a million children are taken for one with probability 2^−25


@attrs.frozen(eq=False, repr=False)
class Population:
    """One entry per child and interior cell: ``cell`` uint32, ``person`` uint64, ``visits`` uint32, all [entries]."""

    cell: NDArray[np.uint32]
    person: NDArray[np.uint64]
    visits: NDArray[np.uint32]


def population(rows: Iterable[tuple[int, str, int]], key: bytes) -> Population:
    """From (interior cell, pseudonym, visits); ``key`` is 32 bytes."""
    entries = list(rows)
    known: dict[str, int] = {}
    for _, link, _ in entries:
        if link not in known:
            digest = hashlib.blake2b(link.encode(), key=key, digest_size=_PERSON_BYTES).digest()
            known[link] = int.from_bytes(digest, "little")
    return Population(
        np.array([cell for cell, _, _ in entries], dtype=np.uint32),
        np.array([known[link] for _, link, _ in entries], dtype=np.uint64),
        np.array([visits for _, _, visits in entries], dtype=np.uint32),
    )


NOBODY: Final = population((), bytes(32))


def differences(new: Population, shape: TableShape, old: Population, old_shape: TableShape, pairs: Pairs) -> list[int]:
    """The children by which the two cells of each pair differ."""
    mine, theirs = _by_cell(new, shape), _by_cell(old, old_shape)
    return [_differing(mine[a], theirs[b]) for a, b in pairs.T.tolist()]


_Members = tuple[NDArray[np.uint64], NDArray[np.uint32]]  # persons in order, and their visits


def _by_cell(people: Population, shape: TableShape) -> list[_Members]:
    """The members of every cell, totals included."""
    row, column = np.divmod(people.cell.astype(np.int64), shape.width)
    everybody = np.zeros(len(row), dtype=np.int64)
    places = [people.cell.astype(np.int64)]
    if shape.margins:
        if shape.columns is not None:
            places += [shape.interior + row, shape.interior + shape.rows + column]
        places.append(everybody + shape.size - 1)
    cell = np.concatenate(places)
    person, visits = np.tile(people.person, len(places)), np.tile(people.visits, len(places))
    order = np.lexsort((person, cell))
    cell, person, visits = cell[order], person[order], visits[order]
    if cell.size:
        first = np.flatnonzero(np.concatenate([[True], (cell[1:] != cell[:-1]) | (person[1:] != person[:-1])]))
        cell, person, visits = cell[first], person[first], np.add.reduceat(visits, first).astype(np.uint32)
    bounds = np.searchsorted(cell, np.arange(shape.size + 1))
    return [(person[a:b], visits[a:b]) for a, b in pairwise(bounds.tolist())]


def _differing(one: _Members, other: _Members) -> int:
    both, mine, theirs = np.intersect1d(one[0], other[0], assume_unique=True, return_indices=True)
    alike = int((one[1][mine] == other[1][theirs]).sum())
    return int(one[0].size + other[0].size - both.size - alike)
