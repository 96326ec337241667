"""The ledger's tables, and triggers that make SQLite refuse what must never happen."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from nskd.stockpile.states import BATCH_MOVES, SESSION_MOVES, Holding, State

VERSION: Final = 2

IN_STOCK: Final = f"batch.state <> '{State.GONE.value}'"
"""The condition of the index on what is in stock.  Batches used up stay in the table; a query in these very words does
not go through them."""


def _words(states: type[enum.StrEnum]) -> str:
    return ", ".join(f"'{state.value}'" for state in states)


def _moves(table: str, moves: Mapping[State, frozenset[State]] | Mapping[Holding, frozenset[Holding]]) -> str:
    """Write a transition table as the condition of a trigger: any other move aborts the transaction."""
    pairs = [f"('{a.value}', '{b.value}')" for a, targets in moves.items() for b in sorted({a, *targets})]
    return (
        f"CREATE TRIGGER {table}_moves BEFORE UPDATE OF state ON {table}\n"
        f"WHEN (OLD.state, NEW.state) NOT IN (VALUES {', '.join(pairs)})\n"
        f"BEGIN SELECT RAISE(ABORT, 'forbidden move of a {table}'); END"
    )


STATEMENTS: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT",
    """
    CREATE TABLE epoch (
        only INTEGER PRIMARY KEY CHECK (only = 1),
        epoch BLOB NOT NULL CHECK (length(epoch) = 32),
        salt BLOB NOT NULL CHECK (length(salt) = 32),
        state_bytes INTEGER NOT NULL CHECK (state_bytes >= 0)
    ) STRICT
    """,
    "CREATE TABLE past_epoch (epoch BLOB PRIMARY KEY, reason TEXT NOT NULL) STRICT",
    f"""
    CREATE TABLE batch (
        number INTEGER PRIMARY KEY,
        batch BLOB NOT NULL UNIQUE CHECK (length(batch) = 16),
        kind TEXT NOT NULL,
        digest BLOB NOT NULL CHECK (length(digest) = 32),
        rows INTEGER NOT NULL CHECK (rows > 0),
        count INTEGER NOT NULL CHECK (count > 0),
        cursor INTEGER NOT NULL CHECK (cursor BETWEEN 0 AND count),
        state TEXT NOT NULL CHECK (state IN ({_words(State)})),
        salt BLOB CHECK (length(salt) = 32),
        CHECK ((salt IS NULL) = (state = '{State.GONE.value}'))
    ) STRICT
    """,
    f"CREATE INDEX batch_in_stock ON batch (number) WHERE {IN_STOCK.removeprefix('batch.')}",
    f"""
    CREATE TABLE session (
        session BLOB PRIMARY KEY CHECK (length(session) = 16),
        state TEXT NOT NULL CHECK (state IN ({_words(Holding)}))
    ) STRICT
    """,
    """
    CREATE TABLE segment (
        batch INTEGER NOT NULL REFERENCES batch (number),
        start INTEGER NOT NULL CHECK (start >= 0),
        stop INTEGER NOT NULL CHECK (stop > start),
        session BLOB NOT NULL REFERENCES session (session),
        place INTEGER NOT NULL,
        PRIMARY KEY (batch, start)
    ) STRICT
    """,
    "CREATE UNIQUE INDEX segment_of_session ON segment (session, place)",
    _moves("batch", BATCH_MOVES),
    _moves("session", SESSION_MOVES),
    """
    CREATE TRIGGER cursor_forward BEFORE UPDATE OF cursor ON batch WHEN NEW.cursor < OLD.cursor
    BEGIN SELECT RAISE(ABORT, 'a cursor may only move forward'); END
    """,
    # Inserted after the cursor has passed it, and no two overlap: an item belongs to one session for ever.
    """
    CREATE TRIGGER segment_once BEFORE INSERT ON segment
    WHEN NEW.stop > (SELECT cursor FROM batch WHERE number = NEW.batch)
        OR EXISTS (SELECT 1 FROM segment WHERE batch = NEW.batch AND start < NEW.stop AND stop > NEW.start)
    BEGIN SELECT RAISE(ABORT, 'an item may be handed out once only'); END
    """,
    """
    CREATE TRIGGER segment_fixed BEFORE UPDATE ON segment
    BEGIN SELECT RAISE(ABORT, 'segments do not change'); END
    """,
)
