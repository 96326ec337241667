"""The ledger for an event loop: calls run in a worker thread, one at a time, so a slow disk stalls nobody."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

import trio

from nskd.governance.ledger import Ledger

P = ParamSpec("P")
T = TypeVar("T")


class LedgerThread:
    """``await ledger(Ledger.get, digest)`` instead of ``ledger.get(digest)``.

    A call that has begun is seen through even when its caller is cancelled: a commit is never in doubt.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._one = trio.CapacityLimiter(1)

    async def __call__(self, method: Callable[Concatenate[Ledger, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``method`` on the ledger; it raises what the method raises."""
        return await trio.to_thread.run_sync(partial(method, self._ledger, *args, **kwargs), limiter=self._one)
