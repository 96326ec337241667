"""Batches whose items say where they come from, and a disk that fails, dies or forgets on demand."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from nskd.credentials import StorageKey
from nskd.stockpile import Durability, Incoming, Segment, Stockpile
from nskd.stockpile.vault import Columns

KEY = StorageKey(bytes(range(32)))
EPOCH = b"\x01" * 32
STATE = b"the keys of the epoch" * 100
ROWS = {"triple": 6, "bit": 2, "mask/0": 3, "mask/1": 2}


def batch_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def session_id(number: int) -> bytes:
    return b"s" + number.to_bytes(15, "big")


def digest(number: int) -> bytes:
    return number.to_bytes(32, "little")


def columns(number: int, kind: str, count: int) -> Columns:
    """Each item tells its batch, row and position."""
    items = np.arange(count, dtype=np.uint64)
    return np.stack([items + np.uint64((number << 40) + (row << 36)) for row in range(ROWS[kind])])


def incoming(number: int, kind: str = "triple", count: int = 100) -> Incoming:
    return Incoming(batch_id(number), kind, digest(number), columns(number, kind, count))


def store(stock: Stockpile, *new: Incoming) -> None:
    admission = stock.intake.admit(new)
    stock.intake.seal(admission)
    stock.intake.record(admission)


def add(stock: Stockpile, number: int, kind: str = "triple", count: int = 100, unlocked: bool = True) -> bytes:
    store(stock, incoming(number, kind, count))
    if unlocked:
        stock.unlock(batch_id(number))
    return batch_id(number)


def expected(kind: str, segments: Iterable[Segment]) -> Columns:
    parts = [
        columns(int.from_bytes(segment.batch, "big"), kind, segment.stop)[:, segment.start :] for segment in segments
    ]
    return np.concatenate(parts, axis=1)


class Crash(BaseException):
    """The process ends here."""


class ScriptedDisk(Durability):
    """Calls ``before`` with the number and name of each durable step; may then forget what was not synced.

    A step happens twice: ``before`` it and, as the next number, after it.
    """

    def __init__(self, before: Callable[[int, str], None] = lambda _number, _name: None) -> None:
        self.before = before
        self.steps = 0
        self._unsynced: dict[int, Path] = {}  # contents not on the medium
        self._unnamed: set[Path] = set()  # names not on the medium

    def _step(self, name: str) -> None:
        self.steps += 1
        self.before(self.steps, name)

    def create(self, path: Path) -> int:
        self._step("create")
        descriptor = super().create(path)
        self._unsynced[descriptor] = path
        self._unnamed.add(path)
        self._step("created")
        return descriptor

    def write(self, descriptor: int, data: memoryview) -> None:
        self._step("write")
        super().write(descriptor, data)
        self._step("written")

    def sync_file(self, descriptor: int) -> None:
        self._step("sync")
        super().sync_file(descriptor)
        self._unsynced.pop(descriptor, None)
        self._step("synced")

    def sync_directory(self, path: Path) -> None:
        self._step("sync directory")
        super().sync_directory(path)
        self._unnamed = {named for named in self._unnamed if named.parent != path}
        self._step("synced directory")

    def commit(self, connection: sqlite3.Connection) -> None:
        self._step("commit")
        super().commit(connection)
        self._step("committed")

    def remove(self, path: Path) -> None:
        self._step("remove")
        super().remove(path)
        self._step("removed")

    def replace(self, new: Path, path: Path) -> None:
        self._step("replace")
        super().replace(new, path)
        self._unnamed.discard(new)
        self._step("replaced")

    def lose_power(self) -> None:
        """Forget what a power cut would forget: contents and names that were never synced."""
        for path in self._unsynced.values():
            if path.exists():
                os.truncate(path, 0)
        for path in self._unnamed:
            path.unlink(missing_ok=True)
        self._unsynced.clear()
        self._unnamed.clear()


def fail_at(target: int, error: Callable[[], BaseException]) -> Callable[[int, str], None]:
    """Raise at one step."""

    def before(number: int, _name: str) -> None:
        if number == target:
            raise error()

    return before
