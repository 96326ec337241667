"""A full disk at every step: a clear error, nothing half written, and everything works again afterwards."""

from __future__ import annotations

import errno
import itertools
import json
import os
import resource
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from nskd.stockpile import Incoming, StockError, Stockpile
from tests.nskd.stockpile.world import (
    EPOCH,
    KEY,
    STATE,
    ScriptedDisk,
    add,
    batch_id,
    columns,
    digest,
    incoming,
    session_id,
    store,
)


def full_at(target: int) -> Callable[[int, str], None]:
    """Fail the way each kind of step fails on a full disk."""

    def before(number: int, name: str) -> None:
        if number == target:
            if name == "commit":
                raise sqlite_full()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return before


def sqlite_full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def test_full_at_every_step(tmp_path: Path) -> None:
    """Of adding a batch, and of beginning an epoch."""
    disk = ScriptedDisk()
    many = columns(2, "triple", 50_000)
    with Stockpile.open(tmp_path, KEY, disk=disk) as stock:
        stock.begin_epoch(EPOCH, STATE)
        add(stock, 1)
        before = stock.inventory()
        calls: list[Callable[[int], None]] = [
            lambda number: store(stock, Incoming(batch_id(number), "triple", digest(number), many)),
            lambda number: store(stock, incoming(number), incoming(100 + number)),
            lambda number: stock.begin_epoch(number.to_bytes(32, "big"), b"x" * 2_000_000),
        ]
        for call in calls:
            failed = 0
            for step in itertools.count(1, 2):  # odd ones are before a step, even ones after
                disk.before = full_at(disk.steps + step)
                try:
                    call(100 + step)
                except StockError as error:
                    failed += 1
                    assert "disk is full" in str(error)
                    assert str(tmp_path) in str(error)
                    assert stock.inventory() == before
                    assert len(list((tmp_path / "sealed").iterdir())) == 2
                    stored = stock.epoch()
                    assert stored is not None
                    assert stored.epoch_id == EPOCH
                else:
                    break
                finally:
                    disk.before = lambda _number, _name: None
            assert failed >= 6
            stock.drop(batch_id(100 + step))
            stock.drop(batch_id(200 + step))


def test_a_full_ledger(tmp_path: Path) -> None:
    """SQLite's own error, by a ceiling on its pages."""
    with Stockpile.open(tmp_path, KEY) as stock:
        stock.begin_epoch(EPOCH, STATE)
        add(stock, 1, count=10_000)
        connection = stock._ledger._connection
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
        reserved = 0
        with pytest.raises(StockError, match="disk is full") as caught:
            for number in range(10_000):
                stock.reserve(session_id(number), stock.plan({"triple": 1}))
                reserved += 1
        assert "Free some space" in caught.value.remedy
        assert reserved > 10
        assert stock.level("triple") == 10_000 - reserved  # the failed one moved nothing
        with pytest.raises(StockError):
            stock.take(session_id(reserved))
        assert (stock.take(session_id(0))["triple"] == columns(1, "triple", 1)).all()
        connection.execute("PRAGMA max_page_count = 100000")
        stock.reserve(session_id(reserved), stock.plan({"triple": 1}))
        assert (stock.take(session_id(reserved))["triple"][0] & 0xFFFFFF == reserved).all()


def test_full_when_spending_gives_nothing_out(tmp_path: Path) -> None:
    disk = ScriptedDisk()

    def full(_number: int, name: str) -> None:
        if name == "commit":
            raise sqlite_full()

    with Stockpile.open(tmp_path, KEY, disk=disk) as stock:
        stock.begin_epoch(EPOCH, STATE)
        add(stock, 1)
        stock.reserve(session_id(1), stock.plan({"triple": 10}))
        disk.before = full
        with pytest.raises(StockError, match="disk is full"):
            stock.take(session_id(1))
        with pytest.raises(StockError, match="disk is full"):
            stock.reserve(session_id(2), stock.plan({"triple": 10}))
        with pytest.raises(StockError, match="disk is full"):
            stock.begin_epoch(b"\x02" * 32, STATE)
        disk.before = lambda _number, _name: None
        assert stock.level("triple") == 90
        assert stock.take(session_id(1))["triple"].shape == (6, 10)
        stored = stock.epoch()
        assert stored is not None
        assert stored.epoch_id == EPOCH


def test_full_when_removing_what_is_used_up(tmp_path: Path) -> None:
    """The session gets its material; the tidying up is done at the next opening."""
    disk = ScriptedDisk()
    commits = 0

    def full(_number: int, name: str) -> None:
        nonlocal commits
        commits += name == "commit"
        if name == "commit" and commits > 1:
            raise sqlite_full()
        if name == "remove":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with Stockpile.open(tmp_path, KEY, disk=disk) as stock:
        stock.begin_epoch(EPOCH, STATE)
        add(stock, 1)
        stock.reserve(session_id(1), stock.plan({"triple": 100}))

        disk.before = full
        assert stock.take(session_id(1))["triple"].shape == (6, 100)
    with Stockpile.open(tmp_path, KEY) as stock:
        assert stock.inventory() == []
        assert len(list((tmp_path / "sealed").iterdir())) == 1


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_WRITE])
def test_a_doubtful_commit_stops_everything_until_reopened(tmp_path: Path, code: int) -> None:
    disk = ScriptedDisk()

    def broken(_number: int, name: str) -> None:
        if name == "committed":  # it may have happened, and here it has
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = code
            raise error

    with Stockpile.open(tmp_path, KEY, disk=disk) as stock:
        stock.begin_epoch(EPOCH, STATE)
        add(stock, 1)
        disk.before = broken
        with pytest.raises(StockError, match="in doubt"):
            stock.reserve(session_id(1), stock.plan({"triple": 10}))
        disk.before = lambda _number, _name: None
        for call in (stock.inventory, lambda: stock.take(session_id(1)), lambda: stock.burn(session_id(1))):
            with pytest.raises(StockError, match="in doubt"):
                call()
    with Stockpile.open(tmp_path, KEY) as stock:
        assert stock.level("triple") == 90


def test_a_file_size_limit_of_the_kernel(tmp_path: Path) -> None:
    """The real system call fails, in a process of its own."""
    with Stockpile.open(tmp_path, KEY) as stock:
        stock.begin_epoch(EPOCH, STATE)
        add(stock, 1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            with Stockpile.open(tmp_path, KEY) as stock:
                try:
                    add(stock, 2, count=100_000)
                except StockError as error:
                    names = sorted(path.name for path in (tmp_path / "sealed").iterdir())
                    answer = [str(error), names, len(stock.inventory())]
                    os.write(writing, json.dumps(answer).encode())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        message, names, batches = json.loads(pipe.read())
    os.waitpid(child, 0)
    assert "disk is full" in message
    assert batch_id(2).hex() in message
    assert names == sorted([f"{batch_id(1).hex()}.sealed", f"{EPOCH.hex()}.sealed"])
    assert batches == 1
