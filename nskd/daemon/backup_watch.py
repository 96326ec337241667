"""Backups that have stopped: who once asked for one is told when the last is old, or is there no more.

``backup`` in the state directory is made by the first, and stays; what is in it is removed with a storage key, and when
a result is erased.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from nskd.backup import DIRECTORY, SUFFIX, named_time
from nskd.monitor import limits
from nskd.monitor.findings import Finding, Name

_DAY_S: Final = 86_400
_REMEDY: Final = "Make one with `nskctl backup`, and see why there was none: `systemctl status nskd-backup`."


@attrs.frozen
class Kept:
    """What is kept here: when the latest was made, in seconds since 1970; None where it was removed since."""

    made_at: int | None


def kept_in(state: Path) -> Kept | None:
    """Look into a state directory; None where no backup was ever made.  Reads the disk."""
    try:
        made = [named_time(path) for path in (state / DIRECTORY).iterdir() if path.suffix == SUFFIX]
    except OSError:
        return None
    return Kept(max((at for at in made if at is not None), default=None))


def old(kept: Kept | None, now: int) -> Iterator[Finding]:
    """Whether the last backup is too old to lose a disk by."""
    if kept is None:
        return
    if kept.made_at is None:
        what = "there is no backup here any more: it went with a former storage key, or with a result that was erased"
        yield Finding(Name.BACKUP_OLD, what, _REMEDY)
    elif now - kept.made_at >= limits.BACKUP_OLD_S:
        what = f"the last backup here was made {(now - kept.made_at) // _DAY_S} days ago"
        yield Finding(Name.BACKUP_OLD, what, _REMEDY)
