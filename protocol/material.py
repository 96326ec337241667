"""What a session consumes: reserved beforehand, used once, in the same order at every party."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
import numpy.typing as npt

from protocol.errors import LocalProtocolError
from protocol.field import Elements
from protocol.secret import Secret
from protocol.shares import Shared

TRIPLE = "triple"
SQUARE = "square"
BIT = "bit"


def mask_kind(owner: int) -> str:
    """The kind of input masks that ``owner`` knows in the clear."""
    return f"mask/{owner}"


@attrs.frozen
class Cost:
    """How much material a computation consumes, known before it starts from public sizes alone."""

    triples: int = 0
    bits: int = 0
    masks: int = 0  # per owner
    squares: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.triples + other.triples,
            self.bits + other.bits,
            self.masks + other.masks,
            self.squares + other.squares,
        )

    def times(self, count: int) -> Cost:
        """The cost of ``count`` such computations."""
        return Cost(self.triples * count, self.bits * count, self.masks * count, self.squares * count)

    def by_kind(self, parties: int) -> dict[str, int]:
        """The same as numbers per kind of stock; kinds that are not needed are absent."""
        kinds = {TRIPLE: self.triples, SQUARE: self.squares, BIT: self.bits}
        kinds |= {mask_kind(k): self.masks for k in range(parties)}
        return {kind: count for kind, count in kinds.items() if count}


@attrs.frozen(eq=False, repr=False)
class Triples(Secret):
    """⟨a⟩, ⟨b⟩, ⟨c⟩ with c = a·b, a and b uniform and known to nobody."""

    a: Shared
    b: Shared
    c: Shared


@attrs.frozen(eq=False, repr=False)
class Masks(Secret):
    """⟨r⟩ for uniform r; ``plain`` is r itself at its owner and None elsewhere."""

    shared: Shared
    plain: Elements | None


@attrs.frozen(eq=False, repr=False)
class Squares(Secret):
    """⟨a⟩ and ⟨a²⟩, a uniform and known to nobody."""

    root: Shared
    square: Shared


OWN_MASK_ROWS = 3  # value, MAC, and at the owner the mask itself


class Material(Secret):
    """Reserved columns per kind, handed out from the front and never twice.

    ``columns`` are uint64[rows, count]: a, b, c and their MACs for triples; a, a² and their MACs for squares; value and
    MAC for bits and masks, with the mask itself as a third row at its owner.
    """

    def __init__(self, columns: Mapping[str, npt.NDArray[np.uint64]]) -> None:
        self._columns = dict(columns)
        self._used = dict.fromkeys(columns, 0)

    def triples(self, count: int) -> Triples:
        """The next ``count`` triples."""
        rows = self._next(TRIPLE, count)
        return Triples(*(Shared(rows[k], rows[k + 3]) for k in range(3)))

    def squares(self, count: int) -> Squares:
        """The next ``count`` squares."""
        rows = self._next(SQUARE, count)
        return Squares(Shared(rows[0], rows[2]), Shared(rows[1], rows[3]))

    def bits(self, count: int) -> Shared:
        """The next ``count`` random bits."""
        rows = self._next(BIT, count)
        return Shared(rows[0], rows[1])

    def masks(self, owner: int, count: int) -> Masks:
        """The next ``count`` input masks of ``owner``."""
        rows = self._next(mask_kind(owner), count)
        return Masks(Shared(rows[0], rows[1]), rows[2] if len(rows) == OWN_MASK_ROWS else None)

    def left(self) -> dict[str, int]:
        """What has not been handed out, per kind."""
        return {kind: columns.shape[1] - self._used[kind] for kind, columns in self._columns.items()}

    def _next(self, kind: str, count: int) -> npt.NDArray[np.uint64]:
        columns = self._columns.get(kind)
        start = self._used.get(kind, 0)
        if columns is None or columns.shape[1] - start < count:
            raise LocalProtocolError(f"the session asked for more {kind} material than it had reserved")
        self._used[kind] = start + count
        return columns[:, start : start + count]  # each row in one piece; nothing is copied
