"""The ledger's table of requests under a permit: which, until when their results may be kept, when they were erased.

The last day is noted with each result, so that it is kept to even when the permit's file has gone; while the file is
there, its own word counts, as a permit may be extended.
"""

from __future__ import annotations

import sqlite3
from typing import Final

import attrs

from nskd.governance.lifecycle import State

SCHEMA: Final = """
CREATE TABLE under_permit (
    request BLOB PRIMARY KEY REFERENCES request, permit TEXT NOT NULL, erase_at INTEGER, erased_at INTEGER
) STRICT
"""


@attrs.frozen
class UnderPermit:
    """A request that names a permit; ``erase_at`` as noted, ``erased_at`` once its results are gone."""

    request: bytes
    permit: str
    state: State
    erase_at: int | None
    erased_at: int | None


def note(db: sqlite3.Connection, request: bytes, permit: str) -> None:
    """A request under a permit has come."""
    db.execute("INSERT INTO under_permit (request, permit) VALUES (?, ?)", (request, permit))


def note_end(db: sqlite3.Connection, request: bytes, erase_at: int) -> None:
    """Until when what there is of it may be kept."""
    db.execute("UPDATE under_permit SET erase_at = ? WHERE request = ?", (erase_at, request))


def kept(db: sqlite3.Connection) -> list[UnderPermit]:
    """All of which something may still be here."""
    rows = db.execute(
        "SELECT request, permit, state, erase_at, erased_at FROM under_permit JOIN request ON digest = request"
        " WHERE erased_at IS NULL"
    ).fetchall()
    return [UnderPermit(bytes(digest), permit, State(state), *ends) for digest, permit, state, *ends in rows]


def erased_at(db: sqlite3.Connection, request: bytes) -> int | None:
    """When its results were erased, if they were."""
    row = db.execute("SELECT erased_at FROM under_permit WHERE request = ?", (request,)).fetchone()
    return None if row is None else row[0]


def erase(db: sqlite3.Connection, request: bytes, *, now: int) -> None:
    """Overwrite what was released; its digest stays."""
    db.execute("UPDATE result SET release = x'' WHERE request = ?", (request,))
    db.execute("UPDATE under_permit SET erased_at = ? WHERE request = ?", (now, request))
