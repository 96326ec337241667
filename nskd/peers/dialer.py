"""Calling one peer on one lane, for as long as the daemon runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import trio

from nskd.peers.complaints import Complaints, explain_call
from nskd.peers.greeting import ATTEMPT_ERRORS, Greeter
from nskd.peers.lanes import Lane, Member
from nskd.peers.stream import MessageStream
from protocol import limits

Connect = Callable[[Member], Awaitable[trio.abc.Stream]]
Jitter = Callable[[], float]
Serve = Callable[[Member, Lane, MessageStream], Awaitable[None]]


async def connect_tcp(member: Member) -> trio.abc.Stream:
    """Open a TCP connection to where the charter says a centre listens."""
    return await trio.open_tcp_stream(member.host, member.port)


@attrs.frozen
class Pace:
    """How patiently a peer is called: how long one attempt may take, the first wait between two, the longest."""

    connect_timeout_s: float = limits.CONNECT_TIMEOUT_S
    first_s: float = limits.REDIAL_FIRST_S
    max_s: float = limits.REDIAL_MAX_S


class Backoff:
    """Ever longer waits with jitter, so that centres cut off together do not return together."""

    def __init__(self, jitter: Jitter, pace: Pace) -> None:
        self._jitter = jitter  # uniform in [0, 1)
        self._pace = pace
        self._ceiling_s = pace.first_s

    def next_s(self) -> float:
        """Draw the seconds to wait now, between half of the ceiling and all of it; the ceiling doubles."""
        ceiling_s = self._ceiling_s
        self._ceiling_s = min(2 * ceiling_s, self._pace.max_s)
        return ceiling_s * (1 + self._jitter()) / 2

    def reset(self) -> None:
        """Begin again with short waits."""
        self._ceiling_s = self._pace.first_s


class Dialer:
    """Keeps one lane to one peer up: connects, greets, serves until the link ends, and again."""

    def __init__(
        self,
        member: Member,
        lane: Lane,
        *,
        greeter: Greeter,
        connect: Connect,
        serve: Serve,
        jitter: Jitter,
        pace: Pace,
        complaints: Complaints,
        on_problem: Callable[[str], None],
    ) -> None:
        self._member = member
        self._lane = lane
        self._greeter = greeter
        self._connect = connect
        self._serve = serve
        self._backoff = Backoff(jitter, pace)
        self._pace = pace
        self._complaints = complaints
        self._on_problem = on_problem

    async def run(self) -> None:
        """Never returns."""
        while True:
            pipe = await self._attempt()
            if pipe is not None:
                began_s = trio.current_time()
                await self._serve(self._member, self._lane, pipe)
                # Peers come and go, so a link that has worked is redialled at once; but a peer that lets us
                # in only to hang up must not make us spin.
                if trio.current_time() - began_s >= limits.LINK_SETTLED_S:
                    self._backoff.reset()
                    continue
            await trio.sleep(self._backoff.next_s())

    async def _attempt(self) -> MessageStream | None:
        stream: trio.abc.Stream | None = None
        pipe: MessageStream | None = None
        try:
            with trio.fail_after(self._pace.connect_timeout_s):
                stream = await self._connect(self._member)
            with trio.fail_after(limits.HANDSHAKE_TIMEOUT_S):
                pipe = await self._greeter.call(stream, self._member, self._lane)
        except (*ATTEMPT_ERRORS, trio.TooSlowError) as error:
            self._complain(error)
        finally:
            if pipe is None and stream is not None:
                await trio.aclose_forcefully(stream)
        if pipe is not None:
            self._complaints.resolved(self._key)
        return pipe

    @property
    def _key(self) -> tuple[str, ...]:
        return ("call", self._member.name, self._lane.value)

    def _complain(self, error: Exception) -> None:
        where = f"{self._member.host}:{self._member.port}"
        problem = explain_call(error, peer=self._member.name, where=where, charter_digest=self._greeter.charter_digest)
        self._on_problem(problem)
        self._complaints.report(self._key, problem, peer=self._member.name, lane=self._lane.value)
