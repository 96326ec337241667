"""One state directory: who may work in it at a time, and what a daemon does with a copied or half rekeyed one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nskd import keyring
from nskd.credentials import generate_one, load_keys
from nskd.governance.audit import Event, read_entry
from nskd.restore import restored
from nskd.stockpile import Stockpile
from tests.nskd.stockpile.world import EPOCH, STATE
from tests.system.workshop import Daemon, lone


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with lone(tmp_path / "w") as daemon:
        yield daemon


def offline(daemon: Daemon, command: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    options = ("--config", daemon.config, "--credentials", daemon.credentials)
    program = [sys.executable, "-m", "nskd", command, *options, *words]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


def rekeyed_by(daemon: Daemon) -> list[object]:
    lines = (daemon.state / "audit.ndjson").read_bytes().splitlines(keepends=True)
    bodies = [read_entry(line, number).body for number, line in enumerate(lines, start=1)]
    return [body.details.get("by") for body in bodies if body.event is Event.STORAGE_REKEYED]


async def test_one_process_at_a_time(daemon: Daemon, tmp_path: Path) -> None:
    generate_one(tmp_path, "storage")
    fresh = tmp_path / "storage.key"
    daemon.start()
    await daemon.until_logged("ready")
    before = sorted(daemon.state.rglob("*"))
    for command, *words in (("rekey", "--new", fresh), ("restore", daemon.config), ("run",)):
        done = offline(daemon, command, *words)
        assert done.returncode == (78 if command == "run" else 1)
        assert done.stderr.count("another nskd is at work in it") == 1 and "Traceback" not in done.stderr
    assert sorted(daemon.state.rglob("*")) == before
    assert daemon.stop() == 0
    done = offline(daemon, "rekey", "--new", fresh)
    assert done.returncode == 0, done.stderr
    assert rekeyed_by(daemon) == [None]


async def test_a_stolen_key_takes_the_stock_with_it_while_no_daemon_runs(daemon: Daemon, tmp_path: Path) -> None:
    """As SECURITY.md has it: the keys in use from a directory with others beside them, the new one from its own."""
    daemon.start()
    await daemon.until_logged("ready")
    assert daemon.stop() == 0
    ring = keyring.load(daemon.state, load_keys(daemon.credentials).storage)
    assert ring is not None
    with Stockpile.open(daemon.state / "stock", ring.sealing[0]) as stock:
        stock.begin_epoch(EPOCH, STATE)
    shutil.copy(daemon.credentials / "storage.key", daemon.credentials / "storage.key.until-2026-01-01")
    generate_one(tmp_path, "storage")
    done = offline(daemon, "rekey", "--end-epoch", "--new", tmp_path / "storage.key")
    assert done.returncode == 0, done.stderr
    shutil.copy(tmp_path / "storage.key", daemon.credentials / "storage.key")
    after = keyring.load(daemon.state, load_keys(daemon.credentials).storage)
    assert after is not None
    with Stockpile.open(daemon.state / "stock", after.sealing[0]) as stock:
        assert stock.epoch() is None


async def test_a_copied_directory_is_known_and_a_rekey_seen_through(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start()
    await daemon.until_logged("ready")
    assert daemon.stop() == 0
    storage = load_keys(daemon.credentials).storage
    ring = keyring.load(daemon.state, storage)
    assert ring is not None
    with Stockpile.open(daemon.state / "stock", ring.sealing[0]) as stock:
        stock.begin_epoch(EPOCH, STATE)
    assert restored(daemon.state) is None

    daemon.state.rename(tmp_path / "before")
    shutil.copytree(tmp_path / "before", daemon.state)  # as whoever copies back what an ordinary backup took
    ring.turned().store(daemon.state, storage)  # and, apart from that, a change of key was cut short
    daemon.start()
    status = await daemon.call("status")
    assert status["epoch"] is None
    assert daemon.stop() == 0
    assert restored(daemon.state) is not None
    assert rekeyed_by(daemon) == ["the daemon at its start"]
    after = keyring.load(daemon.state, storage)
    assert after is not None and len(after.sealing) == 1 and after.sealing != ring.sealing
