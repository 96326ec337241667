"""Is this the stock that was written here, or a copy of it?

A restored backup is poison: its cursors point at triples that have been used since.  Two files therefore know
each other by what no copy has – the inode of the ledger, the inode and change time of the lock file – and the
ledger keeps a note of both.  If they differ, stock and epoch are destroyed.

What this catches: a state directory put back by cp, tar, rsync, restic and the like, or moved to another
machine that way.  What it cannot catch: a snapshot of the whole disk or virtual machine, put back below the
file system; a ledger overwritten in place.  Against these stand the cursors that centres compare when they
meet (:meth:`Stockpile.reconcile`), which help as long as one other centre is honest and was not put back as
well. A false alarm (a ``chown`` of everything, a hard-linked backup) costs time and nothing else.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from nskd.stockpile.durability import Durability, disk_error
from nskd.stockpile.errors import StockInUseError

LOCK_NAME: Final = "lock"


class DirectoryLock:
    """An exclusive lock on a directory, held until closed or until the process ends, however it ends."""

    def __init__(self, directory: Path) -> None:
        path = directory / LOCK_NAME
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as exc:
            raise disk_error(exc, path) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            raise StockInUseError(
                "another nskd uses this stock; two could hand out the same triple",
                where=str(directory),
                remedy="Stop the other one, or give each its own [state] directory.",
            ) from None
        except OSError as exc:
            os.close(self._descriptor)
            raise disk_error(exc, path) from None

    def close(self) -> None:
        """Give it back; twice does no harm."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def place_of(directory: Path, ledger: Path, disk: Durability) -> bytes:
    """Describe the two files by what a copy of them would not have."""
    inode, changed_ns = disk.identity(directory / LOCK_NAME)
    ledger_inode, _ = disk.identity(ledger)
    return f"{inode}:{changed_ns}:{ledger_inode}".encode()
