"""``docs/data.md``: its configurations are accepted, and its commands do what it says on every kind of source."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nskd.config import parse_config
from nskd.data.load import load
from nskd.data.origin import Origin
from nskd.packs.pack import load_pack
from nskd.packs.synthetic import generate
from tests.console import lines, run
from tests.postgres import OWNER, running

DOCUMENT = (Path(__file__).parents[1] / "docs" / "data.md").read_text()
HEAD = '[centre]\nname = "a"\n[workshop]\ncharter = "/c.toml"\n[network]\nlisten = "0.0.0.0:7443"\n'


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", DOCUMENT, flags=re.DOTALL)


def test_its_configurations_are_accepted() -> None:
    origins = [parse_config((HEAD + block).encode(), "nskd.toml").data.origin for block in blocks("toml")]
    assert [str(origin) for origin in origins] == [
        "/srv/nsk/visits.parquet",
        "/srv/nsk/visits.duckdb, visits",
        "postgres:///hospital, nsk.visits",
        "/srv/nsk/export",
    ]


@pytest.mark.timeout(240)
def test_its_commands_on_every_kind_of_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = blocks("json")
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "visits.ndjson").write_text(example)
    with running(trusted=(OWNER, "nskd")) as server:
        made = {name: list(map(str, column)) for name, column in generate(load_pack("nsk"), seed=4, visits=500).items()}
        hours = {"night": "03", "morning": "09", "afternoon": "15", "evening": "20", "missing": "00"}
        parts = zip(made.pop("visit_month"), made.pop("daypart"), strict=True)
        made["arrived"] = [f"{month}-07 {hours[part]}:12:13" for month, part in parts]
        server.fill("raw", made)
        (view,) = blocks("sql")
        with server.connect() as connection:
            connection.execute("ALTER SCHEMA nsk RENAME TO ehr; ALTER TABLE ehr.raw RENAME TO emergency_visits")
            connection.execute("ALTER TABLE ehr.emergency_visits ALTER arrived TYPE timestamp USING arrived::timestamp")
            connection.execute(view)
        config = HEAD + blocks("toml")[2].replace("/run/postgresql", str(server.socket))
        (tmp_path / "nskd.toml").write_text(config)
        monkeypatch.setenv("PGUSER", "nskd")
        done = run(tmp_path, lines(DOCUMENT, ports={}), timeout_s=200)
    assert done.status == 0, done.errors[-3000:]
    for said in (
        "visits.csv: in order, 2,000 visits",
        "visits.duckdb, visits: in order, 2,000 visits",
        "postgres:///hospital, nsk.visits: in order, 500 visits",
        "export: in order, 2 visits",
        "Mirror report: how far each field is filled",
        "Kwaliteitsrapport: samenhang tussen velden",
    ):
        assert said in done.output
    assert "Alleen voor dit centrum" in (tmp_path / "quality.html").read_text()
    with load(Origin(path=tmp_path / "export"), load_pack("nsk")) as data:
        got = data.fetch("SELECT visit_id, person_link, daypart, triage, nsk_positive FROM visits ORDER BY 1")
    assert got == [
        ("v1", "8f14e45fceea167a", "evening", "green", "nee"),
        ("v2", "c9f0f895fb98ab91", "missing", "missing", "not_screened"),
    ]
    assert [json.loads(line)["resourceType"] for line in example.splitlines()][1] == "QuestionnaireResponse"
