"""One seed: hours in which people work and things go wrong, then calm, and a look at what is left."""

from __future__ import annotations

import gc
import hashlib
import random
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import trio
import trio.testing

from nskd.governance.ledger import Entry
from nskd.governance.lifecycle import State
from tests.simulation.dealt import Bank
from tests.simulation.edges import edges, extract_data
from tests.simulation.faults import Faults
from tests.simulation.invariants import Invariants
from tests.simulation.machine import Machine
from tests.simulation.network import Network
from tests.simulation.promises import Promises
from tests.simulation.workload import People
from tests.simulation.workshop import NAMES, Centre, Workshop, extract, fast_directory

_OWN_FAULTS: Final = ("local-error", "internal-error")  # which no peer can be blamed for
LOOK_S: Final = 20.0
_UNSTABLE: Final = frozenset({"seconds", "phases", "file", "exc_info", "round_trip_s", "wait_s"})


@attrs.frozen
class Setting:
    """What is simulated; ``hours`` are those in which things go wrong; ``calm_s``, and a request of each, follow."""

    seed: int
    hours: float = 10.0
    requests_per_hour: float = 1.0
    faults_per_hour: float = 6.0
    calm_s: float = 3600.0
    centres: int | None = None  # as the seed has it
    contrary: float = 0.25  # of requests, such as some steward may refuse or withdraw from
    favoured: tuple[str, ...] = ()  # faults of which there are ten times more


@attrs.define
class Report:
    """What became of it."""

    seed: int
    hours: float = 0.0
    digest: str = ""
    counts: Counter[str] = attrs.field(factory=Counter)
    problems: list[str] = attrs.field(factory=list)
    last: list[str] = attrs.field(factory=list)  # lines of the event log before the first problem


