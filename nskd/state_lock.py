"""One process at a time in a state directory: the daemon, ``nskd rekey`` or ``nskd restore``.

The lock is on the directory itself, so that there is no file of it: one that is to be restored into is empty, and a
copy of a directory is not locked.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nskd.errors import OperatorError


class StateInUseError(OperatorError):
    """Another process works in this state directory."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Have ``directory`` for oneself until the block, or the process, ends.  Raises an ``OperatorError``."""
    descriptor = _opened(directory)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateInUseError(
                "another nskd is at work in it: a daemon, a restore or a rekey",
                where=str(directory),
                remedy="Wait for that one, or stop it (systemctl stop nskd); each daemon has a directory of its own.",
            ) from None
        except OSError as error:
            raise _unusable(directory, error) from error
        yield
    finally:
        os.close(descriptor)


def _opened(directory: Path) -> int:
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unusable(directory, error) from error


def _unusable(directory: Path, error: OSError) -> OperatorError:
    return OperatorError(
        f"it cannot be locked: {error.strerror}",
        where=str(directory),
        remedy="Make it, for the user of the daemon, on a file system with locks.",
    )
