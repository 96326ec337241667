"""Where the simulation is put under the daemon: every name of the outer world that it uses, replaced for a while.

The daemon itself has no switch for this.  What is replaced here is all there is; whatever runs outside of a simulated
machine (pytest, the simulation's own code) gets the real thing.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from unittest import mock

import attrs
import numpy as np
import structlog
import trio

from nskd.analysis.impossible import impossible_cells as impossible_really
from nskd.analysis.table import TablePlan
from nskd.control.server import ControlServer
from nskd.daemon import daemon as daemon_module
from nskd.daemon import epochs as epochs_module
from nskd.daemon import generation as generation_module
from nskd.daemon import runs as runs_module
from nskd.daemon import serve as serve_module
from nskd.daemon import start as start_module
from nskd.data.load import Dataset
from nskd.data.load import load as load_really
from nskd.packs.pack import load_pack as load_pack_really
from nskd.peers import secure as secure_module
from nskd.peers.channel import SessionChannel
from nskd.peers.lanes import Lane
from nskd.stockpile.durability import Durability
from protocol import checking as checking_module
from protocol import limits
from protocol.field import Elements, P
from protocol.lattice.selftest import selftest as selftest_really
from protocol.opening import open_values
from protocol.party import Party
from protocol.wire import Message
from tests.simulation.dealt import Bank, seal, unseal
from tests.simulation.disk import Connection
from tests.simulation.machine import HERE, Machine, here
from tests.simulation.network import Network
from tests.simulation.wire import line_over

SLOWER: Final = 5  # what a daemon does every few seconds it does so much less often, or idle hours would cost the most
T = TypeVar("T")
Told = Callable[[Machine, dict[str, Any]], None]

_exchange_really, _open_really = SessionChannel.exchange, open_values
_replace_really = os.replace
_urandom, _time, _fsync, _connect, _run_sync = os.urandom, time.time, os.fsync, sqlite3.connect, trio.to_thread.run_sync


def _random_bytes(count: int) -> bytes:
    machine = HERE.get()
    return _urandom(count) if machine is None else machine.random_bytes(count)


def _now() -> float:
    machine = HERE.get()
    return _time() if machine is None else machine.clock.now()


def _sync(descriptor: int) -> None:
    machine = HERE.get()
    if machine is None:
        _fsync(descriptor)
        return
    machine.require_power()
    machine.disk.sync(descriptor)


def _replace(new: Path, path: Path) -> None:
    machine = HERE.get()
    if machine is not None:
        machine.require_power()
        machine.disk.medium.replacing(new, path)
    _replace_really(new, path)


def _sqlite(path: Path, **options: Any) -> sqlite3.Connection:
    machine = HERE.get()
    if machine is None:
        return _connect(path, **options)
    connection = _connect(path, factory=Connection, **options)
    connection.disk, connection.path = machine.disk, Path(path)
    return connection


async def _thread(
    function: Callable[..., T], *args: object, limiter: trio.CapacityLimiter | None = None, **_: Any
) -> T:
    if HERE.get() is None:
        return await _run_sync(function, *args, limiter=limiter)
    return await here().thread(functools.partial(function, *args), limiter)


async def _exchange(
    channel: SessionChannel, outgoing: Mapping[int, Message], expected: Collection[int]
) -> dict[int, Message]:
    """The channel's own, and a false share in it if this machine is to lie; what it contributes stays true."""
    machine = HERE.get()
    if machine is not None and machine.lies_to_others and channel.lane is Lane.ONLINE:
        outgoing = _false(machine, channel, outgoing)
    return await _exchange_really(channel, outgoing, expected)


def _false(machine: Machine, channel: SessionChannel, outgoing: Mapping[int, Message]) -> Mapping[int, Message]:
    step, parts = next(((each.step, each.parts) for each in outgoing.values()), ("", ()))
    shares = [part for part in parts if part.dtype == np.uint64 and part.size]
    if not shares or step.partition(".")[2] in ("input", ""):
        return outgoing
    if not machine.lies_now():
        return outgoing
    place = machine.rng.randrange(parts[0].size)
    told = list(outgoing) if machine.rng.random() < 0.7 else [machine.rng.choice(list(outgoing))]

    def lie(message: Message) -> Message:
        first, *rest = message.parts
        spoilt = first.copy()
        spoilt.reshape(-1)[place] = (int(spoilt.reshape(-1)[place]) + 1) % P
        return attrs.evolve(message, parts=(spoilt, *rest))

    _lied(machine, channel.session, step)
    return {peer: lie(message) if peer in told else message for peer, message in outgoing.items()}


