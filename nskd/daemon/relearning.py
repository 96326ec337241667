"""What a centre that was restored from a backup asks the others: which requests began (``docs/protocol.md``, 12.13).

A later table is compared with all earlier ones (step 11.6); one that this centre took part in, and has forgotten, would
be left out.  The others know, and tell: each request signed by who asked, so that nobody makes any up.  One learnt so
counts as begun and never runs here.
"""

from __future__ import annotations

from typing import Final

from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance.ledger import Ledger
from nskd.governance.request import receive_begun
from nskd.peers.mesh import Mesh
from nskd.restore import Restored
from protocol.errors import RemoteProtocolError
from protocol.messages import BegunNotice, BegunQuery

ANSWER_EVERY_S: Final = 60
"""A peer that asks more often is not answered: an answer is some hundred messages."""


class Relearning:
    """Asks, if this centre was restored; answers whoever asks."""

    def __init__(self, workshop: Workshop, mesh: Mesh, restored: Restored | None) -> None:
        self._workshop = workshop
        self._mesh = mesh
        self._restored = restored
        self._answered: dict[str, int] = {}
        self._asked: set[str] = set()
        mesh.register(BegunQuery, self._take_query)
        mesh.register(BegunNotice, self._take_begun)

    def greet(self, peer: str) -> None:
        """Ask a centre that has just connected."""
        if self._restored is not None and self._mesh.post_control(peer, BegunQuery()):
            self._asked.add(peer)

    async def _take_query(self, peer: str, query: BegunQuery) -> None:
        now = self._workshop.clock()
        if now - self._answered.get(peer, now - ANSWER_EVERY_S) < ANSWER_EVERY_S:
            return
        self._answered[peer] = now
        charter = self._workshop.charter
        begun = [
            entry.request
            for entry in await self._workshop.ledger(Ledger.begun)
            if entry.request.charter_digest == charter.digest
        ]
        for request in begun[-max(1, charter.disclosure.differencing) :]:
            notice = BegunNotice(request=request.body, centre=request.centre, signature=request.signature)
            try:
                await self._mesh.send_control(peer, notice)
            except RemoteProtocolError:
                return  # gone again; it asks anew

    async def _take_begun(self, peer: str, notice: BegunNotice) -> None:
        workshop = self._workshop
        if self._restored is None or peer not in self._asked:
            return  # nothing we asked for
        now = workshop.clock()
        request = receive_begun(notice.request, notice.centre, notice.signature, charter=workshop.charter, now=now)
        if request.submitted_at > self._restored.restored_at:
            return  # what came after the restore we know by ourselves
        try:
            learnt = await workshop.ledger(Ledger.learn, request, now=now)
        except OperatorError as error:
            workshop.log.error("a request that had begun could not be kept", peer=peer, reason=str(error))
            return
        if learnt:
            workshop.log.info("learnt that a request had begun", request=request.digest.hex(), peer=peer)
