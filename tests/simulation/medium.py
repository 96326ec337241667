"""What of a machine's files a power cut leaves: what was synced, and of everything else some, all or nothing.

Of a file: its bytes up to its last ``fsync``, and a part of what was appended since, perhaps with zeros in place of
what had not arrived.  Of a directory: the names it had at its last ``fsync``; a file made since may be missing, one put
in place of another may be the former one again.  Of an SQLite file: what was committed with ``synchronous = FULL``;
of a commit that was cut, and of all since the last one that was synced, any of the sectors written.

A file that was removed stays so, and one that was cut shorter, and a new directory is there.  A checkpoint of SQLite
happens wholly or not at all: in the first case its file and its log say the same, in the second it is tried again.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

SECTOR_BYTES: Final = 512
_SQLITE: Final = (".sqlite", ".sqlite-wal", ".sqlite-shm", ".sqlite-journal")


class Medium:
    """The files under one directory, in one life of a machine."""

    def __init__(self, root: Path, rng: random.Random) -> None:
        self._root = root
        self._rng = rng
        self._synced: dict[str, int] = {}  # by path from the root: so many bytes are on the medium
        self._named: set[str] = set()  # files whose names are
        self._replaced: dict[str, bytes | None] = {}  # by path: what is there if its directory was never synced
        self._logs: dict[str, bytes] = {}  # of SQLite, with commits that nobody has synced: before the first of these
        self.lost = 0  # files of which a plain power cut took something
        self.torn = 0  # of those, and of logs, the ones of which it left a part

    def mount(self, before: Medium | None) -> None:
        """Begin a life: with what a power cut has left, all of it on the medium, or where the last one ended."""
        if before is not None:
            self._synced, self._named, self._replaced = before._synced, before._named, before._replaced
            return
        for path in self._root.rglob("*"):
            if path.is_file():
                self._synced[self._name(path)] = path.stat().st_size
                self._named.add(self._name(path))

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    # --- what the daemon does -----------------------------------------------------------------------------------

    def synced(self, path: Path) -> None:
        """A file was synced, or a directory, which is its names."""
        if not path.is_relative_to(self._root):
            return
        if not path.is_dir():
            self._synced[self._name(path)] = path.stat().st_size
            return
        names = {self._name(each) for each in path.iterdir() if each.is_file()}
        self._named |= names
        for name in names:
            self._replaced.pop(name, None)

    def unsynced(self, path: Path) -> int:
        """How many bytes of a file are not on the medium."""
        return path.stat().st_size - self._synced.get(self._name(path), 0) if path.is_relative_to(self._root) else 0

    def replacing(self, new: Path, path: Path) -> None:
        """A file is about to be put in place of another."""
        if not path.is_relative_to(self._root):
            return
        name = self._name(path)
        former = path.read_bytes() if path.exists() and name in self._named else None
        self._replaced.setdefault(name, former)
        self._synced[name] = self._synced.pop(self._name(new), 0)
        self._named.discard(self._name(new))

    def lazy(self, log: Path) -> None:
        """A commit comes that will not be synced."""
        self._logs.setdefault(self._name(log), log.read_bytes() if log.exists() else b"")

    def eager(self, log: Path) -> None:
        """One was synced, and with it all before."""
        self._logs.pop(self._name(log), None)

    # --- what is left -------------------------------------------------------------------------------------------

    def settle(self, copy: Path) -> None:
        """Let go, in a copy of the directory, of what a power cut takes."""
        for path in sorted(copy.rglob("*")):
            name = path.relative_to(copy).as_posix()
            if path.is_file() and not name.endswith(_SQLITE):
                self._settle(path, name)
        for name, before in self._logs.items():
            log = copy / name
            if log.exists():
                self.tear(log, before)

    def _settle(self, path: Path, name: str) -> None:
        choice = self._rng.random
        if name in self._replaced and choice() < 0.5:
            self.lost += 1
            former = self._replaced[name]
            if former is None:
                path.unlink()
            else:
                path.write_bytes(former)
            return
        if name not in self._named and name not in self._replaced and choice() < 0.4:
            self.lost += 1
            path.unlink()
            return
        before, after = self._synced.get(name, 0), path.stat().st_size
        if after > before:
            self._cut(path, before, after)

    def _cut(self, path: Path, before: int, after: int) -> None:
        """Keep some of what was written between."""
        parts = [self._rng.randint(before, after) for _ in range(3)]
        kept = self._rng.choice((before, *parts, after))
        if kept == after:
            return
        self.lost += 1
        self.torn += before < kept
        with path.open("r+b") as file:
            file.truncate(kept)
            if self._rng.random() < 0.3:
                file.truncate(self._rng.randint(kept, after))  # the length had arrived, the bytes had not

    def tear(self, log: Path, before: bytes) -> None:
        """Keep some of the sectors that make a log what it is, where it was ``before``."""
        after = log.read_bytes()
        same = next(
            (k for k, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(map(len, (before, after)))
        )
        places = range(same - same % SECTOR_BYTES, len(after), SECTOR_BYTES)
        if not places:
            return
        if self._rng.random() < 0.5:
            reach = self._rng.randint(0, len(places))
            kept = [number < reach for number in range(len(places))]
        else:
            kept = [self._rng.random() < 0.7 for _ in places]
        whole = bytearray(before)
        for place, keep in zip(places, kept, strict=True):
            if keep:
                piece = after[place : place + SECTOR_BYTES]
                whole.extend(bytes(max(0, place + len(piece) - len(whole))))
                whole[place : place + len(piece)] = piece
        self.torn += any(kept) and not all(kept)
        log.write_bytes(whole)
