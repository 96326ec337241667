"""The stock for an event loop: each call on a worker thread, one at a time; waiting without polling.

Only the writing of a batch's file goes on beside other calls: it takes as long as the disk does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import trio

from nskd.credentials import StorageKey
from nskd.stockpile.intake import Incoming
from nskd.stockpile.records import Level
from nskd.stockpile.stockpile import Stockpile

P = ParamSpec("P")
T = TypeVar("T")

Levels = Mapping[str, Level]


class SharedStockpile:
    """``await stock(Stockpile.take, session)`` instead of ``stockpile.take(session)``.

    A call that has begun is seen through even when its caller is cancelled: a commit is never in doubt.
    ``levels`` is what the last call left, without another one.
    """

    def __init__(self, stockpile: Stockpile) -> None:
        self._stockpile = stockpile
        self._one = trio.CapacityLimiter(1)
        self._intake = trio.Lock()
        self._changed = trio.Event()
        self.levels: Levels = stockpile.levels()
        self.recovery = stockpile.recovery

    @classmethod
    async def open(
        cls,
        directory: Path,
        storage_key: StorageKey,
        *,
        former: Sequence[StorageKey] = (),
        on_copy: Callable[[], None] = lambda: None,
    ) -> SharedStockpile:
        """Open the stock, see :meth:`Stockpile.open`."""
        open_ = partial(Stockpile.open, directory, storage_key, former=former, on_copy=on_copy)
        return await trio.to_thread.run_sync(lambda: cls(open_()))

    async def __call__(self, method: Callable[Concatenate[Stockpile, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``method`` on the stock; it raises what the method raises."""
        call = partial(method, self._stockpile, *args, **kwargs)
        levels: Levels | None = None

        def work() -> T:
            nonlocal levels
            try:
                return call()
            finally:
                levels = self._stockpile.levels()

        try:
            return await trio.to_thread.run_sync(work, limiter=self._one)
        finally:
            if levels is not None and levels != self.levels:
                self.levels = levels
                self._changed.set()
                self._changed = trio.Event()

    async def add(self, incoming: Sequence[Incoming]) -> None:
        """Store new batches as ``LOCKED``, all or none; durable on return (see :mod:`.intake`).

        Raises :class:`StockError`.  Seen through when its caller is cancelled, like any call.
        """
        with trio.CancelScope(shield=True):
            async with self._intake:
                intake = self._stockpile.intake
                admission = await self(lambda _: intake.admit(incoming))
                await trio.to_thread.run_sync(intake.seal, admission)
                await self(lambda _: intake.record(admission))

    async def wait_until(self, content: Callable[[Levels], bool]) -> None:
        """Wait until ``content`` is true of the levels; it is asked now and after every change."""
        while not content(self.levels):
            await self._changed.wait()

    async def wait_for(self, need: Mapping[str, int]) -> None:
        """Wait until so many items of each kind are ready.  Somebody else may still be quicker to reserve
        them.
        """
        await self.wait_until(
            lambda levels: all(levels.get(kind, Level()).ready >= count for kind, count in need.items())
        )

    async def aclose(self) -> None:
        """Wait for what is under way, then let go."""
        with trio.CancelScope(shield=True):
            async with self._intake:
                await trio.to_thread.run_sync(self._stockpile.close, limiter=self._one)
