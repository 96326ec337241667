"""The stock from an event loop: one call at a time, and waiting that costs nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio
import trio.testing

from nskd.stockpile import Level, NotReservedError, SharedStockpile, ShortOfStockError, Stockpile
from tests.nskd.stockpile.world import EPOCH, KEY, STATE, ScriptedDisk, add, batch_id, columns, incoming, session_id


async def opened(directory: Path) -> SharedStockpile:
    stock = await SharedStockpile.open(directory, KEY)
    await stock(Stockpile.begin_epoch, EPOCH, STATE)
    return stock


async def put(stock: SharedStockpile, number: int, kind: str, count: int) -> None:
    await stock.add([incoming(number, kind, count)])


async def test_calls(tmp_path: Path) -> None:
    stock = await opened(tmp_path)
    await put(stock, 1, "triple", 10)
    assert stock.levels == {"triple": Level(0, 10)}
    await stock(Stockpile.unlock, batch_id(1))
    assert stock.levels == {"triple": Level(10, 0)}
    plan = await stock(Stockpile.plan, {"triple": 4})
    await stock(Stockpile.reserve, session_id(1), plan)
    assert (await stock(Stockpile.take, session_id(1)))["triple"].shape == (6, 4)
    with pytest.raises(NotReservedError):
        await stock(Stockpile.take, session_id(1))
    with pytest.raises(ShortOfStockError):
        await stock(Stockpile.plan, {"triple": 7})
    await stock.aclose()
    again = await SharedStockpile.open(tmp_path, KEY)
    assert again.levels == {"triple": Level(6, 0)}
    assert again.recovery.notes() == []
    await again.aclose()


async def test_waiting_for_stock(tmp_path: Path) -> None:
    stock = await opened(tmp_path)
    order = []

    async def wait(need: dict[str, int]) -> None:
        await stock.wait_for(need)
        order.append(need)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, {"triple": 10, "bit": 5})
        nursery.start_soon(wait, {"triple": 10})
        nursery.start_soon(wait, {"triple": 11, "bit": 5})
        await trio.testing.wait_all_tasks_blocked()
        await put(stock, 1, "triple", 10)
        await trio.testing.wait_all_tasks_blocked()
        assert order == []  # not confirmed yet
        await stock(Stockpile.unlock, batch_id(1))
        await trio.testing.wait_all_tasks_blocked()
        assert order == [{"triple": 10}]
        await put(stock, 2, "bit", 5)
        await stock(Stockpile.unlock, batch_id(2))
        await trio.testing.wait_all_tasks_blocked()
        assert order == [{"triple": 10}, {"triple": 10, "bit": 5}]
        nursery.cancel_scope.cancel()
    await stock.wait_for({})
    await stock.wait_for({"triple": 10})
    await stock.aclose()


async def test_waiting_for_less(tmp_path: Path) -> None:
    """What a generator waits for: that a level falls below its mark."""
    stock = await opened(tmp_path)
    await put(stock, 1, "triple", 10)
    await stock(Stockpile.unlock, batch_id(1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stock.wait_until, lambda levels: levels["triple"].ready < 8)
        plan = await stock(Stockpile.plan, {"triple": 3})
        await stock(Stockpile.reserve, session_id(1), plan)
    await stock.aclose()


async def test_a_call_that_began_is_seen_through(tmp_path: Path) -> None:
    stock = await opened(tmp_path)
    began, go_on = threading.Event(), threading.Event()

    def slow(stockpile: Stockpile) -> None:
        began.set()
        go_on.wait()
        stockpile.begin_epoch(b"\x02" * 32, STATE)

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stock, slow)
            await trio.to_thread.run_sync(began.wait)
            scope.cancel()
            go_on.set()
    stored = await stock(Stockpile.epoch)
    assert stored is not None
    assert stored.epoch_id == b"\x02" * 32
    await stock.aclose()


async def test_a_batch_is_written_beside_other_calls(tmp_path: Path) -> None:
    """A session takes its material while a file is held up; a cancelled caller's batch comes in all the same."""
    writing, go_on = threading.Event(), threading.Event()

    def hold(_number: int, name: str) -> None:
        if name == "sync":
            writing.set()
            go_on.wait()

    disk = ScriptedDisk()
    stock = SharedStockpile(Stockpile.open(tmp_path, KEY, disk=disk))
    await stock(Stockpile.begin_epoch, EPOCH, STATE)
    await stock(add, 1)
    await stock(Stockpile.reserve, session_id(1), await stock(Stockpile.plan, {"triple": 10}))
    disk.before = hold
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stock.add, [incoming(2), incoming(3, "bit", 5)])
            await trio.to_thread.run_sync(writing.wait)
            taken = await stock(Stockpile.take, session_id(1))
            assert (taken["triple"] == columns(1, "triple", 10)).all()
            assert stock.levels == {"triple": Level(90, 0)}
            scope.cancel()
            go_on.set()
    assert stock.levels == {"bit": Level(0, 5), "triple": Level(90, 100)}
    await stock.aclose()


async def test_closing_waits_for_a_batch(tmp_path: Path) -> None:
    stock = await opened(tmp_path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stock.add, [incoming(1, count=100_000)])
        await trio.testing.wait_all_tasks_blocked()
        await stock.aclose()
    with Stockpile.open(tmp_path, KEY) as again:
        assert again.levels() == {"triple": Level(0, 100_000)}


async def test_one_at_a_time(tmp_path: Path) -> None:
    stock = await opened(tmp_path)
    inside = 0

    def alone(_: Stockpile) -> None:
        nonlocal inside
        inside += 1
        assert inside == 1
        inside -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(stock, alone)
    await stock.aclose()
