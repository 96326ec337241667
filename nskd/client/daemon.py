"""One daemon's control socket, a connection for each call: a notebook lives longer than a connection."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import msgspec

from nskd.client.errors import refused
from nskd.control.client import Client as Connection
from nskd.control.client import DaemonError, UnreachableError

A = TypeVar("A")


@attrs.frozen
class Daemon:
    """Where it listens.  Every call raises ``RefusedError`` or ``UnreachableError``, and nothing else."""

    socket: Path

    def ask(self, method: str, shape: type[A], **params: Any) -> A:
        """Call a method and read its answer."""
        try:
            with Connection(self.socket) as connection:
                return self._read(connection.call(method, params), shape)
        except DaemonError as error:
            raise refused(error, str(self.socket)) from None

    def follow(
        self, method: str, shape: type[A], params: dict[str, Any], kinds: tuple[str, ...]
    ) -> Generator[dict[str, Any], None, A]:
        """Call a method that waits, and yield the events that come before its answer, which is returned."""
        try:
            with Connection(self.socket) as connection:
                answer = yield from connection.follow(method, params, kinds)
                return self._read(answer, shape)
        except DaemonError as error:
            raise refused(error, str(self.socket)) from None

    def _read(self, answer: Any, shape: type[A]) -> A:
        try:
            return msgspec.convert(answer, shape)
        except msgspec.ValidationError as error:
            raise UnreachableError(
                f"the daemon answers in another shape ({error})",
                where=str(self.socket),
                remedy="Are this nskd and the daemon's of the same version?",
            ) from None
