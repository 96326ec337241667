"""Sealed files: batches, and the state of an epoch, in pieces of 64 KiB.

A file is written once, in one pass, and synced with its directory before anybody hears of it.  The columns of a batch
are cut into *blocks* of ``PIECE_ITEMS`` items, and a block into one piece per row, each sealed by itself: block k holds
the pieces of items ``[k·m, (k+1)·m)``, row 0 first.  A piece is so a run of one array, encrypted straight out of it and
decrypted straight into the array that is handed out; a block is one write or one read, and a segment reads only the
blocks that it touches.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag

from nskd.credentials import StorageKey
from nskd.stockpile import limits
from nskd.stockpile.durability import Durability, disk_error
from nskd.stockpile.errors import StockError
from nskd.stockpile.sealing import Label, Sealer

Columns = npt.NDArray[np.uint64]

_WORD: Final = 8
_SUFFIX: Final = ".sealed"


class VaultDamagedError(Exception):
    """A file is missing, of the wrong length, or holds a piece that does not open."""


@attrs.frozen(eq=False)
class NewFile:
    """What is to be sealed: ``columns``, uint64[rows, count], under a fresh salt."""

    name: bytes
    label: Label
    salt: bytes = attrs.field(repr=False)
    columns: Columns = attrs.field(repr=False)


def sealed_bytes(label: Label) -> int:
    """Return the exact length of a file."""
    blocks = -(-label.count // limits.PIECE_ITEMS)
    return label.rows * (_WORD * label.count + limits.TAG_BYTES * blocks)


def _piece_bytes(items: int) -> int:
    return _WORD * items + limits.TAG_BYTES


class Vault:
    """The directory of sealed files, each named by the batch (or epoch) it belongs to.

    Keeps no state of its own: one thread may write a file while another reads a second and removes a third.  The first
    of ``keys`` seals; the others only open what was sealed before.
    """

    def __init__(self, directory: Path, keys: Sequence[StorageKey], disk: Durability) -> None:
        self.directory = directory
        self._keys = tuple(keys)
        self._disk = disk

    def path(self, name: bytes) -> Path:
        """Tell where a file is."""
        return self.directory / f"{name.hex()}{_SUFFIX}"

    def write(self, files: Sequence[NewFile]) -> None:
        """Seal new files; all are durable on return, and on failure none is left.

        Raises :class:`StockError` for whatever the disk says.
        """
        made: list[bytes] = []
        try:
            for file in files:
                path = self.path(file.name)
                with _explained(path):
                    descriptor = self._disk.create(path)
                    made.append(file.name)
                    try:
                        for block in self._sealed_blocks(file.label, file.salt, _blocks_of(file.columns)):
                            self._disk.write(descriptor, block)
                        self._disk.sync_file(descriptor)
                    finally:
                        os.close(descriptor)
            with _explained(self.directory):
                self._disk.sync_directory(self.directory)
        except StockError:
            for name in made:
                self.remove(name)
            raise

    def read(self, name: bytes, label: Label, salt: bytes, start: int, out: Columns) -> None:
        """Fill ``out`` (uint64[rows, n], each row contiguous) with the items from ``start`` on.

        Raises :class:`VaultDamagedError` if it cannot; nothing in ``out`` may be used then.
        """
        try:
            descriptor = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as exc:
            raise VaultDamagedError(f"its file cannot be opened: {exc.strerror}") from None
        try:
            self._reader(descriptor, salt, label).read(start, out)
        finally:
            os.close(descriptor)

    def renew(self, name: bytes, label: Label, salt: bytes) -> None:
        """Have a file sealed under the first key: copied block by block, and put in place of itself at one stroke.

        Label and salt stay; with another key they give other file keys, so no nonce repeats.  Raises
        :class:`VaultDamagedError` for a file that no key opens, :class:`StockError` for what the disk says.
        """
        path, fresh = self.path(name), self.path(name).with_suffix(".renewed")
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError as exc:
            raise VaultDamagedError(f"its file cannot be opened: {exc.strerror}") from None
        try:
            reader = self._reader(descriptor, salt, label)
            if reader.keys_tried == 1:
                return
            with _explained(path):
                self._disk.remove(fresh)  # of an attempt that was cut short
                written = self._disk.create(fresh)
                try:
                    for block in self._sealed_blocks(label, salt, reader.blocks()):
                        self._disk.write(written, block)
                    self._disk.sync_file(written)
                finally:
                    os.close(written)
                self._disk.replace(fresh, path)
                self._disk.sync_directory(self.directory)
        finally:
            os.close(descriptor)

    def _reader(self, descriptor: int, salt: bytes, label: Label) -> _Reader:
        """Under the first key that opens the file's first piece; under the last, which then says what is wrong."""
        for tried, key in enumerate(self._keys, 1):
            reader = _Reader(descriptor, Sealer(key, salt, label), label, tried)
            if tried == len(self._keys) or reader.opens():
                return reader
        raise VaultDamagedError("there is no key")

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

    def _sealed_blocks(self, label: Label, salt: bytes, blocks: Iterator[Columns]) -> Iterator[memoryview]:
        """A file's contents, block by block, in a buffer that is used again."""
        rows, m = label.rows, limits.PIECE_ITEMS
        sealer = Sealer(self._keys[0], salt, label)
        buffer = memoryview(bytearray(rows * _piece_bytes(min(m, label.count))))
        for block, columns in enumerate(blocks):
            size = _piece_bytes(columns.shape[1])
            for row in range(rows):
                run = np.ascontiguousarray(columns[row])  # a view, as a rule
                sealer.seal_into(block * rows + row, run.data.cast("B"), buffer[row * size : (row + 1) * size])
            yield buffer[: rows * size]


