"""Bytes in, lines out.  Sans-IO: no socket, no clock."""

from __future__ import annotations

from nskd.control.limits import LINE_BYTES_MAX


class LineTooLongError(Exception):
    """More bytes than a line may have came without a newline; the stream cannot be followed any further."""


class LineReader:
    """Feed :meth:`receive_data`, then take lines from :meth:`next_line` until it gives ``None``."""

    def __init__(self, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no newline before this offset, so that a slow feed stays linear
        self._line_bytes_max = line_bytes_max

    def receive_data(self, data: bytes) -> None:
        """Take in what the socket gave."""
        self._buffer += data

    def next_line(self) -> bytes | None:
        """Return the next line without its end, skipping blank ones, or ``None`` when more data is needed."""
        while True:
            end = self._buffer.find(b"\n", self._searched)
            if end > self._line_bytes_max or (end < 0 and len(self._buffer) > self._line_bytes_max):
                raise LineTooLongError
            if end < 0:
                self._searched = len(self._buffer)
                return None
            line = bytes(self._buffer[:end]).strip()
            del self._buffer[: end + 1]
            self._searched = 0
            if line:
                return line
