"""Sealed files: a batch, or the state of an epoch, in pieces of about a mebibyte.

A file is written once, in one pass, and synced with its directory before anybody hears of it.  The columns of
a batch are cut along the items: piece k holds all rows of items ``[k·m, (k+1)·m)``, row by row, so a segment
decrypts only the pieces it touches.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag

from nskd.credentials import StorageKey
from nskd.stockpile import limits
from nskd.stockpile.durability import Durability, disk_error
from nskd.stockpile.sealing import Label, Sealer

Columns = npt.NDArray[np.uint64]

_WORD = 8
_SUFFIX = ".sealed"


class VaultDamagedError(Exception):
    """A file is missing, of the wrong length, or holds a piece that does not open."""


def items_per_piece(rows: int) -> int:
    """How many items of ``rows`` words share a piece."""
    return limits.CHUNK_BYTES // (_WORD * rows)


def sealed_bytes(label: Label) -> int:
    """Return the exact length of a file."""
    pieces = -(-label.count // items_per_piece(label.rows))
    return _WORD * label.rows * label.count + limits.TAG_BYTES * pieces


class Vault:
    """The directory of sealed files, each named by the batch (or epoch) it belongs to."""

    def __init__(self, directory: Path, key: StorageKey, disk: Durability) -> None:
        self.directory = directory
        self._key = key
        self._disk = disk

    def path(self, name: bytes) -> Path:
        """Tell where a file is."""
        return self.directory / f"{name.hex()}{_SUFFIX}"

    def write(self, name: bytes, label: Label, salt: bytes, columns: Columns) -> None:
        """Seal ``columns`` (uint64[rows, count]) into a new file; durable on return, nothing is left on
        failure.

        Raises :class:`StockError` for whatever the disk says.
        """
        path = self.path(name)
        try:
            descriptor = self._disk.create(path)
        except OSError as exc:
            raise disk_error(exc, path) from None
        try:
            try:
                for sealed in self._pieces(Sealer(self._key, salt, label), columns):
                    self._disk.write(descriptor, sealed)
                self._disk.sync_file(descriptor)
            finally:
                os.close(descriptor)
            self._disk.sync_directory(self.directory)
        except OSError as exc:
            with contextlib.suppress(OSError):
                self._disk.remove(path)
            raise disk_error(exc, path) from None

    def read(self, name: bytes, label: Label, salt: bytes, start: int, out: Columns) -> None:
        """Fill ``out`` (uint64[rows, n]) with the items from ``start`` on; :class:`VaultDamagedError` if it
        cannot.
        """
        rows, wanted = out.shape
        m = items_per_piece(rows)
        sealer = Sealer(self._key, salt, label)
        plain = np.empty(rows * m, dtype=np.uint64)
        try:
            descriptor = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as exc:
            raise VaultDamagedError(f"its file cannot be opened: {exc.strerror}") from None
        try:
            for piece in range(start // m, -(-(start + wanted) // m)):
                first = piece * m
                length = min(m, label.count - first)
                self._open(descriptor, sealer, piece, first * rows, plain[: rows * length])
                a, b = max(start, first), min(start + wanted, first + length)
                grid = plain[: rows * length].reshape(rows, length)
                out[:, a - start : b - start] = grid[:, a - first : b - first]
        finally:
            os.close(descriptor)
            plain.fill(0)  # what the session did not ask for has no business in memory

    def remove(self, name: bytes) -> None:
        """Remove a file, and never mind if that fails: its salt is gone, and the next start tries again."""
        with contextlib.suppress(OSError):
            self._disk.remove(self.path(name))

    def sweep(self, known: set[bytes]) -> int:
        """Remove every file that is not ``known``; returns how many."""
        keep = {self.path(name).name for name in known}
        orphans = [path for path in self.directory.iterdir() if path.name not in keep]
        for path in orphans:
            with contextlib.suppress(OSError):
                self._disk.remove(path)
        return len(orphans)

    def is_whole(self, name: bytes, label: Label) -> bool:
        """Whether the file is there and has its exact length, which is cheap to know at every start."""
        try:
            return self.path(name).lstat().st_size == sealed_bytes(label)
        except OSError:
            return False

    def _pieces(self, sealer: Sealer, columns: Columns) -> Iterator[memoryview]:
        rows, count = columns.shape
        m = items_per_piece(rows)
        plain = np.empty(rows * min(m, max(count, 1)), dtype="<u8")
        sealed = memoryview(bytearray(plain.nbytes + limits.TAG_BYTES))
        try:
            for index, first in enumerate(range(0, count, m)):
                length = min(m, count - first)
                part = plain[: rows * length]
                part.reshape(rows, length)[...] = columns[:, first : first + length]
                out = sealed[: part.nbytes + limits.TAG_BYTES]
                sealer.seal_into(index, part.data.cast("B"), out)
                yield out
        finally:
            plain.fill(0)

    def _open(self, descriptor: int, sealer: Sealer, piece: int, words_before: int, out: Columns) -> None:
        length = out.nbytes + limits.TAG_BYTES
        offset = _WORD * words_before + limits.TAG_BYTES * piece
        try:
            sealed = os.pread(descriptor, length, offset)
        except OSError as exc:
            raise VaultDamagedError(f"its file cannot be read: {exc.strerror}") from None
        if len(sealed) != length:
            raise VaultDamagedError("its file was cut short")
        try:
            sealer.open_into(piece, memoryview(sealed), out.data.cast("B"))
        except InvalidTag:
            raise VaultDamagedError(f"piece {piece} of its file is not what was written") from None
