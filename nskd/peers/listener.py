"""Answering calls: whatever a stranger does, it costs a bounded number of connections for a bounded time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from nskd.peers.complaints import Complaints, explain_answer
from nskd.peers.greeting import ATTEMPT_ERRORS, Arrival, Greeter
from protocol import limits
from protocol.errors import RemoteProtocolError

Serve = Callable[[Arrival], Awaitable[None]]


class Answerer:
    """Handles each accepted connection: greets it, and serves it if it is a peer's.

    When too many callers are still nobody, the one that has taken longest makes room.  So an attacker who
    holds connections open keeps nobody out; he would have to open them faster than a peer shakes hands.
    """

    def __init__(
        self, *, greeter: Greeter, serve: Serve, complaints: Complaints, on_stranger: Callable[[str], None]
    ) -> None:
        self._greeter = greeter
        self._on_stranger = on_stranger  # hears what went wrong with a caller
        self._serve = serve
        self._complaints = complaints
        self._greeting: dict[trio.abc.Stream, trio.CancelScope] = {}  # in order of arrival

    @property
    def unauthenticated(self) -> int:
        """Connections that have not shown yet who they are."""
        return len(self._greeting)

    async def handle(self, stream: trio.abc.Stream) -> None:
        """One connection from first to last byte; for ``trio.serve_listeners``."""
        arrival = await self._greet(stream)
        if arrival is not None:
            await self._serve(arrival)

    async def _greet(self, stream: trio.abc.Stream) -> Arrival | None:
        arrival: Arrival | None = None
        try:
            while len(self._greeting) >= limits.UNAUTHENTICATED_CONNECTIONS_MAX:
                self._greeting.pop(next(iter(self._greeting))).cancel()
                self._complaints.report(("flood",), "too many callers to greet; those who dawdle are dropped")
            with trio.CancelScope() as evicted:
                self._greeting[stream] = evicted
                with trio.fail_after(limits.HANDSHAKE_TIMEOUT_S):
                    arrival = await self._greeter.answer(stream)
            if arrival is not None:
                self._complaints.resolved(("answer", arrival.member.name))
        except (*ATTEMPT_ERRORS, trio.TooSlowError) as error:
            who = _describe(stream, error)
            problem = explain_answer(error, who=who, charter_digest=self._greeter.charter_digest)
            self._complaints.report(("answer", who), problem)
            self._on_stranger(problem)
        finally:
            self._greeting.pop(stream, None)
            if arrival is None:
                await trio.aclose_forcefully(stream)
        return arrival


def _describe(stream: trio.abc.Stream, error: Exception) -> str:
    """Name the caller: by the key it proved to hold if it got that far, else by its address."""
    if isinstance(error, RemoteProtocolError) and isinstance(error.party, str):
        return error.party
    if isinstance(stream, trio.SocketStream):
        try:
            return f"a caller from {stream.socket.getpeername()[0]}"
        except OSError:
            pass
    return "a caller"