class Run:
    """Puts a workshop together and lets it live."""

    def __init__(self, setting: Setting, directory: Path, show: Callable[[str], None] | None = None) -> None:
        rng = random.Random(setting.seed)
        self._setting = setting
        self._directory = directory  # of this process: no part of the history
        self._show = show
        self._log: deque[str] = deque(maxlen=60)
        self._digest = hashlib.sha256()
        self._stop = trio.CancelScope()
        self._problems: list[str] = []
        self._rng = rng
        names = NAMES[: setting.centres or rng.choice((3, 3, 3, 4))]
        self._network = Network(random.Random(rng.getrandbits(64)))
        self._workshop = Workshop(
            directory,
            names,
            random.Random(rng.getrandbits(64)),
            self._network,
            self._problem,
            differencing=rng.choice((0, 0, 0, 2)),
        )
        self._invariants = Invariants(names, self._problem)
        self._promises = Promises(self._problem)
        self._invariants.datasets = lambda: [extract_data(extract(index)) for index in range(len(names))]
        self._people = People(self._workshop, self._invariants, random.Random(rng.getrandbits(64)))
        self._faults = Faults(self._workshop, self._people, random.Random(rng.getrandbits(64)), setting.favoured)
        self._bank = Bank()
        self._counts: Counter[str] = Counter()

    # --- what is seen -------------------------------------------------------------------------------------------

    def _problem(self, what: str) -> None:
        """A rule is broken: note it, and go no further."""
        line = f"{trio.current_time() / 3600:.4f} h: {what}"
        self._problems.append(line)
        self._note(f"PROBLEM {line}")
        self._stop.cancel()

    def _note(self, line: str) -> None:
        self._digest.update(line.encode())
        self._log.append(line)
        if self._show is not None:
            self._show(line)

    def _told(self, machine: Machine, event: Mapping[str, Any]) -> None:
        plain = {key: str(value) for key, value in event.items() if key not in _UNSTABLE}
        words = " ".join(f"{key}={plain[key]}" for key in sorted(plain) if key not in ("event", "level", "centre"))
        words = words.replace(str(self._directory), "")
        self._note(f"{trio.current_time():.4f} {machine.name}/{machine.life} {plain['event']} {words}")
        self._invariants.told(machine, event)
        self._promises.told(machine, event)

    # --- life ---------------------------------------------------------------------------------------------------

    async def live(self) -> Report:
        """From the first start to the last look."""
        watching = (self._invariants.watching(), self._promises.watching())
        with edges(self._network, self._bank, self._told, self._rng), watching[0], watching[1], self._stop:
            async with trio.open_nursery() as nursery:
                for centre in self._workshop.centres.values():
                    nursery.start_soon(self._workshop.live, centre)
                nursery.start_soon(self._look)
                await self._work()
                await self._calm()
                nursery.cancel_scope.cancel()
        return self._report(trio.current_time())

    async def _work(self) -> None:
        with trio.move_on_after(self._setting.hours * 3600):
            async with trio.open_nursery() as nursery:
                if self._setting.faults_per_hour:
                    nursery.start_soon(self._faults.strike, self._setting.faults_per_hour)
                while True:
                    await trio.sleep(self._rng.expovariate(self._setting.requests_per_hour / 3600))
                    nursery.start_soon(self._errand)

    async def _errand(self) -> None:
        centre = self._rng.choice(list(self._workshop.centres.values()))
        contrary = self._rng.random() < self._setting.contrary
        digest = await self._people.ask(centre)
        if digest is None:
            return
        await self._until(600, lambda: self._known(digest))  # a centre that is away hears of it when it is back
        await self._people.see_to(digest, contrary)

    @staticmethod
    async def _until(seconds: float, holds: Callable[[], bool]) -> bool:
        """Look at the simulation from outside until something holds, or for so long."""
        patience = int(seconds)
        while not holds() and patience > 0:
            await trio.sleep(5)
            patience -= 5
        return holds()

    def _known(self, digest: bytes) -> bool:
        return all(self._entry(centre, digest) is not None for centre in self._workshop.centres.values())

    @staticmethod
    def _entry(centre: Centre, digest: bytes) -> Entry | None:
        """A centre's own record of a request, read past its daemon."""
        machine = centre.up
        if machine is None or machine.daemon is None:
            return None
        try:
            return machine.daemon.workshop.ledger._ledger.get(digest)
        except Exception:
            return None

    async def _look(self) -> None:
        while True:
            await trio.sleep(LOOK_S)
            self._invariants.look([c.machine for c in self._workshop.centres.values() if c.machine is not None])

    # --- calm ---------------------------------------------------------------------------------------------------

    async def _calm(self) -> None:
        """Nothing goes wrong any more: all must come to rest, agree, and be able to work."""
        self._faults.mend()
        centres = list(self._workshop.centres.values())
        await trio.sleep(30)
        for centre in centres:
            if not await self._until(120, lambda centre=centre: centre.up is not None):  # type: ignore[misc]
                self._problem(f"{centre.name} does not come up again")
            if centre.machine is not None and centre.machine.disk.doubtful:
                await self._workshop.stop(centre)  # its operator does as its errors say
        await trio.sleep(30)
        for centre in centres:
            await self._people.resume(centre)
        await trio.sleep(self._setting.calm_s / 2)
        for digest in self._invariants.asked:
            for centre in centres:
                await self._run_again(centre, digest)
        await trio.sleep(self._setting.calm_s / 2)
        self._agreed(centres)
        await self._probe(centres)
        await self._rest(centres)

    async def _rest(self, centres: list[Centre]) -> None:
        """Nothing goes on any more, nothing has leaked, and what is on record fits together."""
        machines = [centre.machine for centre in centres if centre.machine is not None]
        if not await self._until(1800, lambda: self._invariants.unrest(machines) is None):
            self._problem(f"no rest in calm: {self._invariants.unrest(machines)}")
        self._invariants.leaks()
        for centre in centres:
            if centre.up is not None and centre.up.daemon is not None:
                key = self._workshop.charter.centres[centre.index].signing_key
                ledger = centre.up.daemon.workshop.ledger._ledger
                self._promises.audited(centre.up, ledger, key, centre.lives)

    async def _run_again(self, centre: Centre, digest: bytes) -> None:
        entry = self._entry(centre, digest)
        if (
            entry is not None
            and entry.request.centre == centre.name
            and entry.state is State.FAILED
            and entry.retryable
        ):
            await self._people.run_again(centre, digest)

    def _agreed(self, centres: list[Centre]) -> None:
        for digest, asked in self._invariants.asked.items():
            entries = {centre.name: self._entry(centre, digest) for centre in centres}
            states = {name: entry.state.value for name, entry in entries.items() if entry is not None}
            self._note(f"{digest.hex()[:12]} {states}")
            if State.RUNNING.value in states.values():
                self._problem(f"request {digest.hex()[:12]} still runs in calm: {states}")
            for name, entry in entries.items():
                if entry is not None and entry.state is State.FAILED and entry.fault in _OWN_FAULTS:
                    self._problem(f"request {digest.hex()[:12]} fails in calm at {name}: {entry.fault}, {entry.detail}")
            if State.REFUSED.value in states.values() and {State.SUBMITTED.value, State.APPROVED.value} & set(
                states.values()
            ):
                self._problem(f"request {digest.hex()[:12]} is refused, and not everybody has heard of it: {states}")
            done = [name for name, state in states.items() if state == State.DONE.value]
            stopped = any(said.against for said in asked.said.values()) or any(
                entry is not None and entry.state is State.FAILED and not entry.retryable for entry in entries.values()
            )
            if done and len(done) < len(centres) and not stopped:
                self._problem(f"request {digest.hex()[:12]} is done at {', '.join(done)} alone: {states}")
            self._counts["requests done everywhere"] += len(done) == len(centres)
            self._counts["requests done at some, stopped at others"] += 0 < len(done) < len(centres)
            self._counts["requests aborted for good"] += not done and State.FAILED.value in states.values()
            self._counts["requests refused"] += not done and State.REFUSED.value in states.values()
            self._counts["requests left undecided"] += not done and not {"failed", "refused"} & set(states.values())

    async def _probe(self, centres: list[Centre]) -> None:
        """A new request of each centre must be answered everywhere."""
        for centre in centres:
            digest = await self._people.ask(centre)
            if digest is None:
                self._problem(f"{centre.name} takes no request in calm")
                return
            await trio.sleep(5)
            await self._people.see_to(digest, False)
            await self._until(self._setting.calm_s, lambda digest=digest: self._done(centres, digest))  # type: ignore[misc]
            states = {each.name: getattr(self._entry(each, digest), "state", None) for each in centres}
            if any(state is not State.DONE for state in states.values()):
                self._problem(f"a request of {centre.name} is not answered in calm: {states}")

    def _done(self, centres: list[Centre], digest: bytes) -> bool:
        entries = [self._entry(centre, digest) for centre in centres]
        return all(entry is not None and entry.state is State.DONE for entry in entries)

    def _report(self, now_s: float) -> Report:
        counts = (
            self._counts + self._promises.counts + self._invariants.counts + self._people.counts + self._workshop.counts
        )
        counts.update({f"fault: {name}": count for name, count in self._faults.counts.items()})
        counts.update(self._network.counts)
        for centre in self._workshop.centres.values():
            if centre.machine is not None:
                self._workshop.count_disk(centre.machine, counts)
        return Report(
            self._setting.seed,
            now_s / 3600,
            self._digest.hexdigest(),
            counts,
            self._problems,
            list(self._log) if self._problems else [],
        )


def simulate(setting: Setting, show: Callable[[str], None] | None = None) -> Report:
    """One seed from beginning to end, in a directory of its own."""

    async def main() -> Report:
        return await Run(setting, Path(directory), show).live()

    with tempfile.TemporaryDirectory(prefix="nskd-simulation-", dir=fast_directory()) as directory:
        report = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    gc.collect()
    return report
