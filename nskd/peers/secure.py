"""An authenticated, encrypted byte stream over any trio stream that has shaken hands.

Every Noise message follows its length as two big-endian bytes.  An encrypted message without content ends
a direction: data never comes empty, so this is the one thing an attacker on the line cannot make by cutting
it, and a connection that ends otherwise was broken, not closed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import trio

from protocol.errors import LocalProtocolError
from protocol.limits import LINK_FLUSH_S, NOISE_MESSAGE_BYTES_MAX
from protocol.noise import PLAINTEXT_BYTES_MAX, Transport

Buffer: TypeAlias = bytes | bytearray | memoryview

LENGTH_BYTES: Final = 2
FRAME_BYTES_MAX: Final = LENGTH_BYTES + NOISE_MESSAGE_BYTES_MAX
FRAMES_PER_WRITE: Final = 4  # 256 KiB: few system calls, and the buffer still lives in the second-level cache


class SecureStream(trio.abc.HalfCloseableStream):
    """An encrypted byte stream over any trio stream, with trio's own rules for streams.

    What the peer breaks surfaces as ``RemoteProtocolError`` (``CHANNEL``: it does not authenticate;
    ``EXHAUSTED``: it went on too long), a connection that ends without the peer's closing message as
    ``trio.BrokenResourceError``.  Either is final for its direction.  So is a cancelled ``send_all``: part
    of an encrypted message may be on its way, and nothing can follow it.

    Encryption happens in the event loop: 64 KiB take less time than a change of thread.
    """

    def __init__(self, stream: trio.abc.Stream, transport: Transport) -> None:
        self.transport_stream: Final = stream
        self._transport = transport
        self._closed = False

        self._sending = _Exclusive("another task is sending on this stream")
        self._send_broken = False  # also while a send is under way: only its end proves it whole
        self._eof_sent = False
        self._outgoing = memoryview(bytearray(FRAMES_PER_WRITE * FRAME_BYTES_MAX))
        self._gather = memoryview(bytearray(PLAINTEXT_BYTES_MAX))

        self._receiving = _Exclusive("another task is receiving from this stream")
        self._eof_received = False
        self._incoming = memoryview(bytearray(FRAMES_PER_WRITE * FRAME_BYTES_MAX))
        self._start = self._end = 0  # the received bytes not yet decrypted lie between
        self._plain = memoryview(bytearray(PLAINTEXT_BYTES_MAX))
        self._leftover = b""  # decrypted, but more than was asked for

    @property
    def remote_static(self) -> bytes:
        """The static public key the peer proved to hold."""
        return self._transport.remote_static

    @property
    def handshake_hash(self) -> bytes:
        """32 bytes that both ends, and nobody else, see for this connection."""
        return self._transport.handshake_hash

    # --- sending ----------------------------------------------------------------------------------------

    async def send_all(self, data: Buffer) -> None:
        """Encrypt and send ``data``."""
        await self.send_buffers((data,))

    async def send_buffers(self, buffers: Iterable[Buffer]) -> None:
        """Send several buffers as one run of bytes, in as few writes as possible."""
        with self._sending:
            self._check_sendable()
            if self._eof_sent:
                raise trio.ClosedResourceError("this side has ended its direction")
            self._send_broken = True
            size = 0
            for chunk in self._chunks(buffers):
                if size + FRAME_BYTES_MAX > len(self._outgoing):
                    await self.transport_stream.send_all(self._outgoing[:size])
                    size = 0
                size += self._seal(chunk, size)
            if size:
                await self.transport_stream.send_all(self._outgoing[:size])
                self._send_broken = False
            else:
                self._send_broken = False
                await trio.lowlevel.checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait as the underlying stream does."""
        with self._sending:
            self._check_sendable()
            await self.transport_stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """End this direction: the peer reads what was sent and then a clean end."""
        with self._sending:
            self._check_sendable()
            if self._eof_sent:
                await trio.lowlevel.checkpoint()
            else:
                await self._send_closing_message()

    def _check_sendable(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream is closed")
        if self._send_broken:
            raise trio.BrokenResourceError("an earlier send on this stream did not complete")

    async def _send_closing_message(self) -> None:
        self._eof_sent = self._send_broken = True
        size = self._seal(memoryview(b""), 0)
        await self.transport_stream.send_all(self._outgoing[:size])
        self._send_broken = False

    def _seal(self, plaintext: memoryview, at: int) -> int:
        """Put one message with its length into the outgoing buffer; returns the bytes it takes there."""
        body = at + LENGTH_BYTES
        size = self._transport.encrypt_into(plaintext, self._outgoing[body:])
        self._outgoing[at:body] = size.to_bytes(LENGTH_BYTES, "big")
        return LENGTH_BYTES + size

    def _chunks(self, buffers: Iterable[Buffer]) -> Iterator[memoryview]:
        """Cut the buffers into plaintexts: small ones are gathered, large ones taken where they lie."""
        filled = 0
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            while len(view):
                if not filled and len(view) >= PLAINTEXT_BYTES_MAX:
                    yield view[:PLAINTEXT_BYTES_MAX]
                    view = view[PLAINTEXT_BYTES_MAX:]
                    continue
                count = min(len(view), PLAINTEXT_BYTES_MAX - filled)
                self._gather[filled : filled + count] = view[:count]
                filled += count
                view = view[count:]
                if filled == PLAINTEXT_BYTES_MAX:
                    yield self._gather
                    filled = 0
        if filled:
            yield self._gather[:filled]

    # --- receiving --------------------------------------------------------------------------------------

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what is there, one message's content at most; ``b""`` after the peer's closing message."""
        if max_bytes is not None:
            if not isinstance(max_bytes, int):
                raise TypeError("max_bytes must be an integer or None")
            if max_bytes < 1:
                raise ValueError("max_bytes must be positive")
        with self._receiving:
            self._check_receivable()
            if self._leftover or self._eof_received:
                await trio.lowlevel.checkpoint()
            else:
                size = await self._receive_frame(self._plain)
                self._leftover = bytes(self._plain[:size])
            data = self._leftover if max_bytes is None else self._leftover[:max_bytes]
            self._leftover = self._leftover[len(data) :]
            return data

    async def receive_into(self, buffer: memoryview) -> int:
        """Decrypt the next message into the front of ``buffer``; 0 after the peer's closing message.

        ``buffer`` has room for ``PLAINTEXT_BYTES_MAX``, so that any message fits.
        """
        if len(buffer) < PLAINTEXT_BYTES_MAX:
            raise LocalProtocolError(f"the buffer must hold {PLAINTEXT_BYTES_MAX} bytes")
        with self._receiving:
            self._check_receivable()
            if self._leftover or self._eof_received:
                await trio.lowlevel.checkpoint()
                size = len(self._leftover)
                buffer[:size] = self._leftover
                self._leftover = b""
                return size
            return await self._receive_frame(buffer)

    def _check_receivable(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream is closed")

    async def _receive_frame(self, out: memoryview) -> int:
        """Wait for one whole encrypted message and open it into ``out``."""
        frame_bytes = self._frame_bytes()
        if frame_bytes is not None:
            await trio.lowlevel.checkpoint()
        while frame_bytes is None:
            await self._receive_more()
            frame_bytes = self._frame_bytes()
        ciphertext = self._incoming[self._start + LENGTH_BYTES : self._start + frame_bytes]
        # A message that is not genuine stays at the front, so that reading on fails the same way for ever.
        size = self._transport.decrypt_into(ciphertext, out)
        self._start += frame_bytes
        self._eof_received = size == 0
        return size

    def _frame_bytes(self) -> int | None:
        """Size the first frame in the buffer, its length included; ``None`` while it is incomplete."""
        available = self._end - self._start
        if available < LENGTH_BYTES:
            return None
        body = int.from_bytes(self._incoming[self._start : self._start + LENGTH_BYTES], "big")
        return LENGTH_BYTES + body if available >= LENGTH_BYTES + body else None

    async def _receive_more(self) -> None:
        """Append to the buffer; an incomplete message moves to the front, so that it always finds room."""
        if self._start:
            size = self._end - self._start
            self._incoming[:size] = bytes(self._incoming[self._start : self._end])
            self._start, self._end = 0, size
        piece = await self.transport_stream.receive_some(len(self._incoming) - self._end)
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed meanwhile")
        if not piece:
            raise trio.BrokenResourceError("the connection ended without a closing message")
        self._incoming[self._end : self._end + len(piece)] = piece
        self._end += len(piece)

    # --- closing ----------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close at once for this side; the peer gets a closing message if it takes one in reasonable time.

        There is none if a send is under way or was cut short: the peer must then see a broken connection,
        because that is what its half of the conversation is.
        """
        if self._closed:
            await self.transport_stream.aclose()
            return
        self._closed = True
        try:
            if not (self._sending.held or self._send_broken or self._eof_sent):
                with trio.move_on_after(LINK_FLUSH_S):
                    await self._send_closing_message()
        except (trio.BrokenResourceError, trio.BusyResourceError, LocalProtocolError):
            pass  # gone already, or its channel used up: then there is nobody to tell
        finally:
            await self.transport_stream.aclose()


class _Exclusive:
    """Lets one task in; a second one is a mistake that trio wants to hear about, not a queue."""

    def __init__(self, complaint: str) -> None:
        self._complaint = complaint
        self.held = False

    def __enter__(self) -> None:
        if self.held:
            raise trio.BusyResourceError(self._complaint)
        self.held = True

    def __exit__(self, *_: object) -> None:
        self.held = False
