"""This centre's own requests, from approval to a proposed run, again after accidents (``docs/architecture.md``)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import trio

from nskd.analysis.populations import joined
from nskd.daemon.epochs import Epochs
from nskd.daemon.history import History, pairs_of
from nskd.daemon.notices import Notices
from nskd.daemon.queue import Queue, place
from nskd.daemon.retry import Attempts
from nskd.daemon.runs import ANALYSIS, Runs
from nskd.daemon.wanted import Wanted
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance.ledger import Entry, Ledger
from nskd.governance.lifecycle import State
from nskd.governance.request import SignedRequest
from nskd.peers.lanes import Lane
from nskd.peers.mesh import Mesh
from nskd.sessions.kinds import Refusal, SessionRefused
from nskd.sessions.manager import SessionManager
from nskd.sessions.proposal import NONCE_BYTES, Proposal, StockRange
from nskd.stockpile import Level, Segment, SharedStockpile, Stockpile
from protocol.errors import ProtocolError


class Requester:
    """Proposes runs: once all have approved, all are connected, and there is material enough."""

    def __init__(
        self,
        *,
        workshop: Workshop,
        mesh: Mesh,
        sessions: SessionManager,
        stock: SharedStockpile,
        epochs: Epochs,
        notices: Notices,
        wanted: Wanted,
        runs: Runs,
        history: History,
    ) -> None:
        self._workshop = workshop
        self._mesh = mesh
        self._sessions = sessions
        self._stock = stock
        self._epochs = epochs
        self._notices = notices
        self._wanted = wanted
        self._runs = runs
        self._history = history
        self._attempts = Attempts()
        self._queue = Queue(workshop, notices, lambda: {offer.proposal.request for offer in sessions.active()})

    def will_retry(self, request: SignedRequest) -> bool:
        """Whether a failed run of this request is going to be repeated without anybody asking."""
        ours = request.centre == self._workshop.own
        return not self._runs.draining and (not ours or self._attempts.left(request.digest))

    def forget_failures(self, request: bytes) -> None:
        """An operator wants it run again."""
        self._attempts.forget(request)

    async def drive(self) -> None:
        """Run this centre's approved requests, one after another, for ever."""
        while True:
            changed = self._notices.changed
            entry = None if self._held_up else await self._next_due()
            if entry is None:
                await changed.wait()
                continue
            await trio.sleep(self._attempts.pause_s(entry.request.digest))
            if not self._held_up:
                await self._attempt(entry)

    @property
    def _held_up(self) -> bool:
        """Nothing is to begin: we are stopping, or a centre has paused or left (14.7)."""
        return self._runs.draining or bool(self._workshop.attendance.absences)

    async def _next_due(self) -> Entry | None:
        workshop = self._workshop
        entries = await workshop.ledger(Ledger.entries, states=(State.APPROVED, State.FAILED))
        entries += [await workshop.ledger(Ledger.get, digest) for digest in self._wanted]
        for entry in sorted(entries, key=place):
            ours = entry.request.centre == workshop.own
            if not ours or not self._attempts.left(entry.request.digest):
                continue
            if entry.state is State.APPROVED or entry.retryable or self._is_wanted(entry):
                return entry
        return None

    def _is_wanted(self, entry: Entry) -> bool:
        """Done here, but not everywhere."""
        return entry.state is State.DONE and entry.request.digest in self._wanted

    async def _attempt(self, entry: Entry) -> None:
        workshop, digest = self._workshop, entry.request.digest
        try:
            await self._ready(entry)
            listed, need = await self._asked(entry)
            while True:
                if not await self._turn(entry, need):
                    return
                planned, (listed, need) = listed, await self._asked(entry)
                if listed == planned:  # else others have begun while this one waited
                    break
            segments = await self._stock(Stockpile.plan, need)
            await self._sessions.propose(self._proposal(digest, listed, segments))
        except (OperatorError, ProtocolError, Refusal) as error:
            if isinstance(error, SessionRefused) and error.busy:
                self._attempts.postponed(digest)
            else:
                self._attempts.failed(digest)
            workshop.log.warning("a run did not succeed", request=digest.hex(), reason=str(error))
            await self._broke_off(digest, str(error))
        except Exception as error:  # must not take the daemon and all its other sessions with it
            self._attempts.failed(digest)
            workshop.log.exception("a run failed through an error of our own", request=digest.hex())
            await self._broke_off(digest, f"{type(error).__name__}, see the log of {workshop.own}")
        else:
            self._attempts.forget(digest)
        finally:
            self._notices.poke()

    async def _broke_off(self, digest: bytes, reason: str) -> None:
        """Say so; and have it on record why it is not tried again, where a run has not said so already."""
        if not self._attempts.left(digest):
            await self._give_up(digest, reason)
        self._workshop.events.publish("run.failed", request=digest.hex(), reason=reason)

    async def _give_up(self, digest: bytes, reason: str) -> None:
        workshop = self._workshop
        try:
            state = await workshop.ledger(Ledger.give_up, digest, detail=reason, now=workshop.clock())
        except OperatorError as trouble:
            workshop.log.error("a failure could not be recorded", request=digest.hex(), reason=str(trouble))
        else:
            workshop.publish_state(digest, state)

    async def _asked(self, entry: Entry) -> tuple[tuple[bytes, ...], dict[str, int]]:
        """The earlier tables that it would be compared with if it began now, and the stock that it would use."""
        workshop = self._workshop
        plan = workshop.check(entry.request.table, entry.request.centre)
        listed = await self._history.listed(entry.request.digest)
        return listed, workshop.need(plan, pairs_of(workshop, plan, await self._history.earlier(listed)))

    async def _turn(self, entry: Entry, need: Mapping[str, int]) -> bool:
        """Wait until all is there and nobody's turn comes before; False when this one is not next here any more.

        However long a centre is away: that is no failure, and the status says who it is.  Whatever else has become due
        here and was asked before goes first: that one the others wait for.
        """
        came = False
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                nonlocal came
                while not came:
                    await self._stock.wait_for(need)
                    await self._mesh.wait_connected()
                    if self._in_stock(need):
                        await self._queue.turn(entry.request)
                        came = self._mesh.connected() and self._in_stock(need)  # also after those that came before
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait)
            while True:
                changed = self._notices.changed
                if not await self._is_next(entry):
                    came = False
                    nursery.cancel_scope.cancel()
                await changed.wait()
        return came

    async def _is_next(self, entry: Entry) -> bool:
        due = None if self._held_up else await self._next_due()
        return due is not None and due.request.digest == entry.request.digest

    def _in_stock(self, need: Mapping[str, int]) -> bool:
        return all(self._stock.levels.get(kind, Level()).ready >= items for kind, items in need.items())

    async def _ready(self, entry: Entry) -> None:
        if entry.state is State.FAILED:
            workshop = self._workshop
            await workshop.ledger(Ledger.retry, entry.request.digest, charter=workshop.charter, now=workshop.clock())

    def _proposal(self, digest: bytes, listed: Sequence[bytes], segments: Mapping[str, Sequence[Segment]]) -> Proposal:
        return Proposal(
            kind=ANALYSIS,
            coordinator=self._workshop.own,
            nonce=os.urandom(NONCE_BYTES),
            charter=self._workshop.charter.digest,
            parties=self._workshop.charter.names,
            lane=Lane.ONLINE,
            request=digest,
            epoch=self._epochs.current_id(),
            extra=joined(listed),
            segments={
                kind: tuple(StockRange(s.batch, s.start, s.stop) for s in ranges) for kind, ranges in segments.items()
            },
        )
