"""A disk that is full, fails, or loses power before, within or after something is made durable.

Three things make anything durable: ``fsync`` of a file, ``fsync`` of a directory, and ``COMMIT`` of an SQLite
transaction that has changed something.  All come by here; what is left of what was not yet durable when power goes,
whenever that is, :class:`~tests.simulation.medium.Medium` knows.
"""

from __future__ import annotations

import errno
import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import attrs

from tests.simulation.medium import Medium

_FULL: Final = 2  # PRAGMA synchronous: a commit that has returned survives a power cut


class Place(StrEnum):
    """What a durable step is about."""

    AUDIT = "the audit log"
    LEDGER = "the ledger"
    STOCK = "the stock's ledger"
    SEALED = "sealed stock"
    SMALL = "a small file"
    NAMES = "a directory"

    @classmethod
    def of(cls, path: Path) -> Place:
        """Where a file belongs."""
        if path.name == "audit.ndjson":
            return cls.AUDIT
        if path.suffix == ".sqlite":
            return cls.STOCK if path.parent.name == "stock" else cls.LEDGER
        if path.is_dir():
            return cls.NAMES
        return cls.SEALED if path.suffix == ".sealed" else cls.SMALL


@attrs.define
class Doom:
    """Power goes at the ``steps``-th durable step from now, of those about one place or of all."""

    steps: int
    place: Place | None = None


class Disk:
    """What one machine's disk does to each durable step."""

    def __init__(self, root: Path, rng: random.Random, cut: Callable[[], None]) -> None:
        self.medium = Medium(root, random.Random(rng.getrandbits(64)))
        self.full = False
        self.failing = False
        self.slow_s = 0.0  # the longest a call takes
        self.doom: Doom | None = None
        self.steps = 0
        self.refused = 0  # durable steps that were not possible
        self.struck: Counter[str] = Counter()  # where power went at a step
        self.doubtful = (
            False  # one of them failed so that nobody knows what is on the medium: the daemon asks for a restart
        )
        self._rng = rng
        self._cut = cut

    @property
    def troubled(self) -> bool:
        """Whether something is wrong with it now."""
        return self.full or self.failing

    def inherit(self, before: Disk) -> None:
        """A restart mends no disk, and saves nobody from what has not struck yet."""
        self.full, self.failing, self.slow_s = before.full, before.failing, before.slow_s
        self.doom = before.doom if before.doom is not None and before.doom.steps > 0 else None

    def _doomed(self, place: Place) -> bool:
        self.steps += 1
        if self.doom is None or self.doom.place not in (None, place):
            return False
        self.doom.steps -= 1
        return self.doom.steps <= 0

    def _off(self, when: str, place: Place) -> BaseException:
        from tests.simulation.machine import PowerCut

        self.struck[f"power cut {when} a step of {place.value}"] += 1
        self._cut()
        return PowerCut()

    # --- files ------------------------------------------------------------------------------------------------

    def sync(self, descriptor: int) -> None:
        """In place of ``os.fsync``."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        place = Place.of(path)
        if place is not Place.NAMES:
            self._refuse(path)
        if not self._doomed(place):
            self.medium.synced(path)
            return
        if self._rng.random() < 0.75:
            raise self._off("within", place)
        self.medium.synced(path)
        raise self._off("after", place)

    def _refuse(self, path: Path) -> None:
        if self.full and self.medium.unsynced(path) > 0:  # what was taken back has room
            self.refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        if self.failing and self._rng.random() < 0.5:
            self.refused += 1
            self.doubtful = True
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    def _sql_error(self, what: str, code: int) -> sqlite3.OperationalError:
        self.refused += 1
        error = sqlite3.OperationalError(what)
        error.sqlite_errorcode = code
        return error

    # --- SQLite -----------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Before a transaction that writes."""
        if self.full:
            raise self._sql_error("database or disk is full", sqlite3.SQLITE_FULL)

    def commit(self, path: Path, changed: bool, execute: Callable[[str], sqlite3.Cursor]) -> sqlite3.Cursor:
        """In place of ``COMMIT``."""
        if self.failing and self._rng.random() < 0.5:
            self.doubtful = True
            raise self._sql_error("disk I/O error", sqlite3.SQLITE_IOERR)
        if not changed:  # nothing is written
            return execute("COMMIT")
        log = path.with_name(path.name + "-wal")
        if execute("PRAGMA synchronous").fetchone()[0] < _FULL:
            self.medium.lazy(log)
            doomed = self._doomed(Place.of(path))
            done = execute("COMMIT")
            if doomed:
                raise self._off("after", Place.of(path))
            return done
        if self._doomed(Place.of(path)):
            raise self._commit_doomed(log, Place.of(path), execute)
        done = execute("COMMIT")
        self.medium.eager(log)
        return done

    def _commit_doomed(self, log: Path, place: Place, execute: Callable[[str], sqlite3.Cursor]) -> BaseException:
        when = self._rng.choice(("before", "within", "within", "after"))
        if when == "before":
            return self._off(when, place)
        execute("PRAGMA wal_autocheckpoint = 0")  # which waits until the log is on the medium
        before = log.read_bytes() if log.exists() else b""
        execute("COMMIT")
        if when == "within":
            self.medium.tear(log, before)
        return self._off(when, place)


class Connection(sqlite3.Connection):
    """An SQLite connection on a simulated disk."""

    disk: Disk
    path: Path
    _changes = 0  # of this connection, when its transaction began

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql == "COMMIT":
            return self.disk.commit(self.path, self.total_changes > self._changes, super().execute)
        if sql.startswith("BEGIN"):
            self.disk.begin()
            self._changes = self.total_changes
        if sql.startswith("PRAGMA wal_checkpoint"):
            self.disk.medium.eager(self.path.with_name(self.path.name + "-wal"))
        return super().execute(sql, parameters)
