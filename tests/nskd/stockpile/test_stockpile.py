"""The life of a triple, without accidents."""

from __future__ import annotations

import copy
import os
import pickle
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nskd.errors import OperatorError
from nskd.stockpile import (
    Incoming,
    Level,
    NotReservedError,
    Segment,
    SegmentRefusedError,
    ShortOfStockError,
    State,
    StockError,
    Stockpile,
)
from nskd.stockpile import limits as bounds
from nskd.stockpile.sealing import Sealer
from tests.nskd.stockpile.world import (
    EPOCH,
    KEY,
    STATE,
    add,
    batch_id,
    columns,
    digest,
    expected,
    incoming,
    session_id,
    store,
)


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[Stockpile]:
    with Stockpile.open(tmp_path / "stock", KEY) as opened:
        opened.begin_epoch(EPOCH, STATE)
        yield opened


def reopen(stock: Stockpile) -> Stockpile:
    stock.close()
    return Stockpile.open(Path(stock._where), KEY)


def test_life_of_a_triple(stock: Stockpile) -> None:
    batch = add(stock, 1, count=1000, unlocked=False)
    assert stock.inventory()[0].state is State.LOCKED
    assert stock.levels() == {"triple": Level(ready=0, locked=1000)}
    with pytest.raises(ShortOfStockError) as short:
        stock.plan({"triple": 1})
    assert short.value.missing == {"triple": 1}
    with pytest.raises(SegmentRefusedError):
        stock.reserve(session_id(1), {"triple": [Segment(batch, 0, 1)]})
    stock.unlock(batch)
    stock.unlock(batch)  # a repeated confirmation does no harm
    plan = stock.plan({"triple": 10})
    assert plan == {"triple": [Segment(batch, 0, 10)]}
    assert stock.level("triple") == 1000  # a plan reserves nothing
    stock.reserve(session_id(1), plan)
    assert stock.level("triple") == 990
    taken = stock.take(session_id(1))
    np.testing.assert_array_equal(taken["triple"], expected("triple", plan["triple"]))
    with pytest.raises(NotReservedError):
        stock.take(session_id(1))
    stock.burn(session_id(1))  # nothing left to burn


def test_segments_come_back_in_order_over_pieces_and_batches(stock: Stockpile) -> None:
    piece = bounds.PIECE_ITEMS
    first = add(stock, 1, count=2 * piece + 17)
    second = add(stock, 2, count=50)
    bits = add(stock, 3, "bit", count=5)
    masks = add(stock, 4, "mask/0", count=7)
    segments = {
        "triple": [
            Segment(first, piece - 3, 2 * piece + 5),
            Segment(second, 10, 50),
            Segment(first, 2 * piece + 6, 2 * piece + 7),
        ],
        "bit": [Segment(bits, 0, 5)],
        "mask/0": [Segment(masks, 6, 7)],
    }
    stock.reserve(session_id(1), segments)
    assert {info.batch: info.cursor for info in stock.inventory()} == {
        first: 2 * piece + 7,
        second: 50,
        bits: 5,
        masks: 7,
    }
    taken = stock.take(session_id(1))
    assert list(taken) == list(segments)
    for kind, parts in segments.items():
        np.testing.assert_array_equal(taken[kind], expected(kind, parts))
        assert taken[kind].flags.c_contiguous
        assert taken[kind].flags.writeable
    # What is used up is gone, file and all; the id stays burnt.
    assert [info.batch for info in stock.inventory()] == [first]
    with pytest.raises(StockError, match="used before"):
        add(stock, 3, "bit", count=5)


@pytest.mark.parametrize("count", [1, bounds.PIECE_ITEMS - 1, bounds.PIECE_ITEMS, 3 * bounds.PIECE_ITEMS + 1])
def test_any_range_comes_back(stock: Stockpile, count: int) -> None:
    """Ranges that begin and end within, at and across pieces, against the columns themselves."""
    m = bounds.PIECE_ITEMS
    edges = sorted({at for at in (0, 1, m - 1, m, m + 1, 2 * m, 3 * m, count - 1, count) if 0 <= at <= count})
    number = 0
    for start in edges:
        for stop in edges:
            if start < stop:
                number += 1
                segment = Segment(add(stock, number, count=count), start, stop)
                stock.reserve(session_id(number), {"triple": [segment]})
                np.testing.assert_array_equal(
                    stock.take(session_id(number))["triple"], expected("triple", [segment]), str(segment)
                )
                stock.drop(segment.batch)