def _blocks_of(columns: Columns) -> Iterator[Columns]:
    for first in range(0, columns.shape[1], limits.PIECE_ITEMS):
        yield columns[:, first : first + limits.PIECE_ITEMS]


class _Reader:
    """Opens the pieces of one file, block by block."""

    def __init__(self, descriptor: int, sealer: Sealer, label: Label, keys_tried: int) -> None:
        self._descriptor = descriptor
        self._sealer = sealer
        self._label = label
        self.keys_tried = keys_tried

    def opens(self) -> bool:
        """Whether this is the key of the file's first piece."""
        first = np.empty((self._label.rows, 1), dtype=np.uint64)
        try:
            self.read(0, first)
        except VaultDamagedError:
            return False
        finally:
            first.fill(0)
        return True

    def blocks(self) -> Iterator[Columns]:
        """All of the file, block by block, in an array that is used again, and cleared in the end."""
        m, label = limits.PIECE_ITEMS, self._label
        out = np.zeros((label.rows, min(m, label.count)), dtype=np.uint64)
        try:
            for first in range(0, label.count, m):
                part = out[:, : min(m, label.count - first)]
                self.read(first, part)
                yield part
        finally:
            out.fill(0)

    def read(self, start: int, out: Columns) -> None:
        """Fill ``out`` with the items from ``start`` on."""
        rows, wanted = out.shape
        m, count = limits.PIECE_ITEMS, self._label.count
        sealed = memoryview(bytearray(rows * _piece_bytes(min(m, count))))
        spare = np.zeros(min(m, count), dtype=np.uint64)  # for pieces of which only a part is asked for
        try:
            for block in range(start // m, -(-(start + wanted) // m)):
                first = block * m
                length = min(m, count - first)
                self._load(block, sealed[: rows * _piece_bytes(length)])
                a, b = max(start, first), min(start + wanted, first + length)
                for row in range(rows):
                    target = out[row, a - start : b - start]
                    whole = b - a == length
                    plain = target if whole else spare[:length]
                    self._open(block * rows + row, sealed, row * _piece_bytes(length), plain)
                    if not whole:
                        target[...] = plain[a - first : b - first]
        finally:
            spare.fill(0)  # what the session did not ask for has no business in memory

    def _load(self, block: int, sealed: memoryview) -> None:
        offset = block * self._label.rows * _piece_bytes(limits.PIECE_ITEMS)
        try:
            read = os.preadv(self._descriptor, [sealed], offset)
        except OSError as exc:
            raise VaultDamagedError(f"its file cannot be read: {exc.strerror}") from None
        if read != len(sealed):
            raise VaultDamagedError("its file was cut short")

    def _open(self, piece: int, sealed: memoryview, at: int, plain: Columns) -> None:
        try:
            self._sealer.open_into(piece, sealed[at : at + _piece_bytes(plain.size)], plain.data.cast("B"))
        except InvalidTag:
            raise VaultDamagedError(f"piece {piece} of its file is not what was written") from None


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise disk_error(exc, path) from None
