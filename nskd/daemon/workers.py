"""Threads for the protocol's kernels, so that they use the cores while the event loop stays alive."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import trio

T = TypeVar("T")


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
