"""A synchronous client of the control socket, for ``nskctl`` and scripts; needs no event loop."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import msgspec

from nskd.control.limits import LINE_BYTES_MAX, READ_BYTES
from nskd.control.lines import LineReader, LineTooLongError
from nskd.errors import OperatorError

DEFAULT_SOCKET: Final = Path("/run/nskd/control.sock")
A = TypeVar("A")
Progress = Callable[[dict[str, Any]], None]


class UnreachableError(OperatorError):
    """No daemon answers, or it went away."""


class DaemonError(Exception):
    """The daemon said no; ``code`` is one of :class:`nskd.control.codes.Code`."""

    def __init__(self, code: int, message: str, data: dict[str, Any]) -> None:
        self.code = code
        self.message = message
        self.data = data
        super().__init__(message)


def read_answer(answer: Any, shape: type[A], *, where: str) -> A:
    """Take an answer for what it should be; :class:`UnreachableError` when it has another shape."""
    try:
        return msgspec.convert(answer, shape)
    except msgspec.ValidationError as exc:
        raise UnreachableError(
            f"the daemon answers in another shape ({exc})",
            where=where,
            remedy="Is this nskd of the same version as the daemon's?",
        ) from None


class Reply(msgspec.Struct):
    """Any line a daemon sends."""

    id: str | int | None = None
    method: str | None = None
    params: dict[str, Any] = {}
    result: Any = None
    error: dict[str, Any] | None = None


class Exchange:
    """The sans-IO half: numbers requests and sorts replies."""

    def __init__(self, where: str) -> None:
        self._reader = LineReader(2 * LINE_BYTES_MAX)
        self._next_id = 0
        self._where = where

    def request(self, method: str, params: dict[str, Any]) -> tuple[int, bytes]:
        """Give the id and the line of a new request."""
        self._next_id += 1
        fields = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
        return self._next_id, msgspec.json.encode(fields) + b"\n"

    def receive_data(self, data: bytes) -> None:
        """Take in bytes; empty means the daemon closed."""
        if not data:
            raise self.unreachable("it closed the connection")
        self._reader.receive_data(data)

    def next_reply(self) -> Reply | None:
        """Return the next line read, if one is complete."""
        try:
            line = self._reader.next_line()
            return None if line is None else msgspec.json.decode(line, type=Reply)
        except (LineTooLongError, ValueError, RecursionError):
            raise self.unreachable("what answers there is not nskd") from None

    def outcome(self, reply: Reply, request_id: int, progress: Progress | None) -> bool:
        """Say whether ``reply`` is the answer to ``request_id``; raises :class:`DaemonError` for a no."""
        if reply.method == "progress" and reply.params.get("id") == request_id and progress is not None:
            progress({key: value for key, value in reply.params.items() if key != "id"})
        if reply.method is not None or reply.id not in (request_id, None):
            return False
        if reply.error is not None:
            error = reply.error
            raise DaemonError(int(error.get("code", 0)), str(error.get("message", "")), error.get("data") or {})
        return True

    def unreachable(self, reason: str) -> UnreachableError:
        """Make the error for a daemon that cannot be reached."""
        return UnreachableError(
            f"the daemon cannot be reached: {reason}",
            where=self._where,
            remedy="Is it running (systemctl status nskd), and may you use this socket?",
        )


class Client:
    """A synchronous client: one call at a time.

    ``tick_s`` and ``on_tick``: while an answer is awaited, ``on_tick()`` is called about that often.
    """

    def __init__(
        self,
        path: Path = DEFAULT_SOCKET,
        *,
        tick_s: float | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> None:
        self._exchange = Exchange(str(path))
        self._on_tick = on_tick
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(os.fspath(path))
        except OSError as exc:
            self._socket.close()
            raise self._exchange.unreachable(exc.strerror or str(exc)) from None
        self._socket.settimeout(tick_s)

    def call(self, method: str, params: dict[str, Any] | None = None, progress: Progress | None = None) -> Any:
        """Call and wait; raises :class:`DaemonError` or :class:`UnreachableError`."""
        request_id = self._send(method, params or {})
        while True:
            reply = self._reply()
            if self._exchange.outcome(reply, request_id, progress):
                return reply.result

    def follow(
        self, method: str, params: dict[str, Any], kinds: tuple[str, ...]
    ) -> Generator[dict[str, Any], None, Any]:
        """Subscribe, call, and yield the events that come before the answer, which is what the generator returns.

        On one connection, so that nothing is missed between the subscription and the answer.
        """
        self.call("subscribe", {"kinds": list(kinds)})
        request_id = self._send(method, params)
        while True:
            reply = self._reply()
            if reply.method == "event":
                yield reply.params
            elif self._exchange.outcome(reply, request_id, None):
                return reply.result

    def events(self, kinds: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
        """Subscribe, then yield events for good."""
        self.call("subscribe", {"kinds": list(kinds)})
        while True:
            reply = self._reply()
            if reply.method == "event":
                yield reply.params

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def _send(self, method: str, params: dict[str, Any]) -> int:
        request_id, line = self._exchange.request(method, params)
        # A daemon that refuses the connection itself says why and closes, so a failed write is not the last
        # word.
        with contextlib.suppress(OSError):
            self._socket.sendall(line)
        return request_id

    def _reply(self) -> Reply:
        while (reply := self._exchange.next_reply()) is None:
            try:
                self._exchange.receive_data(self._socket.recv(READ_BYTES))
            except TimeoutError:
                if self._on_tick is not None:
                    self._on_tick()
            except OSError as exc:
                raise self._exchange.unreachable(exc.strerror or str(exc)) from None
        return reply
