"""What a control lane does beyond carrying bytes: it proves that the peer lives, and hands on its words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from nskd.peers.link import Link, LinkEnd, connection_fault
from protocol import limits
from protocol.errors import RemoteProtocolError
from protocol.messages import Abort, Bye, ControlMessage, Ping, Pong, decode_control, encode_control
from protocol.wire import Message

Handle = Callable[[ControlMessage], Awaitable[None]]


class ControlTraffic:
    """The control messages of one link.

    Ping, pong and farewell are dealt with as they are read.  So is an abort, through ``on_abort``: it need
    not wait behind a notice whose signature is checked.  It then takes its place in the queue like all
    others, which ``handle`` sees one after another.
    """

    def __init__(self, *, on_abort: Callable[[Abort], None], handle: Handle) -> None:
        self.round_trip_s: float | None = None
        self._on_abort = on_abort
        self._handle = handle
        self._congested = False
        self._pinged: tuple[int, float] = (0, 0.0)
        self._put, self._get = trio.open_memory_channel[ControlMessage](limits.CONTROL_QUEUE_MESSAGES_MAX)

    @property
    def queued(self) -> int:
        """Messages of the peer that wait for their handler."""
        return self._get.statistics().current_buffer_used

    async def deliver(self, link: Link, message: Message) -> None:
        """Take a message from the link's reader."""
        match decode_control(message):
            case Ping(nonce=nonce):
                link.submit(encode_control(Pong(nonce)))
            case Pong(nonce=nonce):
                if nonce == self._pinged[0]:
                    self.round_trip_s = trio.current_time() - self._pinged[1]
            case Bye() as bye:
                link.take_farewell(bye)
            case other:
                if isinstance(other, Abort):
                    self._on_abort(other)
                # A full queue holds the reader, and so the peer.  That we then do not hear it is our doing.
                self._congested = True
                await self._put.send(other)
                self._congested = False
                link.heard_s = trio.current_time()

    async def dispatch(self, link: Link) -> None:
        """Hand the queued messages on, in order; a peer's fault in one of them ends the link."""
        async for message in self._get:
            try:
                await self._handle(message)
            except RemoteProtocolError as error:
                link.finish(connection_fault(error))

    async def keep_alive(self, link: Link) -> None:
        """Ping the peer, and end the link when nothing at all comes back."""
        while True:
            self._pinged = (self._pinged[0] + 1, trio.current_time())
            link.submit(encode_control(Ping(self._pinged[0])))
            await trio.sleep(limits.PING_INTERVAL_S)
            silence_s = trio.current_time() - link.heard_s
            if silence_s > limits.LIVENESS_TIMEOUT_S and not self._congested:
                link.finish(LinkEnd(f"nothing was heard for {silence_s:.0f} s", silent=True))