def test_a_small_range_reads_little(stock: Stockpile, monkeypatch: pytest.MonkeyPatch) -> None:
    add(stock, 1, count=4 * bounds.PIECE_ITEMS)
    opened: list[int] = []
    open_into = Sealer.open_into

    def counted(sealer: Sealer, index: int, sealed: memoryview, out: memoryview) -> None:
        opened.append(index)
        open_into(sealer, index, sealed, out)

    monkeypatch.setattr(Sealer, "open_into", counted)
    stock.reserve(session_id(1), {"triple": [Segment(batch_id(1), bounds.PIECE_ITEMS + 5, bounds.PIECE_ITEMS + 1005)]})
    stock.take(session_id(1))
    assert opened == list(range(6, 12))  # one piece of each row


def test_a_plan_spans_batches_oldest_first(stock: Stockpile) -> None:
    first, second = add(stock, 1), add(stock, 2)
    add(stock, 3, unlocked=False)
    assert stock.plan({"triple": 150, "bit": 0}) == {"triple": [Segment(first, 0, 100), Segment(second, 0, 50)]}
    with pytest.raises(ShortOfStockError) as short:
        stock.plan({"triple": 201, "bit": 7})
    assert short.value.missing == {"triple": 1, "bit": 7}


def test_a_gap_is_burnt(stock: Stockpile) -> None:
    batch = add(stock, 1)
    stock.reserve(session_id(1), {"triple": [Segment(batch, 40, 50)]})
    assert stock.level("triple") == 50
    with pytest.raises(SegmentRefusedError, match="not free"):
        stock.reserve(session_id(2), {"triple": [Segment(batch, 0, 10)]})


@pytest.mark.parametrize(
    "segments",
    [
        {"triple": [Segment(batch_id(1), 10, 20), Segment(batch_id(1), 19, 30)]},
        {"triple": [Segment(batch_id(1), 20, 30), Segment(batch_id(1), 10, 20)]},
        {"triple": [Segment(batch_id(1), 10, 10)]},
        {"triple": [Segment(batch_id(1), 20, 10)]},
        {"triple": [Segment(batch_id(1), -1, 10)]},
        {"triple": [Segment(batch_id(1), 0, 101)]},
        {"triple": [Segment(batch_id(1), 0, 10), Segment(batch_id(2), 0, 101)]},
        {"bit": [Segment(batch_id(1), 0, 10)]},
        {"triple": [Segment(batch_id(9), 0, 10)]},
        {"triple": [Segment(b"", 0, 10)]},
        {"triple": [Segment(batch_id(1), 0, 1 << 70)]},
        {"triple": [Segment(batch_id(1), k, k + 1) for k in range(5000)]},
    ],
)
def test_refused_segments_change_nothing(stock: Stockpile, segments: dict[str, list[Segment]]) -> None:
    add(stock, 1)
    add(stock, 2)
    before = stock.inventory()
    with pytest.raises(SegmentRefusedError):
        stock.reserve(session_id(1), segments)
    assert stock.inventory() == before
    with pytest.raises(NotReservedError):
        stock.take(session_id(1))
    stock.reserve(session_id(1), stock.plan({"triple": 200}))  # the id is still good


def test_a_session_reserves_once(stock: Stockpile) -> None:
    add(stock, 1)
    stock.reserve(session_id(1), stock.plan({"triple": 1}))
    with pytest.raises(SegmentRefusedError, match="before"):
        stock.reserve(session_id(1), stock.plan({"triple": 1}))
    stock.burn(session_id(1))
    with pytest.raises(SegmentRefusedError, match="before"):
        stock.reserve(session_id(1), stock.plan({"triple": 1}))
    with pytest.raises(NotReservedError):
        stock.take(session_id(1))
    stock.burn(session_id(7))  # never heard of it


def test_a_session_that_needs_nothing(stock: Stockpile) -> None:
    stock.reserve(session_id(1), {})
    assert stock.take(session_id(1)) == {}


def test_what_was_reserved_is_spent_at_the_next_opening(stock: Stockpile) -> None:
    add(stock, 1)
    add(stock, 2, count=5)
    stock.reserve(session_id(1), {"triple": [Segment(batch_id(1), 0, 30), Segment(batch_id(2), 0, 5)]})
    with reopen(stock) as again:
        assert again.recovery.sessions_burnt == 1
        assert "1 unfinished" in again.recovery.notes()[0]
        assert [(info.batch, info.cursor) for info in again.inventory()] == [(batch_id(1), 30)]
        with pytest.raises(NotReservedError):
            again.take(session_id(1))
        with reopen(again) as third:
            assert third.recovery.notes() == []


