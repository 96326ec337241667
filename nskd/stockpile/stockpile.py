"""The stock of preprocessing: what is kept between the offline phase that makes it and the session that uses
it.

Synchronous and for one thread at a time; :mod:`.service` is the way to it from an event loop.  The theory is
in :mod:`.states`.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np

from nskd.credentials import StorageKey
from nskd.stockpile import accounts, limits
from nskd.stockpile.accounts import BatchRow
from nskd.stockpile.anchor import DirectoryLock
from nskd.stockpile.durability import Durability, disk_error
from nskd.stockpile.errors import (
    NotReservedError,
    SegmentRefusedError,
    ShortOfStockError,
    StockDamagedError,
    StockError,
)
from nskd.stockpile.intake import Intake
from nskd.stockpile.ledger import Ledger
from nskd.stockpile.records import BatchInfo, Level, Reconciled, Recovery, Segment, StoredEpoch
from nskd.stockpile.recovery import recover
from nskd.stockpile.sealing import key_check
from nskd.stockpile.states import State
from nskd.stockpile.vault import Columns, NewFile, Vault, VaultDamagedError
from protocol.limits import PROPOSAL_SEGMENTS_MAX

_WORD: Final = 8


class Stockpile:
    """Batches of one epoch, and the sessions that hold parts of them; ``intake`` is how batches come in."""

    def __init__(self, lock: DirectoryLock, ledger: Ledger, vault: Vault, recovery: Recovery) -> None:
        self._lock = lock
        self._ledger = ledger
        self._vault = vault
        self._where = str(ledger.path.parent)
        self.intake: Final = Intake(ledger, vault)
        self.recovery: Final = recovery

    @classmethod
    def open(
        cls,
        directory: Path,
        storage_key: StorageKey,
        *,
        former: Sequence[StorageKey] = (),
        disk: Durability | None = None,
        on_copy: Callable[[], None] = lambda: None,
    ) -> Self:
        """Open or create the stock in ``directory``, alone; put right what a crash left (see ``recovery``).

        ``former`` keys open what was sealed under them, until :meth:`renew` has sealed all of it anew.  ``on_copy`` is
        called if the directory was put back or copied here; if it raises, the next opening finds that anew.

        Raises :class:`StockInUseError` if another process has it, :class:`StockError` for a wrong storage key
        or an unusable disk, :class:`StockDamagedError` for a ledger that cannot be read.
        """
        disk = disk or Durability()
        sealed = directory / "sealed"
        try:
            sealed.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise disk_error(exc, sealed) from None
        with contextlib.ExitStack() as undo:
            lock = DirectoryLock(directory)
            undo.callback(lock.close)
            ledger = Ledger.open(directory / "ledger.sqlite", disk)
            undo.callback(ledger.close)
            keys = (storage_key, *former)
            vault = Vault(sealed, keys, disk)
            recovery = recover(ledger, vault, keys, disk, on_copy)
            undo.pop_all()
        return cls(lock, ledger, vault, recovery)

    def close(self) -> None:
        """Let go; everything is on disk already, and what is reserved counts as spent at the next opening."""
        self._ledger.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the epoch ------------------------------------------------------------------------------------------

    def epoch(self) -> StoredEpoch | None:
        """Unseal the current epoch; one that is damaged is destroyed, with an error that says so."""
        with self._ledger.reading() as connection:
            row = accounts.epoch(connection)
        if row is None:
            return None
        words = np.empty((1, row.label.count), dtype=np.uint64)
        try:
            self._vault.read(row.epoch, row.label, row.salt, 0, words)
        except VaultDamagedError as exc:
            self.destroy_epoch(f"its sealed keys are damaged: {exc}")
            raise StockDamagedError(
                f"the keys of epoch {row.epoch.hex()[:12]} cannot be read ({exc}); epoch and stock are gone",
                where=str(self._vault.path(row.epoch)),
                remedy="Check the disk. The centres found a new epoch by themselves.",
            ) from None
        return StoredEpoch(row.epoch, words.tobytes()[: row.state_bytes])

    def begin_epoch(self, epoch_id: bytes, state: bytes) -> None:
        """Store a new epoch, in place of any former one, which is destroyed with its stock.

        ``state`` (at most 64 MiB) is sealed.  An epoch that was here before is refused: its used triples are
        not remembered any more.
        """
        limits.check_length("epoch id", epoch_id, limits.EPOCH_ID_BYTES)
        if len(state) > limits.EPOCH_STATE_BYTES_MAX:
            raise ValueError(
                f"the state of an epoch has {len(state)} bytes, the limit is {limits.EPOCH_STATE_BYTES_MAX}"
            )
        with self._ledger.reading() as connection:
            current = accounts.epoch(connection)
            if accounts.is_past_epoch(connection, epoch_id) or (current and current.epoch == epoch_id):
                raise StockError(
                    f"epoch {epoch_id.hex()[:12]} was here before and cannot begin again",
                    where=self._where,
                    remedy="Found a new epoch.",
                )
        row = accounts.EpochRow(epoch_id, os.urandom(limits.SALT_BYTES), len(state))
        words = np.frombuffer(state.ljust(_WORD * row.label.count, b"\0"), dtype=np.uint64).reshape(1, -1)
        self._vault.write([NewFile(epoch_id, row.label, row.salt, words)])
        try:
            with self._ledger.writing() as connection:
                accounts.end_epoch(connection, "replaced by the next one")
                connection.execute("INSERT INTO epoch VALUES (1, ?, ?, ?)", (row.epoch, row.salt, row.state_bytes))
        except StockError:
            self._give_up(epoch_id)
            raise
        self._ledger.truncate_log()
        self._vault.sweep({epoch_id})

    def destroy_epoch(self, reason: str) -> None:
        """Delete the epoch's keys and all its stock; nothing happens if there is none.

        Even when the ledger cannot be written the files go, and without them the next start ends the epoch.
        """
        try:
            with self._ledger.writing() as connection:
                accounts.end_epoch(connection, reason[: limits.REASON_CHARS_MAX])
            self._ledger.truncate_log()
        finally:
            self._vault.sweep(set())

    def renew(self, storage_key: StorageKey) -> None:
        """Have epoch and stock sealed under the key that now seals; after it no former one is needed.

        What no key opens is dropped, and takes the epoch with it if it was the epoch's.  May be cut short at any point
        and begun again.  Raises :class:`StockError` for what the disk says.
        """
        with self._ledger.reading() as connection:
            epoch, batches = accounts.epoch(connection), accounts.batches(connection)
        if epoch is not None:
            try:
                self._vault.renew(epoch.epoch, epoch.label, epoch.salt)
            except VaultDamagedError as exc:
                self.destroy_epoch(f"its sealed keys are damaged: {exc}")
                batches = []
            for row in batches:
                try:
                    if row.salt is not None:
                        self._vault.renew(row.batch, row.label(epoch.epoch), row.salt)
                except VaultDamagedError:
                    self.drop(row.batch)
        self._ledger.set_meta("key check", key_check(storage_key))

    # --- batches --------------------------------------------------------------------------------------------

    def unlock(self, *batches: bytes) -> None:
        """Make batches usable, all or none: all parties have confirmed their digests.  Twice does no harm."""
        with self._ledger.writing() as connection:
            for batch in batches:
                row = self._find(accounts.batch(connection, batch), batch)
                connection.execute("UPDATE batch SET state = ? WHERE number = ?", (State.UNLOCKED, row.number))

    def drop(self, batch: bytes) -> None:
        """Give up a batch for good; one that is not here is as good as dropped."""
        with self._ledger.writing() as connection:
            row = accounts.batch(connection, batch)
            if row is not None:
                accounts.set_gone(connection, row.number)
        self._vault.remove(batch)

    def inventory(self) -> list[BatchInfo]:
        """List the batches in stock, oldest first."""
        with self._ledger.reading() as connection:
            return [row.info for row in accounts.batches(connection)]

    def levels(self) -> dict[str, Level]:
        """Tell what is left of every kind in stock."""
        ready: defaultdict[str, int] = defaultdict(int)
        locked: defaultdict[str, int] = defaultdict(int)
        for info in self.inventory():
            (ready if info.state is State.UNLOCKED else locked)[info.kind] += info.left
        return {kind: Level(ready[kind], locked[kind]) for kind in sorted({*ready, *locked})}

    def level(self, kind: str) -> int:
        """Count the items of a kind that are unlocked and not reserved."""
        return self.levels().get(kind, Level()).ready

    def reconcile(self, common: Mapping[bytes, bytes], cursors: Mapping[bytes, int] | None = None) -> Reconciled:
        """Keep only what all parties hold alike: ``common`` has the digest by batch.

        Locked batches among those become unlocked, all others are dropped.  ``cursors``, if given, are the
        furthest any party has used of each batch, and ours move up to them: a centre that was put back to an
        earlier state is so kept from using again what an honest other remembers.
        """
        unlocked, dropped, advanced = [], [], []
        with self._ledger.writing() as connection:
            for row in accounts.batches(connection):
                if common.get(row.batch) != row.digest:
                    accounts.set_gone(connection, row.number)
                    dropped.append(row.batch)
                    continue
                cursor = min(row.count, (cursors or {}).get(row.batch, 0))
                if cursor > row.cursor:
                    connection.execute("UPDATE batch SET cursor = ? WHERE number = ?", (cursor, row.number))
                    advanced.append(row.batch)
                if row.state is State.LOCKED:
                    connection.execute("UPDATE batch SET state = ? WHERE number = ?", (State.UNLOCKED, row.number))
                    unlocked.append(row.batch)
        for batch in dropped:
            self._vault.remove(batch)
        self._retire()
        return Reconciled(tuple(unlocked), tuple(dropped), tuple(advanced))

    # --- sessions -------------------------------------------------------------------------------------------

    def plan(self, need: Mapping[str, int]) -> dict[str, list[Segment]]:
        """Choose segments for ``need`` items of each kind, oldest batch first; reserves nothing.

        Raises :class:`ShortOfStockError`.
        """
        stock = [info for info in self.inventory() if info.state is State.UNLOCKED]
        chosen: dict[str, list[Segment]] = {}
        missing: dict[str, int] = {}
        for kind, wanted in need.items():
            left = wanted
            for info in stock:
                if info.kind == kind and info.left and left > 0:
                    part = min(left, info.left)
                    chosen.setdefault(kind, []).append(Segment(info.batch, info.cursor, info.cursor + part))
                    left -= part
            if left > 0:
                missing[kind] = left
        if missing:
            raise ShortOfStockError(missing, where=self._where)
        return chosen

    def reserve(self, session: bytes, segments: Mapping[str, Sequence[Segment]]) -> None:
        """Reserve segments for a session: all of them or none, durable on return, never rolled back.

        A segment must be of an unlocked batch of its kind and start at or after the cursor, which then moves
        to its end; a gap is burnt.  Raises :class:`SegmentRefusedError`; the segments may be a peer's
        proposal.
        """
        limits.check_length("session id", session, limits.SESSION_BYTES)
        if sum(map(len, segments.values())) > PROPOSAL_SEGMENTS_MAX:
            raise self._refused("there are too many segments")
        with self._ledger.writing() as connection:
            if accounts.holding(connection, session) is not None:
                raise self._refused("this session reserved before")
            cursors: dict[bytes, int] = {}
            rows: list[tuple[BatchRow, int, int]] = []
            for kind, parts in segments.items():
                for part in parts:
                    row = accounts.batch(connection, part.batch)
                    if row is None or row.kind != kind or row.state is not State.UNLOCKED:
                        raise self._refused(f"batch {part.batch.hex()[:12]} is not in stock as {kind[:40]!r}")
                    if not cursors.get(part.batch, row.cursor) <= part.start < part.stop <= row.count:
                        raise self._refused(
                            f"items {part.start} to {part.stop} of batch {part.batch.hex()[:12]} are not free"
                        )
                    cursors[part.batch] = part.stop
                    rows.append((row, part.start, part.stop))
            accounts.add_segments(connection, session, rows)

    def take(self, session: bytes) -> dict[str, Columns]:
        """Spend what a session reserved, durably, *then* return it: uint64[rows, total] by kind, in order.

        Works once.  Raises :class:`NotReservedError`, and :class:`StockDamagedError` if a file turns out not
        to be what was written – the damaged batch is dropped, and what else the session held is burnt.
        """
        with self._ledger.writing() as connection:
            epoch = accounts.epoch(connection)
            parts = accounts.segments(connection, session)
            if epoch is None or not accounts.spend(connection, session):
                raise self._not_reserved(session, "holds no reservation, or had its material already")
        try:
            for row, _, _ in parts:
                if row.state is State.GONE:
                    raise self._not_reserved(session, f"lost batch {row.batch.hex()[:12]}, which was dropped")
            return self._read(epoch.epoch, parts)
        finally:
            self._retire()

    def burn(self, session: bytes) -> None:
        """Spend what a session reserved without reading it; one that holds nothing has nothing to burn."""
        with self._ledger.writing() as connection:
            changed = accounts.spend(connection, session)
        if changed:
            self._retire()

    # --- inside ---------------------------------------------------------------------------------------------

    def _read(self, epoch: bytes, parts: Iterable[tuple[BatchRow, int, int]]) -> dict[str, Columns]:
        by_kind: dict[str, list[tuple[BatchRow, int, int]]] = {}
        for part in parts:
            by_kind.setdefault(part[0].kind, []).append(part)
        taken: dict[str, Columns] = {}
        for kind, group in by_kind.items():
            out = np.empty((group[0][0].rows, sum(b - a for _, a, b in group)), dtype=np.uint64)
            at = 0
            for row, start, stop in group:
                self._read_segment(epoch, row, start, out[:, at : at + stop - start])
                at += stop - start
            taken[kind] = out
        return taken

    def _read_segment(self, epoch: bytes, row: BatchRow, start: int, out: Columns) -> None:
        try:
            if row.salt is None or row.rows != len(out):
                raise VaultDamagedError("it has another shape than others of its kind")
            self._vault.read(row.batch, row.label(epoch), row.salt, start, out)
        except VaultDamagedError as exc:
            self.drop(row.batch)
            raise StockDamagedError(
                f"a batch of {row.kind} cannot be used and was dropped: {exc}",
                where=str(self._vault.path(row.batch)),
                remedy="Check the disk, and who can write there; new stock is made by itself.",
            ) from None

    def _retire(self) -> None:
        """Remove batches whose last item is spent.  A full disk puts that off and fails no session."""
        with contextlib.suppress(StockError):
            with self._ledger.reading() as connection:
                rows = accounts.used_up(connection)
            if not rows:
                return
            with self._ledger.writing() as connection:
                for row in rows:
                    accounts.set_gone(connection, row.number)
            for row in rows:
                self._vault.remove(row.batch)

    def _give_up(self, name: bytes) -> None:
        """Remove a file whose row was refused.  If the row is in doubt, the next opening knows what to do."""
        if not self._ledger.in_doubt:
            self._vault.remove(name)

    def _find(self, row: BatchRow | None, batch: bytes) -> BatchRow:
        if row is None or row.state is State.GONE:
            raise SegmentRefusedError(
                f"batch {batch.hex()[:12]} is not in stock", where=self._where, remedy="Drop it everywhere."
            )
        return row

    def _refused(self, what: str) -> SegmentRefusedError:
        return SegmentRefusedError(what, where=self._where, remedy="Plan the session anew.")

    def _not_reserved(self, session: bytes, what: str) -> NotReservedError:
        return NotReservedError(
            f"session {session.hex()[:12]} {what}", where=self._where, remedy="Begin the session anew."
        )
