"""What goes in and out of the stock."""

from __future__ import annotations

import attrs

from nskd.stockpile.states import State
from protocol.secret import Secret


def _short(value: bytes) -> str:
    return value.hex()[:12]


@attrs.frozen
class Segment:
    """Items ``start`` to ``stop`` (half-open) of a batch."""

    batch: bytes = attrs.field(repr=_short)
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@attrs.frozen
class BatchInfo:
    """One batch in stock; items from ``cursor`` on are free once it is unlocked."""

    batch: bytes = attrs.field(repr=_short)
    kind: str
    count: int
    cursor: int
    state: State
    digest: bytes = attrs.field(repr=_short)

    @property
    def left(self) -> int:
        """Items nobody has reserved."""
        return self.count - self.cursor


@attrs.frozen
class Level:
    """Of one kind: items ``ready``, and items ``locked`` until all parties have confirmed their batch."""

    ready: int = 0
    locked: int = 0


class StoredEpoch(Secret):
    """The epoch the stock belongs to: its 32-byte id, and its keys as :mod:`protocol.offline` wrote them."""

    __slots__ = ("epoch_id", "state")

    def __init__(self, epoch_id: bytes, state: bytes) -> None:
        self.epoch_id = epoch_id
        self.state = state


@attrs.frozen
class Reconciled:
    """What a comparison with the other parties changed."""

    unlocked: tuple[bytes, ...] = ()
    dropped: tuple[bytes, ...] = ()
    advanced: tuple[bytes, ...] = ()  # other parties had used more of these


@attrs.frozen
class Recovery:
    """What opening the stock found and put right; empty after an orderly stop."""

    restored: bool = False
    epoch_damaged: bool = False
    sessions_burnt: int = 0
    batches_damaged: tuple[bytes, ...] = ()
    files_removed: int = 0

    def notes(self) -> list[str]:
        """Sentences for the log."""
        notes = []
        if self.restored:
            notes.append(
                "this directory is a copy, perhaps a restored backup: its epoch and stock were destroyed,"
                " because what it holds may have been used since the copy was made"
            )
        if self.epoch_damaged:
            notes.append("the sealed keys of the epoch were missing or cut short: epoch and stock were destroyed")
        if self.sessions_burnt:
            notes.append(f"{self.sessions_burnt} unfinished sessions were found; what they had reserved is burnt")
        if self.batches_damaged:
            notes.append(
                f"{len(self.batches_damaged)} batches were missing or cut short and dropped: "
                + ", ".join(_short(batch) for batch in self.batches_damaged[:8])
            )
        if self.files_removed:
            notes.append(f"{self.files_removed} files that belong to no batch were removed")
        return notes