def test_the_epoch(stock: Stockpile) -> None:
    stored = stock.epoch()
    assert stored is not None
    assert (stored.epoch_id, stored.state) == (EPOCH, STATE)
    assert "keys" not in repr(stored)
    with pytest.raises(TypeError):
        pickle.dumps(stored)
    with pytest.raises(TypeError):
        copy.copy(stored)
    with pytest.raises(StockError, match="before"):
        stock.begin_epoch(EPOCH, STATE)
    add(stock, 1)
    stock.reserve(session_id(1), stock.plan({"triple": 1}))
    stock.begin_epoch(b"\x02" * 32, b"")
    assert stock.inventory() == []
    with pytest.raises(NotReservedError):
        stock.take(session_id(1))
    stored = stock.epoch()
    assert stored is not None
    assert stored.state == b""
    with pytest.raises(StockError, match="before"):
        stock.begin_epoch(EPOCH, STATE)
    add(stock, 1)  # another epoch, another batch of that id
    stock.destroy_epoch("a test")
    stock.destroy_epoch("twice does no harm")
    assert stock.epoch() is None
    assert stock.levels() == {}
    with pytest.raises(StockError, match="no epoch"):
        add(stock, 5)
    sealed = Path(stock._where) / "sealed"
    assert list(sealed.iterdir()) == []
    with reopen(stock) as again, pytest.raises(StockError, match="before"):
        again.begin_epoch(b"\x02" * 32, STATE)


def test_the_state_of_an_epoch_is_bounded(stock: Stockpile) -> None:
    with pytest.raises(ValueError, match="limit"):
        stock.begin_epoch(b"\x02" * 32, bytes(bounds.EPOCH_STATE_BYTES_MAX + 1))
    assert stock.epoch() is not None


def test_several_batches_come_in_together_or_not_at_all(stock: Stockpile) -> None:
    add(stock, 1)
    new = [incoming(number, "bit", 10) for number in (2, 3)]
    admission = stock.intake.admit(new)
    assert len(stock.inventory()) == 1
    stock.intake.seal(admission)
    stock.intake.record(admission)
    assert [info.batch for info in stock.inventory()] == [batch_id(1), batch_id(2), batch_id(3)]
    with pytest.raises(SegmentRefusedError):
        stock.unlock(batch_id(2), batch_id(9))
    assert stock.level("bit") == 0
    stock.unlock(batch_id(2), batch_id(3))
    assert stock.level("bit") == 20
    with pytest.raises(StockError, match="used before"):
        stock.intake.admit([incoming(4, "bit", 10), incoming(1, "bit", 10)])


def test_an_epoch_that_ends_while_a_batch_is_sealed(stock: Stockpile) -> None:
    admission = stock.intake.admit([incoming(1, "bit", 10), incoming(2, "bit", 10)])
    stock.begin_epoch(b"\x02" * 32, STATE)
    stock.intake.seal(admission)
    with pytest.raises(StockError, match="ended meanwhile"):
        stock.intake.record(admission)
    assert stock.inventory() == []
    assert len(list((Path(stock._where) / "sealed").iterdir())) == 1


def test_a_file_that_cannot_be_written_takes_the_others_with_it(stock: Stockpile) -> None:
    admission = stock.intake.admit([incoming(1, "bit", 10), incoming(2, "bit", 10)])
    in_the_way = Path(stock._where) / "sealed" / f"{batch_id(2).hex()}.sealed"
    in_the_way.write_bytes(b"somebody else's")
    with pytest.raises(StockError, match="File exists"):
        stock.intake.seal(admission)
    assert not (in_the_way.parent / f"{batch_id(1).hex()}.sealed").exists()
    assert in_the_way.read_bytes() == b"somebody else's"


def test_batches_of_an_epoch_are_bounded(stock: Stockpile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "BATCHES_MAX", 3)
    for number in (1, 2):
        add(stock, number)
        stock.drop(batch_id(number))
    with pytest.raises(StockError, match="too many"):
        stock.intake.admit([incoming(3, "bit", 1), incoming(4, "bit", 1)])
    add(stock, 3)


def test_drop(stock: Stockpile) -> None:
    add(stock, 1)
    add(stock, 2)
    stock.reserve(session_id(1), stock.plan({"triple": 150}))
    stock.drop(batch_id(1))
    stock.drop(batch_id(1))
    stock.drop(batch_id(9))
    assert [info.batch for info in stock.inventory()] == [batch_id(2)]
    with pytest.raises(NotReservedError, match="dropped"):
        stock.take(session_id(1))
    with pytest.raises(SegmentRefusedError):
        stock.unlock(batch_id(1))
    with pytest.raises(SegmentRefusedError):
        stock.unlock(batch_id(9))


