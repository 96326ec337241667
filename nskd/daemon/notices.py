"""Requests and approvals travel: each centre tells the others, verifies what it is told, and keeps it.

A notice may come twice, late, or by way of a third centre; what counts is the signature in it.  Whoever tells of an
approval tells of its request first, on the same connection, so no approval arrives before what it is about.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from nskd.daemon.auditor import rules
from nskd.daemon.wanted import Wanted
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance.approval import ApprovalError, SignedApproval, read_approval
from nskd.governance.audit import Event
from nskd.governance.ledger import Ledger, UnknownRequestError
from nskd.governance.lifecycle import State
from nskd.governance.request import OutOfTimeError, SignedRequest, receive_request
from nskd.governance.statement import Verdict
from nskd.governance.verification import receive_approval
from nskd.peers.mesh import Mesh
from protocol.errors import RemoteProtocolError
from protocol.messages import ApprovalNotice, RequestNotice

# Nothing that runs: all know of it, and one that has just connected has no part in the run, which so fails and is told.
_TELL = (State.SUBMITTED, State.APPROVED, State.FAILED)


def request_notice(request: SignedRequest) -> RequestNotice:
    """A request as it travels."""
    return RequestNotice(request=request.body, centre=request.centre, signature=request.signature)


def approval_notice(approval: SignedApproval) -> ApprovalNotice:
    """An approval or refusal as it travels."""
    return ApprovalNotice(approval=approval.body, centre=approval.centre, signature=approval.signature)


class Notices:
    """Tells peers, and takes what they tell.  ``changed`` is set whenever a request may have moved."""

    def __init__(self, workshop: Workshop, mesh: Mesh, wanted: Wanted, on_change: Callable[[], None]) -> None:
        self._workshop = workshop
        self._wanted = wanted
        self._mesh = mesh
        self._on_change = on_change
        self.changed = trio.Event()
        mesh.register(RequestNotice, self._take_request)
        mesh.register(ApprovalNotice, self._take_approval)

    def poke(self) -> None:
        """Wake whoever waits for a change."""
        changed, self.changed = self.changed, trio.Event()
        changed.set()
        self._on_change()

    async def publish(self, request: SignedRequest, approvals: tuple[SignedApproval, ...]) -> None:
        """Tell all connected peers; those that are away are told when they come back."""
        self._mesh.broadcast_control(request_notice(request))
        for approval in approvals:
            self._mesh.broadcast_control(approval_notice(approval))
        self.poke()

    async def tell_again(self) -> None:
        """Tell all peers of what waits for approvals or a run: one whose disk was full may have missed it."""
        for peer in self._mesh.peers:
            await self.tell_all(peer)

    async def tell_all(self, peer: str) -> None:
        """Tell one peer of everything open: it has just connected."""
        ledger = self._workshop.ledger
        for listed in await ledger(Ledger.entries, states=_TELL):
            entry = await ledger(Ledger.get, listed.request.digest)  # telling takes time, and what is over is not told
            if not entry.undecided:
                continue
            try:
                await self._mesh.send_control(peer, request_notice(entry.request))
                for word in await ledger(Ledger.approvals, entry.request.digest):
                    if self._workshop.clock() < word.expires_at:  # who never had it would take a lapsed one amiss
                        await self._mesh.send_control(peer, approval_notice(word))
            except RemoteProtocolError:
                return  # gone again; told anew when it returns

    # --- what peers tell ----------------------------------------------------------------------------------

    async def _take_request(self, peer: str, notice: RequestNotice) -> None:
        workshop = self._workshop
        now = workshop.clock()
        try:
            request = receive_request(
                notice.request, notice.centre, notice.signature, charter=workshop.charter, now=now
            )
        except OutOfTimeError as error:
            if peer == notice.centre:
                raise
            # Its clock and ours are within bounds of the teller's, not of each other's.
            workshop.log.warning("a request that was passed on was not taken", peer=peer, detail=error.detail)
            return
        try:
            if not await workshop.ledger(Ledger.add_request, request, now=now):
                await self._answer(peer, request.digest)
                return
        except OperatorError as error:  # its centre has too many here, or our disk is full; told anew when it returns
            workshop.log.warning("a request was not taken", peer=peer, reason=str(error))
            return
        await workshop.audit.note(
            Event.REQUEST_RECEIVED,
            peer=request.centre,
            purpose=request.table.purpose,
            request=request.digest,
            details=rules(workshop.refusals(request)),
        )
        workshop.log.info("request received", request=request.digest.hex(), centre=request.centre, peer=peer)
        workshop.events.publish("request.received", request=request.digest.hex(), centre=request.centre)
        self.poke()

    async def _answer(self, peer: str, digest: bytes) -> None:
        """A peer has open what we know: if it is released here, it lacks the release; if it is refused, the refusal.

        What is over is told to nobody by itself, so who was away when it was refused would wait until it expires.
        """
        ledger = self._workshop.ledger
        entry = await ledger(Ledger.get, digest)
        if entry.state in (State.RUNNING, State.DONE):
            self._wanted.note(digest, {peer})
            self.poke()
        elif entry.state is State.REFUSED:
            for word in await ledger(Ledger.approvals, digest):
                if word.verdict is Verdict.REFUSE:
                    self._mesh.post_control(peer, approval_notice(word))

    async def _is_kept(self, notice: ApprovalNotice) -> bool:
        """Whether this very word was verified and kept before: after every reconnection all is told again."""
        try:
            told = read_approval(notice.approval, notice.centre, notice.signature)
        except ApprovalError:
            return False  # who verifies it says what is wrong
        return await self._workshop.ledger(Ledger.holds, told)

    async def _take_approval(self, peer: str, notice: ApprovalNotice) -> None:
        workshop = self._workshop
        now = workshop.clock()
        try:
            if await self._is_kept(notice):
                return
            approval = receive_approval(
                notice.approval, notice.centre, notice.signature, charter=workshop.charter, now=now
            )
            state = await workshop.ledger(Ledger.add_approval, approval, charter=workshop.charter, now=now)
        except RemoteProtocolError as error:
            # Named, logged and dropped: it gives nobody anything, and a lapsed approval is an honest mistake.
            workshop.log.warning("an approval was not taken", peer=peer, fault=error.fault.value, detail=error.detail)
            await workshop.audit.note_of_peer(
                peer,
                Event.APPROVAL_REJECTED,
                outcome="refused",
                details={"fault": error.fault.value, "detail": error.detail, "said_to_be_of": notice.centre},
            )
            workshop.events.publish("approval.rejected", peer=peer, fault=error.fault.value, detail=error.detail)
            return
        except UnknownRequestError:
            workshop.log.info("an approval of a request not here", peer=peer, request=approval.request.hex())
            return
        except OperatorError as error:
            workshop.log.error("an approval was not kept", reason=str(error))
            return
        workshop.events.publish(
            "request.state", request=approval.request.hex(), state=state.value, centre=approval.centre
        )
        self.poke()
