"""The numbers over HTTP, against clients that dawdle, flood, or come for something else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import structlog
import trio
import trio.testing

from nskd.errors import OperatorError
from nskd.monitor import limits
from nskd.monitor.endpoint import MetricsEndpoint, judge
from nskd.monitor.exposition import CONTENT_TYPE
from nskd.monitor.loopback import is_loopback

Clock = trio.testing.MockClock
GET = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9464\r\nAccept: */*\r\n\r\n"


async def numbers() -> str:
    await trio.lowlevel.checkpoint()
    return "nskd_health 0\n"


async def broken() -> str:
    raise OperatorError("the disk is gone", where="ledger", remedy="Look.")


async def mistaken() -> str:
    raise RuntimeError("a mistake")


class Here:
    """An endpoint whose clients are at the other end of memory."""

    def __init__(self, nursery: trio.Nursery, text: Callable[[], object] = numbers, connections_max: int = 2) -> None:
        self.endpoint = MetricsEndpoint(text, log=structlog.get_logger(), connections_max=connections_max)  # type: ignore[arg-type]
        self._nursery = nursery

    def connect(self) -> trio.StapledStream:
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self.endpoint.handle, theirs)
        return ours

    async def ask(self, *pieces: bytes) -> bytes:
        return await self.rest(await self.begin(*pieces))

    async def begin(self, *pieces: bytes) -> trio.StapledStream:
        stream = self.connect()
        for piece in pieces:
            await stream.send_all(piece)
        return stream

    @staticmethod
    async def rest(stream: trio.StapledStream) -> bytes:
        return b"".join([bytes(piece) async for piece in stream])


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_the_numbers(nursery: trio.Nursery) -> None:
    here = Here(nursery)
    for pieces in ((GET,), tuple(bytes([byte]) for byte in GET)):
        head, body = (await here.ask(*pieces)).split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Type: " + CONTENT_TYPE.encode() in head
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"Connection: close" in head
        assert body == b"nskd_health 0\n"


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (GET.replace(b"/metrics", b"/metrics?x=1"), 200),
        (GET.replace(b"127.0.0.1:9464", b"localhost:9464"), 200),
        (GET.replace(b"127.0.0.1:9464", b"[::1]:9464"), 200),
        (b"GET /metrics HTTP/1.0\r\n\r\n", 200),
        (GET.replace(b"/metrics", b"/"), 404),
        (GET.replace(b"/metrics", b"/metrics/../etc"), 404),
        (GET.replace(b"GET", b"POST"), 405),
        (GET.replace(b"HTTP/1.1", b"HTTP/2.0"), 400),
        (GET.replace(b"127.0.0.1:9464", b"evil.example"), 400),  # a page that calls itself by another name
        (GET.replace(b"Host: 127.0.0.1:9464\r\n", b""), 400),
        (GET.replace(b"Accept: */*", b"Host: evil.example"), 400),
        (b"\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
        (b"GET  /metrics HTTP/1.1\r\n\r\n", 400),
    ],
)
def test_what_is_asked_for(request_: bytes, expected: int) -> None:
    assert judge(request_)[0] == expected


async def test_who_dawdles_is_let_go(nursery: trio.Nursery, autojump_clock: Clock) -> None:
    here = Here(nursery)
    began = trio.current_time()
    assert status(await here.ask(b"GET /metrics HTTP/1.1\r\n")) == 408
    assert trio.current_time() - began == pytest.approx(limits.SCRAPE_HEAD_S)


async def test_a_byte_now_and_then_gains_no_time(nursery: trio.Nursery, autojump_clock: Clock) -> None:
    here = Here(nursery)
    stream, began = here.connect(), trio.current_time()
    with trio.move_on_after(60):
        try:
            while True:
                await stream.send_all(b"x")
                await trio.sleep(1)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
    assert trio.current_time() - began <= limits.SCRAPE_HEAD_S + 1


async def test_a_request_without_end(nursery: trio.Nursery) -> None:
    answer = await Here(nursery).ask(b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * limits.SCRAPE_HEAD_BYTES_MAX)
    assert status(answer) == 431


async def test_who_takes_no_answer_is_let_go(autojump_clock: Clock) -> None:
    async def much() -> str:
        return "x" * 1_000_000

    endpoint = MetricsEndpoint(much, log=structlog.get_logger())
    ours, theirs = trio.testing.lockstep_stream_pair()  # who does not read holds up who writes
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(endpoint.handle, theirs)
        await ours.send_all(GET)
    assert trio.current_time() - began == pytest.approx(limits.SCRAPE_SEND_S)


async def test_too_many_at_once(nursery: trio.Nursery) -> None:
    here = Here(nursery, connections_max=2)
    idle = [await here.begin(b"GET") for _ in range(2)]
    await trio.testing.wait_all_tasks_blocked()
    assert status(await here.ask()) == 503
    await idle[0].aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert status(await here.ask(GET)) == 200
    await idle[1].aclose()


@pytest.mark.parametrize("text", [broken, mistaken])
async def test_a_number_that_cannot_be_had_ends_nothing_else(text: Callable[[], object], nursery: trio.Nursery) -> None:
    here = Here(nursery, text)
    assert await here.ask(GET) == b""
    assert status(await here.ask(b"POST /metrics HTTP/1.1\r\nHost: [::1]\r\n\r\n")) == 405


def test_what_only_this_machine_can_reach() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.0.1", "::1", "[::1]")))
    assert not any(
        map(is_loopback, ("0.0.0.0", "::", "localhost", "10.0.0.1", "127.0.0.1.example", "", "::ffff:7f00:1"))
    )
