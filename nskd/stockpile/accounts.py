"""The ledger's statements on batches, sessions and the epoch, each inside a transaction of its caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import attrs

from nskd.stockpile import schema
from nskd.stockpile.records import BatchInfo
from nskd.stockpile.sealing import EPOCH_STATE, Label
from nskd.stockpile.states import Holding, State

_WORD = 8


@attrs.frozen
class EpochRow:
    """The current epoch."""

    epoch: bytes
    salt: bytes = attrs.field(repr=False)
    state_bytes: int

    @property
    def label(self) -> Label:
        """What its sealed file is bound to: bytes, padded to whole words, at least one."""
        return Label(self.epoch, bytes(16), EPOCH_STATE, 1, max(1, -(-self.state_bytes // _WORD)))


@attrs.frozen
class BatchRow:
    """One batch, as the ledger has it."""

    number: int
    batch: bytes
    kind: str
    digest: bytes
    rows: int
    count: int
    cursor: int
    state: State = attrs.field(converter=State)
    salt: bytes | None = attrs.field(repr=False)

    def label(self, epoch: bytes) -> Label:
        """Tell what its sealed file is bound to."""
        return Label(epoch, self.batch, self.kind, self.rows, self.count)

    @property
    def info(self) -> BatchInfo:
        """The same for the outside."""
        return BatchInfo(self.batch, self.kind, self.count, self.cursor, self.state, self.digest)


_BATCH = "batch.number, batch.batch, kind, digest, rows, count, cursor, batch.state, salt"


def epoch(connection: sqlite3.Connection) -> EpochRow | None:
    """Return the current epoch."""
    row = connection.execute("SELECT epoch, salt, state_bytes FROM epoch").fetchone()
    return None if row is None else EpochRow(*row)


def is_past_epoch(connection: sqlite3.Connection, epoch_id: bytes) -> bool:
    """Whether that epoch was here and ended."""
    return connection.execute("SELECT 1 FROM past_epoch WHERE epoch = ?", (epoch_id,)).fetchone() is not None


def end_epoch(connection: sqlite3.Connection, reason: str) -> bool:
    """Forget the current epoch, its batches and its sessions; False if there is none."""
    current = epoch(connection)
    if current is None:
        return False
    connection.execute("INSERT INTO past_epoch VALUES (?, ?)", (current.epoch, reason))
    for table in ("segment", "session", "batch", "epoch"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608 - four literals
    return True


def batch(connection: sqlite3.Connection, batch_id: bytes) -> BatchRow | None:
    """Find a batch, ``GONE`` ones included."""
    row = connection.execute(f"SELECT {_BATCH} FROM batch WHERE batch = ?", (batch_id,)).fetchone()  # noqa: S608
    return None if row is None else BatchRow(*row)


def batches(connection: sqlite3.Connection) -> list[BatchRow]:
    """All batches in stock, in order of arrival."""
    query = f"SELECT {_BATCH} FROM batch WHERE {schema.IN_STOCK} ORDER BY number"  # noqa: S608
    return [BatchRow(*row) for row in connection.execute(query)]


def batches_ever(connection: sqlite3.Connection) -> int:
    """How many batches this epoch has had: they are numbered from one, and none is forgotten before its epoch."""
    count: int = connection.execute("SELECT coalesce(max(number), 0) FROM batch").fetchone()[0]
    return count


def set_gone(connection: sqlite3.Connection, number: int) -> None:
    """Give up a batch: the salt goes, and with it the key; segments nobody waits for go too."""
    connection.execute(
        "UPDATE batch SET state = ?, salt = NULL WHERE number = ? AND state <> ?",
        (State.GONE, number, State.GONE),
    )
    connection.execute(
        "DELETE FROM segment WHERE batch = ?"
        " AND (SELECT state FROM session WHERE session.session = segment.session) = ?",
        (number, Holding.SPENT),
    )


def used_up(connection: sqlite3.Connection) -> list[BatchRow]:
    """Batches whose last item is spent."""
    query = f"""
        SELECT {_BATCH} FROM batch WHERE {schema.IN_STOCK} AND state = ? AND cursor = count AND NOT EXISTS (
            SELECT 1 FROM segment JOIN session USING (session)
            WHERE segment.batch = batch.number AND session.state = ?)
        """  # noqa: S608
    return [BatchRow(*row) for row in connection.execute(query, (State.UNLOCKED, Holding.RESERVED))]


def holding(connection: sqlite3.Connection, session: bytes) -> Holding | None:
    """Return the state of a session, None for one that never reserved."""
    row = connection.execute("SELECT state FROM session WHERE session = ?", (session,)).fetchone()
    return None if row is None else Holding(row[0])


def spend(connection: sqlite3.Connection, session: bytes | None = None) -> int:
    """Set one session, or all, from reserved to spent; returns how many that changed."""
    query = "UPDATE session SET state = ?1 WHERE state = ?2 AND (?3 IS NULL OR session = ?3)"
    return connection.execute(query, (Holding.SPENT, Holding.RESERVED, session)).rowcount


def segments(connection: sqlite3.Connection, session: bytes) -> list[tuple[BatchRow, int, int]]:
    """List what a session holds: (batch, start, stop) in the order it was reserved."""
    query = f"""
        SELECT segment.start, segment.stop, {_BATCH} FROM segment JOIN batch ON batch.number = segment.batch
        WHERE session = ? ORDER BY place
        """  # noqa: S608
    return [(BatchRow(*row), start, stop) for start, stop, *row in connection.execute(query, (session,))]


def add_segments(connection: sqlite3.Connection, session: bytes, rows: Iterable[tuple[BatchRow, int, int]]) -> None:
    """Move the cursors past what a new session holds, and write down that it holds it."""
    connection.execute("INSERT INTO session VALUES (?, ?)", (session, Holding.RESERVED))
    for place, (row, start, stop) in enumerate(rows):
        connection.execute("UPDATE batch SET cursor = ? WHERE number = ?", (stop, row.number))
        connection.execute("INSERT INTO segment VALUES (?, ?, ?, ?, ?)", (row.number, start, stop, session, place))
