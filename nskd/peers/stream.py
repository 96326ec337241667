"""From a trio stream to authenticated messages: the handshake, and whole messages after it.

Handshake messages are framed like all that follow: two big-endian bytes of length before each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final, Generic, TypeVar

import attrs
import trio

from nskd.peers.frames import LENGTH_BYTES
from nskd.peers.secure import SecureStream
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.limits import HELLO_BYTES_MAX
from protocol.noise import PLAINTEXT_BYTES_MAX, Handshake, Pattern, StaticKey
from protocol.wire import Decoder, Message, encode, payload_bytes

__all__ = ["Established", "MessageStream", "SecureStream", "handshake"]

Identity = TypeVar("Identity")

HANDSHAKE_BYTES_MAX: Final = 4096  # the largest is the second of XXhfs, 1200 bytes; a hello adds HELLO_BYTES_MAX
MESSAGES_PER_PASS: Final = 32  # that came together; what other tasks wait for at most, about a millisecond


@attrs.frozen(eq=False)
class Established(Generic[Identity]):
    """A finished handshake: the stream, who is at the other end, and the first thing they said."""

    stream: SecureStream
    identity: Identity
    hello: bytes


async def handshake(
    stream: trio.abc.Stream,
    *,
    initiator: bool,
    static: StaticKey,
    prologue: bytes,
    expected: Mapping[bytes, Identity],
    hello: bytes,
    pattern: Pattern = Pattern.XX_HFS,
) -> Established[Identity]:
    """Shake hands over ``stream`` with somebody whose static key is among ``expected``.

    ``expected`` maps static public keys to whatever the caller calls their owners.  Each side's ``hello``
    (at most ``HELLO_BYTES_MAX``) reaches only a peer whose key was found there: the initiator's travels in
    the third message, the responder's in the first transport message, which thereby also tells the
    initiator that it was let in.  In the second message, where XX has room for it, anybody who dials could
    have read it.

    ``RemoteProtocolError`` with ``IDENTITY`` for a key nobody pinned, ``HANDSHAKE`` for anything that does
    not verify, ``DISCONNECTED`` if the peer goes away.  The caller bounds the time, and closes ``stream``
    when this raises.
    """
    if len(hello) > HELLO_BYTES_MAX:
        raise LocalProtocolError(f"a hello has at most {HELLO_BYTES_MAX} bytes, not {len(hello)}")
    noise = Handshake(initiator=initiator, static=static, prologue=prologue, pattern=pattern)
    try:
        if initiator:
            await _send_frame(stream, noise.write())
            noise.read(await _receive_frame(stream))
            identity = _pinned(noise, expected)  # before the third message reveals who we are
            await _send_frame(stream, noise.write(hello))
            transport = noise.transport()
            remote_hello = transport.decrypt(await _receive_frame(stream))
        else:
            noise.read(await _receive_frame(stream))
            await _send_frame(stream, noise.write())
            remote_hello = noise.read(await _receive_frame(stream))
            identity = _pinned(noise, expected)
            transport = noise.transport()
            await _send_frame(stream, transport.encrypt(hello))
    except trio.BrokenResourceError:
        raise RemoteProtocolError(Fault.DISCONNECTED, "the connection broke during the handshake") from None
    if len(remote_hello) > HELLO_BYTES_MAX:
        raise RemoteProtocolError(Fault.OVERSIZED, f"a hello of {len(remote_hello)} bytes")
    return Established(SecureStream(stream, transport), identity, remote_hello)


def _pinned(noise: Handshake, expected: Mapping[bytes, Identity]) -> Identity:
    try:
        return expected[noise.remote_static]
    except KeyError:
        raise RemoteProtocolError(Fault.IDENTITY, "the peer's static key is not one we know") from None


async def _send_frame(stream: trio.abc.Stream, message: bytes) -> None:
    await stream.send_all(len(message).to_bytes(LENGTH_BYTES, "big") + message)


async def _receive_frame(stream: trio.abc.Stream) -> bytes:
    """Read one message of the handshake and not a byte more: what follows belongs to the transport."""
    size = int.from_bytes(await _receive_exactly(stream, LENGTH_BYTES), "big")
    if size > HANDSHAKE_BYTES_MAX:
        raise RemoteProtocolError(Fault.HANDSHAKE, f"a handshake message of {size} bytes")
    return await _receive_exactly(stream, size)


async def _receive_exactly(stream: trio.abc.Stream, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = await stream.receive_some(count - len(data))
        if not piece:
            raise RemoteProtocolError(Fault.DISCONNECTED, "the connection ended during the handshake")
        data += piece
    return bytes(data)


class MessageStream(trio.abc.AsyncResource):
    """Whole :class:`~protocol.wire.Message` objects over a :class:`SecureStream`.

    ``message_bytes_max`` bounds the payload in both directions.  A large payload is decrypted straight into
    the arrays handed out; every other buffer is kept and used again.  One task may send while another
    receives.  After any ``RemoteProtocolError`` the stream is of no use but to be closed.
    """

    def __init__(self, stream: SecureStream, message_bytes_max: int) -> None:
        self.stream: Final = stream
        self._message_bytes_max = message_bytes_max
        self._decoder = Decoder(message_bytes_max)
        self._scratch = memoryview(bytearray(PLAINTEXT_BYTES_MAX))
        self._unwaited = 0  # messages handed out since the event loop last had its turn

    async def send(self, message: Message) -> None:
        """Send ``message``, its small parts gathered with the header into one write.

        ``RemoteProtocolError(DISCONNECTED)`` if the connection is broken.  Cancelling it breaks the
        connection for good: shield it, or send from a task that lives as long as the connection.
        """
        if not self.start_send(message):
            await self.finish_send()
        else:
            await trio.lowlevel.checkpoint()

    def start_send(self, message: Message) -> bool:
        """Send without waiting what goes so; ``True`` if that was all, otherwise :meth:`finish_send` must follow.

        Errors as :meth:`send`; after a ``LocalProtocolError`` nothing has been sent.
        """
        size = payload_bytes(message)
        if size > self._message_bytes_max:
            raise LocalProtocolError(f"a payload of {size} bytes; this lane carries {self._message_bytes_max}")
        try:
            return self.stream.start_send(encode(message))
        except trio.BrokenResourceError as error:
            raise _disconnected(error) from error

    async def finish_send(self) -> None:
        """Send the rest of a message; errors and cancellation as :meth:`send`."""
        try:
            await self.stream.finish_send()
        except trio.BrokenResourceError as error:
            raise _disconnected(error) from error

    async def receive(self) -> Message:
        """Wait for the next message; ``trio.EndOfChannel`` after the peer closed between two messages.

        ``RemoteProtocolError``: ``CHANNEL`` or ``EXHAUSTED`` from the encryption, ``MALFORMED`` or
        ``OVERSIZED`` from the framing, ``DISCONNECTED`` if the connection broke or ended inside a message.
        """
        if self._unwaited >= MESSAGES_PER_PASS:
            self._unwaited = 0
            await trio.lowlevel.checkpoint()
        while True:
            message = self._decoder.next_event()
            if message is not None:
                self._unwaited += 1
                return message
            if not await self._receive_some():
                if self._decoder.idle:
                    raise trio.EndOfChannel
                raise RemoteProtocolError(Fault.DISCONNECTED, "the peer closed in the middle of a message")

    async def read_messages(self) -> AsyncIterator[Message]:
        """Iterate over the messages until the peer closes; errors as :meth:`receive`."""
        while True:
            try:
                message = await self.receive()
            except trio.EndOfChannel:
                return
            yield message

    async def aclose(self) -> None:
        """Close the connection."""
        await self.stream.aclose()

    async def _receive_some(self) -> int:
        """Feed the decoder, straight into the payload it is filling if there is one; 0 at the end."""
        space = self._decoder.payload_space()
        buffer = space if len(space) else self._scratch
        size = self.stream.receive_now(buffer)
        if not size:
            self._unwaited = 0
            try:
                size = await self.stream.receive_into(buffer)
            except trio.BrokenResourceError as error:
                raise _disconnected(error) from error
        if buffer is space:
            self._decoder.payload_received(size)
        else:
            self._decoder.receive_data(buffer[:size])
        return size


def _disconnected(error: trio.BrokenResourceError) -> RemoteProtocolError:
    return RemoteProtocolError(Fault.DISCONNECTED, str(error) or "the connection broke")
