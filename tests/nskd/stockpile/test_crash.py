"""SIGKILL and power cuts at every durable step: no item is handed out twice, none is lost that need not be."""

from __future__ import annotations

import json
import os
import secrets
import signal
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nskd.stockpile import NotReservedError, Segment, State, Stockpile
from tests.nskd.stockpile.world import (
    EPOCH,
    KEY,
    STATE,
    Crash,
    ScriptedDisk,
    add,
    batch_id,
    columns,
    digest,
    fail_at,
    incoming,
    session_id,
    store,
)

Told = list[tuple[str, Any]]
SECOND_EPOCH = b"\x02" * 32


def life(directory: Path, disk: ScriptedDisk, tell: Callable[[str, Any], None]) -> None:
    """A little of everything; ``tell`` is called after each thing that was promised to be durable."""
    with Stockpile.open(directory, KEY, disk=disk) as stock:
        stock.begin_epoch(EPOCH, STATE)
        tell("epoch", EPOCH.hex())
        add(stock, 1, unlocked=False)
        tell("locked", 1)
        store(stock, incoming(2), incoming(3))
        tell("locked", 2)
        tell("locked", 3)
        stock.unlock(batch_id(1))
        tell("unlocked", 1)
        changed = stock.reconcile({batch_id(k): digest(k) for k in (1, 2)})
        tell("unlocked", 2)
        assert changed.dropped == (batch_id(3),)
        tell("dropped", 3)
        use(stock, session_id(1), 30, tell)
        stock.reserve(session_id(2), stock.plan({"triple": 30}))
        tell("reserved", [1, 60])
        stock.burn(session_id(2))
        use(stock, session_id(3), 80, tell)  # the rest of 1, some of 2
        stock.reserve(session_id(4), stock.plan({"triple": 5}))
        tell("reserved", [2, 45])
        stock.begin_epoch(SECOND_EPOCH, STATE)
        tell("epoch", SECOND_EPOCH.hex())
        add(stock, 4)
        tell("unlocked", 4)
        use(stock, session_id(5), 10, tell)
        stock.destroy_epoch("a test")
        tell("epoch", "")


def use(stock: Stockpile, session: bytes, count: int, tell: Callable[[str, Any], None]) -> None:
    plan = stock.plan({"triple": count})
    stock.reserve(session, plan)
    last = plan["triple"][-1]
    tell("reserved", [int.from_bytes(last.batch, "big"), last.stop])
    tell("handed", [int(item) for item in stock.take(session)["triple"][0]])


def count_steps(directory: Path) -> int:
    disk = ScriptedDisk()
    life(directory, disk, lambda _kind, _what: None)
    return disk.steps


def judge(directory: Path, told: Told) -> None:
    """Open what is left, use all of it, and compare with what had been promised."""
    handed = [item for kind, items in told if kind == "handed" for item in items]
    epochs = [what for kind, what in told if kind == "epoch"]
    since = 0 if not epochs else max(k for k, (kind, _) in enumerate(told) if kind == "epoch")
    with Stockpile.open(directory, KEY) as stock:
        stored = stock.epoch()
        epoch = "" if stored is None else stored.epoch_id.hex()
        # The last one told, or the one after it, if the crash came before it could be told.
        history = ["", EPOCH.hex(), SECOND_EPOCH.hex(), ""]
        assert epoch in history[len(epochs) : len(epochs) + 2]
        inventory = {int.from_bytes(info.batch, "big"): info for info in stock.inventory()}
        if len(epochs) < len(history) - 1 and epoch == history[len(epochs)] and epoch:
            cursors: defaultdict[int, int] = defaultdict(int)
            gone = {what for kind, what in told[since:] if kind == "dropped"}
            for kind, what in told[since:]:
                if kind == "reserved":
                    cursors[what[0]] = what[1]
            for kind, what in told[since:]:
                if kind not in ("locked", "unlocked") or what in gone:
                    continue
                # Everything promised is still there, except where it may have been used up or dropped since.
                if what not in inventory:
                    assert what == 1 or (what == 3 and ("unlocked", 1) in told)
                    continue
                assert inventory[what].cursor >= cursors[what]
                assert kind == "locked" or inventory[what].state is State.UNLOCKED
            # Nothing is lost beyond what the session in flight had asked for.
            if ("unlocked", 2) in told[since:]:
                assert inventory[2].cursor in (0, 40, 45)
        for number in range(1, 8):
            with pytest.raises(NotReservedError):
                stock.take(session_id(number))
        for info in stock.inventory():
            stock.unlock(info.batch)
        for number, info in enumerate(stock.inventory(), 100):
            stock.reserve(session_id(number), {info.kind: [Segment(info.batch, info.cursor, info.count)]})
            rest = stock.take(session_id(number))["triple"]
            assert rest.shape == (6, info.left)
            expected = columns(int.from_bytes(info.batch, "big"), "triple", info.count)[:, info.cursor :]
            assert (rest == expected).all()
            handed += [int(item) for item in rest[0]]
        assert stock.levels() == {}
        names = {path.name for path in (directory / "sealed").iterdir()}
        assert names <= {f"{epoch}.sealed"}
    assert len(handed) == len(set(handed))


def some_of(steps: int, at_length: bool) -> range:
    """Every step at length, else one of five, beginning anywhere: over some runs all."""
    return range(1, steps + 1) if at_length else range(1 + secrets.randbelow(5), steps + 1, 5)


def test_killed_at_every_step(tmp_path: Path, at_length: bool) -> None:
    steps = count_steps(tmp_path / "count")
    assert steps > 100
    killed, points = 0, some_of(steps, at_length)
    for step in points:
        directory = tmp_path / str(step)
        told = run_and_kill(directory, step)
        killed += told[-1:] != [("epoch", "")]
        judge(directory, told)
    assert killed > len(points) * 0.9


def run_and_kill(directory: Path, step: int) -> Told:
    """Live in a child process until SIGKILL at ``step``; returns what it told, line by line, before that."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:

            def kill(number: int, _name: str) -> None:
                if number == step:
                    os.kill(os.getpid(), signal.SIGKILL)

            def tell(kind: str, what: Any) -> None:
                os.write(writing, json.dumps([kind, what]).encode() + b"\n")

            life(directory, ScriptedDisk(kill), tell)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().splitlines()
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    return [(kind, what) for kind, what in map(json.loads, lines)]


def test_power_cut_at_every_step(tmp_path: Path, at_length: bool) -> None:
    """As above, and whatever was not synced is forgotten by the file system."""
    for step in some_of(count_steps(tmp_path / "count"), at_length):
        told: Told = []
        directory = tmp_path / str(step)
        disk = ScriptedDisk(fail_at(step, Crash))
        with pytest.raises(Crash):
            life(directory, disk, lambda kind, what, told=told: told.append((kind, what)))  # type: ignore[misc]
        disk.lose_power()
        judge(directory, told)


def test_killed_again_while_recovering(tmp_path: Path, at_length: bool) -> None:
    """A crash during recovery from a crash, at every step of the recovery."""
    total = count_steps(tmp_path / "count")
    for first in range(5, total, 13 if at_length else 39):
        second = 1
        while True:
            directory = tmp_path / f"{first}-{second}"
            told: Told = []
            with pytest.raises(Crash):
                life(
                    directory,
                    ScriptedDisk(fail_at(first, Crash)),
                    lambda kind, what, told=told: told.append((kind, what)),  # type: ignore[misc]
                )
            try:
                Stockpile.open(directory, KEY, disk=ScriptedDisk(fail_at(second, Crash))).close()
            except Crash:
                judge(directory, told)
            else:
                break
            second += 1
