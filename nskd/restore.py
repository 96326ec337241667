"""Putting a backup back: ``nskd restore``, into a state directory that holds nothing yet.

A restored centre has forgotten what happened since the backup, and others have not.  So that this does no harm

* its stock and epoch are void: they are in no backup, and the others end theirs when it is back;
* it is paused, and stays so until a person has looked and resumes;
* a request submitted before the restore never runs here again: it may have run already, on other rows;
* it asks the others which requests began, and has later ones compared with those too (``daemon.relearning``);
* its audit log says so, and the others, who hold later heads of it, notice by themselves.

A state directory that was put back by other means is known by its stock (``nskd.stockpile.anchor``), and from then on
the same holds for it, but for the pause.  By a clock that is behind what is in a directory nothing is put back, and no
daemon starts in a copied one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from nskd import backup, keyring
from nskd.backup import BackupError, Manifest
from nskd.config import Config
from nskd.credentials import CentreKeys, StorageKey
from nskd.durable import sync_directory, write_durably
from nskd.governance.audit import Event
from nskd.governance.audit_file import AuditFile, read_log
from nskd.governance.charter_store import DIRECTORY, CharterStore
from nskd.governance.ledger import Ledger
from nskd.governance.presence import Move, sign_word

MARK: Final = "restored.json"
UNDER_WAY: Final = "restoring"
REASON: Final = "restored from a backup; to be resumed once it has been looked at"


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """That a state directory was put back, when, and from a backup of when; seconds since 1970."""

    restored_at: int
    made_at: int


def restored(state: Path) -> Restored | None:
    """Tell whether a state directory was put back from a backup; raises :class:`~nskd.backup.BackupError`."""
    if (state / UNDER_WAY).exists():
        raise BackupError(
            "a restore was cut short",
            where=str(state),
            remedy=f"Remove everything in it, {UNDER_WAY} included, and run nskd restore again.",
        )
    try:
        return msgspec.json.decode((state / MARK).read_bytes(), type=Restored)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError):
        raise BackupError(
            "it cannot be read", where=str(state / MARK), remedy="Restore the state directory from a backup again."
        ) from None


def mark(state: Path, *, restored_at: int, made_at: int) -> None:
    """Note in a state directory that it was put back, durably.

    Raises an ``OperatorError``, also where the clock is behind what is in it.
    """
    _require_clock(state, restored_at, made_at=made_at, where=str(state))
    try:
        write_durably(state / MARK, msgspec.json.encode(Restored(restored_at=restored_at, made_at=made_at)))
    except OSError as error:
        raise BackupError(
            f"it cannot be written: {error.strerror}", where=str(state / MARK), remedy="Check free space and the disk."
        ) from error


def _require_clock(state: Path, now: int, *, made_at: int, where: str) -> None:
    """See that the clock is not behind what is in a directory: the time of its backup, its former mark and its log.

    An earlier time in a mark would be worse than none, as requests from after it would run again.  The latest time that
    is known would not do either: what has run since the copy was made is what matters.  Of the log all entries count,
    as the last may have been written by the same clock a moment ago.
    """
    before = restored(state)
    log = state / backup.AUDIT
    times = [entry.body.time for entry in read_log(log)] if log.exists() else []
    latest = max(made_at, 0 if before is None else before.restored_at, *times)
    if now < latest:
        raise BackupError(
            f"this machine's clock is {latest - now} s behind what is in it",
            where=where,
            remedy="Set the clock, and try again: by it this centre tells what came before the restore from what came"
            " after.",
        )


def restore(
    config: Config, keys: CentreKeys, file: BinaryIO, *, now: int, former: StorageKey | None = None
) -> Manifest:
    """Put a backup back; ``former`` is the storage key of its time, if it has been replaced since.

    Raises an ``OperatorError``; what is in place by then keeps a daemon from starting.
    """
    state, name = config.state.directory, config.centre.name
    if _holds_anything(state):
        raise BackupError(
            "the state directory is not empty, and nothing was changed",
            where=str(state),
            remedy="Stop the daemon and move what is in it away; a newer state is worth more than a backup.",
        )
    unpacked = state / UNDER_WAY
    _make(unpacked)
    try:
        manifest = backup.read(file, former or keys.storage, unpacked)
        if manifest.centre != name:
            raise BackupError(
                f"it is a backup of {manifest.centre}, and this is {name}",
                where=str(file.name),
                remedy="Restore this centre's own.",
            )
        _require_clock(unpacked, now, made_at=manifest.made_at, where=str(file.name))
    except BaseException:
        shutil.rmtree(unpacked, ignore_errors=True)
        raise
    try:
        ring = keyring.load(unpacked, former or keys.storage)
        if ring is not None:
            ring = ring if former is None else ring.turned()  # whoever has the former key has what was sealed under it
            ring.using(keys, now=now).store(unpacked, keys.storage)
        mark(unpacked, restored_at=now, made_at=manifest.made_at)
        _put_on_record(unpacked, name, keys, manifest, now)
        for each in sorted(unpacked.iterdir()):
            if each.is_dir():
                sync_directory(each)
            each.rename(state / each.name)
        sync_directory(state)
        unpacked.rmdir()
        sync_directory(state)
    except OSError as error:
        raise BackupError(
            f"it cannot be put in place: {error.strerror or error}",
            where=str(state),
            remedy="Mend the disk, empty the directory and run nskd restore again.",
        ) from error
    return manifest


def _holds_anything(state: Path) -> bool:
    try:
        return any(each.name != "lost+found" for each in state.iterdir())  # which a file system of its own has
    except OSError as error:
        raise BackupError(
            f"it cannot be read: {error.strerror}", where=str(state), remedy="Make it, for the user of the daemon."
        ) from error


def _make(unpacked: Path) -> None:
    """By one process only: another that restores at the same time finds it, and goes."""
    try:
        unpacked.mkdir(mode=0o700)
    except OSError as error:
        raise BackupError(
            f"it cannot be written to: {error.strerror}",
            where=str(unpacked.parent),
            remedy="See whether the disk is full or read-only, or another restore is under way.",
        ) from error


def _put_on_record(state: Path, name: str, keys: CentreKeys, manifest: Manifest, now: int) -> None:
    """In the audit log what happened, and in the ledger that this centre pauses."""
    sign = keys.signing.signer()
    with AuditFile.open(state / backup.AUDIT, centre=name, sign=sign, now=now, entropy=os.urandom) as audit:
        details: dict[str, int | str] = {"made_at": manifest.made_at, "sequence": manifest.sequence}
        audit.append(Event.STATE_RESTORED, now=now, details=details)
    latest = CharterStore(state / DIRECTORY).in_force()
    with Ledger.open(state / backup.LEDGER, now=now) as ledger:
        if latest is not None and latest.charter.find(name) is not None:
            own = [word.number for word in ledger.presence(latest.charter.workshop) if word.centre == name]
            number = max([now, *(each + 1 for each in own)])
            word = sign_word(
                Move.PAUSE, number=number, now=now, centre=name, charter=latest.charter, sign=sign, reason=REASON
            )
            if not ledger.keep_presence(word, now=now):
                raise BackupError("the pause could not be kept", where=str(state), remedy="Try another backup.")
