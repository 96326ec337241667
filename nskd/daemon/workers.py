"""Threads for the protocol's kernels, so that they use the cores while the event loop stays alive."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import trio

T = TypeVar("T")
R = TypeVar("R")


class Workers:
    """Worker threads for the protocol's kernels, at most ``threads`` at once.

    A function that has begun is seen through when its session is cancelled: kernels are short, and abandoning a
    thread would leave it holding buffers.
    """

    def __init__(self, threads: int) -> None:
        self._limiter = trio.CapacityLimiter(threads)

    async def __call__(self, function: Callable[..., T], /, *args: object) -> T:
        """Await ``function(*args)`` in a thread."""
        return await trio.to_thread.run_sync(partial(function, *args), limiter=self._limiter)

    async def alongside(
        self, calls: Sequence[Callable[[], T]], conversation: Callable[[], Awaitable[R]]
    ) -> tuple[list[T], R]:
        """Make all calls in threads while ``conversation`` is held (:class:`protocol.party.Worker`)."""
        results: dict[int, T] = {}
        failures: dict[int, Exception] = {}

        async def make(index: int, call: Callable[[], T]) -> None:
            try:
                results[index] = await self(call)
            except Exception as error:
                failures[index] = error

        said: list[R] = []
        async with trio.open_nursery() as nursery:
            for index, call in enumerate(calls):
                nursery.start_soon(make, index, call)
            try:
                said.append(await conversation())
            except Exception as error:
                failures[-1] = error
                nursery.cancel_scope.cancel()  # what has not begun need not
        if failures:
            raise failures[min(failures)]
        return [results[index] for index in range(len(calls))], said[0]
