"""Encrypted frames in large buffers: runs of bytes sealed into them, received ones opened out of them.

A frame is one Noise message after its length as two big-endian bytes.  Many lie side by side in one buffer, so
that a system call moves hundreds of kilobytes, and nothing is copied between a frame and the array its content
belongs to.  Synchronous: who reads and writes the connection is another matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from protocol.errors import RemoteProtocolError
from protocol.limits import NOISE_MESSAGE_BYTES_MAX
from protocol.noise import PLAINTEXT_BYTES_MAX, TAG_BYTES, Transport

Buffer: TypeAlias = bytes | bytearray | memoryview

LENGTH_BYTES: Final = 2
FRAME_BYTES_MAX: Final = LENGTH_BYTES + NOISE_MESSAGE_BYTES_MAX
FRAMES_PER_WRITE: Final = 4  # 256 KiB: few system calls, and the buffer still lives in the second-level cache
FRAMES_PER_READ: Final = 8  # as much as arrives while the frames before it are opened


class FrameWriter:
    """Seals one run of bytes after the other, a buffer full at a time."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._sealed = memoryview(bytearray(FRAMES_PER_WRITE * FRAME_BYTES_MAX))
        self._gathered = memoryview(bytearray(PLAINTEXT_BYTES_MAX))
        self._chunks: Iterator[memoryview] | None = None

    @property
    def done(self) -> bool:
        """Whether all of the run has been sealed; its buffers are then of no more interest."""
        return self._chunks is None

    def begin(self, buffers: Iterable[Buffer]) -> None:
        """Begin with ``buffers`` as one run of bytes."""
        self._chunks = self._cut(buffers)

    def next_write(self) -> memoryview:
        """Seal what fits into the buffer; the view is good until the next call, and empty at the end of the run."""
        size = 0
        if self._chunks is not None:
            for chunk in self._chunks:
                size += self._seal(chunk, size)
                if size + FRAME_BYTES_MAX > len(self._sealed):
                    break
            else:
                self._chunks = None
        return self._sealed[:size]

    def closing_message(self) -> memoryview:
        """Seal the frame without content that ends a direction."""
        return self._sealed[: self._seal(memoryview(b""), 0)]

    def _seal(self, plaintext: memoryview, at: int) -> int:
        """Put one frame into the buffer; returns the bytes it takes there."""
        body = at + LENGTH_BYTES
        size = self._transport.encrypt_into(plaintext, self._sealed[body:])
        self._sealed[at:body] = size.to_bytes(LENGTH_BYTES, "big")
        return LENGTH_BYTES + size

    def _cut(self, buffers: Iterable[Buffer]) -> Iterator[memoryview]:
        """Cut a run into plaintexts: small buffers are gathered, large ones taken where they lie.

        A large one begins a frame, so that the other end can open it where it belongs.
        """
        filled = 0
        for buffer in buffers:
            view = memoryview(buffer).cast("B")
            size = len(view)
            if filled and filled + size > PLAINTEXT_BYTES_MAX:
                yield self._gathered[:filled]
                filled = 0
            if size >= PLAINTEXT_BYTES_MAX:
                for start in range(0, size, PLAINTEXT_BYTES_MAX):
                    yield view[start : start + PLAINTEXT_BYTES_MAX]
            else:
                self._gathered[filled : filled + size] = view
                filled += size
        if filled:
            yield self._gathered[:filled]


class FrameReader:
    """Takes what arrives, in any portions, and opens the frames in it."""

    def __init__(self, transport: Transport) -> None:
        self.ended = False  # the peer's closing message has been opened
        self._transport = transport
        self._received = memoryview(bytearray(FRAMES_PER_READ * FRAME_BYTES_MAX))
        self._start = self._end = 0  # the bytes not yet opened lie between
        self._opened = memoryview(bytearray(PLAINTEXT_BYTES_MAX))
        self._rest = memoryview(b"")  # of an opened frame that was larger than the room for it

    def space(self) -> memoryview:
        """Where to receive: room for the rest of any frame, and more.  Report with :meth:`received`."""
        if self._start:
            size = self._end - self._start  # less than a frame, if all that could be opened was
            self._received[:size] = self._received[self._start : self._end]
            self._start, self._end = 0, size
        return self._received[self._end :]

    def received(self, count: int) -> None:
        """Note that ``count`` bytes were written at the front of :meth:`space`."""
        self._end += count

    def open_into(self, out: memoryview) -> int:
        """Open what is there into the front of ``out``; returns the bytes written, 0 if no frame is complete.

        Whole frames are opened in place, as many as fit.  ``RemoteProtocolError`` once all before a frame that
        is not genuine has been handed out; it stays at the front, so that reading on fails the same way for ever.
        """
        if len(self._rest):
            return self._hand_out_rest(out)
        filled = 0
        while not self.ended:
            frame = self._next_frame()
            if frame is None:
                break
            room = len(out) - filled
            size = len(frame) - TAG_BYTES
            if size > room and filled:
                break
            try:
                self._transport.decrypt_into(frame, self._opened if size > room else out[filled:])
            except RemoteProtocolError:
                if filled:
                    break
                raise
            self._start += LENGTH_BYTES + len(frame)
            self.ended = size == 0
            if size > room:
                self._rest = self._opened[:size]
                return self._hand_out_rest(out)
            filled += size
        return filled

    def _next_frame(self) -> memoryview | None:
        """Return the first Noise message in the buffer, or ``None`` while it is incomplete."""
        body = self._start + LENGTH_BYTES
        if body > self._end:
            return None
        end = body + int.from_bytes(self._received[self._start : body], "big")
        return self._received[body:end] if end <= self._end else None

    def _hand_out_rest(self, out: memoryview) -> int:
        count = min(len(self._rest), len(out))
        out[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
