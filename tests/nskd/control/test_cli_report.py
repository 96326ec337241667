"""``nskctl report``: the page and the files beside it."""

from __future__ import annotations

import csv
import json
import shlex
import webbrowser
from pathlib import Path

import duckdb
import pytest

from tests.nskd.report import releases
from tests.nskd.report.wellformed import read

from .fake import DIGEST, RELEASE, Running
from .test_cli import nskctl, running  # noqa: F401  (a fixture)

RESULTS = (Path(__file__).parents[3] / "docs" / "results.md").read_text().splitlines()


async def test_a_page_and_the_same_numbers_for_programs(running: Running, tmp_path: Path) -> None:  # noqa: F811
    said = await nskctl(running, "report", DIGEST[:8], "--out", str(tmp_path))
    paths = [Path(line) for line in said.stdout.split()]
    assert [path.name for path in paths] == [f"{DIGEST[:12]}.{kind}" for kind in ("html", "csv", "json", "parquet")]
    page, table, document, parquet = paths

    read(page.read_text())
    assert "Positive by age" in page.read_text() and "To better it." in page.read_text()
    assert "noord, midden, zuid" in page.read_text()

    values = [cell["value"] for cell in RELEASE["cells"]]
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["children"] for row in rows] == ["." if value is None else str(value) for value in values]
    assert json.loads(document.read_text()) == RELEASE
    stored = duckdb.sql(f"SELECT age_band, nsk_positive, children FROM '{parquet}'").fetchall()
    assert stored == [(cell["age_band"], cell["nsk_positive"], cell["value"]) for cell in RELEASE["cells"]]


async def test_only_what_is_asked_for(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    await nskctl(
        running, "report", DIGEST[:8], "--out", str(tmp_path), "--format", "html", "--language", "en", "--open"
    )
    page = tmp_path / f"{DIGEST[:12]}.html"
    assert not page.with_suffix(".csv").exists()
    assert page.read_text().startswith('<!DOCTYPE html>\n<html lang="en">')
    assert opened == [page.as_uri()]
    wrong = await nskctl(running, "report", DIGEST[:8], "--format", "csv", "--open", code=3)
    assert "--open shows the page" in wrong.output


async def test_what_cannot_be_written_or_was_not_released(running: Running, tmp_path: Path) -> None:  # noqa: F811
    for kind in ("html", "csv", "json", "parquet"):
        said = await nskctl(running, "report", DIGEST[:8], "--out", str(tmp_path / "none"), "--format", kind, code=1)
        assert "cannot be written" in said.output and "Name a directory that exists" in said.output
    running.service.release = None
    assert "nothing was released: it is failed" in (await nskctl(running, "report", DIGEST[:8], code=1)).output


async def test_what_is_computed_from_the_counts_is_a_second_table(running: Running, tmp_path: Path) -> None:  # noqa: F811
    running.service.release = releases.rate()
    said = await nskctl(running, "report", DIGEST[:8], "--out", str(tmp_path))
    paths = [Path(line) for line in said.stdout.split()]
    assert [path.name.partition(".")[2] for path in paths] == ["html", "csv", "figures.csv", "json", "parquet"]
    with paths[1].open() as file:
        counts = list(csv.DictReader(file))
    assert [row["visits"] for row in counts] == [str(cell["value"]) for cell in running.service.release["cells"]]
    with paths[2].open() as file:
        figures = list(csv.DictReader(file))
    assert [row["age_band"] for row in figures] == ["0-3", "4-8", "9-11", "12-17", "total"]
    assert "Wat is gevraagd" in paths[0].read_text()
    running.service.release, running.service.own_point = releases.funnel(), (187, 5601)
    await nskctl(running, "report", DIGEST[:8], "--out", str(tmp_path))
    assert "187 van 5601" in paths[0].read_text()
    assert not any(b"5601" in path.read_bytes() for path in paths[1:])  # it is on its own page, and in no file
    running.service.release["kind"] = "oracle"
    assert "kind 'oracle'" in (await nskctl(running, "report", DIGEST[:8], code=1)).output


async def test_the_commands_of_the_document_on_results(
    running: Running,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    running.service.release = releases.cascade()
    commands = [shlex.split(line.removeprefix("$ nskctl ")) for line in RESULTS if line.startswith("$ ")]
    assert len(commands) == 2
    for command in commands:
        await nskctl(running, *(DIGEST[:8] if word == "$REQUEST" else word for word in command))
    assert len(opened) == 1
    assert {path.suffix for path in (tmp_path / "here").iterdir()} == {".html", ".csv", ".json", ".parquet"}


async def test_a_funnels_page_has_this_centres_own_point_and_no_other_file_has(
    running: Running,  # noqa: F811
    tmp_path: Path,
) -> None:
    running.service.release, running.service.own_point = releases.funnel(), (187, 5651)
    said = await nskctl(running, "report", DIGEST[:8], "--out", str(tmp_path), "--language", "en")
    for path in map(Path, said.stdout.split()):
        assert ("5651" in path.read_bytes().decode(errors="replace")) == (path.suffix == ".html")
