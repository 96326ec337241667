"""A disk that is full, fails, or loses power in the middle of making something durable.

Two things make anything durable: ``fsync`` of a file, and ``COMMIT`` of an SQLite transaction.  Both come by here.  A
power cut falls before one, after it, or within: then a file keeps some of what was appended since its last sync, and a
write-ahead log some of what the commit appended to it.
"""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

_SYNC: Final = os.fsync  # the real one, for files that are not ours


@attrs.define
class Doom:
    """Power goes at the ``steps``-th durable step from now."""

    steps: int


class Disk:
    """What one machine's disk does to each durable step."""

    def __init__(self, rng: random.Random, cut: Callable[[], None]) -> None:
        self.full = False
        self.failing = False
        self.slow_s = 0.0  # the longest a call takes
        self.doom: Doom | None = None
        self.torn = 0  # writes cut in the middle
        self.steps = 0
        self.refused = 0  # durable steps that were not possible
        self.doubtful = (
            False  # one of them failed so that nobody knows what is on the medium: the daemon asks for a restart
        )
        self._rng = rng
        self._cut = cut
        self._synced: dict[str, int] = {}

    @property
    def troubled(self) -> bool:
        """Whether something is wrong with it now."""
        return self.full or self.failing

    def inherit(self, before: Disk) -> None:
        """A restart mends no disk."""
        self.full, self.failing, self.slow_s = before.full, before.failing, before.slow_s

    def _doomed(self) -> bool:
        self.steps += 1
        if self.doom is None:
            return False
        self.doom.steps -= 1
        return self.doom.steps <= 0

    # --- files ------------------------------------------------------------------------------------------------

    def sync(self, descriptor: int) -> None:
        """In place of ``os.fsync``."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_dir():
            return
        self._refuse(path)
        if self._doomed():
            self._tear(path, self._synced.get(str(path), 0), path.stat().st_size)
            raise self._off()
        self._synced[str(path)] = path.stat().st_size

    def _refuse(self, path: Path) -> None:
        if self.full and path.stat().st_size > self._synced.get(str(path), 0):  # what was taken back has room
            self.refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if self.failing and self._rng.random() < 0.5:
            self.refused += 1
            self.doubtful = True
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    def _tear(self, path: Path, before: int, after: int) -> None:
        """Keep some of what was written between; a file that was replaced meanwhile may be shorter than before."""
        before = min(before, after)
        kept = self._rng.choice((before, self._rng.randint(before, after), after))
        if kept < after:
            self.torn += before < kept
            os.truncate(path, kept)

    def _sql_error(self, what: str, code: int) -> sqlite3.OperationalError:
        self.refused += 1
        error = sqlite3.OperationalError(what)
        error.sqlite_errorcode = code
        return error

    def _off(self) -> BaseException:
        from tests.simulation.machine import PowerCut

        self._cut()
        return PowerCut()

    def mount(self, directory: Path) -> None:
        """All that is in a directory when a life begins is on the medium."""
        self._synced.update((str(path), path.stat().st_size) for path in directory.rglob("*") if path.is_file())

    # --- SQLite -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Before a transaction that writes."""
        if self.full:
            raise self._sql_error("database or disk is full", sqlite3.SQLITE_FULL)

    def commit(self, path: Path, execute: Callable[[str], sqlite3.Cursor]) -> sqlite3.Cursor:
        """In place of ``COMMIT``."""
        if self.failing and self._rng.random() < 0.5:
            self.doubtful = True
            raise self._sql_error("disk I/O error", sqlite3.SQLITE_IOERR)
        if not self._doomed():
            return execute("COMMIT")
        log = path.with_name(path.name + "-wal")
        before = log.stat().st_size if log.exists() else 0
        if self._rng.random() < 0.3:
            raise self._off()  # not a byte of it
        execute("PRAGMA wal_autocheckpoint = 0")  # which waits until the log is on the medium
        execute("COMMIT")
        after = log.stat().st_size if log.exists() else 0
        if after > before:  # else it wrote over older frames, and a prefix of them cannot be made by cutting
            self._tear(log, before, after)
        raise self._off()


class Connection(sqlite3.Connection):
    """An SQLite connection on a simulated disk."""

    disk: Disk
    path: Path

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql == "COMMIT":
            return self.disk.commit(self.path, super().execute)
        if sql.startswith("BEGIN"):
            self.disk.begin()
        return super().execute(sql, parameters)
