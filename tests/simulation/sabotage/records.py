"""Defects of what is on disk: the audit log, the ledger, the stock, small files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from unittest import mock

from nskd import durable
from nskd.analysis import contribution as contribution_module
from nskd.analysis import populations as populations_module
from nskd.daemon.auditor import Auditor
from nskd.errors import OperatorError
from nskd.governance import audit_file
from nskd.governance.audit import Event
from nskd.governance.audit_file import AuditFile
from nskd.governance.database import Database
from nskd.stockpile import accounts, schema
from nskd.stockpile.ledger import Ledger as StockLedger
from nskd.stockpile.sealing import Label
from nskd.stockpile.states import Holding
from nskd.stockpile.vault import Columns, Vault
from tests.simulation.sabotage.defect import Defect

CUTS: Final = ("power cut", "power cut during a run", "power cut within a durable step")
STEPS: Final = ("power cut within a durable step",)
_GUARDS: Final = ("TRIGGER cursor_forward", "TRIGGER segment_once")


class _NoSync:
    """The operating system, but for ``fsync``."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @staticmethod
    def fsync(_: int) -> None:
        """Somebody found that it takes long."""


def _without_sync(module: ModuleType) -> Callable[[], Any]:
    return lambda: mock.patch.object(module, "os", _NoSync())


@contextmanager
def _lazy_ledger() -> Iterator[None]:
    prepare = Database._prepare

    def prepared(database: Database, *args: Any) -> None:
        prepare(database, *args)
        database._connection.execute("PRAGMA synchronous = NORMAL")

    with mock.patch.object(Database, "_prepare", prepared):
        yield


@contextmanager
def _lazy_stock() -> Iterator[None]:
    take = StockLedger._take

    def taken(ledger: StockLedger) -> None:
        take(ledger)
        ledger._connection.execute("PRAGMA synchronous = NORMAL")

    with mock.patch.object(StockLedger, "_take", taken):
        yield


@contextmanager
def _cursor_late() -> Iterator[None]:
    spend = accounts.spend

    def added(connection: sqlite3.Connection, session: bytes, rows: Iterable[Any]) -> None:
        connection.execute("INSERT INTO session VALUES (?, ?)", (session, Holding.RESERVED))
        for place, (row, start, stop) in enumerate(rows):
            connection.execute("INSERT INTO segment VALUES (?, ?, ?, ?, ?)", (row.number, start, stop, session, place))

    def spent(connection: sqlite3.Connection, session: bytes | None = None) -> int:
        if session is not None:  # when it is taken; what a crash found reserved is forgotten
            for row, _, stop in accounts.segments(connection, session):
                moved = "UPDATE batch SET cursor = max(cursor, ?) WHERE number = ?"
                connection.execute(moved, (stop, row.number))
        return spend(connection, session)

    with mock.patch.object(accounts, "add_segments", added), mock.patch.object(accounts, "spend", spent):
        yield


@contextmanager
def _cursor_one_short() -> Iterator[None]:
    add = accounts.add_segments

    def added(connection: sqlite3.Connection, session: bytes, rows: Iterable[Any]) -> None:
        held = list(rows)
        add(connection, session, held)
        for row, _, stop in held:
            connection.execute("UPDATE batch SET cursor = ? WHERE number = ?", (stop - 1, row.number))

    with mock.patch.object(accounts, "add_segments", added):
        yield


@contextmanager
def _cursor_unguarded() -> Iterator[None]:
    unguarded = tuple(each for each in schema.STATEMENTS if not any(name in each for name in _GUARDS))
    assert len(unguarded) == len(schema.STATEMENTS) - len(_GUARDS)
    with mock.patch.object(schema, "STATEMENTS", unguarded), _cursor_one_short():
        yield


@contextmanager
def _read_early() -> Iterator[None]:
    read = Vault.read

    def early(vault: Vault, name: bytes, label: Label, salt: bytes, start: int, out: Columns) -> None:
        read(vault, name, label, salt, max(0, start - 1), out)

    with mock.patch.object(Vault, "read", early):
        yield


@contextmanager
def _torn_tail_left() -> Iterator[None]:
    recover = AuditFile._recover

    def recovered(log: AuditFile, _torn: bytes, now: int) -> None:
        recover(log, b"", now)

    with mock.patch.object(AuditFile, "_recover", recovered):
        yield


@contextmanager
def _written_in_place() -> Iterator[None]:
    def write(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        durable.sync_directory(path.parent)

    with ExitStack() as stack:
        for module in (contribution_module, populations_module):
            stack.enter_context(mock.patch.object(module, "write_durably", write))
        yield


@contextmanager
def _entry_twice() -> Iterator[None]:
    append = AuditFile.append

    def appended(log: AuditFile, event: Event, **fields: Any) -> Any:
        if event is Event.RUN_BEGUN:
            append(log, event, **fields)
        return append(log, event, **fields)

    with mock.patch.object(AuditFile, "append", appended):
        yield


@contextmanager
def _entry_lost() -> Iterator[None]:
    record = Auditor.record

    async def recorded(auditor: Auditor, event: Event, **fields: Any) -> Any:
        try:
            return await record(auditor, event, **fields)
        except OperatorError:
            return None  # somebody found that a full disk must not stop a run

    with mock.patch.object(Auditor, "record", recorded):
        yield


LOST_FILE: Final = r"has lost \S+, or other bytes|ended: (Charter|Policy)Error"

DEFECTS: Final = (
    Defect(
        "audit-unsynced",
        "the audit log is not synced",
        "has lost audit entry|does not follow",
        _without_sync(audit_file),
        CUTS,
    ),
    Defect("ledger-unsynced", "commits of the ledger are not synced", "has lost|has forgotten", _lazy_ledger, CUTS),
    Defect("stock-unsynced", "commits of the stock are not synced", "free again|twice", _lazy_stock, CUTS),
    Defect("file-unsynced", "small files are not synced", LOST_FILE, _without_sync(durable), CUTS),
    Defect(
        "names-unsynced",
        "directories of small files are not synced",
        LOST_FILE,
        lambda: mock.patch.object(durable, "sync_directory", lambda _: None),
        CUTS,
    ),
    Defect(
        "cursor-late",
        "a cursor moves when stock is taken, not when it is promised",
        "free again|twice|not answered in calm",
        _cursor_late,
        CUTS,
    ),
    Defect(
        "cursor-short", "a cursor stays one item short", "items of .* twice|not answered in calm", _cursor_one_short
    ),
    Defect(
        "cursor-unguarded",
        "the same, and the stock's own ledger lets an item be handed out again",
        "free again|items of .* twice",
        _cursor_unguarded,
    ),
    Defect("read-early", "what is read begins an item before what was promised", "items of .* twice", _read_early),
    Defect("torn-tail", "a torn end of the audit log stays", "ended: BadEntry|does not hold", _torn_tail_left, STEPS),
    Defect("torn-file", "small files are written in place", f"{LOST_FILE}|fails in calm", _written_in_place, STEPS),
    Defect(
        "entry-twice", "an audit entry is written twice", "2 times in its audit log|does not follow entry", _entry_twice
    ),
    Defect(
        "entry-lost",
        "what the disk refuses is not put on record, and goes on",
        "its audit log is silent|its audit log has",
        _entry_lost,
        ("failing disk", "full disk"),
    ),
)
