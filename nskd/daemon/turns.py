"""Runs and the making of batches take turns (``docs/protocol.md``, step 5.9).

A MAC check that fails shows the MAC key to whoever made it fail, a moment before anybody else notices.  That is
harmless only if nothing else is under way that relies on the same key: a cheat could spoil the check of a batch, and
use what it learns in the run beside it.  Within one lane there is one session at a time; this is for the two lanes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from nskd.errors import OperatorError

RUN_PATIENCE_S: Final = 60.0  # half of what the others wait for a message of ours
BATCH_PATIENCE_S: Final = 10.0  # well below, so that of two centres that wait for each other one gives way


class OutOfTurnError(OperatorError):
    """The other kind of session took too long."""


class Turns:
    """Lets a batch be made, or runs be under way, never both.

    A run only announced keeps new batches from beginning; it waits for one that has begun in :meth:`batch_over`.
    """

    def __init__(self) -> None:
        self._runs = 0
        self._making = False
        self._changed = trio.lowlevel.ParkingLot()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Announce a run, until it has ended."""
        self._runs += 1
        try:
            yield
        finally:
            self._runs -= 1
            self._changed.unpark_all()

    async def batch_over(self) -> None:
        """Within :meth:`run`: wait until no batch is being made, nor will be."""
        with trio.move_on_after(RUN_PATIENCE_S):
            while self._making:
                await self._changed.park()
        if self._making:
            raise OutOfTurnError(
                "a run had to wait too long for a batch that is being made",
                where="this centre",
                remedy="It is tried again; if this stays so, see what holds up generation.",
            )

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[None]:
        """Make a batch, once no run is announced."""
        with trio.move_on_after(BATCH_PATIENCE_S):
            while self._runs:
                await self._changed.park()
        if self._runs:
            raise OutOfTurnError(
                "a batch was put off for a run", where="this centre", remedy="It is made when the run is over."
            )
        self._making = True
        try:
            yield
        finally:
            self._making = False
            self._changed.unpark_all()
