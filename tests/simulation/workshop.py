"""The centres of one simulated workshop, each from start to crash to restart."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from nskd.config import load_config
from nskd.credentials import CentreKeys, NoiseKey, SigningKey, StorageKey
from nskd.daemon.serve import serve
from nskd.errors import OperatorError
from nskd.governance.audit import BadEntryError
from nskd.governance.charter import Charter, parse_charter
from nskd.governance.charter_signatures import CharterSignatures, Signer, sign_charter, signatures_path
from nskd.logs import Logging, Recent, Threshold
from nskd.notify import Notifier
from nskd.packs.pack import load_pack
from nskd.packs.synthetic import generate, write_visits
from nskd.stockpile.errors import StockDamagedError
from tests.nskd.governance import workshop as papers
from tests.simulation.machine import HERE, Clock, Machine
from tests.simulation.network import Network

NAMES: Final = ("noord", "midden", "zuid", "oost", "west")
VISITS: Final = 120  # of one centre: most cells of a small table are large enough, some are not
_RESTART_S: Final = 5.0  # what a service manager waits

Problem = Callable[[str], None]


@cache
def fast_directory() -> Path:
    """Memory, where there is a file system of it: nothing here has to survive a real power cut."""
    shared = Path("/dev/shm")
    return shared if os.access(shared, os.W_OK) else Path(tempfile.gettempdir())


@cache
def extract(index: int) -> Path:
    """A synthetic extract of one centre, the same in every simulation of this process."""
    directory = Path(tempfile.mkdtemp(prefix="nskd-extracts-", dir=fast_directory()))
    path = directory / f"visits-{index}.csv"
    write_visits(generate(load_pack("nsk"), seed=5, centre=index, visits=VISITS), path)
    return path


def raw_key(kind: str, name: str) -> bytes:
    """Key material as the papers of the tests derive it."""
    return hashlib.sha256(kind.encode() + name.encode()).digest()


@attrs.define(eq=False)
class Centre:
    """One centre over all its lives."""

    name: str
    index: int
    directory: Path
    keys: CentreKeys
    clock: Clock = attrs.field(factory=Clock)
    machine: Machine | None = None
    lives: int = 0
    wanted_up: bool = True  # False: its operator leaves it off for the moment
    back: trio.Event = attrs.field(factory=trio.Event)

    @property
    def up(self) -> Machine | None:
        """Its machine, once the daemon on it is ready and while it has power."""
        machine = self.machine
        return machine if machine is not None and machine.service is not None and not machine.dead else None


@attrs.define(eq=False)
class Workshop:
    """All centres, and the network between them."""

    directory: Path
    names: Sequence[str]
    rng: random.Random
    network: Network
    problem: Problem
    differencing: int
    charter: Charter = attrs.field(init=False)
    centres: dict[str, Centre] = attrs.field(factory=dict)
    counts: Counter[str] = attrs.field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        text = papers.charter_toml(
            head=papers.HEAD
            + f"[disclosure]\nthreshold = 3\nrounding = 1\ncentres_min = 2\ndifferencing = {self.differencing}\n",
            names=tuple(self.names),
        )
        path = self.directory / "charter.toml"
        path.write_bytes(text)
        self.charter = parse_charter(text)
        signatures = [
            sign_charter(
                self.charter,
                Signer(name, papers.signing_key(name).public_key().public_bytes_raw()),
                papers.signing_key(name).sign,
            )
            for name in self.names
        ]
        signatures_path(path).write_text(CharterSignatures(self.charter.digest, tuple(signatures)).text())
        for index, name in enumerate(self.names):
            keys = CentreKeys(
                NoiseKey(raw_key("noise", name)),
                SigningKey(raw_key("signing", name)),
                StorageKey(raw_key("disk", name)),
            )
            self.centres[name] = Centre(name, index, self.directory / name, keys)
            (self.directory / name).mkdir()

    def __getitem__(self, name: str) -> Centre:
        return self.centres[name]

    # --- lives ------------------------------------------------------------------------------------------------

    async def live(self, centre: Centre) -> None:
        """Keep one centre's daemon running for ever, as a service manager does."""
        while True:
            while not centre.wanted_up:
                await centre.back.wait()
            machine = self._switch_on(centre)
            await self._serve(centre, machine)
            if not machine.dead:
                machine.in_order = True
                machine.cut()  # ended in order, or could not start: nothing of it goes on
            await trio.sleep(_RESTART_S)

    def _switch_on(self, centre: Centre) -> Machine:
        before = centre.machine
        centre.lives += 1
        directory = centre.directory / str(centre.lives)
        if not directory.exists():  # else it holds what was on the medium at the end of the last life
            directory.mkdir()
        machine = Machine(centre.name, centre.lives, directory, centre.clock, random.Random(self.rng.getrandbits(64)))
        machine.on_death = lambda dead: self._died(centre, dead)
        if before is not None:
            machine.disk.inherit(before.disk)
            machine.slow_cpu_s = before.slow_cpu_s
            self.count_disk(before, self.counts)
        self._configure(centre, machine)
        machine.disk.medium.mount(before.disk.medium if before is not None and before.in_order else None)
        centre.machine = machine
        self.counts["starts"] += 1
        return machine

    def _died(self, centre: Centre, machine: Machine) -> None:
        """Power is gone: what is on the medium now is what the next life finds."""
        copy = centre.directory / str(machine.life + 1)
        shutil.copytree(machine.directory, copy)
        if not machine.in_order:
            machine.disk.medium.settle(copy)
        older = centre.directory / str(machine.life - 1)
        shutil.rmtree(older, ignore_errors=True)
        self.network.power_lost(machine, silently=machine.rng.random() < 0.3)

    def _configure(self, centre: Centre, machine: Machine) -> None:
        nothing = "{ low = 0, high = 0 }"
        some = "{ low = 1000, high = 3000 }"
        (machine.directory / "nskd.toml").write_text(
            f'[centre]\nname = "{centre.name}"\n[workshop]\ncharter = "{self.directory / "charter.toml"}"\n'
            f'[network]\nlisten = "{centre.name}.example:7700"\n'
            f'[data]\nsource = "{extract(centre.index)}"\n[state]\ndirectory = "{machine.directory / "state"}"\n'
            f"[stock]\nhistory_max = 20000\ntriples = {some}\nbits = {some}\nsquares = {nothing}\nmasks = {some}\n"
            f"[limits]\nworker_threads = 2\n"
        )

    async def _serve(self, centre: Centre, machine: Machine) -> None:
        HERE.set(machine)
        try:
            with machine.scope:
                path = machine.directory / "nskd.toml"
                logging = Logging(Threshold("info"), Recent())
                await serve(load_config(path), path, centre.keys, _Ready(machine), logging)
        except BaseException as error:
            if machine.dead:
                self._end_of_power(error)
            elif not isinstance(error, Exception):
                raise
            else:
                self._ended(centre, machine, error)
        finally:
            HERE.set(None)
            machine.service = None
            machine.stopped.set()

    def _ended(self, centre: Centre, machine: Machine, error: Exception) -> None:
        """A daemon may give up when its disk does, and in no other case."""
        errors = _leaves(error)
        damaged = any(isinstance(each, BadEntryError | StockDamagedError) or "damaged" in str(each) for each in errors)
        if machine.disk.refused and not damaged and all(isinstance(each, OperatorError) for each in errors):
            self.counts["daemons that gave up over their disk"] += 1
        else:
            shown = "; ".join(f"{type(each).__name__}: {each}" for each in errors)
            self.problem(f"{centre.name} ended: {shown}")

    @staticmethod
    def _end_of_power(error: BaseException) -> None:
        """What a machine's code says after its end does not matter, but that the simulation itself is to stop does."""
        if isinstance(error, trio.Cancelled | KeyboardInterrupt):
            raise error

    @staticmethod
    def count_disk(machine: Machine, counts: Counter[str]) -> None:
        """Add what a machine's disk did in one life."""
        counts["durable steps"] += machine.disk.steps
        counts["writes torn"] += machine.disk.medium.torn
        counts["files that lost something to a power cut"] += machine.disk.medium.lost
        counts["writes refused by the disk"] += machine.disk.refused
        counts["false shares told in runs"] += machine.lied
        counts.update(machine.disk.struck)

    # --- what operators do --------------------------------------------------------------------------------------

    async def stop(self, centre: Centre) -> None:
        """Stop one in good order; the service manager starts it anew."""
        machine = centre.up
        if machine is not None:
            machine.signal(signal.SIGTERM)
            await machine.stopped.wait()


def _leaves(error: BaseException) -> list[BaseException]:
    """The errors in a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


class _Ready(Notifier):
    """Hears that the daemon is ready."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(None)
        self._machine = machine

    def ready(self, *args: Any, **options: Any) -> None:
        self._machine.ready.set()
