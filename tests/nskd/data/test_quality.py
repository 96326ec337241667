"""The two quality reports count what a plain loop over the rows counts, over nobody who objects."""

from __future__ import annotations

import re
import stat
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given

from nskd.__main__ import main
from nskd.data.load import load, load_visits
from nskd.data.origin import Origin
from nskd.data.quality import Fill, quality
from nskd.packs.codebook import Rule
from nskd.packs.conditions import Condition, OneOf
from nskd.packs.pack import load_pack
from nskd.packs.synthetic import generate, write_visits
from nskd.report.quality import NOTICE
from tests.examples import examples
from tests.nskd.data.extracts import Row, nsk, random_rows, visit, write_csv
from tests.nskd.data.resources import encounter, write

BOOK = nsk().codebook
ASTHMA = Path(__file__).parents[3] / "configs" / "packs" / "asthma"


def holds(condition: Condition, row: Row) -> bool:
    """In plain Python, on a row with everything that is derived."""
    for name, test in condition.tests:
        if isinstance(test, OneOf):
            if row[name] not in test.keys:
                return False
        elif row[name] in ("", "None") or not (test.minimum or -9999) <= int(row[name]) <= (test.maximum or 9999):
            return False
    return True


def broken(rule: Rule, row: Row) -> bool:
    return holds(rule.when, row) and not any(holds(then, row) for then in rule.then)


@examples(8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random_rows(BOOK, "v"))
def test_counts_are_those_of_a_plain_loop(tmp_path: Path, rows: list[Row]) -> None:
    objecting = {"v-0"}
    with load_visits(write_csv(tmp_path / "v.csv", rows), BOOK) as data:
        names = list(BOOK.variables)
        loaded = [dict(zip(names, map(str, row), strict=True)) for row in data.fetch("SELECT * FROM visits")]
        data.leave_out(objecting)
        found = quality(data)
    kept = [row for row in loaded if row["person_link"] not in objecting]
    assert found.visits == len(kept)
    months = Counter(row["visit_month"] for row in kept)
    assert dict(zip(found.months, found.by_month, strict=True)) == dict(sorted(months.items()))
    assert list(found.months) == sorted(months)
    for field in found.fields:
        values = Counter(row[field.variable.name] for row in kept)
        away, empty = values["nvt"], values["missing"] + values["None"]
        assert field.whole == Fill(len(kept) - away - empty, away, empty)
        for month, fill in zip(found.months, field.months, strict=True):
            inside = Counter(row[field.variable.name] for row in kept if row["visit_month"] == month)
            assert (fill.visits, fill.not_applicable, fill.missing) == (months[month], inside["nvt"], inside["missing"])
    assert {field.variable.name for field in found.fields} == {variable.name for variable in BOOK.recorded} - {
        "visit_id",
        "person_link",
        "visit_month",
    }
    for each in found.rules:
        assert each.applies == sum(holds(each.rule.when, row) for row in kept)
        assert each.broken == sum(broken(each.rule, row) for row in kept) == sum(each.months)


def test_a_field_that_does_not_apply_is_filled() -> None:
    assert Fill(2, 1, 1).share == 0.75
    assert Fill(0, 0, 0).share is None


def test_any_pack_and_any_source(tmp_path: Path) -> None:
    pack = load_pack(ASTHMA)
    write_visits(generate(pack, seed=2, visits=200), tmp_path / "v.csv")
    with load_visits(tmp_path / "v.csv", pack.codebook) as data:
        found = quality(data)
    assert [field.variable.name for field in found.fields] == ["age", "severity", "steroid", "admitted", "returned"]
    assert all(field.whole.not_applicable == 0 for field in found.fields)
    mapping = nsk().fhir
    assert mapping is not None
    lines = write(tmp_path / "v.ndjson", [encounter(visit(1), mapping)])
    with load(Origin(path=lines), nsk()) as data:
        assert {field.variable.name: field.whole.missing for field in quality(data).fields}["delay"] == 1


# ---- the commands ----------------------------------------------------------------------------------------------------


def invoke(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(each) for each in arguments])
    return done.exit_code, done.output


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    rows = [
        visit(1),
        visit(2, injury_fit="nvt"),
        visit(3, delay="missing"),
        visit(4, visit_month="2025-04", daypart=""),
    ]
    return write_csv(tmp_path / "v.csv", rows)


def test_both_reports_in_both_languages(extract: Path, tmp_path: Path) -> None:
    status, english = invoke("quality", "--language", "en", extract)
    assert status == 0
    assert re.search(r"^Part of the day +3 +0 +1 +75\.0", english, flags=re.MULTILINE)
    assert re.search(r"^.*injury fit.* 3 +1 +0 +100\.0", english, flags=re.MULTILINE)
    assert re.search(r"^With a complete NSK every question has an answer\. +4 +1 +25\.0", english, flags=re.MULTILINE)
    assert NOTICE.en in english.replace(" \n", " ").replace("\n", " ")
    page = tmp_path / "q.html"
    status, dutch = invoke("quality", "--html", page, extract)
    assert status == 0 and "Spiegelrapport" in dutch and "Kwaliteitsrapport" in dutch
    html = page.read_text()
    assert (
        NOTICE.nl in html
        and "Gevuld per maand" in html
        and "Ontbreekt per maand" in html
        and "Niet van toepassing per maand" in html
    )
    assert "2025-04" in html
    assert "<script" not in html and "://" not in html
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert "p1" not in re.findall(r">([^<]*)<", html)


def test_people_who_object_are_in_no_figure(extract: Path, tmp_path: Path) -> None:
    listed = tmp_path / "out.csv"
    listed.write_text("person_link\np3\n")
    status, said = invoke("quality", "--language", "en", "--opt-out", listed, extract)
    assert status == 0
    text = " ".join(said.split())
    assert "3 visits." in text and "people who object were left out beforehand: 1." in text
    assert re.search(r"^With a complete NSK every question has an answer\. +3 +0 +0\.0", said, flags=re.MULTILINE)


def test_a_refused_extract_has_no_report(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "v.csv", [visit(1, delay="JA")])
    for command in ("check", "quality"):
        status, said = invoke(command, path)
        assert status == 1
        assert said.startswith("nskd: ") and "row 2, delay" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Give FILE, or --config"),
        (("v.csv", "--config", "nskd.toml"), "Give FILE, or --config"),
        (("--config", "nskd.toml", "--table", "x"), "--config has its own"),
        (("v.csv", "--table", "a b"), "--table: it is not the name of a table"),
        (("--config", "nskd.toml"), "nskd.toml: it cannot be read"),
    ],
)
def test_arguments_that_do_not_go_together(arguments: tuple[str, ...], said: str) -> None:
    status, output = invoke("check", *arguments)
    assert status in (1, 2)
    assert said in output


def test_a_configuration_says_where_the_data_are(extract: Path, tmp_path: Path) -> None:
    listed = tmp_path / "out.csv"
    listed.write_text("person_link\np3\n")
    config = tmp_path / "nskd.toml"
    head = '[centre]\nname = "a"\n[workshop]\ncharter = "/c.toml"\n[network]\nlisten = "0.0.0.0:7443"\n'
    config.write_text(head + f'[data]\nsource = "{extract}"\nopt_out = "{listed}"\n')
    status, said = invoke("check", "--config", config)
    assert status == 0
    assert "in order, 4 visits" in said and "1 visits of 1 of them are left out" in said
    config.write_text(head)
    assert "it names no data" in invoke("check", "--config", config)[1]
    page = tmp_path / "nope" / "q.html"
    assert "cannot be written" in invoke("quality", "--html", page, extract)[1]
