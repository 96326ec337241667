"""Files that are not what was written: each gives a clear error, none is used."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nskd.credentials import StorageKey
from nskd.stockpile import (
    Level,
    SegmentRefusedError,
    StockDamagedError,
    StockError,
    StockInUseError,
    Stockpile,
    limits,
)
from tests.nskd.stockpile.world import EPOCH, KEY, STATE, add, batch_id, columns, digest, expected, session_id

PIECE = limits.PIECE_ITEMS * 8 + 16


def make(directory: Path, batches: int = 2, count: int = 100) -> None:
    with Stockpile.open(directory, KEY) as stock:
        stock.begin_epoch(EPOCH, STATE)
        for number in range(1, batches + 1):
            add(stock, number, count=count)


def file_of(directory: Path, number: int) -> Path:
    return directory / "sealed" / f"{batch_id(number).hex()}.sealed"


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


@pytest.mark.parametrize("at", [0, 1000, -1])
def test_a_flipped_bit(tmp_path: Path, at: int) -> None:
    make(tmp_path)
    with Stockpile.open(tmp_path, KEY) as stock:
        flip(file_of(tmp_path, 1), at)
        stock.reserve(session_id(1), stock.plan({"triple": 150}))
        with pytest.raises(StockDamagedError) as caught:
            stock.take(session_id(1))
        assert "not what was written" in str(caught.value)
        assert str(file_of(tmp_path, 1)) in str(caught.value)
        assert [info.batch for info in stock.inventory()] == [batch_id(2)]
        assert not file_of(tmp_path, 1).exists()
        with pytest.raises(SegmentRefusedError):
            stock.reserve(session_id(1), stock.plan({"triple": 10}))
        assert stock.level("triple") == 50  # what the session held of the sound batch is burnt


def swap_files(a: Path, b: Path) -> None:
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)


def swap_pieces(a: Path, _: Path) -> None:
    raw = a.read_bytes()
    a.write_bytes(raw[PIECE : 2 * PIECE] + raw[:PIECE] + raw[2 * PIECE :])


def swap_blocks(a: Path, _: Path) -> None:
    raw, block = a.read_bytes(), 6 * PIECE
    a.write_bytes(raw[block : 2 * block] + raw[:block] + raw[2 * block :])


def repeat_piece(a: Path, _: Path) -> None:
    raw = a.read_bytes()
    a.write_bytes(raw[:PIECE] + raw[:PIECE] + raw[2 * PIECE :])


def piece_of_another(a: Path, b: Path) -> None:
    a.write_bytes(b.read_bytes()[:PIECE] + a.read_bytes()[PIECE:])


@pytest.mark.parametrize("harm", [swap_files, swap_pieces, swap_blocks, repeat_piece, piece_of_another])
def test_moved_pieces_and_files(tmp_path: Path, harm: Callable[[Path, Path], None]) -> None:
    count = 3 * limits.PIECE_ITEMS
    make(tmp_path, count=count)
    harm(file_of(tmp_path, 1), file_of(tmp_path, 2))
    with Stockpile.open(tmp_path, KEY) as stock:
        stock.reserve(session_id(1), stock.plan({"triple": count}))
        with pytest.raises(StockDamagedError):
            stock.take(session_id(1))


def test_a_file_of_another_epoch(tmp_path: Path) -> None:
    make(tmp_path)
    kept = file_of(tmp_path, 1).read_bytes()
    with Stockpile.open(tmp_path, KEY) as stock:
        stock.begin_epoch(b"\x02" * 32, STATE)
        add(stock, 1)
        file_of(tmp_path, 1).write_bytes(kept)
        stock.reserve(session_id(1), stock.plan({"triple": 1}))
        with pytest.raises(StockDamagedError):
            stock.take(session_id(1))


@pytest.mark.parametrize("left", [None, 0, 1, -1])
def test_a_missing_or_truncated_file_is_found_at_opening(tmp_path: Path, left: int | None) -> None:
    make(tmp_path)
    path = file_of(tmp_path, 1)
    if left is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:left])
    with Stockpile.open(tmp_path, KEY) as stock:
        assert stock.recovery.batches_damaged == (batch_id(1),)
        assert "cut short" in stock.recovery.notes()[0]
        assert stock.level("triple") == 100
        assert not path.exists()


@pytest.mark.parametrize("left", [None, 0, 10])
def test_a_file_truncated_or_removed_under_way(tmp_path: Path, left: int | None) -> None:
    make(tmp_path)
    with Stockpile.open(tmp_path, KEY) as stock:
        path = file_of(tmp_path, 1)
        if left is None:
            path.unlink()
        else:
            os.truncate(path, left)
        stock.reserve(session_id(1), stock.plan({"triple": 1}))
        with pytest.raises(StockDamagedError, match=r"cut short|cannot be opened"):
            stock.take(session_id(1))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "stock")
    path = file_of(tmp_path / "stock", 1)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with Stockpile.open(tmp_path / "stock", KEY) as stock:
        assert stock.recovery.batches_damaged == (batch_id(1),)
    assert (tmp_path / "elsewhere").exists()


def test_damaged_keys_of_an_epoch(tmp_path: Path) -> None:
    make(tmp_path)
    path = tmp_path / "sealed" / f"{EPOCH.hex()}.sealed"
    flip(path, 50)
    with Stockpile.open(tmp_path, KEY) as stock:
        with pytest.raises(StockDamagedError, match="found a new epoch"):
            stock.epoch()
        assert stock.epoch() is None
        assert stock.levels() == {}
        assert not list(path.parent.iterdir())


def test_missing_keys_of_an_epoch(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "sealed" / f"{EPOCH.hex()}.sealed").unlink()
    with Stockpile.open(tmp_path, KEY) as stock:
        assert stock.recovery.epoch_damaged
        assert stock.epoch() is None
        assert stock.levels() == {}


def test_orphans_are_removed(tmp_path: Path) -> None:
    make(tmp_path)
    stray = file_of(tmp_path, 7)
    stray.write_bytes(b"left by a crash")
    (tmp_path / "sealed" / "whatever").write_bytes(b"")
    with Stockpile.open(tmp_path, KEY) as stock:
        assert stock.recovery.files_removed == 2
        assert stock.level("triple") == 200
        assert not stray.exists()
        add(stock, 7)  # its id was never used


def test_another_storage_key(tmp_path: Path) -> None:
    make(tmp_path)
    with pytest.raises(StockError, match="another storage key"):
        Stockpile.open(tmp_path, StorageKey.generate())
    with Stockpile.open(tmp_path, KEY) as stock:  # nothing was touched
        assert stock.level("triple") == 200


def test_a_copy_is_told_of_before_it_is_forgotten(tmp_path: Path) -> None:
    """Whoever has to note it may be cut short; the next opening then tells it again."""
    make(tmp_path / "stock")
    shutil.copytree(tmp_path / "stock", tmp_path / "copy")
    told = []

    def cut_short() -> None:
        told.append("first")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stockpile.open(tmp_path / "copy", KEY, on_copy=cut_short)
    Stockpile.open(tmp_path / "copy", KEY, on_copy=lambda: told.append("second")).close()
    Stockpile.open(tmp_path / "copy", KEY, on_copy=lambda: told.append("third")).close()
    assert told == ["first", "second"]


def test_a_restored_copy_is_destroyed(tmp_path: Path) -> None:
    make(tmp_path / "stock")
    shutil.copytree(tmp_path / "stock", tmp_path / "backup")
    shutil.rmtree(tmp_path / "stock")
    shutil.copytree(tmp_path / "backup", tmp_path / "stock")
    with Stockpile.open(tmp_path / "stock", KEY) as stock:
        assert stock.recovery.restored
        assert "backup" in stock.recovery.notes()[0]
        assert stock.epoch() is None
        assert stock.levels() == {}
        with pytest.raises(StockError, match="before"):
            stock.begin_epoch(EPOCH, STATE)
        stock.begin_epoch(b"\x02" * 32, STATE)
    with Stockpile.open(tmp_path / "stock", KEY) as stock:
        assert not stock.recovery.restored
        assert stock.epoch() is not None


def test_a_ledger_put_back_alone_is_destroyed(tmp_path: Path) -> None:
    make(tmp_path)
    shutil.copy2(tmp_path / "ledger.sqlite", tmp_path / "old")
    with Stockpile.open(tmp_path, KEY) as stock:
        stock.reserve(session_id(1), stock.plan({"triple": 150}))
    (tmp_path / "old").replace(tmp_path / "ledger.sqlite")
    with Stockpile.open(tmp_path, KEY) as stock:
        assert stock.recovery.restored
        assert stock.levels() == {}


def test_cursors_of_other_centres_undo_a_rollback_nobody_noticed(tmp_path: Path) -> None:
    """In place, under the same inode: the one case left to the comparison with others."""
    make(tmp_path)
    old = (tmp_path / "ledger.sqlite").read_bytes()
    with Stockpile.open(tmp_path, KEY) as stock:
        stock.reserve(session_id(1), stock.plan({"triple": 130}))
        cursors = {info.batch: info.cursor for info in stock.inventory()}
    (tmp_path / "ledger.sqlite").write_bytes(old)
    with Stockpile.open(tmp_path, KEY) as stock:
        assert not stock.recovery.restored
        assert stock.level("triple") == 200
        stock.reconcile({batch_id(1): digest(1), batch_id(2): digest(2)}, cursors)
        assert stock.level("triple") == 70


@pytest.mark.parametrize("harm", ["noise", "zeros in the middle", "later version", "earlier version"])
def test_a_damaged_ledger(tmp_path: Path, harm: str) -> None:
    make(tmp_path, batches=200, count=1)
    path = tmp_path / "ledger.sqlite"
    if harm == "noise":
        path.write_bytes(b"noise" * 10_000)
    elif harm in ("later version", "earlier version"):
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {99 if harm == 'later version' else 1}")
        connection.close()
    else:
        raw = bytearray(path.read_bytes())
        raw[4096:] = bytes(len(raw) - 4096)
        path.write_bytes(raw)
    with pytest.raises(StockError) as caught:
        Stockpile.open(tmp_path, KEY)
    assert str(path) in str(caught.value)
    assert "emove" in caught.value.remedy
    assert "version" not in harm or harm in str(caught.value)


def test_one_daemon_at_a_time(tmp_path: Path) -> None:
    with Stockpile.open(tmp_path, KEY):
        with pytest.raises(StockInUseError, match="another nskd"):
            Stockpile.open(tmp_path, KEY)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                Stockpile.open(tmp_path, KEY)
                os.write(writing, b"opened")
            except StockInUseError:
                os.write(writing, b"refused")
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)
        assert os.read(reading, 10) == b"refused"
        os.close(reading)
        os.close(writing)
    Stockpile.open(tmp_path, KEY).close()


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    make(tmp_path)
    child = os.fork()
    if child == 0:
        try:
            stock = Stockpile.open(tmp_path, KEY)
            stock.reserve(session_id(1), stock.plan({"triple": 1}))
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with Stockpile.open(tmp_path, KEY) as stock:
        assert stock.recovery.sessions_burnt == 1


def test_the_directory_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StockError, match="Check the directory"):
        Stockpile.open(tmp_path / "file" / "stock", KEY)
    (tmp_path / "lock").mkdir()
    with pytest.raises(StockError, match="Is a directory"):
        Stockpile.open(tmp_path, KEY)


def test_every_byte_of_a_small_file_matters(tmp_path: Path) -> None:
    make(tmp_path, batches=1, count=3)
    path = file_of(tmp_path, 1)
    sound = path.read_bytes()
    with Stockpile.open(tmp_path, KEY) as stock:
        row = stock._ledger._connection.execute("SELECT salt FROM batch").fetchone()
        from nskd.stockpile.sealing import Label
        from nskd.stockpile.vault import VaultDamagedError

        out = np.empty((6, 3), dtype=np.uint64)
        label = Label(EPOCH, batch_id(1), "triple", 6, 3)
        for at in range(len(sound)):
            flip(path, at)
            with pytest.raises(VaultDamagedError):
                stock._vault.read(batch_id(1), label, row[0], 0, out)
            path.write_bytes(sound)
        stock._vault.read(batch_id(1), label, row[0], 0, out)
        np.testing.assert_array_equal(out, columns(1, "triple", 3))
        for wrong in (
            Label(b"\x02" * 32, batch_id(1), "triple", 6, 3),
            Label(EPOCH, batch_id(2), "triple", 6, 3),
            Label(EPOCH, batch_id(1), "bit", 6, 3),
            Label(EPOCH, batch_id(1), "triple", 3, 6),
        ):
            with pytest.raises(VaultDamagedError):
                stock._vault.read(batch_id(1), wrong, row[0], 0, np.empty((wrong.rows, wrong.count), np.uint64))
        assert stock.levels() == {"triple": Level(ready=3)}
        stock.reserve(session_id(1), plan := stock.plan({"triple": 2}))
        np.testing.assert_array_equal(stock.take(session_id(1))["triple"], expected("triple", plan["triple"]))
