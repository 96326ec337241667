"""``nskctl request from-sql``: what it prints is a request file."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from nskd.control import cli
from nskd.governance.request_text import parse_request

SQL = "SELECT sex, ehr, COUNT(DISTINCT child) FROM visits WHERE delay = 'ja' GROUP BY sex, ehr"
GIVEN = ("--title", "Delay – by record", "--purpose", "research")


def from_sql(*arguments: str, stdin: str | bytes = "", code: int = 0, json_output: bool = False) -> Result:
    options = ["--socket", "/nowhere/control.sock", *(["--json"] if json_output else [])]
    done = CliRunner().invoke(cli.main, [*options, "request", "from-sql", *arguments], input=stdin)
    assert done.exit_code == code, (done.output, done.exception)
    return done


def test_it_prints_a_request_file() -> None:
    printed = from_sql(SQL, *GIVEN, "--column", "ehr", "--permit", "HDAB-1").output
    table = parse_request(printed.encode())
    assert (table.rows, table.columns, table.measure, table.where) == (("sex",), ("ehr",), "children", "delay = 'ja'")
    assert (table.title, table.purpose, table.permit, table.margins) == (
        "Delay – by record",
        "research",
        "HDAB-1",
        False,
    )
    assert from_sql("-", *GIVEN, "--column", "ehr", "--permit", "HDAB-1", stdin=SQL).output == printed
    as_json = from_sql(SQL, *GIVEN, "--column", "ehr", "--permit", "HDAB-1", json_output=True).output
    assert json.loads(as_json) == {"text": printed}


def test_what_is_wrong_is_one_sentence() -> None:
    wrong = from_sql(SQL + " LIMIT 3", *GIVEN, code=1)
    assert wrong.stderr == (
        "nskctl: SQL, character 89: a table is released as a whole. Leave LIMIT out, and choose from the result.\n"
    )
    assert wrong.stdout == ""
    assert "Purposes it may serve" not in from_sql(SQL, "--title", "T", "--purpose", "x", code=1).stdout
    assert "cannot be printed" not in from_sql("-", *GIVEN, stdin=b"\xff" * 9, code=1).stdout
    assert "longer than" in from_sql("-", *GIVEN, stdin="x" * 100_000, code=1).stderr
    assert "Built in: nsk" in from_sql(SQL, *GIVEN, "--pack", "other", code=1).stderr
    from_sql(SQL, "--title", "T", code=3)


def test_a_pack_of_ones_own(tmp_path: Path) -> None:
    missing = from_sql(SQL, *GIVEN, "--pack", f"{tmp_path}/none", code=1).stderr
    assert "is not a directory" in missing
