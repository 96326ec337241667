"""Runs and the checks of batches take turns (``docs/protocol.md``, step 5.9).

A MAC check that fails shows the MAC key to whoever made it fail, a moment before anybody else notices.  That is
harmless only if nothing else is under way that relies on the same key: a cheat could spoil the check of a batch, and
use what it learns in the run beside it.  Each kind of session has a lane of its own, and one session at a time there
makes or checks a batch, or runs; this is for the two lanes, and refuses what should not even come here.

Making a batch, all but its check, may go on beside a run, but gives way: its threads pause.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import trio

from nskd.errors import OperatorError
from protocol.party import Party, Worker, fixed, octets

T = TypeVar("T")
R = TypeVar("R")

RUN_PATIENCE_S: Final = 60.0  # half of what the others wait for a message of ours
BATCH_PATIENCE_S: Final = 60.0
ASKS_MAX: Final = 20  # a batch that was put off for so many runs is given up
_READY, _BUSY = b"\x01", b"\x00"


class OutOfTurnError(OperatorError):
    """The other kind of session took too long."""


def _beside(what: str) -> OutOfTurnError:
    return OutOfTurnError(
        f"a second {what} was begun beside the first",
        where="this centre",
        remedy="Ask the centre that proposed it why.",
    )


class Turns:
    """Lets a batch be checked, or runs be under way, never both."""

    def __init__(self) -> None:
        self._runs = 0
        self._checking = False  # new runs wait
        self._in_check = False  # from the first question whether anybody runs
        self._changed = trio.lowlevel.ParkingLot()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Announce a run, until it has ended; :class:`OutOfTurnError` while there is another."""
        if self._runs:
            raise _beside("run")
        self._runs += 1
        try:
            yield
        finally:
            self._runs -= 1
            self._changed.unpark_all()

    async def batch_over(self) -> None:
        """Within :meth:`run`: wait until no batch is being checked, nor will be."""
        if not await self._until(lambda: not self._checking, RUN_PATIENCE_S):
            raise OutOfTurnError(
                "a run had to wait too long for a batch that is being checked",
                where="this centre",
                remedy="It is tried again; if this stays so, see what holds up generation.",
            )

    async def pause(self) -> None:
        """Wait while a run is under way, unless the batch is being checked, which runs wait for."""
        await self._until(lambda: self._checking or not self._runs, BATCH_PATIENCE_S)

    @asynccontextmanager
    async def check(self, party: Party) -> AsyncIterator[None]:
        """Check a batch, once no run is announced at any centre.

        All say at once whether one is announced here.  Those that wait for a run to end do so without keeping others
        from beginning: two centres would otherwise wait for each other, one in a run, one before the check.
        """
        if self._in_check:
            raise _beside("check of a batch")
        self._in_check = True
        try:
            async with self._checked_alone(party):
                yield
        finally:
            self._in_check = False

    @asynccontextmanager
    async def _checked_alone(self, party: Party) -> AsyncIterator[None]:
        for _ in range(ASKS_MAX):
            if await self._all_ready(party):
                break
            await self._until(lambda: not self._runs, BATCH_PATIENCE_S)
            await party.to_all("turn/again", octets(_READY))
        else:
            raise OutOfTurnError(
                "a batch was put off for runs too often", where="this centre", remedy="It is made again."
            )
        try:
            yield
        finally:
            self._release()

    async def _all_ready(self, party: Party) -> bool:
        """Keep new runs waiting and ask; if any centre has one under way, let them go on."""
        self._checking = not self._runs
        agreed = False
        try:
            told = await party.broadcast("turn", octets(_READY if self._checking else _BUSY))
            await party.confirm()  # or a liar could lead two centres into different steps
            answers = [fixed(told[peer], len(_READY), peer) for peer in party.peers]
            agreed = self._checking and all(answer == _READY for answer in answers)
        finally:
            if not agreed:
                self._release()
        return agreed

    def _release(self) -> None:
        self._checking = False
        self._changed.unpark_all()

    async def _until(self, holds: Callable[[], bool], seconds: float) -> bool:
        with trio.move_on_after(seconds):
            while not holds():
                await self._changed.park()
        return holds()


class GivesWay:
    """A worker for batches (:class:`protocol.party.Worker`).

    Nothing new is begun while a run is under way, nor once ``still_wanted`` raises, as when the epoch has ended.
    """

    def __init__(self, workers: Worker, turns: Turns, still_wanted: Callable[[], None]) -> None:
        self._workers = workers
        self._turns = turns
        self._still_wanted = still_wanted

    async def __call__(self, function: Callable[..., T], /, *args: object) -> T:
        """Await ``function(*args)``."""
        await self._turn()
        return await self._workers(function, *args)

    async def alongside(
        self, calls: Sequence[Callable[[], T]], conversation: Callable[[], Awaitable[R]]
    ) -> tuple[list[T], R]:
        """Make all calls while ``conversation`` is held."""
        await self._turn()
        return await self._workers.alongside(calls, conversation)

    async def _turn(self) -> None:
        await self._turns.pause()
        self._still_wanted()
