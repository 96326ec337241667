"""Raw bytes to and from a peer, without a copy or a pass of the event loop that can be spared.

Over a TCP socket of trio's this goes by system calls on its descriptor; trio still does the waiting.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio
from trio.socket import SocketType

UNSENT_BYTES: Final = 256 << 10  # one write

_Ready: TypeAlias = Callable[[SocketType], Awaitable[None]]


class Line:
    """The bytes of any trio stream.  One task at a time sends, one receives."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream

    def send_now(self, data: memoryview) -> int:
        """Send what goes without waiting; returns how many bytes that were, perhaps none."""
        return 0

    async def send_all(self, data: memoryview) -> None:
        """Send everything, waiting as often as it takes."""
        await self._stream.send_all(data)

    async def receive_into(self, buffer: memoryview) -> int:
        """Wait for bytes and put them at the front of ``buffer``; returns how many, 0 at the end."""
        piece = await self._stream.receive_some(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


class SocketLine(Line):
    """The bytes of a TCP connection.

    ``trio.BrokenResourceError`` when it breaks, ``trio.ClosedResourceError`` once it is closed on this side.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__(stream)
        self._socket = stream.socket
        # Trio's streams count as writable only when hardly anything waits in the kernel, which idles the line while
        # the next write is encrypted.  Each lane has a connection of its own, so nothing urgent queues behind.
        with contextlib.suppress(AttributeError, OSError):  # not every system has it, nor every socket
            self._socket.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def send_now(self, data: memoryview) -> int:
        """Write once, if the socket has room."""
        try:
            return os.write(self._socket.fileno(), data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _stream_error(error) from error

    async def send_all(self, data: memoryview) -> None:
        """Write whenever the socket has room."""
        while len(data):
            await self._wait(trio.lowlevel.wait_writable)
            data = data[self.send_now(data) :]

    async def receive_into(self, buffer: memoryview) -> int:
        """Read once, when there is something: to try before costs more in vain than it saves."""
        while True:
            await self._wait(trio.lowlevel.wait_readable)
            try:
                return os.readv(self._socket.fileno(), (buffer,))
            except BlockingIOError:
                continue
            except OSError as error:
                raise _stream_error(error) from error

    async def _wait(self, ready: _Ready) -> None:
        if self._socket.fileno() < 0:
            raise trio.ClosedResourceError("this connection was closed")
        try:
            await ready(self._socket)
        except OSError as error:
            raise _stream_error(error) from error


def line_over(stream: trio.abc.Stream) -> Line:
    """Choose the shortest way to a stream's bytes."""
    return SocketLine(stream) if isinstance(stream, trio.SocketStream) else Line(stream)


def _stream_error(error: OSError) -> trio.ClosedResourceError | trio.BrokenResourceError:
    """Say what trio's own streams say."""
    if error.errno in (errno.EBADF, errno.ENOTSOCK):
        return trio.ClosedResourceError("this connection was closed")
    return trio.BrokenResourceError(f"the connection broke: {error}")
