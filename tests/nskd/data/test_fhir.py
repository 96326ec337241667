"""FHIR lines are read as the same extract in another form is, and nothing comes in that the mapping does not name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from nskd.data.errors import DataError
from nskd.data.fhir import holds_fhir
from nskd.data.load import Dataset, load, load_visits
from nskd.data.origin import Origin
from nskd.packs.pack import Pack, load_pack
from nskd.packs.synthetic import generate, write_visits
from tests.examples import examples
from tests.nskd.data.extracts import Row, nsk, random_rows, visit, write_csv
from tests.nskd.data.resources import SECRETS, encounter, patients, response, write

ASTHMA = Path(__file__).parents[3] / "configs" / "packs" / "asthma"
BSN = "http://fhir.nl/fhir/NamingSystem/bsn"


def resources(rows: list[Row], pack: Pack | None = None) -> tuple[list[Any], list[Any]]:
    mapping = (pack or nsk()).fhir
    assert mapping is not None
    answered = [response(row, mapping) for row in rows]
    return [encounter(row, mapping) for row in rows], [each for each in answered if each is not None]


def load_fhir(path: Path, pack: Pack | None = None) -> Dataset:
    return load(Origin(path=path), pack or nsk())


def content(data: Dataset) -> list[tuple[Any, ...]]:
    return data.fetch(f'SELECT * FROM visits ORDER BY "{data.codebook.visit_id}"')


def refusal(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        load_fhir(path).close()
    assert not any(secret in str(caught.value) for secret in SECRETS)
    return caught.value


def whole(row: Row) -> Row:
    """With an answer to a status that a mapping can only write as complete or partial."""
    if row["nsk_status"] == "absent":
        unanswered = dict.fromkeys(("delay", "interaction", "injury_fit", "other_signals", "screener_role"), "missing")
        follow = ("top_to_toe", "colleague_consult", "leck_consult", "vt_advice", "vt_report", "parents_informed")
        return row | unanswered | dict.fromkeys(follow, "missing") | {"followup_outcome": "missing"}
    return row


@examples(6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random_rows(nsk().codebook, "v"), st.randoms(use_true_random=False))
def test_lines_and_a_text_file_say_the_same(tmp_path: Path, rows: list[Row], random: Any) -> None:
    rows = [whole(row) for row in rows]
    encounters, responses = resources(rows)
    lines = [*encounters, *responses, *patients(rows)]
    random.shuffle(lines)
    with load_visits(write_csv(tmp_path / "v.csv", rows), nsk().codebook) as data:
        expected = content(data)
    with load_fhir(write(tmp_path / "v.ndjson", lines)) as data:
        assert content(data) == expected


@pytest.mark.parametrize("name", ["nsk", "asthma"])
def test_any_pack_with_a_mapping_reads_a_directory(tmp_path: Path, name: str) -> None:
    """The asthma pack is files alone, with codes and a form of its own."""
    pack = load_pack("nsk" if name == "nsk" else ASTHMA)
    made = generate(pack, seed=11, visits=300)
    if name == "asthma":
        made["returned"][:] = "missing"  # no form holds it
    write_visits(made, tmp_path / "v.csv")
    keys = [str(key) for key in made]
    rows = [
        dict(zip(keys, map(str, row), strict=True)) for row in zip(*(c.tolist() for c in made.values()), strict=True)
    ]
    if name == "nsk":
        rows = [whole(row) for row in rows]
        write_csv(tmp_path / "v.csv", rows)
    encounters, responses = resources(rows, pack)
    export = tmp_path / "export"
    export.mkdir()
    write(export / "Encounter.000.ndjson", encounters[:100])
    write(export / "Encounter.001.ndjson", encounters[100:])
    write(export / "QuestionnaireResponse.ndjson", responses)
    write(export / "Patient.ndjson", patients(rows))
    (export / "README.txt").write_text("not a line of FHIR")
    with load_visits(tmp_path / "v.csv", pack.codebook) as data:
        expected = content(data)
    with load_fhir(export, pack) as data:
        assert content(data) == expected
        assert data.rows == 300
        first = data.digest
    with load_fhir(export, pack) as data:
        assert data.digest == first
    write(export / "Patient.ndjson", patients(rows[1:]))
    with load_fhir(export, pack) as data:
        assert data.digest != first


def test_nothing_else_comes_in(tmp_path: Path) -> None:
    """Not a name, a number, a note or a time: of every value in the engine, none is one that is not mapped."""
    encounters, responses = resources([visit(1), visit(2)])
    text = json.dumps([*encounters, *responses], ensure_ascii=False)
    assert all(secret in text for secret in SECRETS[:3])
    assert ":37:22" in text
    with load_fhir(write(tmp_path / "v.ndjson", [*encounters, *responses])) as data:
        names = [row[0] for row in data.fetch("SELECT table_name FROM information_schema.tables")]
        assert set(names) == {"loaded", "objections", "visits"}
        everything = " ".join(str(value) for row in data.fetch("SELECT * FROM loaded") for value in row)
    assert not any(secret in everything for secret in (*SECRETS, ":37", "-15"))


def test_a_time_is_that_of_the_place_and_becomes_a_month_and_a_part_of_the_day(tmp_path: Path) -> None:
    times = {
        "2025-03-31T22:30:00Z": ("2025-04", "night"),  # half past midnight in Amsterdam, in April
        "2025-12-31T23:59:59.999+01:00": ("2025-12", "evening"),
        "2025-12-31T23:00:00Z": ("2026-01", "night"),
        "2025-07-01T04:00:00Z": ("2025-07", "morning"),  # summer time
        "2025-01-01T05:00:00Z": ("2025-01", "morning"),
        "2025-06-30": ("2025-06", "missing"),
        "2025-06": ("2025-06", "missing"),
    }
    rows = [visit(number) for number in range(len(times))]
    encounters, responses = resources(rows)
    for each, time in zip(encounters, times, strict=True):
        each["period"]["start"] = time
    with load_fhir(write(tmp_path / "v.ndjson", [*encounters, *responses])) as data:
        got = data.fetch("SELECT visit_month, daypart FROM visits ORDER BY visit_id")
    assert got == list(times.values())


def test_a_visit_without_a_response_was_not_screened(tmp_path: Path) -> None:
    encounters, responses = resources([visit(1), visit(2)])
    other = {**responses[1], "questionnaire": "https://elsewhere.example/other"}
    wrong = {**responses[1], "status": "entered-in-error"}
    with load_fhir(write(tmp_path / "v.ndjson", [*encounters, responses[0], other, wrong])) as data:
        got = data.fetch("SELECT nsk_status, delay, nsk_positive FROM visits ORDER BY visit_id")
    assert got == [("complete", "nee", "nee"), ("absent", "missing", "not_screened")]


def test_only_finished_encounters_are_visits(tmp_path: Path) -> None:
    encounters, responses = resources([visit(1), visit(2)])
    encounters[1] |= {"status": "cancelled", "subject": {"display": SECRETS[0]}}
    with load_fhir(write(tmp_path / "v.ndjson", [*encounters, *responses])) as data:
        assert data.rows == 1
    encounters[0]["status"] = "planned"
    assert "no encounter with the status finished" in str(refusal(write(tmp_path / "v.ndjson", [encounters[0]])))


def place(resource: Any, *path: Any) -> Any:
    for part in path:
        resource = resource[part]
    return resource


ANSWER = ("item", 0, "item", 0, "answer")
NSK = "https://nskd.invalid/fhir/CodeSystem/nsk"
TWO_COLOURS = [{"system": NSK, "code": f"triage.{colour}"} for colour in ("red", "blue")]
FAULTS: list[tuple[str, tuple[Any, ...], Any, str | None, str]] = [
    ("response", (*ANSWER, 0), {"valueString": SECRETS[2]}, "delay", "of a kind that is not read"),
    ("response", (*ANSWER, 0), {"valueDateTime": "2025-01-01T14:37:22Z"}, "delay", "of a kind that is not read"),
    ("response", (*ANSWER, 0), {"valueCoding": {"code": "answer.ja"}}, "delay", "stands for no level"),
    ("response", (*ANSWER, 0), {"valueCoding": {"system": "x", "code": "999911120"}}, "delay", "stands for no level"),
    ("response", (*ANSWER, 0), {"valueBoolean": True}, "delay", 'the code "true" stands for no level'),
    ("encounter", ("priority",), {"coding": TWO_COLOURS}, "triage", "stand for different levels"),
    ("response", ("item",), "x", "delay", "its items are no list"),
    ("response", ANSWER, [{"valueBoolean": True}, {"valueBoolean": True}], "delay", "more than one"),
    ("response", ("item", 0, "item", 1, "linkId"), "delay", "delay", "more than one"),
    ("response", ("encounter",), {"reference": "Encounter/nope"}, None, "not among the files"),
    ("response", ("encounter",), {"reference": "Patient/v1"}, "encounter", "does not refer to a Encounter"),
    ("response", ("encounter",), {}, "encounter", "does not refer to a Encounter"),
    ("response", ("subject",), {"reference": "Patient/p2"}, None, "another person"),
    ("response", ("modifierExtension",), [{"url": "x"}], None, "modifiers"),
    ("encounter", ("modifierExtension",), [{"url": "x"}], None, "modifiers"),
    ("encounter", ("implicitRules",), "https://x.example", None, "modifiers"),
    ("encounter", ("subject",), {"display": SECRETS[0]}, "person_link", "does not refer to a Patient"),
    ("encounter", ("subject",), {"identifier": {"system": BSN, "value": SECRETS[1]}}, "person_link", "by BSN"),
    ("encounter", ("subject",), {"identifier": {"value": SECRETS[2]}}, "person_link", "not a pseudonym"),
    ("encounter", ("period", "start"), "gisteren om 14:37:22", "visit_month", "not a FHIR dateTime"),
    ("encounter", ("period", "start"), "2025-02-30T14:37:22Z", "visit_month", "not a day that exists"),
    ("encounter", ("period", "start"), "2025", "visit_month", "not a FHIR dateTime"),
    ("encounter", ("period", "start"), "2019-01-31", "visit_month", "not one of its levels"),
    ("encounter", ("period",), "x", "visit_month", "not of the form"),
    ("encounter", ("extension", 0), {"url": "x"}, "age_months", "empty"),
    ("response", ("subject",), {"display": SECRETS[0]}, "subject", "does not refer to a Patient"),
    ("encounter", ("id",), SECRETS[2], "id", "does not refer"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "value", "column", "wrong"), FAULTS)
def test_what_cannot_be_read_with_certainty_is_a_finding(
    tmp_path: Path, kind: str, path: tuple[Any, ...], value: Any, column: str | None, wrong: str
) -> None:
    encounters, responses = resources([visit(1), visit(2)])
    broken = (encounters if kind == "encounter" else responses)[0]
    place(broken, *path[:-1])[path[-1]] = value
    error = refusal(write(tmp_path / "v.ndjson", [*encounters, *responses]))
    finding = next(each for each in error.findings if wrong in each.wrong)
    assert (finding.row, finding.column) == (1 if kind == "encounter" else 3, column)
    assert str(value) not in str(error) or value in ("2019-01-31", "delay")  # a month may be repeated


def test_a_finding_names_the_file_and_the_line(tmp_path: Path) -> None:
    encounters, responses = resources([visit(1), visit(2), visit(3)])
    encounters[2]["extension"][0]["valueInteger"] = 400
    write(tmp_path / "a.ndjson", encounters[:1])
    write(tmp_path / "b.ndjson", [*patients([{}]), {"resourceType": "Basic"}, *encounters[1:], *responses])
    error = refusal(tmp_path)
    (finding,) = error.findings
    assert str(finding).startswith('b.ndjson, row 4, age_months: "400" is not a whole number in range')


def test_links_are_checked_both_ways(tmp_path: Path) -> None:
    encounters, responses = resources([visit(1), visit(2)])
    twice = refusal(write(tmp_path / "v.ndjson", [*encounters, *responses, responses[0]]))
    assert [finding.row for finding in twice.findings] == [3, 5]
    assert "another response" in twice.findings[0].wrong
    again = refusal(write(tmp_path / "v.ndjson", [*encounters, encounters[0]]))
    assert [finding.row for finding in again.findings] == [1, 3]
    assert "same encounter occurs twice" in again.findings[0].wrong


def test_faults_are_bounded_and_all_counted(tmp_path: Path) -> None:
    encounters, _ = resources([visit(number) for number in range(40)])
    for each in encounters:
        each["subject"] = {}
        each["priority"] = {"coding": [{"code": "?"}]}
    error = refusal(write(tmp_path / "v.ndjson", encounters))
    assert (error.total, len(error.findings)) == (80, 10)


@pytest.mark.parametrize(
    ("raw", "wrong"),
    [
        (b'{"resourceType": "Encounter", "id": "a", "id": "b"}\n', "not one resource"),
        (b"[1]\n", "not one resource"),
        (b"{}\n", "not one resource"),
        (b'{"resourceType": "Encounter"\n', "not one resource"),
        (b'{"resourceType": "Bundle", "a": "' + b"x" * (1 << 20) + b'"}\n', "longer than"),
        (b'{"resourceType": "Enc\xff"}\n', "not UTF-8"),
        (b"", "no encounter"),
    ],
)
def test_a_line_that_is_no_resource(tmp_path: Path, raw: bytes, wrong: str) -> None:
    path = tmp_path / "v.ndjson"
    path.write_bytes(raw)
    assert wrong in str(refusal(path))


def test_which_sources_hold_fhir(tmp_path: Path) -> None:
    encounters, responses = resources([visit(1)])
    lines = write(tmp_path / "visits", [*encounters, *responses])
    lines.write_bytes(b"\xef\xbb\xbf" + lines.read_bytes())
    with load_fhir(lines) as data:  # by its first character
        assert data.rows == 1
    assert not holds_fhir(write_csv(tmp_path / "v.csv", [visit(1)]))
    (tmp_path / "empty").mkdir()
    assert "it holds 0 files *.ndjson" in str(refusal(tmp_path / "empty"))


def test_a_pack_that_does_not_say_how(tmp_path: Path) -> None:
    directory = tmp_path / "pack"
    directory.mkdir()
    for name in ("pack.toml", "codebook.toml"):
        (directory / name).write_bytes((ASTHMA / name).read_bytes())
    (tmp_path / "v.ndjson").write_text("{}\n")
    with pytest.raises(DataError, match=r'the pack "asthma" does not say how to read FHIR'):
        load_fhir(tmp_path / "v.ndjson", load_pack(directory))
