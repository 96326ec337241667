"""Pausing, resuming, leaving: this centre's own words, and those it is told (``docs/protocol.md``, section 14).

Words count from memory (:class:`~nskd.governance.attendance.Attendance`); the ledger has them for the next start.  What
holds data back takes effect first and is written then; what lets data out again is written first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import trio

from nskd.control import answers, methods
from nskd.control.codes import Code, ControlError
from nskd.control.service import Call
from nskd.daemon.auditor import Detail
from nskd.daemon.endings import end_request
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance.audit import Event
from nskd.governance.ledger import Ledger
from nskd.governance.lifecycle import Event as RequestEvent
from nskd.governance.lifecycle import State
from nskd.governance.policy import PolicyError
from nskd.governance.presence import (
    Move,
    Presence,
    Word,
    check_reason,
    receive_word,
    sign_word,
    signed_anew,
)
from nskd.monitor.findings import Finding, Name
from nskd.peers.mesh import Mesh
from protocol.errors import Fault, RemoteProtocolError
from protocol.messages import PresenceNotice


def presence_notice(word: Word) -> PresenceNotice:
    """A word of presence as it travels."""
    return PresenceNotice(word=word.body, centre=word.centre, signature=word.signature)


class PresenceKeeper:
    """Says, hears and keeps words of presence, and ends what cannot come to anything once a centre has left."""

    def __init__(self, workshop: Workshop, mesh: Mesh, on_change: Callable[[], None]) -> None:
        self._workshop = workshop
        self._attendance = workshop.attendance
        self._mesh = mesh
        self._on_change = on_change
        self._unkept: dict[tuple[str, bool], Word] = {}  # by centre, and whether it leaves; they count
        mesh.register(PresenceNotice, self._take)

    async def recover(self) -> None:
        """Let what is on record count; before anything else may begin.  Raises an ``OperatorError``."""
        workshop = self._workshop
        for word in await workshop.ledger(Ledger.presence, workshop.charter.workshop):
            self._attendance.put(word)
        own = self._attendance.standing(workshop.own)
        in_force = own.in_force(workshop.charter.version)
        if in_force is not None and not self._is_signed(in_force):  # the charter gives this centre another key now
            await self._effect(signed_anew(in_force, number=self._next_number(), sign=workshop.sign))
        await self.apply()

    # --- this centre ------------------------------------------------------------------------------------------

    async def pause(self, call: Call, params: methods.WithdrawParams) -> answers.PresenceAnswer:
        """Nothing of this centre enters a run from now on, until it resumes."""
        self._refuse_once_left()
        return await self._say(call, Move.PAUSE, params.reason, check=params.check)

    async def resume(self, call: Call, params: methods.Changing) -> answers.PresenceAnswer:
        """Take part again."""
        self._refuse_once_left()
        return await self._say(call, Move.RESUME, "", check=params.check)

    async def leave(self, call: Call, params: methods.WithdrawParams) -> answers.PresenceAnswer:
        """Nothing of this centre enters a run under this charter any more."""
        return await self._say(call, Move.LEAVE, params.reason, check=params.check)

    def _refuse_once_left(self) -> None:
        own = self._attendance.own
        if own is not None and own.presence is Presence.LEFT:
            raise PolicyError((self._attendance.refusal(own),))

    async def _say(self, call: Call, move: Move, reason: str, *, check: bool) -> answers.PresenceAnswer:
        workshop = self._workshop
        check_reason(reason)
        word = self._attendance.standing(workshop.own).in_force(workshop.charter.version)
        if move is Move.RESUME and word is None:
            raise ControlError(Code.CONFLICT, "this centre takes part already; there is nothing to resume.")
        if check:
            return await self._answer([], checked=True)
        if word is None or (word.move, word.reason) != (move, reason):
            word = sign_word(
                move,
                number=self._next_number(),
                now=workshop.clock(),
                centre=workshop.own,
                charter=workshop.charter,
                sign=workshop.sign,
                reason=reason,
            )
        # Said once more, the same word is told and written again: it may have been more than the disk had room for.
        not_told = await self._effect(word, call)
        return await self._answer(not_told, checked=False)

    async def _answer(self, not_told: list[str], *, checked: bool) -> answers.PresenceAnswer:
        own = self._attendance.own
        return answers.PresenceAnswer(
            centre=self._workshop.own,
            state=(Presence.PRESENT if own is None else own.presence).value,
            since=None if own is None else own.since,
            reason=None if own is None else own.reason or None,
            waiting=len(await self._workshop.ledger(Ledger.undecided)),
            running=(await self._workshop.ledger(Ledger.counts))[State.RUNNING],
            not_told=not_told,
            checked=checked,
        )

    def _next_number(self) -> int:
        """Above all we have used, also those that a ledger put back from a backup has forgotten (14.3)."""
        return max(self._attendance.standing(self._workshop.own).number + 1, self._workshop.clock())

    async def _effect(self, word: Word, call: Call | None = None) -> list[str]:
        """Let a word of our own count, on disk and among the centres; who is away and could not be told."""
        workshop, holds_back = self._workshop, word.move is not Move.RESUME
        with trio.CancelScope(shield=True):  # whoever asked may hang up; it is done all the same
            if holds_back:
                self._attendance.put(word)
                not_told = list(self._mesh.broadcast_control(presence_notice(word)))
                self._on_change()
                await workshop.audit.note(Event.PRESENCE_SAID, **_said_by(call), details=_details(word))
                await self._keep_or_say_so(word)
                if word.move is Move.LEAVE:
                    await self.apply()
            else:
                await workshop.audit.record(Event.PRESENCE_SAID, **_said_by(call), details=_details(word))
                await workshop.ledger(Ledger.keep_presence, word, now=workshop.clock())
                self._attendance.put(word)
                not_told = list(self._mesh.broadcast_control(presence_notice(word)))
                self._on_change()
        self._publish(word)
        workshop.log.info("presence", move=word.move.value, number=word.number, not_told=not_told)
        return not_told

    async def _keep_or_say_so(self, word: Word) -> None:
        try:
            await self._workshop.ledger(Ledger.keep_presence, word, now=self._workshop.clock())
        except OperatorError as error:
            self._keep_later(word)
            raise OperatorError(
                f"it is in force and the other centres are told, but it is not on disk yet: {error.what}",
                where=error.where,
                remedy="Free some space before this daemon is restarted; it is tried again every minute.",
            ) from error

    # --- other centres ----------------------------------------------------------------------------------------

    async def tell_all(self, peer: str) -> None:
        """Tell one peer all we keep that the present charter's keys verify: it has just connected."""
        for name in self._workshop.charter.names:
            for word in self._attendance.standing(name).words:
                if self._is_signed(word):
                    try:
                        await self._mesh.send_control(peer, presence_notice(word))
                    except RemoteProtocolError:
                        return  # gone again; told anew when it returns

    async def _take(self, peer: str, notice: PresenceNotice) -> None:
        try:
            word = receive_word(notice.word, notice.centre, notice.signature, charter=self._workshop.charter)
        except RemoteProtocolError as error:
            await self._reject(peer, notice.centre, error)
            return
        standing = self._attendance.standing(word.centre)
        held = standing.held(word.move)
        if held is not None and held.body == word.body:
            return
        if standing.contradicts(word):
            what = f"two words of presence of {word.centre} under number {word.number}"
            await self._reject(peer, word.centre, RemoteProtocolError(Fault.EQUIVOCATION, what, party=word.centre))
        elif held is not None and held.number > word.number:
            what = (
                f"an old word of presence of {word.centre}: number {word.number}, and {held.number} is known;"
                " who relays it may merely be late"
            )
            await self._reject(peer, word.centre, RemoteProtocolError(Fault.UNEXPECTED, what, party=word.centre))
        if word.centre == self._workshop.own and not await self._is_ours_to_take(peer, word):
            return
        if self._attendance.put(word):
            await self._heard(peer, word)

    async def _is_ours_to_take(self, peer: str, word: Word) -> bool:
        """Our ledger was put back: others can remind us of what holds data back, only our own people let it out."""
        own = self._attendance.standing(self._workshop.own)
        paused = own.other is not None and own.other.move is Move.PAUSE
        if word.move is Move.RESUME and own.other is not None and paused and word.number >= own.other.number:
            what = f"a resumption of this centre that it does not know of (number {word.number}); it stays paused"
            await self._reject(peer, word.centre, RemoteProtocolError(Fault.UNEXPECTED, what, party=peer))
            number = max(self._next_number(), word.number + 1)
            try:
                await self._effect(signed_anew(own.other, number=number, sign=self._workshop.sign))
            except OperatorError as error:
                self._workshop.log.error("our pause was said anew", reason=str(error))
            return False
        return True

    async def _heard(self, peer: str, word: Word) -> None:
        workshop = self._workshop
        self._on_change()
        try:
            await workshop.ledger(Ledger.keep_presence, word, now=workshop.clock())
        except OperatorError as error:
            self._keep_later(word)
            workshop.log.error("a word of presence could not be kept yet", of=word.centre, reason=str(error))
        await workshop.audit.note_of_peer(word.centre, Event.PRESENCE_HEARD, details=_details(word, told_by=peer))
        workshop.log.info("presence heard", of=word.centre, move=word.move.value, number=word.number, peer=peer)
        self._publish(word)
        if word.move is Move.LEAVE:
            try:
                await self.apply()
            except OperatorError as error:
                workshop.log.error("open requests could not be ended yet", reason=str(error))

    async def _reject(self, peer: str, centre: str, error: RemoteProtocolError) -> None:
        """Named, on record, and of no effect."""
        workshop, fault = self._workshop, error.fault.value
        workshop.log.warning("a word of presence was not taken", peer=peer, fault=fault, detail=error.detail)
        await workshop.audit.note_of_peer(
            peer,
            Event.PRESENCE_REJECTED,
            outcome="refused",
            details={"fault": fault, "detail": error.detail, "said_to_be_of": centre},
        )
        workshop.events.publish("presence.rejected", peer=peer, fault=fault, detail=error.detail)

    # --- as time goes by --------------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Write what the disk had no room for, and end what cannot come to anything.  Raises an ``OperatorError``."""
        for kind, word in tuple(self._unkept.items()):
            await self._workshop.ledger(Ledger.keep_presence, word, now=self._workshop.clock())
            if self._unkept.get(kind) is word:
                del self._unkept[kind]
        await self.apply()

    def _keep_later(self, word: Word) -> None:
        """It counts already; of many by one centre, which costs it nothing to say, only the last is worth keeping."""
        self._unkept[word.centre, word.move is Move.LEAVE] = word

    async def apply(self) -> None:
        """End open requests once a centre has left; what runs now ends first.  Raises an ``OperatorError``."""
        for absence in self._attendance.left[:1]:
            over = self._attendance.refusal(absence)
            for digest in await self._workshop.ledger(Ledger.undecided):
                if await end_request(self._workshop, digest, over, peer=absence.centre, as_=RequestEvent.REFUSE):
                    self._on_change()

    # --- for people -------------------------------------------------------------------------------------------

    def findings(self) -> list[Finding]:
        """What an operator should know."""
        found = []
        for absence in self._attendance.absences:
            own = absence.centre == self._workshop.own
            name = Name.CENTRE_ABSENT if not own else Name.PAUSED if absence.presence is Presence.PAUSED else Name.LEFT
            what = f"{absence.what}; no run begins"
            remedy = self._attendance.refusal(absence).remedy
            found.append(Finding(name, what, remedy, since=absence.since, subject=absence.centre))
        if self._unkept:
            what = "who has paused or left is not all on disk yet"
            found.append(Finding(Name.PRESENCE_NOT_KEPT, what, "Free some space before a restart."))
        return found

    def _publish(self, word: Word) -> None:
        self._workshop.events.publish("presence", centre=word.centre, move=word.move.value, reason=word.reason)

    def _is_signed(self, word: Word) -> bool:
        centre = self._workshop.charter.find(word.centre)
        return centre is not None and word.is_signed(centre.signing_key)


def _said_by(call: Call | None) -> dict[str, Any]:
    return {} if call is None else {"uid": call.credentials.uid, "user": call.user}


def _details(word: Word, told_by: str | None = None) -> dict[str, Detail]:
    return {
        "move": word.move.value,
        "number": word.number,
        "issued_at": word.issued_at,
        "word": hashlib.sha256(word.body).digest(),
        **({"reason": word.reason} if word.reason else {}),
        **({"told_by": told_by} if told_by else {}),
    }
