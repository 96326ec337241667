"""Who may start what, and when: slots, the register of kinds, and the control messages of all sessions."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from typing import Any, Final

import structlog
import trio

from nskd.errors import OperatorError
from nskd.peers.lanes import Lane
from nskd.peers.mesh import Mesh, claimed_fault
from nskd.sessions.attempt import OUTCOMES, Attempt, sentence
from nskd.sessions.coordinator import Coordinator
from nskd.sessions.kinds import (
    BUSY,
    Finished,
    Judge,
    Refusal,
    Run,
    SessionKind,
    SessionRefused,
    nothing_to_finish,
)
from nskd.sessions.proposal import Offer, Proposal, check_offer, make_offer, read_offer, session_id
from nskd.sessions.responder import Responder
from protocol import limits
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.messages import Abort, Accept, Propose, Refuse, Start

UNREAD: Final = "any"  # the kind in `endings` of what was refused before it was one: its words are a peer's
ONE_PER_LANE: Mapping[Lane, int] = {Lane.ONLINE: 1, Lane.OFFLINE: 1}


class SessionManager:
    """The sessions of this centre, those it proposes and those it is asked for.

    Register the kinds, then :meth:`run` beside the mesh.
    """

    def __init__(
        self,
        mesh: Mesh,
        *,
        charter_digest: bytes,
        log: structlog.typing.FilteringBoundLogger,
        slots: Mapping[Lane, int] = ONE_PER_LANE,
    ) -> None:
        self._mesh = mesh
        self._charter_digest = charter_digest
        self._log = log
        self._slots = dict(slots)
        self._kinds: dict[str, SessionKind] = {}
        self._active: dict[bytes, Attempt] = {}
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._left = trio.lowlevel.ParkingLot()
        self.endings: Counter[tuple[str, str]] = Counter()  # by kind and outcome, since the start
        self._nursery: trio.Nursery | None = None
        mesh.register(Propose, self._on_propose)
        mesh.register(Accept, self._on_accept)
        mesh.register(Refuse, self._on_refuse)
        mesh.register(Start, self._on_start)
        mesh.register(Abort, self._on_abort)

    def register(
        self, kind: str, *, lane: Lane, judge: Judge, run: Run, finished: Finished = nothing_to_finish
    ) -> None:
        """Take part in sessions of this kind from now on; see :class:`SessionKind`."""
        if kind in self._kinds:
            raise LocalProtocolError(f"sessions of kind {kind!r} have an owner already")
        self._kinds[kind] = SessionKind(kind, lane, judge, run, finished)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer proposals until cancelled; sessions under way are then aborted."""
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    async def propose(self, proposal: Proposal) -> Any:
        """Agree on a session with its other parties and run it; returns what this centre's ``run`` returned.

        Raises :class:`SessionRefused` (``busy`` if it may simply be tried again, with another nonce),
        ``RemoteProtocolError`` naming a centre, or whatever ``run`` raised.  In each case the other parties
        have been told.
        """
        offer = make_offer(proposal)
        if proposal.coordinator != self._mesh.own:
            raise LocalProtocolError("only the coordinator proposes")
        check_offer(offer, own=self._mesh.own, charter_digest=self._charter_digest, members=self._members)
        try:
            kind = self._admit(offer)
            if not self.has_room(Lane(offer.proposal.lane)):
                raise Refusal(BUSY)
        except Refusal as refusal:
            raise SessionRefused(offer.session, {self._mesh.own: refusal.reason}) from None
        attempt = Coordinator(offer, kind, self._mesh, self._log, on_slot_free=self._slot_freed)
        self._enter(attempt)
        try:
            return await attempt.run()
        finally:
            self._leave(attempt)

    def active(self) -> tuple[Offer, ...]:
        """List the sessions under way, or being agreed on."""
        return tuple(attempt.offer for attempt in self._active.values())

    def counted(self) -> dict[tuple[str, str], int]:
        """The endings of all kinds there are, those that did not occur at 0."""
        return {(kind, outcome): 0 for kind in self._kinds for outcome in OUTCOMES} | dict(self.endings)

    def has_room(self, lane: Lane) -> bool:
        """Whether a session could begin on ``lane`` here and now."""
        taken = sum(attempt.in_slot for attempt in self._active.values() if attempt.lane is lane)
        return taken < self._slots.get(lane, 0)

    @property
    def _members(self) -> tuple[str, ...]:
        return (*self._mesh.peers, self._mesh.own)

    def _admit(self, offer: Offer) -> SessionKind:
        """Find an offer's kind; :class:`Refusal` if there is none, it has another lane, or the offer is not new."""
        kind = self._kinds.get(offer.proposal.kind)
        if kind is None:
            raise Refusal(f"sessions of kind {offer.proposal.kind!r} are unknown here")
        if kind.lane.value != offer.proposal.lane:
            raise Refusal(f"sessions of kind {kind.name!r} take place on the {kind.lane.value} lane alone")
        if offer.session in self._seen:
            raise Refusal("this proposal has been made before")
        return kind

    def _enter(self, attempt: Attempt) -> None:
        self._active[attempt.session] = attempt
        self._seen[attempt.session] = None
        while len(self._seen) > limits.SESSIONS_SEEN_MAX:
            self._seen.popitem(last=False)

    def _leave(self, attempt: Attempt) -> None:
        del self._active[attempt.session]
        self.endings[attempt.kind_name, attempt.outcome or "own-error"] += 1
        self._slot_freed()

    def _slot_freed(self) -> None:
        self._left.unpark_all()

    async def _wait_for_room(self, attempt: Attempt) -> None:
        """Give ``attempt`` a slot once there is one; those who call it bound the time."""
        while not self.has_room(attempt.lane):
            await self._left.park()  # until a session ends, or gives up its slot
        attempt.in_slot = True

    def _may_wait(self, lane: Lane) -> bool:
        """Whether a session asked for now will soon find room.

        Those before it run already, so they end by themselves, probably now: its coordinator was in them and
        thinks that they are over.  Two centres that propose at once, however, would only wait for each other.
        """
        return all(other.executing for other in self._active.values() if other.lane is lane)

    # --- control messages ---------------------------------------------------------------------------------

    async def _on_propose(self, peer: str, message: Propose) -> None:
        try:
            offer = read_offer(message.body, peer)
            check_offer(offer, own=self._mesh.own, charter_digest=self._charter_digest, members=self._members)
            if self._nursery is None:
                raise Refusal("this centre takes part in no sessions at the moment")
            kind = self._admit(offer)
            lane = Lane(offer.proposal.lane)
            if not (self.has_room(lane) or self._may_wait(lane)):
                raise Refusal(BUSY)
        except (RemoteProtocolError, Refusal) as error:
            reason = error.reason if isinstance(error, Refusal) else error.detail
            self._log.info("a proposal was refused", peer=peer, reason=reason)
            self.endings[UNREAD, "refused"] += 1
            self._mesh.post_control(peer, Refuse(session_id(message.body), sentence(reason)))
            return
        attempt = Responder(offer, kind, self._mesh, self._log, on_slot_free=self._slot_freed, room=self._wait_for_room)
        attempt.in_slot = self.has_room(lane)
        self._enter(attempt)  # at once, so that what follows this message finds it
        self._nursery.start_soon(self._respond, attempt)

    async def _respond(self, attempt: Responder) -> None:
        try:
            await attempt.run()
        except (Refusal, RemoteProtocolError, OperatorError):
            pass  # the attempt has logged its end, and told whom it concerns
        except Exception:
            # A mistake in one kind of session must not take the daemon, and all other sessions, with it.
            self._log.exception("a session failed through an error of our own")
        finally:
            self._leave(attempt)

    async def _on_accept(self, peer: str, message: Accept) -> None:
        attempt = self._find(peer, message.session)
        if attempt is not None:
            attempt.accepted_by(peer)
        else:  # it has not heard yet that we gave up
            self._mesh.post_control(peer, Abort(message.session, "over", "the session is over"))

    async def _on_refuse(self, peer: str, message: Refuse) -> None:
        attempt = self._find(peer, message.session)
        if attempt is not None:
            attempt.refused_by(peer, message.reason)

    async def _on_start(self, peer: str, message: Start) -> None:
        attempt = self._find(peer, message.session)
        if attempt is not None:
            attempt.started_by(peer)

    async def _on_abort(self, peer: str, message: Abort) -> None:
        attempt = self._find(peer, message.session)
        if attempt is not None:
            attempt.aborted_by(peer, claimed_fault(message), message.detail)

    def _find(self, peer: str, session: bytes) -> Attempt | None:
        attempt = self._active.get(session)
        return attempt if attempt is not None and peer in attempt.parties else None
