"""What a centre that was restored from a backup asks the others: which requests began (``docs/protocol.md``, 12.13).

A later table is compared with all earlier ones (step 11.6); one that this centre took part in, and has forgotten, would
be left out.  The others know, and tell: each request signed by who asked, and with this centre's own approval, so that
nobody makes any up, who asked included.  One learnt so counts as begun and never runs here.
"""

from __future__ import annotations

from typing import Final

from nskd.daemon.history import History
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance.approval import ApprovalError, read_approval
from nskd.governance.charter import Charter
from nskd.governance.ledger import Ledger
from nskd.governance.limits import CLOCK_SKEW_MAX_S
from nskd.governance.request import SignedRequest, charter_named, receive_begun
from nskd.governance.statement import Verdict
from nskd.governance.verification import verify
from nskd.peers.mesh import Mesh
from nskd.restore import Restored
from protocol.errors import Fault, RemoteProtocolError
from protocol.messages import BegunNotice, BegunQuery

ANSWER_EVERY_S: Final = 60
"""A peer that asks more often on one connection is not answered: an answer is some hundred messages."""

ASK_EVERY_S: Final = 3600
"""So that an answer of which some was lost, or that a disk would not take, is made good."""


class Relearning:
    """Asks, if this centre was restored; answers whoever asks."""

    def __init__(self, workshop: Workshop, mesh: Mesh, history: History, restored: Restored | None) -> None:
        self._workshop = workshop
        self._history = history
        self._mesh = mesh
        self._restored = restored
        self._answered: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        mesh.register(BegunQuery, self._take_query)
        mesh.register(BegunNotice, self._take_begun)

    def greet(self, peer: str) -> None:
        """Ask a centre that has just connected, and answer it anew: the last connection took some with it, perhaps."""
        self._answered.pop(peer, None)
        if self._restored is not None and self._mesh.post_control(peer, BegunQuery()):
            self._asked[peer] = self._workshop.clock()

    def ask_again(self) -> None:
        """Ask those whose last answer is an hour old, or later by a clock that was set back."""
        now = self._workshop.clock()
        for peer, asked_at in tuple(self._asked.items()):
            if abs(now - asked_at) >= ASK_EVERY_S and self._mesh.post_control(peer, BegunQuery()):
                self._asked[peer] = now

    async def _take_query(self, peer: str, query: BegunQuery) -> None:
        now = self._workshop.clock()
        if abs(now - self._answered.get(peer, now - ANSWER_EVERY_S)) < ANSWER_EVERY_S:
            return
        self._answered[peer] = now
        try:
            for digest in await self._history.newest():
                notice = await self._notice(digest, peer)
                if notice is not None:
                    await self._mesh.send_control(peer, notice)
        except (RemoteProtocolError, OperatorError) as error:  # it is gone again, or our disk is: let it ask anew
            self._answered.pop(peer, None)
            self._workshop.log.warning("what began here was not told in full", peer=peer, reason=str(error))

    async def _notice(self, digest: bytes, peer: str) -> BegunNotice | None:
        """None for what this centre cannot prove to the peer: it was restored itself, and has only learnt of it."""
        ledger = self._workshop.ledger
        request = (await ledger(Ledger.get, digest)).request
        words = await ledger(Ledger.approvals, digest)
        approval = next((each for each in words if each.centre == peer and each.verdict is Verdict.APPROVE), None)
        if approval is None and peer in self._workshop.charter.contributors:
            return None
        return BegunNotice(
            request=request.body,
            centre=request.centre,
            signature=request.signature,
            approval=None if approval is None else approval.body,
            approval_signature=None if approval is None else approval.signature,
        )

    async def _take_begun(self, peer: str, notice: BegunNotice) -> None:
        workshop = self._workshop
        if self._restored is None or peer not in self._asked:
            return  # nothing we asked for
        now = workshop.clock()
        named = charter_named(notice.request)
        charter = workshop.charter if named is None else workshop.charter_of(named)  # the unreadable is refused below
        if charter is None:  # this centre joined, or began anew, after it: its teller cannot know that
            workshop.log.info("what began under a charter that is not known here is not learnt", peer=peer)
            return
        request = receive_begun(notice.request, notice.centre, notice.signature, charter=charter, now=now)
        if request.submitted_at > self._restored.restored_at + CLOCK_SKEW_MAX_S:
            return  # what came after the restore, by whatever clock, we know by ourselves
        if workshop.own in charter.contributors:
            self._check_approval(notice, request, charter, peer)
        try:
            learnt = await workshop.ledger(Ledger.learn, request, now=now)
        except OperatorError as error:
            workshop.log.error("a request that had begun could not be kept", peer=peer, reason=str(error))
            return
        if learnt:
            workshop.log.info("learnt that a request had begun", request=request.digest.hex(), peer=peer)

    def _check_approval(self, notice: BegunNotice, request: SignedRequest, charter: Charter, peer: str) -> None:
        """Raise :class:`RemoteProtocolError` (``APPROVAL``) unless our own steward had approved the request."""
        own = self._workshop.own
        try:
            approval = read_approval(notice.approval or b"", own, notice.approval_signature or b"")
        except ApprovalError as error:
            what = f"a request is said to have begun, without our approval of it: {error.what}"
            raise RemoteProtocolError(Fault.APPROVAL, what, party=peer) from None
        verify(approval, charter=charter, request=request)
        if approval.verdict is not Verdict.APPROVE:
            what = "a request is said to have begun that this centre had not approved"
            raise RemoteProtocolError(Fault.APPROVAL, what, party=peer)
