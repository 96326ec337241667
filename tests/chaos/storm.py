"""One run: requests are asked, one after another, while faults befall daemons and links."""

from __future__ import annotations

import datetime
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
import trio

from nskd.control.client import DaemonError
from tests.chaos import workload
from tests.chaos.faults import Fault, Kind
from tests.chaos.network import CLEAR
from tests.chaos.site import Site
from tests.chaos.watch import Follower
from tests.chaos.workload import Item
from tests.system.workshop import Daemon, StockBook

OPEN_MAX: Final = 40  # requests under way at once: stock is made for all that wait, and a large batch costs little more
SERIAL_PATIENCE_S: Final = 900.0  # until an operator asks again for one that does not move
MOMENT_PATIENCE_S: Final = 8.0  # for the moment at which a daemon is to be killed
QUICK_START_S: Final = 15.0  # in which five daemons start on two cores with nothing else to do: sets the pace of faults
LULL_AFTER_S: Final = 40.0  # without any request coming to an end: no further fault until one has
SETTLE_S: Final = 900.0  # for all to come to an end once nothing goes wrong any more
PROGRESS_S: Final = 60.0
FAULTS_LOG: Final = "faults.log"
_LOOK_S: Final = 1.0
_OPEN: Final = ["submitted", "approved", "running", "failed"]


@attrs.define(eq=False)
class Account:
    """What happened, for the table at the end."""

    faults: Counter[str] = attrs.field(factory=Counter)
    phases: Counter[str] = attrs.field(factory=Counter)
    restarts: Counter[str] = attrs.field(factory=Counter)
    lulls: int = 0
    began_s: float = attrs.field(factory=time.monotonic)
    broken: list[str] = attrs.field(factory=list)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began_s


