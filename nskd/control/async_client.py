"""The client of the control socket for who runs a trio loop: the sandbox, tests."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import trio

from nskd.control.client import DEFAULT_SOCKET, Exchange, Progress, Reply
from nskd.control.limits import READ_BYTES


class AsyncClient:
    """The same under trio; made by :func:`open_client`.  One call at a time."""

    def __init__(self, stream: trio.SocketStream, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    async def call(self, method: str, params: dict[str, Any] | None = None, progress: Progress | None = None) -> Any:
        """As :meth:`Client.call`."""
        request_id, line = self._exchange.request(method, params or {})
        with contextlib.suppress(trio.BrokenResourceError):
            await self._stream.send_all(line)
        while True:
            reply = await self._reply()
            if self._exchange.outcome(reply, request_id, progress):
                return reply.result

    async def subscribe(self, kinds: tuple[str, ...] = ()) -> None:
        """Ask for events; :meth:`next_event` then waits for each."""
        await self.call("subscribe", {"kinds": list(kinds)})

    async def next_event(self) -> dict[str, Any]:
        """Wait for the next event.  A :meth:`call` meanwhile discards those that come before its answer."""
        while (reply := await self._reply()).method != "event":
            pass
        return reply.params

    async def _reply(self) -> Reply:
        while (reply := self._exchange.next_reply()) is None:
            try:
                self._exchange.receive_data(bytes(await self._stream.receive_some(READ_BYTES)))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                raise self._exchange.unreachable("it closed the connection") from None
        return reply


@contextlib.asynccontextmanager
async def open_client(path: Path = DEFAULT_SOCKET) -> AsyncIterator[AsyncClient]:
    """Connect under trio; raises :class:`UnreachableError`."""
    exchange = Exchange(str(path))
    try:
        stream = await trio.open_unix_socket(path)
    except OSError as exc:
        raise exchange.unreachable(exc.strerror or str(exc)) from None
    async with stream:
        yield AsyncClient(stream, exchange)
