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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import structlog
import trio

from nskd.control.server import ControlServer
from nskd.daemon import daemon as daemon_module
from nskd.daemon import epochs as epochs_module
from nskd.daemon import generation as generation_module
from nskd.daemon import start as start_module
from nskd.data.load import Dataset
from nskd.data.load import load as load_really
from nskd.packs.pack import load_pack as load_pack_really
from nskd.stockpile.durability import Durability
from protocol.lattice.selftest import selftest as selftest_really
from tests.simulation.dealt import Bank, seal, unseal
from tests.simulation.disk import Connection
from tests.simulation.machine import HERE, Machine, here
from tests.simulation.network import Network

T = TypeVar("T")
Told = Callable[[Machine, dict[str, Any]], None]

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
def edges(network: Network, bank: Bank | None, told: Told, rng: random.Random) -> Iterator[None]:
    """Put the simulation under the daemon; without a ``bank`` material is made by the real offline phase."""
    from trio._core import _run  # its scheduler shuffles what is ready: from the seed, and from a known order

    settings = structlog.get_config()
    structlog.configure(processors=[_Sink(told)], logger_factory=structlog.PrintLoggerFactory())
    with contextlib.ExitStack() as stack:

        def put(place: Any, name: str, instead: Any) -> None:
            stack.enter_context(mock.patch.object(place, name, instead))

        put(os, "urandom", _random_bytes)
        put(os, "fsync", _sync)
        put(time, "time", _now)
        put(sqlite3, "connect", _sqlite)
        put(random, "SystemRandom", _Jitter)
        put(trio.to_thread, "run_sync", _thread)
        put(trio, "open_tcp_listeners", network.listen)
        put(trio, "open_tcp_stream", network.connect)
        put(trio, "open_signal_receiver", lambda *_: here().signals())
        put(Durability, "identity", _place)
        put(daemon_module, "control_endpoint", _no_socket)
        put(daemon_module, "ControlServer", _Desk)
        put(daemon_module, "Daemon", _Watched)
        put(daemon_module, "load", _load)
        put(daemon_module, "selftest", _selftest)
        put(start_module, "load_pack", _load_pack)
        put(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
        put(_run, "_r", random.Random(rng.getrandbits(64)))
        if bank is not None:
            put(epochs_module, "found", bank.found)
            put(epochs_module, "seal", seal)
            put(epochs_module, "unseal", unseal)
            put(generation_module, "make", bank.make)
        try:
            yield
        finally:
            structlog.configure(**settings)


_selftest = functools.cache(selftest_really)
_load_pack = functools.cache(load_pack_really)
