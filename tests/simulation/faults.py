"""What goes wrong, and when: drawn from the seed, some of it aimed at moments that matter."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from tests.simulation.disk import Doom, Place
from tests.simulation.machine import Machine
from tests.simulation.workload import People
from tests.simulation.workshop import Centre, Workshop

_LOOK_S: Final = 0.02  # how often an aimed fault looks whether its moment has come
_AIM_S: Final = 1800.0  # after which it strikes whatever is going on
_AIMS: Final = (
    Place.AUDIT,
    Place.AUDIT,
    Place.LEDGER,
    Place.LEDGER,
    Place.STOCK,
    Place.SEALED,
    Place.SMALL,
    Place.NAMES,
)


class Faults:
    """Lets things go wrong until told to stop; then everything is mended."""

    def __init__(self, workshop: Workshop, people: People, rng: random.Random, favoured: tuple[str, ...] = ()) -> None:
        self._workshop = workshop
        self._people = people
        self._rng = rng
        self._favoured = favoured
        self.counts: Counter[str] = Counter()
        self._kinds: dict[str, tuple[float, Callable[[], Awaitable[None]]]] = {
            "connection to be lost at a step": (6, self._lose_connection),
            "all connections of two centres lost": (2, self._lose_connections),
            "two centres apart, silently": (2, self._part),
            "one centre apart from all": (1, self._isolate),
            "many requests at once, to one that is apart": (0.3, self._flurry),
            "slow network": (2, self._slow_network),
            "power cut": (3, self._power_cut),
            "power cut within a durable step": (5, self._power_cut_at_step),
            "power cut during a run": (4, self._power_cut_in_run),
            "power cut at all centres at once": (0.5, self._power_cut_everywhere),
            "centre off for a while": (1, self._off),
            "stop in good order": (1, self._stop),
            "full disk": (2, self._full_disk),
            "failing disk": (1.5, self._failing_disk),
            "slow disk": (2, self._slow_disk),
            "slow processor": (1, self._slow_cpu),
            "clock set forwards": (1, lambda: self._set_clock(1)),
            "clock set back": (1, lambda: self._set_clock(-1)),
            "false share in a run": (2, self._lie),
            "false share in a batch": (0.5, self._spoil),
            "pause of a centre": (0.5, self._pause),
        }

    async def strike(self, per_hour: float) -> None:
        """Until cancelled."""
        names = list(self._kinds)
        weights = [weight * (10 if name in self._favoured else 1) for name, (weight, _) in self._kinds.items()]
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(self._rng.expovariate(per_hour / 3600))
                (name,) = self._rng.choices(names, weights)
                self.counts[name] += 1
                nursery.start_soon(self._kinds[name][1])

    def mend(self) -> None:
        """Everything that is still wrong, at once."""
        network = self._workshop.network
        for pair in tuple(network.apart):
            network.rejoin(*pair)
        for one, other in tuple(network.slow):
            network.slow_down(one, other, 0.0)
        network.steps_left.clear()
        for centre in self._workshop.centres.values():
            centre.clock.ahead_s = 0.0
            self._switch_on(centre)
            if centre.machine is not None:
                self._mend_machine(centre.machine)

    @staticmethod
    def _mend_machine(machine: Machine) -> None:
        machine.slow_cpu_s = 0.0
        machine.lies_after = None
        machine.spoils_batch = False
        machine.disk.full = machine.disk.failing = False
        machine.disk.slow_s = 0.0
        machine.disk.doom = None

    # --- who ----------------------------------------------------------------------------------------------------

    def _centre(self) -> Centre:
        return self._rng.choice(list(self._workshop.centres.values()))

    def _pair(self) -> tuple[str, str]:
        one, other = self._rng.sample(list(self._workshop.centres), 2)
        return one, other

    async def _in_a_run(self, centre: Centre) -> Machine | None:
        """Wait until a run, or now and then a batch, is under way there."""
        batch = self._rng.random() < 0.3
        with trio.move_on_after(_AIM_S):
            while True:
                machine = centre.up
                if machine is not None and machine.daemon is not None:
                    daemon = machine.daemon
                    if daemon.runs.running or (batch and daemon.generator._sessions_here):
                        await trio.sleep(self._rng.expovariate(1 / 0.3))
                        return machine
                await trio.sleep(
                    _LOOK_S if machine is not None and machine.daemon is not None and self._near(machine) else 1.0
                )
        return centre.up

    @staticmethod
    def _near(machine: Machine) -> bool:
        """Whether a session is being agreed on, so that a closer look is worth it."""
        return machine.daemon is not None and bool(machine.daemon.sessions.active())

    # --- network ------------------------------------------------------------------------------------------------

    async def _lose_connection(self) -> None:
        one, other = self._pair()
        if self._rng.random() < 0.8:
            await self._in_a_run(self._workshop[one])
        self._workshop.network.lose_at_step(one, other, self._rng.randint(1, 80))
        await trio.lowlevel.checkpoint()

    async def _lose_connections(self) -> None:
        one, other = self._pair()
        if self._rng.random() < 0.5:
            await self._in_a_run(self._workshop[one])
        for wire in self._workshop.network.between(one, other):
            wire.break_off()

    async def _part(self) -> None:
        one, other = self._pair()
        if self._rng.random() < 0.5:
            await self._in_a_run(self._workshop[one])
        self._workshop.network.part(one, other)
        await trio.sleep(self._rng.uniform(5, 900))
        self._workshop.network.rejoin(one, other)

    async def _isolate(self) -> None:
        centre = self._centre()
        others = [name for name in self._workshop.names if name != centre.name]
        for other in others:
            self._workshop.network.part(centre.name, other)
        await trio.sleep(self._rng.uniform(5, 900))
        for other in others:
            self._workshop.network.rejoin(centre.name, other)

    async def _flurry(self) -> None:
        one, other = self._pair()
        self._workshop.network.part(one, other)
        await self._people.flurry(self._workshop[one], 30)
        await trio.sleep(self._rng.uniform(5, 300))
        self._workshop.network.rejoin(one, other)

    async def _slow_network(self) -> None:
        one, other = self._pair()
        self._workshop.network.slow_down(one, other, self._rng.uniform(0.05, 2.0))
        await trio.sleep(self._rng.uniform(60, 900))
        self._workshop.network.slow_down(one, other, 0.0)

    # --- machines -----------------------------------------------------------------------------------------------

    async def _power_cut(self) -> None:
        machine = self._centre().machine
        if machine is not None:
            machine.cut()
        await trio.lowlevel.checkpoint()

    async def _power_cut_at_step(self) -> None:
        machine = self._centre().machine
        if machine is not None:
            machine.disk.doom = Doom(self._rng.randint(1, 5), self._rng.choice(_AIMS))
        await trio.lowlevel.checkpoint()

    async def _power_cut_in_run(self) -> None:
        machine = await self._in_a_run(self._centre())
        if machine is not None:
            if self._rng.random() < 0.5:
                machine.cut()
            else:
                machine.disk.doom = Doom(self._rng.randint(1, 4), self._rng.choice((None, None, *_AIMS)))

    async def _power_cut_everywhere(self) -> None:
        await self._in_a_run(self._centre())
        for centre in self._workshop.centres.values():
            if centre.machine is not None:
                centre.machine.cut()

    async def _off(self) -> None:
        centre = self._centre()
        if not centre.wanted_up:  # it is off for a while already
            return
        centre.wanted_up, centre.back = False, trio.Event()
        if centre.machine is not None:
            centre.machine.cut()
        await trio.sleep(self._rng.uniform(60, 3600))
        self._switch_on(centre)

    @staticmethod
    def _switch_on(centre: Centre) -> None:
        centre.wanted_up = True
        centre.back.set()

    async def _stop(self) -> None:
        centre = self._centre()
        if self._rng.random() < 0.5:
            await self._in_a_run(centre)
        await self._workshop.stop(centre)

    async def _full_disk(self) -> None:
        centre = self._centre()
        if self._rng.random() < 0.5:
            await self._in_a_run(centre)
        if centre.machine is not None:
            centre.machine.disk.full = True
        await trio.sleep(self._rng.uniform(10, 900))
        if centre.machine is not None:
            centre.machine.disk.full = False  # no restart is needed

    async def _failing_disk(self) -> None:
        centre = self._centre()
        if centre.machine is not None:
            centre.machine.disk.failing = True
        await trio.sleep(self._rng.uniform(10, 300))
        if centre.machine is not None:
            centre.machine.disk.failing = False
        await self._workshop.stop(centre)  # its operator does as the errors say

    async def _slow_disk(self) -> None:
        centre = self._centre()
        if centre.machine is not None:
            centre.machine.disk.slow_s = self._rng.choice((0.5, 3.0, 25.0))
        await trio.sleep(self._rng.uniform(60, 900))
        if centre.machine is not None:
            centre.machine.disk.slow_s = 0.0

    async def _slow_cpu(self) -> None:
        centre = self._centre()
        if centre.machine is not None:
            centre.machine.slow_cpu_s = self._rng.uniform(0.02, 0.5)
        await trio.sleep(self._rng.uniform(60, 600))
        if centre.machine is not None:
            centre.machine.slow_cpu_s = 0.0

    async def _set_clock(self, direction: int) -> None:
        centre = self._centre()
        centre.clock.ahead_s += direction * self._rng.choice((20.0, 400.0, 3000.0)) * self._rng.random()
        await trio.sleep(self._rng.uniform(60, 1800))
        centre.clock.ahead_s = 0.0

    # --- liars --------------------------------------------------------------------------------------------------

    async def _lie(self) -> None:
        machine = self._centre().machine
        if machine is not None:
            machine.stands_by_it = self._rng.random() < 0.6
            machine.lies_after = self._rng.randint(0, 25)
        await trio.lowlevel.checkpoint()

    async def _spoil(self) -> None:
        machine = self._centre().machine
        if machine is not None:
            machine.spoils_batch = True
        await trio.lowlevel.checkpoint()

    # --- people -------------------------------------------------------------------------------------------------

    async def _pause(self) -> None:
        await self._people.pause(self._centre(), self._rng.uniform(30, 900))
