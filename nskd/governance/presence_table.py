"""The ledger's table of words of presence: of each centre the latest ``leave``, and the latest of its other words.

A row is what was verified when it came.  It goes on counting when the charter gives its centre another key: what fails
to verify later must not bring back a centre that has paused.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from nskd.governance.presence import Move, Word, read_word

SCHEMA: Final = """
CREATE TABLE presence (
    workshop TEXT NOT NULL, centre TEXT NOT NULL, leaves INTEGER NOT NULL,
    body BLOB NOT NULL, signature BLOB NOT NULL, received_at INTEGER NOT NULL,
    PRIMARY KEY (workshop, centre, leaves)
) STRICT
"""
_KEEP: Final = (
    "INSERT INTO presence VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET body = excluded.body,"
    " signature = excluded.signature, received_at = excluded.received_at"
)


def keep(db: sqlite3.Connection, word: Word, *, now: int) -> bool:
    """Record it, unless one that counts for more is here; whether it was."""
    leaves = int(word.move is Move.LEAVE)
    row = db.execute(
        "SELECT body, centre, signature FROM presence WHERE workshop = ? AND centre = ? AND leaves = ?",
        (word.workshop, word.centre, leaves),
    ).fetchone()
    if row is not None and read_word(*row).rank >= word.rank:
        return False
    db.execute(_KEEP, (word.workshop, word.centre, leaves, word.body, word.signature, now))
    return True


def kept(db: sqlite3.Connection, workshop: str) -> list[Word]:
    """All words in one workshop, by centre; ``PresenceError`` for a row that cannot be read."""
    rows = db.execute(
        "SELECT body, centre, signature FROM presence WHERE workshop = ? ORDER BY centre, leaves", (workshop,)
    ).fetchall()
    return [read_word(*row) for row in rows]
