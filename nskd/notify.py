"""Telling systemd how we are: the ``sd_notify`` protocol, which is one datagram per message.

See sd_notify(3).  Without ``$NOTIFY_SOCKET`` everything is silently nothing, as on a developer's machine.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Final, Self

from nskd.errors import OperatorError

_STATUS_CHARS_MAX: Final = 200


class NotifyError(OperatorError):
    """systemd asked to be told, in a way that cannot be understood."""


class Notifier:
    """Sends to a connected datagram socket; ``None`` for nobody.

    ``clock_ns`` must be ``CLOCK_MONOTONIC``, which systemd compares with its own.  ``watchdog_s`` is how
    often at least :meth:`watchdog` must be called, ``None`` if nobody waits for it.
    """

    def __init__(
        self,
        sock: socket.socket | None,
        *,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        watchdog_s: float | None = None,
    ) -> None:
        self._socket = sock
        self._clock_ns = clock_ns
        self.watchdog_s: Final = watchdog_s

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], *, clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> Self:
        """Connect as ``$NOTIFY_SOCKET``, ``$WATCHDOG_USEC`` and ``$WATCHDOG_PID`` say; :class:`NotifyError`."""
        address = environment.get("NOTIFY_SOCKET", "")
        if not address:
            return cls(None, clock_ns=clock_ns)
        if address[0] not in "/@" or len(address) < 2:
            raise NotifyError(
                f"{address[:80]!r} is neither a path nor an abstract name",
                where="$NOTIFY_SOCKET",
                remedy="Start the daemon through systemd, or unset it.",
            )
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            sock.connect("\0" + address[1:] if address[0] == "@" else address)
        except OSError as exc:
            sock.close()
            raise NotifyError(
                f"nobody listens there: {exc.strerror}",
                where="$NOTIFY_SOCKET",
                remedy="Unset it, or check the unit.",
            ) from None
        return cls(sock, clock_ns=clock_ns, watchdog_s=_watchdog_s(environment))

    @property
    def enabled(self) -> bool:
        """Whether anybody listens."""
        return self._socket is not None

    def ready(self, status: str = "") -> bool:
        """Say that the service is up; also the end of a reload."""
        return self._send("READY=1", status)

    def status(self, status: str) -> bool:
        """Set the line that ``systemctl status`` shows."""
        return self._send("", status)

    def reloading(self) -> bool:
        """Say that the configuration is being read again; :meth:`ready` ends it."""
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={self._clock_ns() // 1000}", "")

    def stopping(self, status: str = "") -> bool:
        """Say that the service is going down."""
        return self._send("STOPPING=1", status)

    def watchdog(self) -> bool:
        """Say that the service is alive; call it only where that has just been proved."""
        return self._send("WATCHDOG=1", "")

    def close(self) -> None:
        """Close the socket; later messages go nowhere."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, message: str, status: str) -> bool:
        """Send without blocking; False if it could not be sent.  Never an error: a service must not die of
        it.
        """
        if self._socket is None:
            return False
        if status:
            line = "".join(c if c.isprintable() else " " for c in status[:_STATUS_CHARS_MAX])
            message = f"{message}\nSTATUS={line}".lstrip("\n")
        with contextlib.suppress(OSError):
            self._socket.send(message.encode(), socket.MSG_NOSIGNAL)
            return True
        return False


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Half of what systemd allows, as it recommends; None if the watchdog is not ours."""
    pid = environment.get("WATCHDOG_PID", "")
    period = environment.get("WATCHDOG_USEC", "")
    if not (period.isascii() and period.isdigit()) or int(period) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(period) / 2_000_000
