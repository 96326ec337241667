"""Whose request runs next where several centres have one that is due: the one that was asked first.

Every centre knows all requests and what became of them, and time and digest are part of each, so all come to the same
order without a word.  It is a courtesy and no rule: nothing rests on it, a proposal out of turn is judged like any
other, and who does not use its turn loses it.  Without it centres that have requests at the same time propose at the
same time, refuse each other as busy, and burn the stock that they had reserved.
"""

from __future__ import annotations

from typing import Final

import trio

from nskd.daemon.notices import Notices
from nskd.daemon.workshop import Workshop
from nskd.governance.ledger import Entry, Ledger
from nskd.governance.lifecycle import State
from nskd.governance.request import SignedRequest

TURN_S: Final = 10.0  # a centre whose turn it is needs a second to propose, and some to pause after a failure
_DUE: Final = (State.APPROVED, State.RUNNING, State.FAILED)


class Queue:
    """This centre's view of it; ``turn_s`` is how long one whose turn it is has to begin."""

    def __init__(self, workshop: Workshop, notices: Notices, *, turn_s: float = TURN_S) -> None:
        self._workshop = workshop
        self._notices = notices
        self._turn_s = turn_s
        self._passed_over: set[bytes] = set()  # had their turn and did not begin: not waited for again

    async def turn(self, request: SignedRequest) -> None:
        """Wait while another centre's request, asked before this one, runs or is about to."""
        while (before := await self._before(request)) is not None:
            with trio.move_on_after(self._turn_s) as patience:
                await self._until(before, begun=True)
            if patience.cancelled_caught and (await self._entry(before)).state is not State.RUNNING:
                self._passed_over.add(before)
            else:
                await self._until(before, begun=False)

    async def _before(self, request: SignedRequest) -> bytes | None:
        """The first of the others' that are due, if it was asked before this one."""
        entries = await self._workshop.ledger(Ledger.entries, states=_DUE)
        due = [
            (entry.request.submitted_at, entry.request.digest)
            for entry in entries
            if _is_due(entry) and entry.request.centre != self._workshop.own
        ]
        waited_for = [place for place in due if place[1] not in self._passed_over]
        first = min(waited_for, default=None)
        return None if first is None or first > (request.submitted_at, request.digest) else first[1]

    async def _until(self, request: bytes, *, begun: bool) -> None:
        """Until it runs, or is over; or, once it runs, until it does not."""
        while True:
            changed = self._notices.changed
            entry = await self._entry(request)
            if not _is_due(entry) or (entry.state is State.RUNNING) is begun:
                return
            await changed.wait()

    async def _entry(self, request: bytes) -> Entry:
        return await self._workshop.ledger(Ledger.get, request)


def _is_due(entry: Entry) -> bool:
    return entry.state in _DUE and (entry.state is not State.FAILED or entry.retryable)
