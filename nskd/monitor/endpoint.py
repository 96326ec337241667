"""The numbers over HTTP for a collector on this machine: GET /metrics, HTTP/1.1, one answer a connection.

Whoever can reach the loopback address can read them; they hold nothing that is anybody's secret.  Every caller costs a
bounded time and a bounded number of bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from nskd.errors import OperatorError
from nskd.monitor import limits
from nskd.monitor.exposition import CONTENT_TYPE
from nskd.monitor.loopback import is_loopback

_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)
_END_OF_HEAD: Final = b"\r\n\r\n"
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class MetricsEndpoint:
    """Serves ``text()``; on a listener that is open already, until cancelled."""

    def __init__(
        self,
        text: Callable[[], Awaitable[str]],
        *,
        log: structlog.typing.FilteringBoundLogger,
        head_s: float = limits.SCRAPE_HEAD_S,
        send_s: float = limits.SCRAPE_SEND_S,
        connections_max: int = limits.SCRAPE_CONNECTIONS_MAX,
    ) -> None:
        self._text = text
        self._log = log
        self._head_s = head_s
        self._send_s = send_s
        self._connections_max = connections_max
        self._connections = 0

    async def handle(self, stream: trio.abc.Stream) -> None:
        """One connection; for ``trio.serve_listeners``."""
        self._connections += 1
        try:
            async with stream:
                await self._answer(stream)
        except _GONE:
            pass
        except OperatorError as error:
            self._log.error("metrics could not be read", reason=str(error))
        except Exception:
            # A mistake in a number must not take the daemon with it.
            self._log.exception("metrics failed through an error of our own")
        finally:
            self._connections -= 1

    async def _answer(self, stream: trio.abc.Stream) -> None:
        if self._connections > self._connections_max:
            await self._send(stream, 503, "too many collectors at once\n")
            return
        head = b""
        with trio.move_on_after(self._head_s) as patience:
            while _END_OF_HEAD not in head:
                if len(head) > limits.SCRAPE_HEAD_BYTES_MAX:
                    await self._send(stream, 431, "the request is too long\n")
                    return
                data = await stream.receive_some(limits.SCRAPE_HEAD_BYTES_MAX)
                if not data:
                    return
                head += bytes(data)
        if patience.cancelled_caught:
            await self._send(stream, 408, "the request took too long\n")
            return
        status, text = judge(head)
        await self._send(stream, status, text if status != 200 else await self._text())

    async def _send(self, stream: trio.abc.Stream, status: int, text: str) -> None:
        body = text.encode()
        kind = CONTENT_TYPE if status == 200 else "text/plain; charset=utf-8"
        allow = "Allow: GET\r\n" if status == 405 else ""
        head = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            f"{allow}Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
        )
        with trio.fail_after(self._send_s):
            await stream.send_all(head.encode() + body)


def judge(head: bytes) -> tuple[int, str]:
    """The status for a request, and what to say when it is not 200.

    A page in somebody's browser can make it ask here under a name of its own; such a request names another host.
    """
    lines = head.split(_END_OF_HEAD, 1)[0].split(b"\r\n")
    words = lines[0].split(b" ")
    if len(words) != 3 or words[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
        return 400, "not HTTP/1.1\n"
    hosts = [line.split(b":", 1)[1].strip() for line in lines[1:] if line[:5].lower() == b"host:"]
    if len(hosts) > 1 or (words[2] == b"HTTP/1.1" and not hosts) or any(not _is_ours(host) for host in hosts):
        return 400, "ask by the address that nskd.toml says\n"
    if words[0] != b"GET":
        return 405, "only GET\n"
    if words[1].split(b"?", 1)[0] != b"/metrics":
        return 404, "only /metrics\n"
    return 200, ""


def _is_ours(host: bytes) -> bool:
    text = host.decode("latin-1").lower()
    name = text.rsplit(":", 1)[0] if not text.endswith("]") else text
    return name == "localhost" or is_loopback(name)
