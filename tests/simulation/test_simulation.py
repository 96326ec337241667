"""A short life of a workshop under faults, twice from one seed; ``make soak`` runs thousands of hours."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.simulation import __main__ as soak
from tests.simulation.disk import Connection, Disk, Doom
from tests.simulation.machine import HERE, Clock, Machine, PowerCut
from tests.simulation.network import Network
from tests.simulation.run import Report, Setting, simulate
from tests.simulation.sabotage.__main__ import DEFECTS

SHORT = Setting(seed=1, hours=0.3, requests_per_hour=4, faults_per_hour=20, calm_s=1200, centres=3)


def test_one_seed_is_one_history_and_breaks_no_rule() -> None:
    first, second = simulate(SHORT), simulate(SHORT)
    assert first.problems == []
    assert first.digest == second.digest
    assert first.counts == second.counts
    assert first.counts["releases recorded at a centre"] >= 9
    assert sum(count for name, count in first.counts.items() if name.startswith("fault: ")) >= 3


@pytest.mark.parametrize("name", ["approvals-missing", "off-by-one", "audit-unsynced"])
def test_a_deliberate_defect_is_found(name: str) -> None:
    (defect,) = (each for each in DEFECTS if each.name == name)
    reports = (defect.simulate(defect.setting(seed, 0.5)) for seed in range(1, 7))  # the first that finds it is enough
    problems = next((report.problems for report in reports if report.problems), ["none"])
    assert defect.explains(problems[0]), problems


def test_who_stops_a_soak_is_told_what_it_saw(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def reports(*_: object) -> Iterator[Report]:
        yield Report(1, hours=150.0, counts=Counter({"fault: power cut": 7}))
        raise KeyboardInterrupt

    monkeypatch.setenv("PYTHONHASHSEED", "0")
    monkeypatch.setattr(sys, "argv", ["soak"])
    monkeypatch.setattr(soak, "_reports", reports)
    assert soak.main() == 0
    told = capsys.readouterr().out
    assert "7  fault: power cut" in told
    assert "150.0 simulated workshop-hours in 1 seeds" in told


@pytest.mark.parametrize("seed", range(12))
def test_a_commit_that_loses_power_is_there_wholly_or_not_at_all(tmp_path: Path, seed: int) -> None:
    lost: list[bool] = []
    disk = Disk(tmp_path, random.Random(seed), lambda: lost.append(True))
    connection = _connected(tmp_path / "x", disk)
    connection.execute("CREATE TABLE items (n INTEGER)")
    disk.doom = Doom(3)
    with pytest.raises(PowerCut):
        for number in range(10):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO items VALUES (?)", [(number,)] * 500)
            connection.execute("COMMIT")
    assert lost == [True]
    for name in ("x", "x-wal"):  # what the next life finds
        (tmp_path / f"after-{name}").write_bytes((tmp_path / name).read_bytes())
    again = _connected(tmp_path / "after-x", Disk(tmp_path, random.Random(0), lambda: None))
    counts = dict(again.execute("SELECT n, count(*) FROM items GROUP BY n").fetchall())
    assert counts in ({0: 500, 1: 500}, {0: 500, 1: 500, 2: 500})
    again.close()
    connection.close()


def _connected(path: Path, disk: Disk) -> Connection:
    connection = Connection(path, isolation_level=None)
    connection.disk, connection.path = disk, path
    connection.execute("PRAGMA journal_mode = WAL")
    return connection


async def test_a_connection_breaks_at_a_byte_and_never_reorders(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    for seed in range(20):
        network = Network(random.Random(seed))
        caller, callee = (Machine(name, 1, tmp_path, Clock(), random.Random(seed)) for name in ("a", "b"))
        HERE.set(callee)
        (listener,) = await network.listen(7700, host="b.example")
        HERE.set(caller)
        ours = await network.connect("b.example", 7700)
        theirs = await listener.accept()
        network.lose_at_step("a", "b", 7)
        sent, arrived = b"", b""
        with pytest.raises(trio.BrokenResourceError):
            for number in range(20):
                piece = bytes([number]) * 100
                await ours.send_all(piece)
                sent += piece
        with pytest.raises(trio.BrokenResourceError):
            while True:
                arrived += await theirs.receive_some()
        assert sent.startswith(arrived)
        assert len(arrived) < 20 * 100
        HERE.set(None)
