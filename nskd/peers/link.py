"""One live connection of one lane to one peer: a task that reads, a task that writes, and one way to end.

Writing is a task of its own so that a session that is cancelled in the middle of a message does not leave the
connection with half of it.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs
import trio

from nskd.peers.lanes import Lane
from protocol import limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.messages import CONTROL_SESSION, Bye, ControlMessage, decode_control, encode_control
from protocol.wire import Message

SHUTTING_DOWN = "this centre is shutting down"


class Pipe(Protocol):
    """An encrypted connection that carries messages; ``nskd.peers.stream.MessageStream`` is one."""

    async def send(self, message: Message) -> None:
        """Send one message."""
        ...

    def start_send(self, message: Message) -> bool:
        """Send what goes without waiting; whether that was the whole message."""
        ...

    async def finish_send(self) -> None:
        """Send the rest of it."""
        ...

    async def receive(self) -> Message:
        """Receive one message."""
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...


@attrs.define(eq=False)
class LinkJob:
    """One message handed to a link, and what became of it."""

    message: Message
    finished: trio.Event = attrs.field(factory=trio.Event)
    sent: bool = False
    error: LocalProtocolError | None = None


@attrs.frozen
class LinkEnd:
    """Why a link ended: a sentence for an operator, and the peer's fault if it committed one."""

    reason: str
    fault: Fault | None = None
    silent: bool = False  # the peer no longer answers: its other lanes are dead as well
    broken: bool = False  # the connection is gone, and nobody said why: the peer may know nothing of the others


def connection_fault(error: BaseException) -> LinkEnd:
    """Put an error of reading or writing into words."""
    match error:
        case RemoteProtocolError(fault=Fault.DISCONNECTED, detail=detail):
            return LinkEnd(detail, broken=True)
        case RemoteProtocolError(fault=fault, detail=detail):
            return LinkEnd(f"{fault.value}: {detail}", fault)
        case trio.EndOfChannel():
            return LinkEnd("the peer closed the connection")
        case _:
            return LinkEnd(f"the connection broke ({error.__cause__ or error or type(error).__name__})", broken=True)


CONNECTION_ERRORS = (
    RemoteProtocolError,
    trio.EndOfChannel,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    OSError,
)


