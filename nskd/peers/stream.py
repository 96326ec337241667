"""From a trio stream to authenticated messages: the handshake, and whole messages after it.

Handshake messages are framed like all that follow: two big-endian bytes of length before each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final, Generic, TypeVar

import attrs
import trio

from nskd.peers.secure import LENGTH_BYTES, SecureStream
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.limits import HELLO_BYTES_MAX
from protocol.noise import PLAINTEXT_BYTES_MAX, Handshake, Pattern, StaticKey
from protocol.wire import Decoder, Message, encode, payload_bytes

__all__ = ["Established", "MessageStream", "SecureStream", "handshake"]

Identity = TypeVar("Identity")

HANDSHAKE_BYTES_MAX: Final = 4096  # the largest is the second of XXhfs, 1200 bytes; a hello adds HELLO_BYTES_MAX


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

    async def send(self, message: Message) -> None:
        """Send ``message``, its small parts gathered with the header into one write.

        ``RemoteProtocolError(DISCONNECTED)`` if the connection is broken.  Cancelling it breaks the
        connection for good: shield it, or send from a task that lives as long as the connection.
        """
        if payload_bytes(message) > self._message_bytes_max:
            raise LocalProtocolError(
                f"a payload of {payload_bytes(message)} bytes; this lane carries {self._message_bytes_max}"
            )
        try:
            await self.stream.send_buffers(encode(message))
        except trio.BrokenResourceError as error:
            raise RemoteProtocolError(Fault.DISCONNECTED, str(error) or "the connection broke") from error

    async def receive(self) -> Message:
        """Wait for the next message; ``trio.EndOfChannel`` after the peer closed between two messages.

        ``RemoteProtocolError``: ``CHANNEL`` or ``EXHAUSTED`` from the encryption, ``MALFORMED`` or
        ``OVERSIZED`` from the framing, ``DISCONNECTED`` if the connection broke or ended inside a message.
        """
        while True:
            message = self._decoder.next_event()
            if message is not None:
                return message
            try:
                received = await self._receive_some()
            except trio.BrokenResourceError as error:
                raise RemoteProtocolError(Fault.DISCONNECTED, str(error) or "the connection broke") from error
            if not received:
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
        space = self._decoder.payload_space()
        if len(space) >= PLAINTEXT_BYTES_MAX:
            size = await self.stream.receive_into(space)
            self._decoder.payload_received(size)
        else:
            size = await self.stream.receive_into(self._scratch)
            self._decoder.receive_data(self._scratch[:size])
        return size
