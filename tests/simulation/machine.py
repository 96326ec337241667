"""The computer of one centre, from one start of its daemon to the next: clock, randomness, threads, signals."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import trio

from tests.simulation.disk import Disk

if TYPE_CHECKING:
    from nskd.control.service import Service
    from nskd.daemon.daemon import Daemon

T = TypeVar("T")

EPOCH_S: Final = 1_780_000_000  # what wall clocks say when a simulation begins
_SMALL_S: Final = 0.004  # what a call to a healthy disk takes, at most


class PowerCut(BaseException):  # like trio.Cancelled, not an error of anybody's
    """This machine is off: nothing of what runs on it happens any more."""


class Clock:
    """A centre's wall clock, which may be set while time itself goes on; it outlives the machine's restarts."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        """Seconds since 1970, as this centre has them."""
        return EPOCH_S + self.ahead_s + trio.current_time()


class Machine:
    """One life of one centre's machine; ``dead`` once it was cut off."""

    def __init__(self, name: str, life: int, directory: Path, clock: Clock, rng: random.Random) -> None:
        self.name = name
        self.life = life
        self.directory = directory
        self.clock = clock
        self.rng = rng
        self.entropy = random.Random(rng.getrandbits(64))  # so that what is drawn for faults does not shift keys
        self.dead = False
        self.in_order = False  # its daemon came to an end before it did: nothing was lost with the power
        self.scope = trio.CancelScope()
        self.disk = Disk(directory, random.Random(rng.getrandbits(64)), self.cut)
        self.slow_cpu_s = 0.0
        self.lies_after: int | None = None  # openings of runs, before it tells a false share
        self.stands_by_it = False  # it counts with the false share itself: all see the same
        self.lied = 0
        self.spoils_batch = False  # it lies in the check of the next batch
        self.daemon: Daemon | None = None
        self.service: Service | None = None
        self.ready = trio.Event()
        self.stopped = trio.Event()
        self.on_death: Callable[[Machine], None] = lambda _: None
        self._signals, self._arriving = trio.open_memory_channel[int](8)

    def __repr__(self) -> str:
        return f"<Machine {self.name} {self.life}>"

    # --- dying ------------------------------------------------------------------------------------------------

    def cut(self) -> None:
        """Power is gone, this instant; whoever calls from this machine's own code raises :class:`PowerCut` next."""
        if not self.dead:
            self.dead = True
            self.on_death(self)
            self.scope.cancel()

    def require_power(self) -> None:
        """Raise :class:`PowerCut` once it is gone."""
        if self.dead:
            raise PowerCut

    # --- what stands in for the operating system --------------------------------------------------------------

    def random_bytes(self, count: int) -> bytes:
        """In place of ``os.urandom``."""
        return self.entropy.randbytes(count)

    async def thread(self, call: Callable[[], T], limiter: trio.CapacityLimiter | None) -> T:
        """In place of a worker thread: waits as long as one would take, and cannot be cancelled once begun."""
        self.require_power()
        await trio.lowlevel.checkpoint_if_cancelled()
        if limiter is None:
            return await self._begun(call, None)
        async with limiter:
            return await self._begun(call, limiter)

    async def _begun(self, call: Callable[[], T], limiter: trio.CapacityLimiter | None) -> T:
        with trio.CancelScope(shield=True):
            before, after = self._waits(limiter)
            if before:
                await trio.sleep(before)
            self.require_power()
            try:
                return call()
            finally:
                await trio.sleep(after)
                self.require_power()

    def _waits(self, limiter: trio.CapacityLimiter | None) -> tuple[float, float]:
        if limiter is not None and limiter.total_tokens > 1:  # kernels; a disk takes one call at a time
            return self.slow_cpu_s, 0.0
        total = self.disk.slow_s * self.rng.random() if self.disk.slow_s else self.rng.choice((0.0, 0.0, _SMALL_S))
        before = total * self.rng.random()
        return before, total - before

    @property
    def lies_to_all(self) -> bool:
        """Whether it is to tell everybody, itself included, one false share."""
        return self.lies_after is not None and self.stands_by_it

    @property
    def lies_to_others(self) -> bool:
        """Whether it is to tell others a false share, and to count with the true one."""
        return self.lies_after is not None and not self.stands_by_it

    def lies_now(self) -> bool:
        """Whether this is the opening in which it does; then it tells the truth again."""
        assert self.lies_after is not None
        self.lies_after -= 1
        if self.lies_after >= 0:
            return False
        self.lies_after = None
        return True

    def signal(self, number: int) -> None:
        """What a service manager sends."""
        self._signals.send_nowait(number)

    @contextmanager
    def signals(self) -> Iterator[AsyncIterator[int]]:
        """In place of ``trio.open_signal_receiver``."""
        yield self._arriving


HERE: ContextVar[Machine | None] = ContextVar("machine", default=None)


def here() -> Machine:
    """The machine whose code is running."""
    machine = HERE.get()
    assert machine is not None, "called outside of every machine"
    return machine


@asynccontextmanager
async def on(machine: Machine) -> AsyncIterator[None]:
    """Run the block as code of that machine, as a person at its console does."""
    token = HERE.set(machine)
    try:
        yield
    finally:
        HERE.reset(token)