def test_reconcile(stock: Stockpile) -> None:
    for number in range(1, 6):
        add(stock, number, unlocked=number > 3)
    common = {
        batch_id(1): digest(1),
        batch_id(2): digest(99),
        batch_id(4): digest(4),
        batch_id(5): digest(5),
        batch_id(9): digest(9),
    }
    changed = stock.reconcile(common, {batch_id(1): 0, batch_id(4): 60, batch_id(5): 1 << 70})
    assert changed.unlocked == (batch_id(1),)
    assert changed.dropped == (batch_id(2), batch_id(3))
    assert changed.advanced == (batch_id(4), batch_id(5))
    assert [(info.batch, info.state, info.cursor) for info in stock.inventory()] == [
        (batch_id(1), State.UNLOCKED, 0),
        (batch_id(4), State.UNLOCKED, 60),
    ]  # the fifth is used up
    assert stock.reconcile({}).dropped == (batch_id(1), batch_id(4))
    assert stock.levels() == {}


@pytest.mark.parametrize(
    "call",
    [
        lambda s: store(s, Incoming(b"short", "bit", digest(1), columns(1, "bit", 1))),
        lambda s: store(s, Incoming(batch_id(1), "../bit", digest(1), columns(1, "bit", 1))),
        lambda s: store(s, Incoming(batch_id(1), "bit", b"", columns(1, "bit", 1))),
        lambda s: store(s, Incoming(batch_id(1), "bit", digest(1), columns(1, "bit", 1).astype(np.int64))),
        lambda s: store(s, Incoming(batch_id(1), "bit", digest(1), columns(1, "bit", 1)[0])),
        lambda s: store(s, Incoming(batch_id(1), "bit", digest(1), np.zeros((2, 0), dtype=np.uint64))),
        lambda s: store(s, Incoming(batch_id(1), "bit", digest(1), np.zeros((9, 1), dtype=np.uint64))),
        lambda s: s.begin_epoch(b"short", b""),
        lambda s: s.reserve(b"short", {}),
    ],
)
def test_misuse_is_a_value_error(stock: Stockpile, call: object) -> None:
    with pytest.raises(ValueError):
        call(stock)  # type: ignore[operator]
    assert stock.inventory() == []


def test_columns_need_not_be_contiguous(stock: Stockpile) -> None:
    wide = columns(1, "bit", 2000)
    store(stock, Incoming(batch_id(1), "bit", digest(1), wide[:, ::2]))
    stock.unlock(batch_id(1))
    stock.reserve(session_id(1), stock.plan({"bit": 1000}))
    np.testing.assert_array_equal(stock.take(session_id(1))["bit"], wide[:, ::2])


def test_nothing_readable_is_on_disk(stock: Stockpile) -> None:
    secret = np.full((2, 1000), 0x1122334455667788, dtype=np.uint64)
    store(stock, Incoming(batch_id(1), "bit", digest(1), secret))
    for path in Path(stock._where).rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 or path.is_dir()
        if path.is_file():
            raw = path.read_bytes()
            assert b"\x88\x77\x66\x55\x44\x33\x22\x11" not in raw
            assert b"the keys of the epoch" not in raw
            assert KEY.expose() not in raw


def test_a_salt_leaves_the_ledger_with_its_batch(stock: Stockpile) -> None:
    add(stock, 1)
    with stock._ledger.reading() as connection:
        salt = connection.execute("SELECT salt FROM batch").fetchone()[0]
    stock.destroy_epoch("a test")
    for path in Path(stock._where).rglob("*"):
        assert path.is_dir() or salt not in path.read_bytes()


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        ("UPDATE batch SET cursor = cursor - 1", "only move forward"),
        ("UPDATE batch SET cursor = count + 1", "CHECK"),
        ("UPDATE batch SET state = 'locked'", "forbidden move"),
        ("UPDATE session SET state = 'reserved'", "forbidden move"),
        ("UPDATE segment SET stop = stop + 1", "do not change"),
        ("INSERT INTO segment SELECT batch, 5, 6, session, 99 FROM segment", "once only"),
        ("INSERT INTO segment SELECT batch, 50, 60, session, 99 FROM segment", "once only"),
        ("INSERT INTO segment SELECT 77, 0, 1, session, 99 FROM segment", "FOREIGN KEY"),
        ("DELETE FROM batch", "FOREIGN KEY"),
        ("UPDATE batch SET state = 'gone'", "CHECK"),
    ],
)
def test_the_ledger_itself_refuses_a_second_use(stock: Stockpile, statement: str, complaint: str) -> None:
    add(stock, 1)
    stock.reserve(session_id(1), stock.plan({"triple": 10}))
    stock.burn(session_id(1))
    with pytest.raises(sqlite3.IntegrityError, match=complaint):
        stock._ledger._connection.execute(statement)
    with pytest.raises(StockError, match="fault in nskd"), stock._ledger.writing() as connection:
        connection.execute(statement)
    assert stock.level("triple") == 90


def test_errors_are_for_operators(stock: Stockpile) -> None:
    with pytest.raises(OperatorError) as caught:
        stock.plan({"triple": 5})
    assert "5 more of triple" in str(caught.value)
    assert os.fspath(stock._where) in str(caught.value)
