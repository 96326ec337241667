"""Heads of audit logs among the centres: told, proved, kept, contradicted (``docs/protocol.md``, section 13)."""

from __future__ import annotations

from typing import Final

from nskd.control.answers import HeadRow
from nskd.daemon.workshop import Workshop
from nskd.governance import limits
from nskd.governance.audit import Event, Head
from nskd.governance.audit_check import HELD, head_details, told_head
from nskd.governance.audit_heads import Contradiction, PeerLog, Query
from nskd.monitor.findings import Finding, Name
from nskd.peers.mesh import Mesh
from protocol.errors import Fault, RemoteProtocolError
from protocol.limits import AUDIT_DIGESTS_MAX
from protocol.messages import AuditHead, AuditProof, AuditQuery

_REMEDY: Final = "Settle it with that centre and compare the logs (nskctl audit verify --heads)."


class Heads:
    """What this centre holds of all other centres' logs."""

    def __init__(self, *, workshop: Workshop, mesh: Mesh) -> None:
        self._workshop = workshop
        self._mesh = mesh
        self._keys = {centre.name: centre.signing_key for centre in workshop.charter.centres}
        self._logs = {peer: self._remembered(peer) for peer in mesh.peers}
        self._told: dict[str, int] = {}
        self._unproved_since: dict[str, int] = {}
        self._own_loss: str | None = None
        mesh.register(AuditHead, self._take_head)
        mesh.register(AuditQuery, self._take_query)
        mesh.register(AuditProof, self._take_proof)

    # --- telling --------------------------------------------------------------------------------------------

    def greet(self, peer: str) -> None:
        """Tell a centre that has just connected all we hold."""
        self._logs[peer].reconnected()
        for head in self._all():
            self._mesh.post_control(peer, _message(head))

    async def refresh(self) -> None:
        """Tell all what is new, and write down what is due; to be called every minute or so."""
        for peer in self._logs:
            await self._keep(peer)
        news = self._workshop.audit.news
        for head in self._all():
            own = head.centre == self._workshop.own
            if self._told.get(head.centre) == (news if own else head.sequence):
                continue  # of our own log, entries about others' heads alone are no news, or it would never end
            self._told[head.centre] = news if own else head.sequence
            self._mesh.broadcast_control(_message(head))

    def _all(self) -> list[Head]:
        return [self._workshop.audit.head, *(log.held for log in self._logs.values() if log.held is not None)]

    # --- for people -----------------------------------------------------------------------------------------

    def findings(self) -> list[Finding]:
        """What an operator should know."""
        now = self._workshop.clock()
        found = []
        if self._own_loss is not None:
            remedy = "Find out who did, keep the file as it is, and tell the other centres."
            found.append(Finding(Name.OWN_AUDIT_CHANGED, self._own_loss, remedy))
        for peer, log in self._logs.items():
            if log.contradiction is not None:
                what = f"the audit log of {peer} is not what it was: {log.contradiction.what}"
                found.append(Finding(Name.AUDIT_CONTRADICTED, what, _REMEDY, subject=peer))
            elif now - (since := self._unproved_since.get(peer, now)) > limits.AUDIT_PROOF_PATIENCE_S:
                what = f"{peer} has not shown that its audit log only grew"
                remedy = "Ask its operator whether the log was put back from a backup."
                found.append(Finding(Name.AUDIT_UNPROVED, what, remedy, since=since, subject=peer))
        return found

    def rows(self) -> list[HeadRow]:
        """How each other centre's log stands."""
        rows = []
        for peer, log in self._logs.items():
            state = "unknown" if log.held is None else "unproved" if log.waits else "in order"
            rows.append(
                HeadRow(
                    centre=peer,
                    state="contradicted" if log.contradiction is not None else state,
                    sequence=None if log.held is None else log.held.sequence,
                    hash=None if log.held is None else log.held.hash.hex(),
                    detail=None if log.contradiction is None else log.contradiction.what,
                )
            )
        return rows

    # --- what peers tell ------------------------------------------------------------------------------------

    async def _take_head(self, peer: str, message: AuditHead) -> None:
        head = Head(message.centre, message.sequence, message.hash, message.signature)
        key = self._keys.get(head.centre)
        if key is None or head.sequence < 1 or not head.is_signed((key,)):
            raise RemoteProtocolError(
                Fault.SIGNATURE, "the head of an audit log is not signed by its centre", party=peer
            )
        if head.centre == self._workshop.own:
            await self._compare_own(peer, head)
        else:
            await self._act(head.centre, self._logs[head.centre].take(head, own_word=peer == head.centre))

    async def _take_query(self, peer: str, message: AuditQuery) -> None:
        until = min(message.until, message.after + AUDIT_DIGESTS_MAX)
        digests = self._workshop.audit.digests(message.after, until) if message.after < until else b""
        self._mesh.post_control(peer, AuditProof(after=message.after, digests=digests))

    async def _take_proof(self, peer: str, message: AuditProof) -> None:
        await self._act(peer, self._logs[peer].take_proof(message.after, message.digests))

    async def _act(self, centre: str, outcome: Query | Contradiction | None) -> None:
        log = self._logs[centre]
        if log.waits:
            self._unproved_since.setdefault(centre, self._workshop.clock())
        else:
            self._unproved_since.pop(centre, None)
        if isinstance(outcome, Query):
            if not self._mesh.post_control(centre, AuditQuery(after=outcome.after, until=outcome.until)):
                log.reconnected()  # asked once it is back
        elif isinstance(outcome, Contradiction):
            await self._say(centre, outcome)
        await self._keep(centre)

    async def _say(self, centre: str, found: Contradiction) -> None:
        self._workshop.log.error("an audit log is not what it was", of=centre, what=found.what, remedy=_REMEDY)
        self._workshop.events.publish("audit.contradicted", centre=centre, what=found.what)
        await self._workshop.audit.note(
            Event.HEAD_CONTRADICTED,
            outcome="failed",
            peer=centre,
            details={"reason": found.what, **head_details(found.head), **head_details(found.held, HELD)},
        )

    async def _compare_own(self, peer: str, head: Head) -> None:
        """Another centre holds a head that we signed: it has to be in our log."""
        if self._workshop.audit.hash_of(head.sequence) == head.hash or self._own_loss is not None:
            return
        self._own_loss = (
            f"this centre's own audit log was cut off, changed or put back: {peer} keeps another entry"
            f" {head.sequence} that we signed"
        )
        self._workshop.log.error("our audit log is not what it was", keeper=peer, sequence=head.sequence)
        self._workshop.events.publish("audit.contradicted", centre=self._workshop.own, what=self._own_loss)
        await self._workshop.audit.note(
            Event.HEAD_CONTRADICTED,
            outcome="failed",
            peer=self._workshop.own,
            details={"reason": f"told by {peer}", **head_details(head)},
        )

    # --- what is written down -------------------------------------------------------------------------------

    async def _keep(self, centre: str) -> None:
        """Write down what is held of a centre's log, unless that was done a short while ago."""
        held = self._logs[centre].held
        last = self._workshop.audit.about_head(Event.HEAD_KEPT, centre)
        if held is None or (last is not None and told_head(last) == held):
            return
        if last is None or self._workshop.clock() - last.body.time >= limits.AUDIT_HEAD_KEPT_EVERY_S:
            await self._workshop.audit.note(Event.HEAD_KEPT, peer=centre, details=head_details(held))

    def _remembered(self, centre: str) -> PeerLog:
        """What our log says; what a centre signed with a former key is the past of another log."""
        keys = (self._keys[centre],)
        kept = self._workshop.audit.about_head(Event.HEAD_KEPT, centre)
        held = None if kept is None else told_head(kept)
        if held is not None and not held.is_signed(keys):
            held = None
        said = self._workshop.audit.about_head(Event.HEAD_CONTRADICTED, centre)
        if said is None or not told_head(said).is_signed(keys):
            return PeerLog(held)
        reason = str(said.body.details.get("reason", ""))
        return PeerLog(held, Contradiction(reason, told_head(said, HELD), told_head(said)))


def _message(head: Head) -> AuditHead:
    return AuditHead(centre=head.centre, sequence=head.sequence, hash=head.hash, signature=head.signature)
