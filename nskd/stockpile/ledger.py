"""The ledger: one SQLite file that says what is in stock and whose it is.

WAL with ``synchronous = FULL``: a transaction that has returned survives a power cut.  One thread at a time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from nskd.stockpile import limits, schema
from nskd.stockpile.durability import Durability
from nskd.stockpile.errors import StockDamagedError, StockError

_FULL: Final = sqlite3.SQLITE_FULL
_STATE_UNKNOWN: Final = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY: Final = 0xFF  # the low byte of an extended result code


class Ledger:
    """The connection, its transactions, and what its errors mean."""

    def __init__(self, connection: sqlite3.Connection, path: Path, disk: Durability) -> None:
        self._connection = connection
        self.path = path
        self._disk = disk
        self.in_doubt = False  # after an I/O error: whether the last transaction is on the medium is unknown

    @classmethod
    def open(cls, path: Path, disk: Durability) -> Ledger:
        """Open or create the file; the caller holds the lock on its directory."""
        with contextlib.ExitStack() as undo:
            try:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
                connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.0)
            except OSError as exc:
                raise StockError(
                    f"it cannot be opened: {exc.strerror}",
                    where=str(path),
                    remedy="Check the directory and the disk.",
                ) from None
            undo.callback(connection.close)
            ledger = cls(connection, path, disk)
            ledger._prepare()
            undo.pop_all()
            return ledger

    def close(self) -> None:
        """Let go of the file; everything is on disk already."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; SQLite's errors come out as :class:`StockError`."""
        if self.in_doubt:
            raise self._unknown("an earlier error")
        try:
            yield self._connection
        except sqlite3.Error as exc:
            raise self._explained(exc) from None

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection inside a transaction: durable when the block ends, undone when it raises."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                self._disk.commit(connection)
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                raise

    def truncate_log(self) -> None:
        """Move everything into the main file, where freed pages are zeroed; a full disk may put that off."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def meta(self, key: str, make: Callable[[], bytes]) -> bytes:
        """Return a value that is written once, on the first call."""
        with self.reading() as connection:
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        if row is not None:
            return bytes(row[0])
        value = make()
        self.set_meta(key, value)
        return value

    def set_meta(self, key: str, value: bytes) -> None:
        """Write a value."""
        with self.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # --- errors ---------------------------------------------------------------------------------------------

    def _explained(self, error: sqlite3.Error) -> StockError:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
        where = str(self.path)
        if code == _FULL:
            return StockError(
                "the disk is full; nothing changed",
                where=where,
                remedy="Free some space there; no restart is needed.",
            )
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StockError(
                "another program has it open",
                where=where,
                remedy="Close that program; this file is the daemon's own.",
            )
        if code in _STATE_UNKNOWN:
            # Whether the transaction is on the medium cannot be known before the file is read anew.
            self.in_doubt = True
            if code != sqlite3.SQLITE_IOERR:
                return self.damaged(str(error))
            return self._unknown(str(error))
        return StockError(f"it refused: {error}", where=where, remedy="This is a fault in nskd; please report it.")

    def _unknown(self, reason: str) -> StockError:
        return StockError(
            f"what is on disk is in doubt after {reason}",
            where=str(self.path),
            remedy="Check the disk, then restart the daemon; nothing will be used twice.",
        )

    def damaged(self, what: str) -> StockDamagedError:
        """Make the error for a ledger that cannot be right."""
        return StockDamagedError(
            f"the ledger is damaged ({what})",
            where=str(self.path),
            remedy="Restore no backup: remove its directory. New stock is made, only time is lost.",
        )

    def _prepare(self) -> None:
        try:
            self._take()
        except UnicodeDecodeError as exc:  # SQLite quotes a damaged schema as it stands
            raise self.damaged(str(exc)) from None

    def _take(self) -> None:
        with self.reading() as connection:
            # Exclusive: a second process fails here whatever happened to the lock file, and no shared memory
            # is needed.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # a salt that is removed is overwritten
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute(f"PRAGMA cache_size = {-limits.LEDGER_CACHE_KIB:d}")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise self.damaged(verdict)
        if found == schema.VERSION:
            return
        if found != 0:
            which = "a later" if found > schema.VERSION else "an earlier"
            raise StockError(
                f"it was written by {which} version (format {found}, this one reads {schema.VERSION})",
                where=str(self.path),
                remedy="Install the version that wrote it, or remove its directory: new stock is made.",
            )
        with self.writing() as connection:
            for statement in schema.STATEMENTS:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {schema.VERSION:d}")
