"""The side that proposes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog
import trio

from nskd.peers.channel import SessionChannel
from nskd.peers.mesh import Mesh
from nskd.sessions.attempt import Attempt
from nskd.sessions.kinds import Refusal, SessionKind, SessionRefused
from nskd.sessions.proposal import Offer
from protocol import limits
from protocol.errors import Fault, RemoteProtocolError
from protocol.messages import Propose, Start


class Coordinator(Attempt):
    """Proposes, waits until every other party has accepted, starts.

    Raises :class:`SessionRefused` if somebody did not want to, ``RemoteProtocolError`` with the name of the
    party at fault, or what the kind's own code raised.
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
        super().__init__(offer, kind, mesh, log, on_slot_free=on_slot_free)
        self._waiting_for = set(self._others)
        self._refusals: dict[str, str] = {}
        self._answered = trio.Event()

    async def run(self) -> Any:
        """Propose, start and run the session."""
        asked: list[str] = []
        async with self._ending(asked):
            try:
                await self._prepare()
            except Refusal as refusal:
                raise SessionRefused(self.session, {self._mesh.own: refusal.reason}) from None
            channel = self._open()  # before the proposal, so that an answer never finds it missing
            asked.extend(self._others)
            self._tell(Propose(self.offer.body))
            await self._gather(channel)
            self._tell(Start(self.session))
            return await self._execute(channel)

    def _tell(self, message: Propose | Start) -> None:
        unreached = self._mesh.broadcast_control(message, self._others)
        if unreached:
            raise RemoteProtocolError(Fault.DISCONNECTED, "is not connected", party=unreached[0])

    async def _gather(self, channel: SessionChannel) -> None:
        with trio.move_on_after(limits.SESSION_ACCEPT_TIMEOUT_S):
            await channel.wait_for(self._answered)
        if self._refusals:
            raise SessionRefused(self.session, self._refusals)
        if self._waiting_for:
            late = sorted(self._waiting_for)
            waited = f"within {limits.SESSION_ACCEPT_TIMEOUT_S:.0f} s"
            raise RemoteProtocolError(
                Fault.TIMEOUT, f"{', '.join(late)} did not answer the proposal {waited}", party=late[0]
            )

    def accepted_by(self, peer: str) -> None:
        """Count an acceptance."""
        self._waiting_for.discard(peer)
        if not self._waiting_for:
            self._answered.set()

    def refused_by(self, peer: str, reason: str) -> None:
        """One refusal is enough; after the start it is too late for it."""
        if peer in self._waiting_for:
            self._refusals[peer] = reason
            self._answered.set()
