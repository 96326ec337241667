"""The side that is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import trio

from nskd.peers.channel import SessionChannel
from nskd.peers.mesh import Mesh
from nskd.sessions.attempt import OWN_ERROR, Attempt, SlowJudgementError, sentence
from nskd.sessions.kinds import BUSY, Refusal, SessionKind
from nskd.sessions.proposal import Offer
from protocol import limits
from protocol.errors import Fault, RemoteProtocolError
from protocol.messages import Accept, Refuse


class Responder(Attempt):
    """Judges a proposal, answers it, and runs the session once the coordinator starts it.

    ``room`` is awaited first.  It returns once the session may have a slot of its lane.
    """

    def __init__(
        self,
        offer: Offer,
        kind: SessionKind,
        mesh: Mesh,
        log: structlog.typing.FilteringBoundLogger,
        *,
        on_slot_free: Callable[[], None],
        room: Callable[[Attempt], Awaitable[None]],
    ) -> None:
        super().__init__(offer, kind, mesh, log, on_slot_free=on_slot_free)
        self.in_slot = False
        self._room = room
        self._accepted = False
        self._started = trio.Event()

    async def run(self) -> Any:
        """Judge, answer, wait for the start and run the session."""
        told: list[str] = []
        async with self._ending(told):
            channel = await self._decide()
            told.extend(self._others)
            self._accepted = True
            await self._mesh.send_control(self.offer.sender, Accept(self.session))
            with trio.move_on_after(limits.SESSION_START_TIMEOUT_S):
                await channel.wait_for(self._started)
            if not self._started.is_set():
                waited = f"within {limits.SESSION_START_TIMEOUT_S:.0f} s"
                raise RemoteProtocolError(Fault.TIMEOUT, f"did not start the session {waited}", party=self.offer.sender)
            return await self._execute(channel)

    async def _decide(self) -> SessionChannel:
        """Judge and open the channel, or tell the coordinator why not."""
        try:
            await self._prepare()
            return self._open()
        except Refusal as refusal:
            self._refuse(refusal.reason)
            raise
        except RemoteProtocolError as error:
            if error is not self._withdrawn:
                self._refuse(error.detail)
            raise
        except SlowJudgementError:
            self._refuse("the check took too long")
            raise
        except Exception:
            self._refuse(OWN_ERROR)  # its words are for our operator: they may name files and figures
            raise

    async def _take_slot(self) -> None:
        if not self.in_slot:
            with trio.move_on_after(limits.SESSION_SLOT_WAIT_S):
                await self._room(self)
        if not self.in_slot:
            raise Refusal(BUSY)

    def _refuse(self, reason: str) -> None:
        self._mesh.post_control(self.offer.sender, Refuse(self.session, sentence(reason)))

    def started_by(self, peer: str) -> None:
        """Begin, if the coordinator says so and we have agreed."""
        if peer != self.offer.sender:
            return
        if self._accepted:
            self._started.set()
        else:
            self.aborted_by(peer, Fault.UNEXPECTED, "it started the session before we had accepted")
