"""Whose request runs next where several centres have one that is due: the one that was asked first.

Every centre knows all requests and what became of them, and time and digest are part of each, so all come to the same
order without a word.  It is a courtesy and no rule: nothing rests on it, a proposal out of turn is judged like any
other, and who does not use its turn loses it.  Without it centres that have requests at the same time propose at the
same time, refuse each other as busy, and burn the stock that they had reserved.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import trio

from nskd.daemon.notices import Notices
from nskd.daemon.workshop import Workshop
from nskd.governance.ledger import Entry, Ledger
from nskd.governance.lifecycle import State
from nskd.governance.request import SignedRequest

TURN_S: Final = 20.0  # a centre whose turn it is needs a second to propose, and some to pause after a failure
_DUE: Final = (State.APPROVED, State.RUNNING, State.FAILED)


def place(entry: Entry) -> tuple[int, bytes]:
    """Where a request stands in the order in which they were asked, the same at every centre."""
    return entry.request.submitted_at, entry.request.digest


class Queue:
    """This centre's view of it.

    ``under_way`` gives the requests, by digest, of which a session runs here or is being agreed on.  ``turn_s`` is how
    long one whose turn it is has for that.
    """

    def __init__(
        self,
        workshop: Workshop,
        notices: Notices,
        under_way: Callable[[], Collection[bytes]],
        *,
        turn_s: float = TURN_S,
    ) -> None:
        self._workshop = workshop
        self._notices = notices
        self._under_way = under_way
        self._turn_s = turn_s
        self._passed_over: set[bytes] = set()  # had their turn and did not begin: not waited for again

    async def turn(self, request: SignedRequest) -> None:
        """Wait while another centre's request, asked before this one, runs or is about to."""
        while (before := await self._before(request)) is not None:
            with trio.move_on_after(self._turn_s):
                await self._over(before)
                continue
            # What has begun ends by itself; it is then looked at again, with a turn of its own if it was cut short.
            if before not in self._under_way() and (await self._entry(before)).state is not State.RUNNING:
                self._passed_over.add(before)

    async def _before(self, request: SignedRequest) -> bytes | None:
        """The first of the others' that are due, if it was asked before this one."""
        entries = await self._workshop.ledger(Ledger.entries, states=_DUE)
        due = sorted(place(entry) for entry in entries if _is_due(entry) and entry.request.centre != self._workshop.own)
        self._passed_over &= {digest for _, digest in due}
        for submitted_at, digest in due:
            if digest not in self._passed_over:
                return digest if (submitted_at, digest) < (request.submitted_at, request.digest) else None
        return None

    async def _over(self, request: bytes) -> None:
        """Wait until it has come to an end."""
        while True:
            changed = self._notices.changed
            if not _is_due(await self._entry(request)):
                return
            await changed.wait()

    async def _entry(self, request: bytes) -> Entry:
        return await self._workshop.ledger(Ledger.get, request)


def _is_due(entry: Entry) -> bool:
    return entry.state in _DUE and (entry.state is not State.FAILED or entry.retryable)
