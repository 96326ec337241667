"""Backups of a centre whose daemon runs: consistent, sealed, without its stock (:mod:`nskd.backup`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import trio

from nskd import backup
from nskd.backup import DIRECTORY, BackupError, Manifest
from nskd.control import answers
from nskd.credentials import StorageKey
from nskd.daemon.workshop import Workshop
from nskd.governance.audit_file import AuditFile
from nskd.governance.ledger import Ledger


class Backups:
    """Writes them into ``backup`` in the state directory, where the latest is kept: copying it on is for others."""

    def __init__(self, workshop: Workshop, state: Path, storage: StorageKey) -> None:
        self._workshop = workshop
        self._state = state
        self._storage = storage
        self._one = trio.Lock()

    async def make(self, *, check: bool) -> answers.BackupAnswer:
        """Make one, or say that one could be made; raises an ``OperatorError``."""
        workshop = self._workshop
        if check:
            entries = workshop.audit.head.sequence
            return answers.BackupAnswer(path=None, size=None, audit_entries=entries, checked=True)
        async with self._one:
            directory, copy = self._state / DIRECTORY, self._state / DIRECTORY / "ledger.copy"
            await trio.to_thread.run_sync(_prepare, directory, copy)
            try:
                await workshop.ledger(Ledger.copy_to, copy)
                size, head = await workshop.audit.file(_extent)
                now = workshop.clock()
                manifest = Manifest(
                    centre=workshop.own,
                    workshop=workshop.charter.workshop,
                    charter=workshop.charter.version,
                    made_at=now,
                    sequence=head[0],
                    hash=head[1].hex(),
                    nskd=version("nskd"),
                )
                path = directory / backup.file_name(workshop.own, now)
                await trio.to_thread.run_sync(partial(self._write, path, manifest, copy, size))
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(partial(copy.unlink, missing_ok=True))
        workshop.log.info("backup written", path=str(path), entries=head[0])
        written = (await trio.Path(path).stat()).st_size
        return answers.BackupAnswer(path=str(path), size=written, audit_entries=head[0], checked=False)

    @asynccontextmanager
    async def none(self) -> AsyncIterator[None]:
        """Remove every backup, and let none be made inside: what is erased there is in none afterwards.

        Who erases has to do it inside, and again in whole if it was cut short: a crash in between leaves no backup and
        what was to be erased, of which another backup may be made until then.  Raises :class:`BackupError`.
        """
        async with self._one:
            await trio.to_thread.run_sync(backup.remove_all, self._state)
            yield

    def _write(self, path: Path, manifest: Manifest, copy: Path, audit_bytes: int) -> None:
        backup.write(path, manifest, backup.parts_of(self._state, copy, audit_bytes), self._storage)
        for former in path.parent.glob(f"*{backup.SUFFIX}"):
            if former != path:
                former.unlink(missing_ok=True)


def _prepare(directory: Path, copy: Path) -> None:
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        copy.unlink(missing_ok=True)  # of a daemon that died over it
    except OSError as error:
        raise BackupError(
            f"it cannot be used: {error.strerror}", where=str(directory), remedy="Check the disk and its permissions."
        ) from error


def _extent(file: AuditFile) -> tuple[int, tuple[int, bytes]]:
    return file.size, (file.head.sequence, file.head.hash)
