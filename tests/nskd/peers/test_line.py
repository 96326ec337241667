"""Sockets by system calls keep trio's rules: what waits, what breaks, what closes."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from nskd.peers.line import UNSENT_BYTES, Line, SocketLine, line_over


async def tcp_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        left = await trio.open_tcp_stream(*listener.socket.getsockname())
        return left, await listener.accept()


async def test_sends_without_waiting_until_the_socket_is_full() -> None:
    left, right = await tcp_pair()
    sender, receiver = line_over(left), line_over(right)
    assert isinstance(sender, SocketLine)
    data = memoryview(bytearray(range(256)) * (1 << 16))
    sent = 0
    while count := sender.send_now(data[sent:]):
        sent += count
    assert 0 < sent < len(data)
    received = bytearray()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.send_all, data[sent:])
        buffer = memoryview(bytearray(1 << 18))
        while len(received) < len(data):
            received += buffer[: await receiver.receive_into(buffer)]
    assert received == data
    await left.aclose()
    assert await receiver.receive_into(buffer) == 0
    await right.aclose()


async def test_more_may_wait_in_the_kernel_than_trio_allows() -> None:
    left, right = await tcp_pair()
    line_over(left)
    assert left.socket.getsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NOTSENT_LOWAT) == UNSENT_BYTES
    await left.aclose()
    await right.aclose()


async def test_a_broken_connection_is_broken_both_ways() -> None:
    left, right = await tcp_pair()
    line = line_over(left)
    right.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closing resets
    await right.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await line.receive_into(memoryview(bytearray(10)))
    with pytest.raises(trio.BrokenResourceError):
        line.send_now(memoryview(b"x"))
    await left.aclose()


async def test_closing_wakes_who_waits_and_refuses_who_comes() -> None:
    left, right = await tcp_pair()
    line = line_over(left)
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await line.receive_into(memoryview(bytearray(10)))

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await left.aclose()
    with pytest.raises(trio.ClosedResourceError):
        line.send_now(memoryview(b"x"))
    with pytest.raises(trio.ClosedResourceError):
        await line.send_all(memoryview(b"x"))
    await right.aclose()


async def test_any_other_stream_is_waited_for() -> None:
    left, right = trio.testing.memory_stream_pair()
    sender, receiver = line_over(left), line_over(right)
    assert type(sender) is Line
    assert sender.send_now(memoryview(b"x")) == 0
    await sender.send_all(memoryview(b"bytes"))
    buffer = memoryview(bytearray(10))
    assert await receiver.receive_into(buffer) == 5
    assert buffer[:5] == b"bytes"
