"""The life of a triple (and of a bit, and of a mask): one table for batches, one for sessions.

A triple hides one product, once.  Used for two products it hides neither, so everything here serves one
sentence: *no item is ever handed out twice*, through crashes, restarts, full disks, concurrent sessions, and
a peer that proposes what it likes.

**Batches.**  A batch comes into being ``LOCKED``: this centre has its share durably, some other may not.  It
becomes ``UNLOCKED`` when all parties have said that they stored the same digest.  ``GONE`` means used up,
dropped or found damaged: its file is removed, and so is the salt its key was derived with; its id stays, so
that it can never come again.

**Items.**  Each batch has a cursor.  Items before it are no longer free, items at and after it are.  It only
ever moves forward, so "is this item still free?" needs no list of what was used, and forgetting cannot make
an item free again.  A coordinator that leaves a gap burns the gap.

**Sessions.**  A session holds segments of batches as ``RESERVED`` from the moment that the cursors have
passed them, in the same transaction.  ``SPENT`` is committed *before* the material is read, let alone before a
byte that depends on it is sent.  Nothing leads back: an aborted session is spent, and so is every session that a
crash found reserved – whether its first message had left cannot be known any more.

The ledger enforces both tables and the forward cursor by triggers (see :mod:`.schema`), so that a mistake in
this package becomes an error instead of a second use.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class State(enum.StrEnum):
    """Of a batch."""

    LOCKED = "locked"
    UNLOCKED = "unlocked"
    GONE = "gone"


class Holding(enum.StrEnum):
    """Of a session, and of all segments it holds."""

    RESERVED = "reserved"
    SPENT = "spent"


BATCH_MOVES: Final[Mapping[State, frozenset[State]]] = {
    State.LOCKED: frozenset({State.UNLOCKED, State.GONE}),
    State.UNLOCKED: frozenset({State.GONE}),
    State.GONE: frozenset(),
}

SESSION_MOVES: Final[Mapping[Holding, frozenset[Holding]]] = {
    Holding.RESERVED: frozenset({Holding.SPENT}),
    Holding.SPENT: frozenset(),
}
