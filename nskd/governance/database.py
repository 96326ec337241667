"""One SQLite file of a single process: durable on commit, never two daemons on it, errors as sentences."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from nskd.errors import OperatorError

_NONE: Final[Mapping[int, str]] = MappingProxyType({})


class LedgerError(OperatorError):
    """The file cannot be read or written, or something contradicts what it holds."""


class Database:
    """Used by one thread at a time; a pool may vary which."""

    def __init__(self, connection: sqlite3.Connection, where: str) -> None:
        self._connection = connection
        self._where = where

    @classmethod
    def open(cls, path: Path, *, schema: str, version: int, migrations: Mapping[int, str] = _NONE) -> Database:
        """Open or create the file (mode 0600) and take it for this process alone.

        ``schema`` is run, in one transaction, on a new file; ``version`` is its number.  ``migrations[n]`` makes a file
        of version n one of version n + 1; an older file goes through all it takes in one transaction.
        """
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.0)
        except (OSError, sqlite3.Error) as exc:
            raise LedgerError(
                f"cannot be opened: {exc}", where=str(path), remedy="Check the directory and its permissions."
            ) from None
        database = cls(connection, str(path))
        try:
            database._prepare(schema, version, migrations)
        except BaseException:
            connection.close()
            raise
        return database

    def close(self) -> None:
        """Let go of the file; everything is on disk already."""
        self._connection.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give the connection; SQLite's errors come out as :class:`LedgerError`."""
        try:
            yield self._connection
        except sqlite3.OperationalError as exc:  # full disk, I/O error, file taken away
            raise LedgerError(
                f"cannot be used: {exc}", where=self._where, remedy="Check free space and the disk."
            ) from None
        except sqlite3.DatabaseError as exc:
            raise self.damaged(str(exc)) from None

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection inside a transaction: on disk when the block ends, undone when it raises."""
        with self.reading() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def copy_to(self, path: Path) -> None:
        """Write a copy as it is at this moment, mode 0600; raises :class:`LedgerError`."""
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            with self.reading() as connection, contextlib.closing(sqlite3.connect(path)) as copy:
                connection.backup(copy)
        except OSError as exc:
            raise LedgerError(
                f"cannot be copied: {exc.strerror}", where=str(path), remedy="Check free space and the disk."
            ) from None

    def settle(self) -> None:
        """Bring the log of changes into the file and cut it off, so that nothing erased is left in it."""
        with self.reading() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def damaged(self, what: str) -> LedgerError:
        """Make the error for contents that cannot be right."""
        return LedgerError(
            f"is damaged ({what})", where=self._where, remedy="Restore it from a backup, or begin a new one."
        )

    def _prepare(self, schema: str, version: int, migrations: Mapping[int, str]) -> None:
        connection = self._connection
        try:
            # Exclusive: a second daemon on the same file fails here at once, and no shared memory is needed.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten, not only let go of
            connection.execute("PRAGMA trusted_schema = OFF")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.OperationalError as exc:
            raise LedgerError(
                f"cannot be taken: {exc}",
                where=self._where,
                remedy="Is another daemon using it? Stop that one.",
            ) from None
        except (sqlite3.DatabaseError, UnicodeDecodeError) as exc:  # SQLite quotes a damaged schema as it stands
            raise self.damaged(str(exc)) from None
        steps = _steps(found, schema, version, migrations)
        if steps is None:
            which = "a later" if found > version else "another"
            raise LedgerError(
                f"was written by {which} version (format {found}, this one reads {version})",
                where=self._where,
                remedy="Install the version that wrote it; an upgrade is not undone by an older program.",
            )
        with self.writing():
            for statements in steps:
                for statement in statements.split(";"):
                    connection.execute(statement)
            if steps:  # a file that is as it should be is opened on a full disk too
                connection.execute(f"PRAGMA user_version = {version:d}")


def _steps(found: int, schema: str, version: int, migrations: Mapping[int, str]) -> list[str] | None:
    """What makes a file of version ``found`` (0: a new one) one of ``version``; None if nothing does."""
    if found == 0:
        return [schema]
    if not 0 < found <= version or not all(step in migrations for step in range(found, version)):
        return None
    return [migrations[step] for step in range(found, version)]
