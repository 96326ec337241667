"""The message path of one session.

The links' own tasks send and read; an exchange hands its messages over and waits.  So all sends and all
receipts of a round proceed at once, whatever their sizes, without a task per peer and round.

A session holds the very links it was opened on.  When one of them ends the session is over: the lane may be
redialled a moment later, but the new link knows nothing of the session, and what was in flight is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import TracebackType

import attrs
import trio

from nskd.peers.inbox import Inbox
from nskd.peers.lanes import Lane
from nskd.peers.link import Link, LinkJob
from protocol import limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.wire import Message, payload_bytes


class SessionAborted(RemoteProtocolError):  # noqa: N818 - a statement, as in trio.Cancelled
    """A peer says that the session is over, and why.

    ``fault`` is what the peer claims to have seen, ``party`` the peer that says so.  It is hearsay: nothing
    may be destroyed, and nobody blamed, on its strength.
    """


@attrs.define
class ChannelStats:
    """What one session cost on the wire; bytes are payload, before framing and encryption."""

    rounds: int = 0
    messages_sent: int = 0
    messages_received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class SessionChannel:
    """Implements ``protocol.party.Channel`` over one lane's links; opened by ``Mesh.open_session``.

    Once failed it stays failed: every later exchange raises the first failure again.
    """

    def __init__(
        self,
        session: bytes,
        lane: Lane,
        parties: tuple[str, ...],
        links: Mapping[int, Link],
        *,
        on_close: Callable[[SessionChannel], None],
    ) -> None:
        self.session = session
        self.lane = lane
        self.parties = parties
        self.stats = ChannelStats()
        self._links = dict(links)
        self._index_of = {link: peer for peer, link in links.items()}
        self._inboxes = {peer: Inbox(lane.message_bytes_max) for peer in links}
        self._lost: dict[int, str] = {}
        self._jobs: dict[int, LinkJob] = {}
        self._expected: Collection[int] = ()  # an exchange waits for a message of each of these
        self._complete = trio.lowlevel.ParkingLot()
        self._waiting: trio.CancelScope | None = None
        self._failure: Callable[[], RemoteProtocolError] | None = None
        self._ended = trio.Event()  # failed or closed: nothing is delivered any more
        self._closed = False
        self._on_close = on_close
        self.on_round: Callable[[str], None] | None = None  # hears the step of each exchange as it begins

    def __repr__(self) -> str:
        return f"<SessionChannel {self.session.hex()} on {self.lane.value} with {', '.join(self.parties)}>"

    async def __aenter__(self) -> SessionChannel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the session: what still arrives for it is dropped."""
        if not self._closed:
            self._closed = True
            self._end()
            self._on_close(self)

    @property
    def failure(self) -> RemoteProtocolError | None:
        """Why the session is over, as a fresh exception, or ``None``."""
        return None if self._failure is None else self._failure()

    @property
    def ended(self) -> trio.Event:
        """Set once the session has failed or was closed."""
        return self._ended

    # --- the protocol's side ------------------------------------------------------------------------------

    async def exchange(self, outgoing: Mapping[int, Message], expected: Collection[int]) -> dict[int, Message]:
        """Send all of ``outgoing`` and wait for one message from each of ``expected``.

        Returns when everything is sent, so the caller may reuse its arrays.  Raises ``RemoteProtocolError``:
        ``timeout`` or ``disconnected`` with the party at fault, or :class:`SessionAborted`.
        """
        self._check_exchange(outgoing, expected)
        self._fail_if_lost(outgoing)
        self._raise_failure()
        if self.on_round is not None and outgoing:
            self.on_round(next(iter(outgoing.values())).step)
        try:
            with trio.move_on_after(limits.ROUND_TIMEOUT_S) as self._waiting:
                for peer, message in outgoing.items():
                    self._jobs[peer] = self._links[peer].submit(message)
                await self._until_sent()
                await self._until_complete(expected)
            if self._waiting.cancelled_caught and self._failure is None:
                self._fail_timeout(expected)
            self._raise_failure()
            received = {peer: self._inboxes[peer].take() for peer in expected}
        finally:
            self._waiting = None
            jobs, self._jobs = self._jobs, {}
            await self._settle(jobs)
        self.stats.rounds += 1
        self.stats.messages_sent += len(outgoing)
        self.stats.bytes_sent += sum(payload_bytes(message) for message in outgoing.values())
        return received

    async def _until_sent(self) -> None:
        for job in self._jobs.values():
            if not job.finished.is_set():
                await job.finished.wait()
            if job.error is not None:
                raise job.error
        self._fail_if_lost([peer for peer, job in self._jobs.items() if not job.sent])

    async def _until_complete(self, expected: Collection[int]) -> None:
        """Wait until every peer in ``expected`` has a message here: once for all of them, not one by one."""
        self._expected = expected
        try:
            if self._is_complete():
                await trio.lowlevel.checkpoint()
            while not self._is_complete():
                await self._complete.park()
        finally:
            self._expected = ()

    def _is_complete(self) -> bool:
        return all(self._inboxes[peer] for peer in self._expected)

    async def wait_for(self, event: trio.Event) -> None:
        """Wait for ``event`` unless the session ends before; then raise why."""
        if self._closed or self._waiting is not None:
            raise LocalProtocolError("the session has been left, or somebody waits in it already")
        self._raise_failure()
        try:
            with trio.CancelScope() as self._waiting:
                await event.wait()
        finally:
            self._waiting = None
        self._raise_failure()

    def _check_exchange(self, outgoing: Mapping[int, Message], expected: Collection[int]) -> None:
        if self._closed:
            raise LocalProtocolError("the session has been left")
        if self._waiting is not None:
            raise LocalProtocolError("two exchanges at once in one session")
        for peer in (*outgoing, *expected):
            if peer not in self._links:
                raise LocalProtocolError(f"no peer {peer} in a session of {len(self.parties)} parties")
        if len(set(expected)) != len(expected):
            raise LocalProtocolError("a peer expected twice in one exchange")
        for message in outgoing.values():
            if message.session != self.session:
                raise LocalProtocolError("a message of another session")

    async def _settle(self, jobs: Mapping[int, LinkJob]) -> None:
        """After a failure or a cancellation the caller's arrays must not be read any more."""
        unfinished = [(peer, job) for peer, job in jobs.items() if not job.finished.is_set()]
        if unfinished:
            with trio.CancelScope(shield=True):
                async with trio.open_nursery() as nursery:
                    for peer, job in unfinished:
                        nursery.start_soon(self._links[peer].settle, job)

    def _fail_if_lost(self, outgoing: Collection[int]) -> None:
        for peer, reason in self._lost.items():
            if peer in outgoing or not self._inboxes[peer]:
                self.fail(peer, Fault.DISCONNECTED, reason)

    def _fail_timeout(self, expected: Collection[int]) -> None:
        deaf = [peer for peer, job in self._jobs.items() if not job.sent]
        silent = [peer for peer in expected if not self._inboxes[peer]]
        details = []
        if silent:
            details.append(f"nothing came from {self._names(silent)}")
        if deaf:
            details.append(f"{self._names(deaf)} did not take our message")
        blamed = silent or deaf
        if blamed:  # otherwise the last message came in the very moment the clock struck, and the round is complete
            detail = " and ".join(details)
            self.fail(blamed[0], Fault.TIMEOUT, f"{detail} within {limits.ROUND_TIMEOUT_S:.0f} s")

    def _names(self, peers: Collection[int]) -> str:
        return ", ".join(self.parties[peer] for peer in peers)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure()

    # --- the mesh's side ----------------------------------------------------------------------------------

    def index_of(self, link: Link) -> int | None:
        """Find the party at the other end of ``link``, if this session was opened on that very link."""
        return self._index_of.get(link)

    async def deliver(self, peer: int, message: Message) -> None:
        """Queue a message of ``peer``; called by the reader of that peer's link.

        A full queue holds the reader, and so the peer, for a bounded time; then the session has failed.
        """
        inbox, size = self._inboxes[peer], payload_bytes(message)
        if not inbox.offer(message, size):
            with trio.move_on_after(limits.SESSION_QUEUE_WAIT_S) as patience:
                while not inbox.offer(message, size):
                    await inbox.wait_changed()
            if patience.cancelled_caught:
                ahead = f"{limits.SESSION_QUEUE_MESSAGES_MAX} messages or {self.lane.message_bytes_max} bytes"
                self.fail(peer, Fault.UNEXPECTED, f"runs more than {ahead} ahead of the protocol")
                return
        if not self.ended.is_set():
            self.stats.messages_received += 1
            self.stats.bytes_received += size
            if self._expected and self._is_complete():
                self._complete.unpark_all()

    def peer_lost(self, peer: int, reason: str) -> None:
        """Note that the link to ``peer`` has ended.

        What it had sent before may be all we still need of it, so unread messages postpone the failure; but not
        the one for a round that others keep us waiting for, or we would learn of it only when they are done.
        """
        self._lost[peer] = reason
        unread = len(self._inboxes[peer])
        if peer in self._expected and not self._is_complete():
            unread -= 1
        job = self._jobs.get(peer)
        if unread <= 0 or (job is not None and not job.finished.is_set()):
            self.fail(peer, Fault.DISCONNECTED, reason)

    def peer_aborted(self, peer: int, fault: Fault, detail: str) -> None:
        """End the session because ``peer`` has told us that it is over."""
        self._fail(lambda: SessionAborted(fault, detail, party=peer))

    def fail(self, peer: int | None, fault: Fault, detail: str) -> None:
        """End the session for a fault we have seen ourselves; wakes whoever waits in :meth:`exchange`."""
        self._fail(lambda: RemoteProtocolError(fault, detail, party=peer))

    def _fail(self, failure: Callable[[], RemoteProtocolError]) -> None:
        if self._failure is None and not self._closed:
            self._failure = failure
            self._end()
            if self._waiting is not None:
                self._waiting.cancel()

    def _end(self) -> None:
        self._ended.set()
        for inbox in self._inboxes.values():
            inbox.close()
