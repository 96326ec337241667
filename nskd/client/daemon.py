"""One daemon's control socket, a connection for each call: a notebook lives longer than a connection."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

import attrs

from nskd.client.errors import refused
from nskd.control.client import Client as Connection
from nskd.control.client import DaemonError, read_answer

A = TypeVar("A")


@attrs.frozen
class Daemon:
    """Where it listens.  Every call raises ``RefusedError`` or ``UnreachableError``, and nothing else."""

    socket: Path

    def ask(self, method: str, shape: type[A], **params: Any) -> A:
        """Call a method and read its answer."""
        try:
            with Connection(self.socket) as connection:
                return read_answer(connection.call(method, params), shape, where=str(self.socket))
        except DaemonError as error:
            raise refused(error, str(self.socket)) from None

    def follow(
        self, method: str, shape: type[A], params: dict[str, Any], kinds: tuple[str, ...]
    ) -> Generator[dict[str, Any], None, A]:
        """Call a method that waits, and yield the events that come before its answer, which is returned."""
        try:
            with Connection(self.socket) as connection:
                answer = yield from connection.follow(method, params, kinds)
                return read_answer(answer, shape, where=str(self.socket))
        except DaemonError as error:
            raise refused(error, str(self.socket)) from None