async def _open_values(party: Party, label: str, own: Elements) -> Elements:
    """The real one, of a false share if this machine is to lie and to stand by it: only the MACs can show that."""
    machine = HERE.get()
    online = getattr(party._channel, "lane", None) is Lane.ONLINE
    if machine is not None and machine.lies_to_all and online and machine.lies_now():
        own = own.copy()
        place = machine.rng.randrange(own.size)
        own[place] = (int(own[place]) + 1) % P
        _lied(machine, party.session, label)
    return await _open_really(party, label, own)


def _lied(machine: Machine, session: bytes, step: str) -> None:
    machine.lied += 1
    structlog.get_logger().info("a false share is told", session=session.hex(), step=step)


class _Jitter:
    """In place of ``random.SystemRandom``."""

    random = staticmethod(lambda: here().entropy.random())


class _Desk(ControlServer):
    """The control socket's server without the socket: people call its service."""

    async def serve(self, listener: Any, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        here().service = self.service
        task_status.started()
        await trio.sleep_forever()


class _Watched(daemon_module.Daemon):
    """The daemon, known to its machine."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        here().daemon = self


class _Lasting:
    """A data set that is read once in the life of the process, and not closed by who uses it."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)

    def close(self) -> None:
        """It stays."""


_extracts: dict[str, _Lasting] = {}


def _load(origin: Any, pack: Any, **options: Any) -> Any:
    name = str(origin)
    if name not in _extracts:
        _extracts[name] = _Lasting(load_really(origin, pack, **options))
    return _extracts[name]


def extract_data(path: Path) -> Any:
    """What a centre has read of its extract."""
    return _extracts[str(path)]


@contextmanager
def _no_socket(_: Path) -> Iterator[None]:
    yield None


def _place(_: Durability, path: Path) -> tuple[int, int]:
    """A machine that comes back finds the disk it had, though here it is a copy."""
    return len(path.name), 0


class _Sink:
    """In place of a log file."""

    def __init__(self, told: Told) -> None:
        self._told = told

    def __call__(self, _logger: Any, level: str, event: dict[str, Any]) -> dict[str, Any]:
        machine = HERE.get()
        if machine is not None and not machine.dead:
            self._told(machine, {**event, "level": level})
        raise structlog.DropEvent


@contextmanager
def edges(network: Network, bank: Bank, told: Told, rng: random.Random) -> Iterator[None]:
    """Put the simulation under the daemon."""
    from trio._core import _run  # its scheduler shuffles what is ready: from the seed, and from a known order

    settings = structlog.get_config()
    structlog.configure(processors=[_Sink(told)], logger_factory=structlog.PrintLoggerFactory())
    with contextlib.ExitStack() as stack:

        def put(place: Any, name: str, instead: Any) -> None:
            stack.enter_context(mock.patch.object(place, name, instead))

        put(os, "urandom", _random_bytes)
        put(os, "fsync", _sync)
        put(os, "replace", _replace)
        put(time, "time", _now)
        put(sqlite3, "connect", _sqlite)
        put(random, "SystemRandom", _Jitter)
        put(trio.to_thread, "run_sync", _thread)
        put(trio, "open_tcp_listeners", network.listen)
        put(trio, "open_tcp_stream", network.connect)
        put(trio, "open_signal_receiver", lambda *_: here().signals())
        put(SessionChannel, "exchange", _exchange)
        put(checking_module, "open_values", _open_values)
        put(secure_module, "line_over", line_over)
        put(limits, "PING_INTERVAL_S", limits.PING_INTERVAL_S * SLOWER)
        put(limits, "LIVENESS_TIMEOUT_S", limits.LIVENESS_TIMEOUT_S * SLOWER)
        put(daemon_module, "HOUSEKEEPING_S", daemon_module.HOUSEKEEPING_S * SLOWER)
        put(runs_module, "impossible_cells", _impossible)
        put(Durability, "identity", _place)
        put(daemon_module, "control_endpoint", _no_socket)
        put(daemon_module, "ControlServer", _Desk)
        put(serve_module, "Daemon", _Watched)
        put(serve_module, "load", _load)
        put(serve_module, "selftest", _selftest)
        put(start_module, "load_pack", _load_pack)
        put(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
        put(_run, "_r", random.Random(rng.getrandbits(64)))
        put(epochs_module, "found", bank.found)
        put(epochs_module, "seal", seal)
        put(epochs_module, "unseal", unseal)
        put(generation_module, "make", bank.make)
        try:
            yield
        finally:
            structlog.configure(**settings)


def _impossible(plan: TablePlan) -> Any:
    """A function of the question alone, and a dear one."""
    key = (plan.rows, plan.columns, plan.filter.sql, plan.margins)
    if key not in _impossible_known:
        _impossible_known[key] = impossible_really(plan)
    return _impossible_known[key]


_impossible_known: dict[Any, Any] = {}
_selftest = functools.cache(selftest_really)
_load_pack = functools.cache(load_pack_really)
