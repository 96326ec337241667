"""The steps that make something true on disk.

They are few, named, and all in one object, so that a test can kill the process before and after each of them,
lose whatever was not synced, or report a full disk.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from typing import Final

from nskd.stockpile.errors import StockError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Durability:
    """The real thing."""

    def create(self, path: Path) -> int:
        """Make a new file for writing, mode 0600; one that exists is an error."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def write(self, descriptor: int, data: memoryview) -> None:
        """Append all of ``data``."""
        while data:
            data = data[os.write(descriptor, data) :]

    def sync_file(self, descriptor: int) -> None:
        """Return when the file's contents are on the medium."""
        os.fsync(descriptor)

    def sync_directory(self, path: Path) -> None:
        """Return when the names made and removed in a directory are on the medium."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def commit(self, connection: sqlite3.Connection) -> None:
        """End a transaction; it is on the medium when this returns (WAL, ``synchronous = FULL``)."""
        connection.execute("COMMIT")

    def remove(self, path: Path) -> None:
        """Remove a file; one that is gone already is as good."""
        path.unlink(missing_ok=True)

    def replace(self, new: Path, path: Path) -> None:
        """Put a file in the place of another, at one stroke."""
        new.replace(path)

    def identity(self, path: Path) -> tuple[int, int]:
        """Tell the inode of a file and when that last changed, in nanoseconds: a copy of the file has
        neither.
        """
        status = path.stat()
        return status.st_ino, status.st_ctime_ns


def disk_error(error: OSError, path: Path) -> StockError:
    """Say what a failed system call means for the person who has to mend it."""
    if error.errno in _FULL:
        return StockError(
            "the disk is full, or a quota or file size limit is reached; nothing was half written",
            where=str(path),
            remedy="Free some space there; no restart is needed.",
        )
    return StockError(
        f"it cannot be used: {error.strerror or type(error).__name__}",
        where=str(path),
        remedy="Check the directory, its owner and the disk.",
    )