class Link:
    """A live connection; :meth:`run` owns it until it ends and never raises for what a peer does.

    ``deliver(link, message)`` gets each message, in order, from the reading task; while it waits, the peer
    waits.  ``on_end`` is called once, synchronously, the moment the link is known to be over.
    """

    def __init__(
        self,
        pipe: Pipe,
        *,
        peer: str,
        lane: Lane,
        deliver: Callable[[Link, Message], Awaitable[None]],
        on_end: Callable[[Link, LinkEnd], None],
    ) -> None:
        self.peer = peer
        self.lane = lane
        self.end: LinkEnd | None = None
        self.heard_s = trio.current_time()
        self.stray_messages = 0  # of sessions nobody here knows (any more)
        self._pipe = pipe
        self._deliver = deliver
        self._on_end = on_end
        self._outbox: deque[LinkJob] = deque()
        self._work = trio.lowlevel.ParkingLot()
        self._writing = False
        self._finishing = False  # the writing task waits for the end of a message that was begun
        self._grace = trio.CancelScope()  # of the message that is being finished
        self._farewell: str | None = None
        self._scope = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<Link {self.lane.value} to {self.peer}{' ended' if self.end else ''}>"

    async def run(self, *companions: Callable[[Link], Awaitable[None]]) -> None:
        """Read and write until the link ends, with ``companions`` as long as it lives; then close it."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._write)
                    for companion in companions:
                        nursery.start_soon(companion, self)
        finally:
            if self.end is None:  # cancelled from outside
                self.close(SHUTTING_DOWN)
            await self._close()

    @property
    def queued(self) -> int:
        """Messages that have not left yet."""
        return len(self._outbox)

    # --- sending ------------------------------------------------------------------------------------------

    def submit(self, message: Message) -> LinkJob:
        """Take a message and return at once; the job tells when it has left.

        What the connection takes without waiting leaves here and now, unless other messages wait already; the
        writing task sees to the rest.  A peer that leaves too many messages unread loses its link.
        """
        job = LinkJob(message)
        if self.end is None and len(self._outbox) >= limits.LINK_OUTBOX_MESSAGES_MAX:
            self.finish(LinkEnd("the peer does not read what is sent to it"))
        if self.end is not None:
            job.finished.set()
        else:
            self._outbox.append(job)
            if len(self._outbox) == 1:
                self._start(job)
            if self._outbox:
                self._work.unpark_all()
        return job

    def _start(self, job: LinkJob) -> None:
        """Begin with the first job of the outbox; it may be done by that."""
        self._writing = True
        try:
            complete = self._pipe.start_send(job.message)
        except LocalProtocolError as error:  # not a message that can be sent; nothing has been
            job.error = error
            self._finished(job)
        except CONNECTION_ERRORS as error:
            self.finish(connection_fault(error))
        else:
            if complete:
                job.sent = True
                self._finished(job)

    def _finished(self, job: LinkJob) -> None:
        self._writing = False
        self._outbox.popleft()
        job.finished.set()

    async def send(self, message: Message) -> None:
        """Send one message; ``RemoteProtocolError(DISCONNECTED)`` if the link ends first."""
        job = self.submit(message)
        await job.finished.wait()
        if job.error is not None:
            raise job.error
        if not job.sent:
            reason = self.end.reason if self.end is not None else "the message was withdrawn"
            raise RemoteProtocolError(Fault.DISCONNECTED, reason, party=self.peer)

    async def settle(self, job: LinkJob) -> None:
        """Return when the job's arrays are no longer read from.

        It is taken back if it has not begun; else it may finish, or the connection goes: half a message
        cannot be followed by anything.  Call it shielded.
        """
        if job in self._outbox and not (self._writing and job is self._outbox[0]):
            self._outbox.remove(job)
            job.finished.set()
        with trio.move_on_after(limits.LINK_FLUSH_S):
            await job.finished.wait()
        if not job.finished.is_set():
            self.finish(LinkEnd("a message was given up half sent, as the peer did not read it"))
            await job.finished.wait()

    # --- ending -------------------------------------------------------------------------------------------

    def close(self, reason: str) -> None:
        """End the link in good order: the peer is told why."""
        if self.end is None:
            self._farewell = reason
            self.finish(LinkEnd(reason))

    def finish(self, end: LinkEnd) -> None:
        """End the link at once; the first reason counts."""
        if self.end is None:
            self.end = end
            if end.fault is not None:
                self._farewell = end.reason  # they may want to know
            self._scope.cancel()
            self._on_end(self, end)

    async def _close(self) -> None:
        """Say goodbye if the connection is fit for it, and close it."""
        with trio.move_on_after(limits.LINK_FLUSH_S, shield=True):
            with contextlib.suppress(*CONNECTION_ERRORS):  # it is over either way
                if self._farewell is not None and not self._finishing:
                    await self._flush(self._farewell)
        while self._outbox:
            self._outbox.popleft().finished.set()
        with trio.move_on_after(2 * limits.LINK_FLUSH_S, shield=True):  # it has a grace of its own
            with contextlib.suppress(*CONNECTION_ERRORS):
                await self._pipe.aclose()

    async def _flush(self, farewell: str) -> None:
        # On the data lanes nothing is flushed: the sessions are told that the link is gone, and an exchange
        # that has failed must not go on sending.
        if self._writing:  # only begun: nothing else may follow before its end
            if self.lane is not Lane.CONTROL:
                return
            job = self._outbox[0]
            await self._pipe.finish_send()
            job.sent = True
            self._finished(job)
        while self.lane is Lane.CONTROL and self._outbox:
            job = self._outbox.popleft()
            await self._pipe.send(job.message)
            job.sent = True
            job.finished.set()
        await self._pipe.send(encode_control(Bye(farewell)))

    # --- the two tasks ------------------------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            await trio.lowlevel.checkpoint_if_cancelled()
            while not self._outbox:
                await self._work.park()
            job = self._outbox[0]
            if not self._writing:
                self._start(job)
                continue
            if await self._see_through(job):
                self._finished(job)
            else:
                return

    async def _see_through(self, job: LinkJob) -> bool:
        """Send the rest of a message; whether all of it has left.

        A control message is seen through when the link ends, for a bounded time, so that a goodbye can follow it.
        """
        self._finishing = True
        with trio.CancelScope(shield=self.lane is Lane.CONTROL) as self._grace:
            try:
                await self._pipe.finish_send()
            except CONNECTION_ERRORS as error:
                self.finish(connection_fault(error))
                return False
            self._finishing = False
            job.sent = True
            return True
        await trio.lowlevel.checkpoint_if_cancelled()
        return False

    async def _read(self) -> None:
        try:
            while True:
                message = await self._pipe.receive()
                self.heard_s = trio.current_time()
                if self.lane is not Lane.CONTROL and message.session == CONTROL_SESSION:
                    self.take_farewell(decode_control(message))
                    return
                await self._deliver(self, message)
        except CONNECTION_ERRORS as error:
            self.finish(connection_fault(error))
        finally:  # however the link ends
            self._grace.deadline = min(self._grace.deadline, trio.current_time() + limits.LINK_FLUSH_S)

    def take_farewell(self, message: ControlMessage) -> None:
        """End because the peer says goodbye; nothing else has business on this lane."""
        if not isinstance(message, Bye):
            raise RemoteProtocolError(Fault.UNEXPECTED, f"a control message on the {self.lane.value} lane")
        self.finish(LinkEnd(f"the peer said goodbye: {message.reason}"))
