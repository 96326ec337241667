"""Who listens where, and what stands between two centres.

Two connections owe each other no order, which is how messages of different lanes overtake each other.
"""

from __future__ import annotations

import errno
import random
from collections import Counter
from collections.abc import Callable, Iterator

import trio

from tests.simulation.machine import Machine, here
from tests.simulation.wire import LATENCY_S, Wire


class Wires:
    """All connections there are, in the order in which they were made."""

    def __init__(self) -> None:
        self._wires: dict[Wire, None] = {}

    def add(self, wire: Wire) -> None:
        self._wires[wire] = None

    def discard(self, wire: Wire) -> None:
        self._wires.pop(wire, None)

    def __iter__(self) -> Iterator[Wire]:
        return iter(tuple(self._wires))

    def __len__(self) -> int:
        return len(self._wires)


class Listener(trio.abc.Listener[trio.abc.Stream]):
    """Where a centre is called."""

    def __init__(self, machine: Machine, on_close: Callable[[Listener], None]) -> None:
        self.machine = machine
        self._on_close = on_close
        self._put, self._get = trio.open_memory_channel[trio.abc.Stream](1000)

    def arrive(self, stream: trio.abc.Stream) -> None:
        """Somebody calls."""
        self._put.send_nowait(stream)

    async def accept(self) -> trio.abc.Stream:
        try:
            return await self._get.receive()
        except trio.ClosedResourceError:
            raise trio.ClosedResourceError("listener closed") from None

    async def aclose(self) -> None:
        self._get.close()
        self._on_close(self)
        await trio.lowlevel.checkpoint()


class Network:
    """Who listens where, and what stands between two centres."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._listeners: dict[str, Listener] = {}
        self.wires = Wires()
        self.apart: set[frozenset[str]] = set()  # pairs that cannot reach each other
        self.slow: dict[frozenset[str], float] = {}  # seconds more in each direction
        self.steps_left: dict[frozenset[str], int] = {}  # by pair: chunks to be sent before a connection breaks
        self.counts: Counter[str] = Counter()

    async def listen(self, _port: int, *, host: str) -> list[Listener]:
        """In place of ``trio.open_tcp_listeners``."""
        await trio.lowlevel.checkpoint()
        listener = Listener(here(), self._closed)
        self._listeners[host] = listener
        return [listener]

    def _closed(self, listener: Listener) -> None:
        for host, other in tuple(self._listeners.items()):
            if other is listener:
                del self._listeners[host]

    async def connect(self, host: str, _port: int) -> trio.abc.Stream:
        """In place of ``trio.open_tcp_stream``."""
        caller = here()
        await trio.sleep(self._rng.uniform(*LATENCY_S))
        listener = self._listeners.get(host)
        if frozenset((caller.name, host.partition(".")[0])) in self.apart:
            await trio.sleep_forever()  # the dialer's patience ends it
        if listener is None or listener.machine.dead:
            raise OSError(errno.ECONNREFUSED, "Connection refused")
        wire = Wire(self, caller, listener.machine, self._rng)
        extra_s = self.slow.get(frozenset(wire.names), 0.0)
        wire.there.latency_s += extra_s
        wire.back.latency_s += extra_s
        self.wires.add(wire)
        listener.arrive(wire.ends[1])
        return wire.ends[0]

    def between(self, one: str, other: str) -> list[Wire]:
        """The connections of two centres."""
        return [wire for wire in self.wires if set(wire.names) == {one, other}]

    def part(self, one: str, other: str) -> None:
        """Let nothing pass between two any more, and tell nobody."""
        self.apart.add(frozenset((one, other)))
        for wire in self.between(one, other):
            for direction in wire.directions:
                direction.hold()

    def rejoin(self, one: str, other: str) -> None:
        """Let everything pass again, what was sent meanwhile too."""
        self.apart.discard(frozenset((one, other)))
        for wire in self.between(one, other):
            for direction in wire.directions:
                direction.release()

    def lose_at_step(self, one: str, other: str, chunks: int) -> None:
        """Let a connection of two break at the chunk of that number from now: the one on which it is sent."""
        self.steps_left[frozenset((one, other))] = chunks

    def loses_now(self, wire: Wire) -> bool:
        """Whether a connection breaks at the chunk that was sent just now."""
        pair = frozenset(wire.names)
        if pair not in self.steps_left:
            return False
        self.steps_left[pair] -= 1
        if self.steps_left[pair] > 0:
            return False
        del self.steps_left[pair]
        busy = any(each.daemon is not None and each.daemon.sessions.active() for each in wire.machines)
        self.counts[f"connection lost at a step of {'a session' if busy else 'a lull'}"] += 1
        return True

    def is_back(self, machine: Machine) -> bool:
        """Whether the centre of a machine that is off has another one running."""
        listener = self._listeners.get(f"{machine.name}.example")
        return listener is not None and listener.machine is not machine and not listener.machine.dead

    def slow_down(self, one: str, other: str, seconds: float) -> None:
        """Let everything between two take longer, or no longer."""
        pair = frozenset((one, other))
        before = self.slow.pop(pair, 0.0)
        if seconds:
            self.slow[pair] = seconds
        for wire in self.between(one, other):
            for direction in wire.directions:
                direction.latency_s += seconds - before

    def power_lost(self, machine: Machine, *, silently: bool) -> None:
        """What the others see of a machine's end: resets, or nothing at all."""
        for listener in tuple(self._listeners.values()):
            if listener.machine is machine:
                self._closed(listener)
        for wire in self.wires:
            if machine in wire.machines:
                if silently:
                    wire.silence()
                else:
                    wire.break_off()
                wire.closed()
