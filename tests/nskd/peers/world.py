"""Meshes in one process, joined by connections a test can cut, silence or stall."""

from __future__ import annotations

import errno
import hashlib
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import structlog
import trio
import trio.testing

from nskd.peers.lanes import PROTOCOL_VERSION, Member
from nskd.peers.mesh import Mesh
from protocol.noise import StaticKey
from protocol.wire import Message

CHARTER = bytes(range(32))
SESSION = b"a session of 16b"


def key_of(name: str) -> StaticKey:
    return StaticKey(hashlib.sha256(name.encode()).digest())


def members_of(names: Sequence[str]) -> list[Member]:
    return [Member(name, key_of(name).public, host=f"{name}.example", port=7000) for name in names]


def message(text: str = "", size: int = 0, session: bytes = SESSION) -> Message:
    return Message(session, text or "step", (np.zeros(size, np.uint8),) if size else ())


class Wire(trio.abc.Stream):
    """One end of a connection in memory."""

    def __init__(self, inner: trio.StapledStream[Any, Any]) -> None:
        self._inner = inner
        self._cut = False
        self.silent = False  # what is sent disappears
        self.stalled = False  # the other end does not read
        self.closed = False

    def cut(self) -> None:
        self._cut = True
        self._inner.receive_stream.put_eof()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._cut:
            await trio.lowlevel.checkpoint()
            raise trio.BrokenResourceError("cut")
        if self.silent:
            await trio.lowlevel.checkpoint()
            return
        if self.stalled:
            await trio.sleep_forever()
        await self._inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        data = bytes(await self._inner.receive_some(max_bytes))
        if self._cut:
            raise trio.BrokenResourceError("cut")
        return data

    async def aclose(self) -> None:
        self.closed = True
        await self._inner.aclose()


class MemoryListener(trio.abc.Listener[trio.abc.Stream]):
    def __init__(self) -> None:
        self.put, self._get = trio.open_memory_channel[trio.abc.Stream](1000)

    async def accept(self) -> trio.abc.Stream:
        try:
            return await self._get.receive()
        except trio.ClosedResourceError:
            raise trio.ClosedResourceError("listener closed") from None

    async def aclose(self) -> None:
        self._get.close()
        await trio.lowlevel.checkpoint()


class Network:
    """Who listens, and every connection there ever was as (caller, callee, its end, the other end)."""

    def __init__(self) -> None:
        self.listeners: dict[str, MemoryListener] = {}
        self.wires: list[tuple[str, str, Wire, Wire]] = []
        self.calls: list[tuple[str, str, float]] = []

    def listen(self, name: str) -> MemoryListener:
        self.listeners[name] = MemoryListener()
        return self.listeners[name]

    def connector(self, caller: str) -> Callable[[Member], Any]:
        async def connect(member: Member) -> trio.abc.Stream:
            self.calls.append((caller, member.name, trio.current_time()))
            await trio.lowlevel.checkpoint()
            ours, theirs = (Wire(end) for end in trio.testing.memory_stream_pair())
            try:
                self.listeners[member.name].put.send_nowait(theirs)
            except (KeyError, trio.BrokenResourceError):
                raise OSError(errno.ECONNREFUSED, "Connection refused") from None
            self.wires.append((caller, member.name, ours, theirs))
            return ours

        return connect

    def between(self, a: str, b: str) -> Iterator[Wire]:
        for caller, callee, ours, theirs in self.wires:
            if {a, b} == {caller, callee} and not ours.closed:
                yield from (ours, theirs)

    def cut(self, a: str, b: str) -> None:
        for wire in list(self.between(a, b)):
            wire.cut()


class Node:
    """One centre: its mesh, its log, and the scope that kills it."""

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        network: Network,
        *,
        charter: bytes = CHARTER,
        key: StaticKey | None = None,
        version: int = PROTOCOL_VERSION,
    ) -> None:
        self.name = name
        self.capture = structlog.testing.LogCapture()
        self.log = structlog.wrap_logger(
            None, processors=[self.capture], wrapper_class=structlog.make_filtering_bound_logger(0)
        )
        members = [
            Member(m.name, key.public, m.host, m.port) if key is not None and m.name == name else m
            for m in members_of(names)
        ]
        self.scope = trio.CancelScope()
        self.mesh = Mesh(
            own=name,
            static=key or key_of(name),
            charter_digest=charter,
            members=members,
            listeners=[network.listen(name)],
            jitter=random.Random(name).random,
            connect=network.connector(name),
            log=self.log,
            version=version,
        )

    def logged(self, level: str) -> list[str]:
        return [entry["event"] for entry in self.capture.entries if entry["log_level"] == level]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        with self.scope:
            await self.mesh.run(task_status=task_status)


@asynccontextmanager
async def workshop(
    *names: str, network: Network | None = None, wait: bool = True
) -> AsyncIterator[tuple[Network, dict[str, Node]]]:
    """Meshes of all ``names``, connected to each other; every connection must be closed at the end."""
    network = network or Network()
    async with trio.open_nursery() as nursery:
        nodes = {name: Node(name, names, network) for name in names}
        for node in nodes.values():
            await nursery.start(node.run)
        if wait:
            with trio.fail_after(60):
                for node in nodes.values():
                    await node.mesh.wait_connected()
        yield network, nodes
        nursery.cancel_scope.cancel()
    assert all(ours.closed and theirs.closed for _, _, ours, theirs in network.wires)
