"""What of a log and a configuration leaves the machine: no more than the lists say, whatever is in it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from nskd import logs
from nskd.config import parse_config
from nskd.data.errors import DataError, Finding
from nskd.errors import OperatorError
from nskd.monitor.report_text import config_tree, log_line

MARK = "CANARY-77123"


@pytest.fixture
def logging() -> Iterator[tuple[logs.Logging, io.StringIO]]:
    stream = io.StringIO()
    yield logs.configure(level="debug", format="json", stream=stream), stream
    structlog.reset_defaults()


def test_a_line_keeps_what_helps() -> None:
    line = {
        "at": "2026-01-02T03:04:05Z",
        "level": "info",
        "event": "run",
        "request": "ab" * 32,
        "session": "cd" * 16,
        "outcome": "released",
        "seconds": 1.5,
        "rounds": 7,
        "phases": [{"name": "joint part", "seconds": 1.0, "rounds": 7, "bytes_sent": 10}],
    }
    shown = log_line(line)
    assert shown == line | {"request": "abababab", "session": "cdcdcdcd"}


def test_a_line_loses_what_is_somebodys() -> None:
    line = {
        "event": f"a caller said '{MARK}' in /home/{MARK}/x",
        "user": MARK,
        "uid": 1004,
        "steward": MARK,
        "file": MARK,
        "visits": 71_123,
        "people": 71_123,
        "segments": {"triple": [["ab", 0, 71_123]]},
        "reason": f"the value '{MARK}' is none",
        "outcome": f"zuid: told '{MARK}'",
        "new key": MARK,
    }
    shown = log_line(line)
    assert MARK not in str(shown) and "71123" not in str(shown)
    assert shown.keys() == {"event", "reason", "outcome"}
    # Somebody's own words, with a pause.
    assert log_line({"event": "presence heard", "reason": "x", "move": "pause"}) == {
        "event": "presence heard",
        "move": "pause",
    }


@settings(max_examples=30)
@given(st.dictionaries(st.text(max_size=12), st.text(max_size=20) | st.integers() | st.none(), max_size=8))
def test_what_is_on_no_list_stays(fields: dict[str, Any]) -> None:
    marked = {f"x_{key}": f"{value}{MARK}" for key, value in fields.items()}
    assert log_line(marked) == {}


def test_the_configuration_shows_numbers_and_choices() -> None:
    text = (Path(__file__).parents[3] / "configs" / "nskd.toml").read_text()
    text = (
        text.replace("ziekenhuis-noord", "noord").replace("/srv/nsk/", f"/srv/{MARK}/").replace("@nskd-", f"@{MARK}-")
    )
    text = text.replace("ziekenhuis.example", f"{MARK}.example").replace("Datadesk", MARK)
    shown = config_tree(parse_config(text.encode(), "nskd.toml"))
    assert MARK not in json.dumps(shown)
    assert shown["centre"] == {"name": "noord"}
    assert shown["network"]["redial_max"] == 30
    assert shown["data"]["source"] == "set, .parquet"
    assert shown["control"]["roles"]["read"] == "1 of them"
    assert shown["metrics"] == {"listen": None}


# --- the log itself ---------------------------------------------------------------------------------------------


def test_the_level_changes_while_the_process_runs(logging: tuple[logs.Logging, io.StringIO]) -> None:
    handle, stream = logging
    log = structlog.get_logger().bind(centre="noord")  # made before the change, as the daemon's is
    handle.threshold.level = "warning"
    log.info("one")
    log.warning("two")
    handle.threshold.level = handle.threshold.configured
    log.debug("three")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["two", "three"]
    assert [line["event"] for line in handle.recent.lines()] == ["two", "three"]


def test_the_last_lines_are_kept_and_no_more(logging: tuple[logs.Logging, io.StringIO]) -> None:
    recent = logs.Recent(kept=3)
    for number in range(5):
        recent(None, "info", {"event": str(number)})
    assert [line["event"] for line in recent.lines()] == ["2", "3", "4"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_has_no_value_in_its_words(form: Any) -> None:
    """A library quotes what it could not deal with; our own errors are written for a log."""
    stream = io.StringIO()
    handle = logs.configure(level="info", format=form, stream=stream)
    try:
        for error in (
            ValueError(f"could not convert string '{MARK}' to INT32"),
            KeyError(MARK),
            OverflowError("1311768467463790320 is out of bounds"),
            ExceptionGroup("two", [ValueError(f'"{MARK}"'), KeyError(MARK)]),
        ):
            error.add_note(f"while reading '{MARK}'")
            try:
                try:
                    raise ValueError(f"'{MARK}'")
                except ValueError as cause:
                    raise error from cause
            except (ValueError, KeyError, OverflowError, ExceptionGroup):
                structlog.get_logger().exception("failed")
        try:
            raise OperatorError("the file 'x.csv' is gone", where="[data]", remedy="Look.")
        except OperatorError:
            structlog.get_logger().exception("failed")
    finally:
        structlog.reset_defaults()
    shown = stream.getvalue()
    assert MARK not in shown and "1311768467463790320" not in shown
    assert "could not convert string" in shown and "OverflowError" in shown and "ExceptionGroup" in shown
    assert "the file 'x.csv' is gone" in shown
    lines = [log_line(line) for line in handle.recent.lines()]
    assert MARK not in str(lines)


def test_a_daemon_says_where_a_row_is_wrong_and_not_what_is_in_it() -> None:
    findings = [Finding(12, "age_years", f"'{MARK}' is no number", "write one"), Finding(13, "sex", f"'{MARK}'", "x")]
    error = DataError("/srv/visits.csv", findings, total=5)
    assert MARK in str(error)
    assert str(error.without_values()) == (
        "/srv/visits.csv: 5 faults, among them in row 12, age_years; row 13, sex."
        " `nskd check` with that file shows what is wrong."
    )
    column = DataError("/srv/visits.csv", [Finding(None, None, "there is no visit", "give one")])
    assert column.without_values() is column
