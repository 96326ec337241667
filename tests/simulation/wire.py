"""One connection between two machines: bytes take their time, in order, until it breaks.

It breaks at a byte: of what was under way some arrives.  Between machines that are apart everything waits, as TCP
repeats it; what is sent to a machine without power is lost, and answered with a reset once that machine is back.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, Final

import trio

from nskd.peers.line import Line
from tests.simulation.machine import Machine

if TYPE_CHECKING:
    from tests.simulation.network import Network

WINDOW_BYTES: Final = 1 << 20  # on their way in one direction; more has to wait
WINDOW_HELD_BYTES: Final = 1 << 12  # of those, while nothing gets through: what a kernel keeps for whoever sends little
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
        return max(0, (WINDOW_HELD_BYTES if self.held else WINDOW_BYTES) - self._bytes)

    @property
    def unwanted(self) -> bool:
        """Whether the other end has let go, and can say so."""
        return self.deaf and not self.held

    async def wait_room(self) -> None:
        """Wait until more may be sent."""
        while not self.room and not (self.broken or self.unwanted or self.silent):
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
        if self._out.broken or self._out.unwanted:
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

    def moved(self) -> None:
        """A chunk was sent."""
        if self._network.loses_now(self):
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
            self._network.wires.discard(self)
