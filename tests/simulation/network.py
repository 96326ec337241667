"""Connections among machines: bytes take their time, each connection at its own pace, until it breaks.

A connection delivers what it was given, in order, or breaks; two connections owe each other no order, which is how
messages of different lanes overtake each other.  It breaks at a byte: of what was under way some arrives.
"""

from __future__ import annotations

import errno
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Final

import trio

from nskd.peers.line import Line
from tests.simulation.machine import Machine, here

WINDOW_BYTES: Final = 1 << 20  # on their way in one direction; more has to wait
LATENCY_S: Final = (0.0002, 0.02)  # between hospitals of one country


class Direction:
    """One direction of one connection."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._moved = trio.lowlevel.ParkingLot()
        self._last_s = 0.0
        self.latency_s = rng.uniform(*LATENCY_S)
        self.chunks = 0
        self.ended = False  # the sender closed: the end comes after what was sent
        self.broken = False  # nothing more arrives
        self.silent = False  # what is sent disappears, and nobody is told
        self.held = False  # what is sent waits, as TCP repeats it until it gets through
        self.deaf = False  # the receiver has let go

    def put(self, data: bytes) -> None:
        """Send on its way."""
        self.chunks += 1
        if self.silent:
            return
        jitter = self.latency_s * self._rng.random() * (10 if self._rng.random() < 0.02 else 1)
        self._last_s = max(self._last_s, trio.current_time() + self.latency_s + jitter)
        self._pieces.append((self._last_s, data))
        self._bytes += len(data)
        self._moved.unpark_all()

    @property
    def room(self) -> int:
        """Bytes that may be sent now."""
        return WINDOW_BYTES - self._bytes

    async def wait_room(self) -> None:
        """Wait until more may be sent."""
        while not self.room and not (self.broken or self.deaf or self.silent):
            await self._moved.park()

    async def take(self, most: int) -> bytes:
        """Wait for what has arrived; empty at the end, ``BrokenResourceError`` where it broke."""
        while True:
            if self.held:
                await self._moved.park()
                continue
            if self._pieces:
                arrives_s = self._pieces[0][0]
                if arrives_s > trio.current_time():
                    await trio.sleep_until(arrives_s)
                    continue
                return self._arrived(most)
            if self.broken:
                raise trio.BrokenResourceError("connection reset")
            if self.ended and not self.silent:
                return b""
            await self._moved.park()

    def _arrived(self, most: int) -> bytes:
        at, data = self._pieces.popleft()
        if len(data) > most:
            self._pieces.appendleft((at, data[most:]))
            data = data[:most]
        self._bytes -= len(data)
        self._moved.unpark_all()
        return data

    def end(self) -> None:
        """The sender closes."""
        self.ended = True
        self._moved.unpark_all()

    def let_go(self) -> None:
        """The receiver closes."""
        self.deaf = True
        self._pieces.clear()
        self._bytes = 0
        self._moved.unpark_all()

    def break_off(self) -> None:
        """Break: some of what is under way arrives."""
        keep = self._rng.randint(0, len(self._pieces))
        while len(self._pieces) > keep:
            _, data = self._pieces.pop()
            self._bytes -= len(data)
            if self._rng.random() < 0.5 and len(data) > 1 and len(self._pieces) == keep:
                piece = data[: self._rng.randrange(1, len(data))]
                self._pieces.append((self._last_s, piece))
                self._bytes += len(piece)
                break
        self.broken = True
        self._moved.unpark_all()

    def hold(self) -> None:
        """Let nothing through for the moment."""
        self.held = True

    def release(self) -> None:
        """Let it through again; whoever sent to an end that has gone meanwhile learns so."""
        self.held = False
        if self.deaf and self.chunks:
            self.broken = True
        self._moved.unpark_all()

    def silence(self) -> None:
        """Lose what is under way and all that follows; nobody is told."""
        self.silent = True
        self._pieces.clear()
        self._bytes = 0
        self._moved.unpark_all()


class End(trio.abc.Stream):
    """One end of a connection, as the daemon gets it."""

    def __init__(self, wire: Wire, owner: Machine, out: Direction, inward: Direction) -> None:
        self._wire = wire
        self._owner = owner
        self._out = out
        self._in = inward
        self.closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while len(rest):
            self._check()
            await self._out.wait_room()
            rest = rest[self.send_now(rest) :]

    def send_now(self, data: memoryview) -> int:
        """Send what there is room for; returns how many bytes that is."""
        self._check()
        if self._out.broken or self._out.deaf:
            raise trio.BrokenResourceError("connection reset")
        piece = bytes(data[: self._out.room])
        if piece:
            self._out.put(piece)
            self._wire.moved()
            self._wire.answer_if_restarted()
        return len(piece)

    async def wait_send_all_might_not_block(self) -> None:
        await self._out.wait_room()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        self._check()
        data = await self._in.take(max_bytes or WINDOW_BYTES)
        self._check()
        return data

    async def aclose(self) -> None:
        if not self.closed:
            self.closed = True
            if not self._owner.dead:  # a machine without power says no goodbye
                self._out.end()
            self._in.let_go()
            self._wire.closed()
        await trio.lowlevel.checkpoint()

    def _check(self) -> None:
        if self.closed:
            raise trio.ClosedResourceError("this connection was closed")


class WireLine(Line):
    """The bytes of a simulated connection, sent without waiting while there is room, as a socket's are."""

    def __init__(self, end: End) -> None:
        super().__init__(end)
        self._end = end

    def send_now(self, data: memoryview) -> int:
        """Send what there is room for."""
        return self._end.send_now(data)


def line_over(stream: trio.abc.Stream) -> Line:
    """In place of :func:`nskd.peers.line.line_over`."""
    assert isinstance(stream, End)
    return WireLine(stream)


class Wire:
    """One connection from a caller to a callee."""

    def __init__(self, network: Network, caller: Machine, callee: Machine, rng: random.Random) -> None:
        self._network = network
        self.names = (caller.name, callee.name)
        self.machines = (caller, callee)
        self.there, self.back = Direction(rng), Direction(rng)
        self.ends = (End(self, caller, self.there, self.back), End(self, callee, self.back, self.there))
        self.breaks_at: int | None = None  # chunks, both ways together

    def moved(self) -> None:
        """A chunk was sent."""
        if self.breaks_at is not None and self.there.chunks + self.back.chunks >= self.breaks_at:
            self.breaks_at = None
            self._network.counts["connection lost at a step"] += 1
            self.break_off()

    def answer_if_restarted(self) -> None:
        """A machine that has come back knows nothing of this connection, and says so to whoever uses it."""
        for machine in self.machines:
            if machine.dead and self._network.is_back(machine) and frozenset(self.names) not in self._network.apart:
                self.break_off()

    def break_off(self) -> None:
        """Break in both directions."""
        self.there.break_off()
        self.back.break_off()

    @property
    def directions(self) -> tuple[Direction, Direction]:
        """Both."""
        return self.there, self.back

    def silence(self) -> None:
        """Both ends talk into the void."""
        self.there.silence()
        self.back.silence()

    def closed(self) -> None:
        """Forget it once both ends are closed, or cannot be."""
        if all(end.closed or machine.dead for end, machine in zip(self.ends, self.machines, strict=True)):
            self._network.wires.discard_wire(self)


class Wires:
    """All connections there are, in the order in which they were made."""

    def __init__(self) -> None:
        self._wires: dict[Wire, None] = {}

    def add(self, wire: Wire) -> None:
        self._wires[wire] = None

    def discard_wire(self, wire: Wire) -> None:
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
