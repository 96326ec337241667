"""One session at this centre, from a proposal to its end: what coordinator and others do alike."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any, Final

import numpy as np
import structlog
import trio

from nskd.errors import OperatorError
from nskd.peers.channel import SessionAborted, SessionChannel
from nskd.peers.lanes import DIGEST_BYTES, Lane
from nskd.peers.mesh import Mesh
from nskd.sessions.kinds import AgreedSession, Refusal, SessionKind, SessionRefused
from nskd.sessions.proposal import Offer
from protocol import limits
from protocol.errors import Fault, RemoteProtocolError
from protocol.messages import Abort, ControlMessage
from protocol.wire import Message

CONFIRM_STEP: Final = "session/confirm"
OWN_ERROR: Final = "stopped by an error of its own; its log says which"


_DONE, _REFUSED, _CANCELLED, _OWN_ERROR, _TOLD = "done", "refused", "cancelled", "own-error", "stopped-by-peer"
OUTCOMES: Final = (_DONE, _REFUSED, _CANCELLED, _OWN_ERROR, _TOLD, *(fault.value for fault in Fault))


class SlowJudgementError(OperatorError):
    """Our own ledgers took longer than the other centres wait."""


class Attempt:
    """A session that this centre takes part in or is about to.

    The subclasses are the two sides of the agreement.  :meth:`run` is called once; the control messages of
    the other parties come in beside it.  ``on_slot_free`` is told when the session gives up its slot before it ends.
    """

    def __init__(
        self,
        offer: Offer,
        kind: SessionKind,
        mesh: Mesh,
        log: structlog.typing.FilteringBoundLogger,
        *,
        on_slot_free: Callable[[], None],
    ) -> None:
        self.offer = offer
        self.session = offer.session
        self.lane = Lane(offer.proposal.lane)
        self.parties = offer.proposal.parties
        self.channel: SessionChannel | None = None
        self.in_slot = True  # counts against what may run at once
        self.executing = False
        self.outcome = ""  # once it is over, see `outcome_of`
        self._kind = kind
        self._mesh = mesh
        self._index = self.parties.index(mesh.own)
        self._others = tuple(name for name in self.parties if name != mesh.own)
        self._on_slot_free = on_slot_free
        self._scope = trio.CancelScope()
        self._withdrawn: RemoteProtocolError | None = None
        self._judging = False  # something may have been reserved
        self._log = log.bind(session=self.session.hex()[:8], kind=kind.name, coordinator=offer.proposal.coordinator)

    async def run(self) -> Any:
        """Take the session from here to its end; returns what the kind's ``run`` returns."""
        raise NotImplementedError

    def accepted_by(self, peer: str) -> None:
        """Note an Accept."""

    def refused_by(self, peer: str, reason: str) -> None:
        """Note a Refuse."""

    def started_by(self, peer: str) -> None:
        """Note a Start."""

    def aborted_by(self, peer: str, fault: Fault, detail: str) -> None:
        """Stop, as ``peer`` has.

        An open channel was told when the message was read, unless it was opened between then and now.
        """
        said = f"{peer} stopped the session: {detail}"
        if self.channel is not None:
            self.channel.peer_aborted(self.parties.index(peer), fault, said)
        elif self._withdrawn is None:
            self._withdrawn = SessionAborted(fault, said, party=peer)
            self._scope.cancel()

    @property
    def kind_name(self) -> str:
        """Of which kind it is."""
        return self._kind.name

    # --- steps --------------------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        """Judge the offer and reserve what it needs; raises :class:`Refusal` or :class:`SlowJudgementError`."""
        with self._scope:
            await self._take_slot()
            with trio.move_on_after(limits.SESSION_LINKS_WAIT_S):
                await self._mesh.wait_connected(self.parties, (Lane.CONTROL, self.lane))
            if not self._mesh.connected(self.parties, (Lane.CONTROL, self.lane)):
                missing = [n for n in self._others if not self._mesh.connected([n], (Lane.CONTROL, self.lane))]
                raise Refusal(f"not connected to {', '.join(missing)}")
            self._judging = True
            try:
                with trio.fail_after(limits.SESSION_JUDGE_TIMEOUT_S):
                    await self._kind.judge(self.offer)
            except Refusal:
                self._judging = False
                raise
            except trio.TooSlowError:
                raise SlowJudgementError(
                    f"a session could not be judged within {limits.SESSION_JUDGE_TIMEOUT_S:.0f} s",
                    where="this centre",
                    remedy="See what holds up its disk; it is tried again.",
                ) from None
        if self._withdrawn is not None:
            raise self._withdrawn

    async def _take_slot(self) -> None:
        """Wait for room, or raise :class:`Refusal`."""

    def _open(self) -> SessionChannel:
        self.channel = self._mesh.open_session(self.session, self.lane, self.parties)
        return self.channel

    async def _confirm(self, channel: SessionChannel) -> None:
        """Compare the digest of the whole proposal, every party with every other.

        A session id is short enough for a coordinator with the means of a state to find two proposals that
        share one; the digest is not.
        """
        own = self.offer.digest
        confirmation = Message(self.session, CONFIRM_STEP, (np.frombuffer(own, np.uint8),))
        peers = [index for index in range(len(self.parties)) if index != self._index]
        received = await channel.exchange(dict.fromkeys(peers, confirmation), peers)
        for peer, message in received.items():
            part = message.parts[0] if len(message.parts) == 1 else None
            if message.step != CONFIRM_STEP or part is None or part.nbytes != DIGEST_BYTES:
                raise RemoteProtocolError(Fault.UNEXPECTED, "did not confirm the proposal first", party=peer)
            if not hmac.compare_digest(part.tobytes(), own):
                raise RemoteProtocolError(Fault.SESSION, "was shown another proposal than we were", party=peer)

    async def _execute(self, channel: SessionChannel) -> Any:
        self.executing = True
        await self._confirm(channel)
        return await self._kind.run(AgreedSession(self.offer, self._index, channel, self._give_up_slot))

    def _give_up_slot(self) -> None:
        self.in_slot = False
        self._on_slot_free()

    @asynccontextmanager
    async def _ending(self, told: Collection[str]) -> AsyncIterator[None]:
        """Whatever ends the block: tell ``told`` unless it is success, clean up, close the channel.

        ``told`` may grow while the block runs.  A remote fault leaves with the centre's name instead of an
        index.
        """
        began_s = trio.current_time()
        error: BaseException | None = None
        try:
            yield
        except BaseException as problem:
            error = self._in_words(problem)
            if error is problem:
                raise
            raise error from problem
        finally:
            if error is not None and told:
                self._mesh.broadcast_control(self._abort_message(error), told)
            if self.channel is not None:
                self.channel.close()
            if self._judging:
                await self._finish(error)
            self._report(error, trio.current_time() - began_s)

    async def _finish(self, error: BaseException | None) -> None:
        with trio.move_on_after(limits.SESSION_CLEANUP_TIMEOUT_S, shield=True) as patience:
            try:
                await self._kind.finished(self.offer, error)
            except OperatorError as problem:  # our own disk, as a rule
                self._log.error("cleaning up after the session failed", reason=str(problem))
            except Exception:
                # Whoever waits for this session is owed its outcome; a reservation that could not be burnt
                # now is burnt when the stockpile is next opened.
                self._log.exception("cleaning up after the session failed")
        if patience.cancelled_caught:
            self._log.error("cleaning up after the session took too long")

    def _in_words(self, error: BaseException) -> BaseException:
        """Find the one remote fault inside ``error``, its party by name; else return ``error``."""
        fault = find_fault(error)
        if fault is None:
            return error
        if not isinstance(fault.party, int):
            return fault
        kind = SessionAborted if isinstance(fault, SessionAborted) else RemoteProtocolError
        return kind(fault.fault, fault.detail, party=self.parties[fault.party])

    def _abort_message(self, error: BaseException) -> ControlMessage:
        if isinstance(error, RemoteProtocolError):
            who = f"{error.party}: " if error.party is not None else ""
            return Abort(self.session, error.fault.value, sentence(f"{who}{error.detail}"))
        if isinstance(error, SessionRefused):
            return Abort(self.session, "refused", sentence(f"{', '.join(error.reasons)} would not take part"))
        if isinstance(error, Exception):
            return Abort(self.session, "own-error", OWN_ERROR)
        return Abort(self.session, "cancelled", "it was told to stop")

    def _report(self, error: BaseException | None, seconds: float) -> None:
        self.outcome = outcome_of(error)
        stats = self.channel.stats if self.channel is not None else None
        self._log.info(
            "session over",
            outcome="success" if error is None else str(error) or type(error).__name__,
            ended=self.outcome,
            seconds=round(seconds, 3),
            rounds=stats.rounds if stats is not None else 0,
            bytes_sent=stats.bytes_sent if stats is not None else 0,
            bytes_received=stats.bytes_received if stats is not None else 0,
        )


def find_fault(error: BaseException) -> RemoteProtocolError | None:
    """Find a peer's fault in an error or a group of them; one seen ourselves counts more than hearsay."""
    if isinstance(error, RemoteProtocolError):
        return error
    if not isinstance(error, BaseExceptionGroup):
        return None
    faults = [fault for fault in map(find_fault, error.exceptions) if fault is not None]
    return min(faults, key=lambda fault: isinstance(fault, SessionAborted), default=None)


def outcome_of(error: BaseException | None) -> str:
    """How a session ended, one of ``OUTCOMES``: ``stopped-by-peer`` is for what another centre only claims."""
    match error:
        case None:
            return _DONE
        case SessionAborted():
            return _TOLD
        case RemoteProtocolError(fault=fault):
            return fault.value
        case Refusal() | SessionRefused():
            return _REFUSED
        case Exception():
            return _OWN_ERROR
        case _:
            return _CANCELLED


def sentence(text: str) -> str:
    """Make a text fit to travel in a control message: bounded and printable."""
    cut = text[: limits.REFUSAL_CHARACTERS_MAX]
    return "".join(character if character.isprintable() else " " for character in cut)