@attrs.define(eq=False)
class Storm:
    """Nothing goes wrong any more once everything has ended, or after ``at_most_s``; ``tell`` prints a line."""

    site: Site
    items: list[Item]
    faults: Iterator[Fault]
    tell: Callable[[str], None]
    at_most_s: float = math.inf
    account: Account = attrs.field(factory=Account)
    book: StockBook = attrs.field(factory=StockBook)
    followers: list[Follower] = attrs.field(factory=list)
    _by_title: dict[str, Item] = attrs.field(factory=dict)
    _pace: float = 1.0
    _expected_down: set[int] = attrs.field(factory=set)
    _last_end_s: float = math.inf  # on trio's clock; nothing is missed before all has begun
    _all_ended: trio.Event = attrs.field(factory=trio.Event)
    _ended: trio.Event = attrs.field(factory=trio.Event)  # of the next request that comes to an end
    _weather: trio.CancelScope = attrs.field(factory=trio.CancelScope)

    @property
    def daemons(self) -> list[Daemon]:
        return self.site.daemons

    async def run(self) -> None:
        """Start, ask everything, wait until all is settled; daemons run on."""
        self.followers = [Follower(daemon) for daemon in self.daemons]
        self._by_title = {item.title: item for item in self.items}
        self.site.workshop.start()
        async with trio.open_nursery() as nursery:
            for place, (daemon, follower) in enumerate(zip(self.daemons, self.followers, strict=True)):
                nursery.start_soon(follower.follow)
                nursery.start_soon(follower.measure)
                nursery.start_soon(self._guard, place)
                nursery.start_soon(workload.steward, daemon, place, self._by_title)
            await self._connected()
            self._pace = max(1.0, self.account.seconds / QUICK_START_S)
            self.tell(f"all are connected; everything goes wrong {self._pace:.1f} times more slowly for this machine")
            nursery.start_soon(self._blow)
            nursery.start_soon(self._progress)
            with trio.move_on_after(self.at_most_s):
                nursery.start_soon(self._ask)
                await self._all_ended.wait()
            self._weather.cancel()
            await self._settle()
            nursery.cancel_scope.cancel()

    # --- requests -------------------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        self._last_end_s = trio.current_time()
        room = trio.CapacityLimiter(OPEN_MAX)
        async with trio.open_nursery() as nursery:
            for item in tuple(self.items):  # those that replace others come in their room
                await room.acquire_on_behalf_of(item)
                nursery.start_soon(self._see_through, item, room)
        self._all_ended.set()

    async def _see_through(self, item: Item, room: trio.CapacityLimiter) -> None:
        daemon = self.daemons[item.asking]
        await workload.submit(daemon, item)
        if item.digest is not None:
            await workload.see_through(daemon, item, SERIAL_PATIENCE_S)
        else:
            item.ending, item.reason = "turned away", item.turned_away or ""
        self._last_end_s = trio.current_time()
        self._ended.set()
        self._ended = trio.Event()
        room.release_on_behalf_of(item)
        if item.withdrawn:
            other = workload.once_more(item, len(self.items) + 1)
            self.items.append(other)
            self._by_title[other.title] = other
            await room.acquire_on_behalf_of(other)
            await self._see_through(other, room)

    async def _settle(self) -> None:
        """Until everything has ended everywhere; what is open at a centre is still seen through by those who asked."""
        self.tell("nothing goes wrong any more; waiting until all is settled")
        self._still()
        unsettled: set[str] = set()
        with trio.move_on_after(SETTLE_S):
            await self._connected()
            await self._all_ended.wait()
            while True:
                unsettled = await self._unsettled()
                if not unsettled:
                    return
                await trio.sleep(_LOOK_S)
        asked = sum(item.digest is not None for item in self.items)
        ended = sum(item.ending is not None for item in self.items)
        self.account.broken.append(
            f"it did not come to its end: {asked} of {len(self.items)} requests asked, {ended} ended at the centre that"
            f" asked, {len(unsettled)} not at another"
        )

    async def _connected(self) -> None:
        """All of them, however slowly they start on a machine that has other things to do."""
        for daemon in self.daemons:
            while True:
                status = await workload.persist(daemon, "status")
                if status["peers_up"] == status["peers"]:
                    break
                await trio.sleep(_LOOK_S)

    async def _unsettled(self) -> set[str]:
        """What some centre does not hold to be done, refused or failed for good: it may still be repeated there."""
        found: set[str] = set()
        for daemon in self.daemons:
            listed = await workload.persist(daemon, "request.list", states=_OPEN, limit=500)
            found |= {row["request"] for row in listed["requests"]}
        return found - {item.digest for item in self.items if item.ending == "failed"}

    # --- faults ---------------------------------------------------------------------------------------------------

    async def _blow(self) -> None:
        with self._weather:
            async with trio.open_nursery() as nursery:
                for fault in self.faults:
                    await trio.sleep(fault.after_s * self._pace)
                    await self._lull()
                    nursery.start_soon(self._befall, fault)

    async def _lull(self) -> None:
        """Let a request come to an end now and then: centres that are never all there can do nothing."""
        if trio.current_time() - self._last_end_s > LULL_AFTER_S * self._pace:
            self.account.lulls += 1
            await self._ended.wait()

    async def _befall(self, fault: Fault) -> None:
        if fault.kind is Kind.KILL:
            await self._kill(fault)
            return
        network = self.site.network
        assert network is not None
        self.account.faults[fault.kind] += 1
        names = ", ".join(self.daemons[place].name for place in fault.places)
        self._note(f"{fault.number}: {fault.kind}: {names}, for {fault.lasts_s:.1f} s")
        if fault.kind is Kind.MOVE:
            network.move(fault.places[0], names=True)
            return
        assert fault.path is not None
        network.router.set(fault.ways, fault.path)
        try:
            await trio.sleep(fault.lasts_s)
        finally:
            network.router.set(fault.ways, CLEAR)
            self._note(f"{fault.number}: over")

    async def _kill(self, fault: Fault) -> None:
        (place,) = fault.places
        daemon, follower = self.daemons[place], self.followers[place]
        if fault.moment is not None:
            with trio.move_on_after(MOMENT_PATIENCE_S):
                await follower.reach(fault.moment)
        if place in self._expected_down or daemon.running.poll() is not None:
            return  # it is down already
        self._expected_down.add(place)
        self.account.faults[fault.kind] += 1
        self.account.phases[follower.phase] += 1
        with trio.CancelScope(shield=True):  # whatever ends, it is started again
            daemon.kill()
            self._note(f"{fault.number}: {fault.kind}: {daemon.name}, at {follower.phase}, for {fault.lasts_s:.1f} s")
            self.book.read(daemon)
            await trio.sleep(fault.lasts_s)
            daemon.start()
        self.account.restarts[daemon.name] += 1
        self._expected_down.discard(place)

    def _note(self, words: str) -> None:
        """In a log of the faults, with times as in the daemons' own."""
        now = datetime.datetime.now(datetime.UTC)
        with (self.site.workshop.directory / FAULTS_LOG).open("a") as log:
            log.write(f"{now:%Y-%m-%dT%H:%M:%S.%f}Z {words}\n")

    def _still(self) -> None:
        if self.site.network is not None:
            self.site.network.router.clear()

    async def _guard(self, place: int) -> None:
        """A daemon that ends by itself is a fault of its own."""
        daemon = self.daemons[place]
        while True:
            process = daemon.process
            if process is not None and process.poll() is not None and place not in self._expected_down:
                self.account.broken.append(f"{daemon.name} ended by itself with {process.returncode}")
                self._expected_down.add(place)
                daemon.start()
                self._expected_down.discard(place)
            await trio.sleep(_LOOK_S)

    # --- progress -------------------------------------------------------------------------------------------------

    async def _progress(self) -> None:
        while True:
            await trio.sleep(PROGRESS_S)
            ended = Counter(item.ending for item in self.items if item.ending is not None)
            asked = sum(item.digest is not None and item.ending is None for item in self.items)
            words = "".join(f", {count} {ending}" for ending, count in sorted(ended.items()))
            kills, faults = self.account.faults[Kind.KILL], sum(self.account.faults.values())
            at = "; ".join(f"{follower.daemon.name}: {follower.phase}" for follower in self.followers)
            self.tell(
                f"{ended.total()} of {len(self.items)} ended{words}, {asked} open; {kills} kills, {faults - kills} link"
                f" faults, {self.account.lulls} lulls ({at})"
            )


async def releases(daemons: list[Daemon], items: list[Item]) -> dict[str, dict[str, Any]]:
    """What was released of each request, as the first centre that has it gives it."""
    found: dict[str, dict[str, Any]] = {}
    for daemon in daemons:
        async with daemon.client() as client:
            for item in items:
                if item.digest is not None and item.digest not in found:
                    try:
                        answer = await client.call("result.show", {"request": item.digest})
                    except DaemonError:
                        continue
                    found[item.digest] = answer["release"]
    return found
