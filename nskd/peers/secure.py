"""An authenticated, encrypted byte stream over any trio stream that has shaken hands.

Every Noise message follows its length as two big-endian bytes.  An encrypted message without content ends
a direction: data never comes empty, so this is the one thing an attacker on the line cannot make by cutting
it, and a connection that ends otherwise was broken, not closed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import trio

from nskd.peers.frames import Buffer, FrameReader, FrameWriter
from nskd.peers.line import line_over
from protocol.errors import LocalProtocolError
from protocol.limits import LINK_FLUSH_S
from protocol.noise import PLAINTEXT_BYTES_MAX, Transport

WRITES_PER_PASS: Final = 4  # of 256 KiB each: what other tasks wait for at most, half a millisecond


class SecureStream(trio.abc.HalfCloseableStream):
    """An encrypted byte stream over any trio stream, with trio's own rules for streams.

    What the peer breaks surfaces as ``RemoteProtocolError`` (``CHANNEL``: it does not authenticate;
    ``EXHAUSTED``: it went on too long), a connection that ends without the peer's closing message as
    ``trio.BrokenResourceError``.  Either is final for its direction.  So is a cancelled send: part
    of an encrypted message may be on its way, and nothing can follow it.

    Encryption happens in the event loop: 64 KiB take less time than a change of thread.
    """

    def __init__(self, stream: trio.abc.Stream, transport: Transport) -> None:
        self.transport_stream: Final = stream
        self._line = line_over(stream)
        self._transport = transport
        self._closed = False

        self._sending = _Exclusive("another task is sending on this stream")
        self._send_broken = False  # also while a send is under way: only its end proves it whole
        self._eof_sent = False
        self._writer = FrameWriter(transport)
        self._unsent = memoryview(b"")  # encrypted, but the line has not taken it yet

        self._receiving = _Exclusive("another task is receiving from this stream")
        self._reader = FrameReader(transport)

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
        done = self.start_send(buffers)
        with self._sending:
            if done:
                await trio.lowlevel.checkpoint()
            else:
                await self._send_rest()

    def start_send(self, buffers: Iterable[Buffer]) -> bool:
        """Send the beginning of a run of bytes, one write of it at most, without waiting.

        ``True`` if that was all of it; otherwise :meth:`finish_send` has to follow, and until it returns the
        buffers are still read from.
        """
        self._sending.check()
        self._check_sendable()
        if self._eof_sent:
            raise trio.ClosedResourceError("this side has ended its direction")
        self._send_broken = True
        self._writer.begin(buffers)
        self._write_now()
        self._send_broken = bool(len(self._unsent)) or not self._writer.done
        return not self._send_broken

    async def finish_send(self) -> None:
        """Send the rest of what :meth:`start_send` has begun."""
        with self._sending:
            if self._closed:
                raise trio.ClosedResourceError("this stream is closed")
            await self._send_rest()

    async def _send_rest(self) -> None:
        unyielding = 0
        while len(self._unsent) or not self._writer.done:
            if len(self._unsent):
                await self._line.send_all(self._unsent)
                unyielding = 0
            elif unyielding == WRITES_PER_PASS:
                await trio.lowlevel.checkpoint()
                unyielding = 0
            self._write_now()
            unyielding += 1
        self._send_broken = False

    def _write_now(self) -> None:
        """Seal the next write and send what the line takes of it at once."""
        sealed = self._writer.next_write()
        self._unsent = sealed[self._line.send_now(sealed) :] if len(sealed) else sealed

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
        await self._line.send_all(self._writer.closing_message())
        self._send_broken = False

    # --- receiving --------------------------------------------------------------------------------------

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what is there, up to ``PLAINTEXT_BYTES_MAX``; ``b""`` after the peer's closing message."""
        if max_bytes is None:
            max_bytes = PLAINTEXT_BYTES_MAX
        if not isinstance(max_bytes, int):
            raise TypeError("max_bytes must be an integer or None")
        if max_bytes < 1:
            raise ValueError("max_bytes must be positive")
        buffer = memoryview(bytearray(min(max_bytes, PLAINTEXT_BYTES_MAX)))
        size = await self.receive_into(buffer)
        return bytes(buffer[:size])

    async def receive_into(self, buffer: memoryview) -> int:
        """Decrypt what is there into the front of ``buffer``, waiting if it is nothing.

        Returns the bytes written: 0 only after the peer's closing message, or if ``buffer`` is empty.
        """
        with self._receiving:
            size = self.receive_now(buffer)
            if size or self._reader.ended:
                await trio.lowlevel.checkpoint()
            while not size and not self._reader.ended:
                await self._receive_more()
                size = self._reader.open_into(buffer)
            return size

    def receive_now(self, buffer: memoryview) -> int:
        """Decrypt what has arrived already into the front of ``buffer``; 0 if that is nothing."""
        if self._closed:
            raise trio.ClosedResourceError("this stream is closed")
        return self._reader.open_into(buffer)

    async def _receive_more(self) -> None:
        count = await self._line.receive_into(self._reader.space())
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed meanwhile")
        if not count:
            raise trio.BrokenResourceError("the connection ended without a closing message")
        self._reader.received(count)

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

    def check(self) -> None:
        if self.held:
            raise trio.BusyResourceError(self._complaint)

    def __enter__(self) -> None:
        self.check()
        self.held = True

    def __exit__(self, *_: object) -> None:
        self.held = False
