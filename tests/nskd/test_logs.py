"""What is logged, and what can never be."""

from __future__ import annotations

import copy
import datetime
import enum
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from nskd import logs
from nskd.credentials import StorageKey
from nskd.errors import OperatorError
from protocol.errors import Fault, RemoteProtocolError

SECRET = "1311768467463790320"  # 0x123456789abcdef0


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    yield io.StringIO()
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class Colour(enum.Enum):
    RED = b"red"


def test_json_when_nobody_watches(stream: io.StringIO) -> None:
    logs.configure(level="info", format="auto", stream=stream)
    log = structlog.get_logger().bind(centre="a")
    log.debug("not shown")
    log.info("shown", peers=3, path=Path("/x"), fault=Fault.MAC_CHECK, when=datetime.date(2030, 1, 2), who=("é", None))
    [line] = lines(stream)
    at = datetime.datetime.fromisoformat(line.pop("at"))
    assert at.utcoffset() == datetime.timedelta(0)
    assert line == {
        "event": "shown",
        "level": "info",
        "centre": "a",
        "peers": 3,
        "path": "/x",
        "fault": "mac-check",
        "when": "2030-01-02",
        "who": ["é", None],
    }


def test_console_for_people(stream: io.StringIO) -> None:
    logs.configure(level="debug", format="console", stream=stream)
    structlog.get_logger().debug("link up", peer="b")
    assert "link up" in stream.getvalue()
    assert "peer=b" in stream.getvalue()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    logs.configure(level="info", format="auto", stream=stream)
    structlog.get_logger().info("again")
    assert "\x1b[" in stream.getvalue()


SECRETS: dict[str, object] = {
    "array": np.array([0x123456789ABCDEF0], dtype=np.uint64),
    "scalar": np.uint64(0x123456789ABCDEF0),
    "bytes": SECRET.encode(),
    "bytearray": bytearray(SECRET.encode()),
    "memoryview": memoryview(SECRET.encode()),
    "key": StorageKey(SECRET.encode().ljust(32, b"0")),
    "exception": ValueError(SECRET),
    "enum of bytes": Colour.RED,
    "class": type(SECRET, (), {"__repr__": lambda self: SECRET})(),
    "function": lambda: SECRET,
}


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("name", sorted(SECRETS))
def test_secrets_are_shown_as_their_type(stream: io.StringIO, name: str, form: Any) -> None:
    logs.configure(level="info", format=form, stream=stream)
    value = SECRETS[name]
    structlog.get_logger().info("event", plain=value, listed=[value], mapped={"k": (value,)})
    assert SECRET not in stream.getvalue().replace("class", "").replace(f"<{SECRET}:", "")
    assert "b'red'" not in stream.getvalue()
    if name != "enum of bytes":
        assert stream.getvalue().count("redacted") == 3


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(stream: io.StringIO, form: Any) -> None:
    logs.configure(level="info", format=form, stream=stream)

    def inner(share: object) -> None:
        raise RuntimeError("a bug")

    try:
        inner(np.uint64(0x123456789ABCDEF0))
    except RuntimeError:
        structlog.get_logger().exception("failed")
    shown = stream.getvalue()
    assert "a bug" in shown
    assert "inner" in shown
    assert "test_logs.py" in shown
    assert SECRET not in shown


def test_long_and_deep_values_are_bounded(stream: io.StringIO) -> None:
    logs.configure(level="info", format="json", stream=stream)
    deep: Any = "bottom"
    for _ in range(50):
        deep = [deep]
    structlog.get_logger().info("event", long="x" * 100_000, many=list(range(1000)), deep=deep)
    [line] = lines(stream)
    assert len(line["long"]) < 5_000
    assert len(line["many"]) == 64
    assert "bottom" not in stream.getvalue()


def test_one_line_stays_one_line(stream: io.StringIO) -> None:
    logs.configure(level="info", format="json", stream=stream)
    structlog.get_logger().info("event", name='evil"\n{"level": "error"}\r\x1b[31m')
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


class Ticks:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 2.5
        return self.now


def test_a_unit_of_work_is_one_line(stream: io.StringIO) -> None:
    logs.configure(level="info", format="json", stream=stream)
    log = structlog.get_logger()
    with logs.unit_of_work(log, "analysis", clock=Ticks(), request="ab12") as work:
        work.add(rounds=7)
        work.add(rounds=8, cells=12)
    [line] = lines(stream)
    del line["at"]
    assert line == {
        "event": "analysis",
        "level": "info",
        "outcome": "done",
        "duration_s": 2.5,
        "request": "ab12",
        "rounds": 8,
        "cells": 12,
    }


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OperatorError("full", where="/x", remedy="Free space."), "/x: full. Free space."),
        (RemoteProtocolError(Fault.MAC_CHECK, "a sum is off"), "mac-check: a sum is off"),
        (ValueError(SECRET), None),
    ],
)
def test_a_failed_unit_of_work(stream: io.StringIO, error: Exception, reason: str | None) -> None:
    logs.configure(level="info", format="json", stream=stream)
    with pytest.raises(type(error)), logs.unit_of_work(structlog.get_logger(), "analysis", clock=Ticks()) as work:
        work.add(rounds=7)
        raise error
    [line] = lines(stream)
    assert (line["outcome"], line["level"], line["rounds"]) == ("failed", "warning", 7)
    assert line["error"] == type(error).__name__
    assert line.get("reason") == reason


def test_a_cancelled_unit_of_work(stream: io.StringIO) -> None:
    logs.configure(level="info", format="json", stream=stream)
    with pytest.raises(KeyboardInterrupt), logs.unit_of_work(structlog.get_logger(), "analysis", clock=Ticks()):
        raise KeyboardInterrupt
    [line] = lines(stream)
    assert line["outcome"] == "cancelled"


def test_the_journal_learns_the_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        logs.configure(level="info", format="auto", stream=stream)
        log = structlog.get_logger()
        log.info("one")
        log.warning("two")
        log.error("three")
        structlog.reset_defaults()
        stream.seek(0)
        assert [line[:4] for line in stream] == ["<6>{", "<4>{", "<3>{"]


def test_redaction_leaves_the_caller_its_values() -> None:
    event = {"event": "x", "columns": np.zeros(3, dtype=np.uint64)}
    kept = copy.copy(event)
    logs.redact(None, "info", event)
    assert event == kept
