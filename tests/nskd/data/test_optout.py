"""Who objects: every shape of a list, and that nothing of them is counted."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.analysis.table import plan_table
from nskd.data.errors import FINDINGS_SHOWN_MAX, DataError
from nskd.data.load import LeftOut, load_visits
from nskd.data.optout import OptOuts, read_opt_outs
from nskd.data.query import local_table
from tests.examples import examples
from tests.nskd.data.extracts import nsk, visit, write_csv
from tests.nskd.governance.mutations import mutated

BOOK = nsk().codebook
ROOT = Path(__file__).parents[3]
NOW = int(datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC).timestamp())
ACT = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
DENY: dict[str, Any] = {
    "resourceType": "Consent",
    "status": "active",
    "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "research"}]},
    "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
    "patient": {"identifier": {"system": "urn:hospital:pseudonym", "value": "p1"}},
    "dateTime": "2026-01-05",
    "policyRule": {"coding": [{"system": ACT, "code": "OPTIN"}]},
    "provision": {"type": "deny"},
}


def consent(**changes: Any) -> dict[str, Any]:
    """The plain objection, changed; a change to None takes the field away."""
    return {name: value for name, value in (DENY | changes).items() if value is not None}


def policy(code: str, system: str = ACT) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def read(tmp_path: Path, content: bytes | str | list[dict[str, Any]]) -> OptOuts:
    path = tmp_path / "opt-out"
    if isinstance(content, list):
        content = "".join(json.dumps(each) + "\n" for each in content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_opt_outs(path, now=NOW)


def refusal(tmp_path: Path, content: bytes | str | list[dict[str, Any]]) -> DataError:
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert "takes part in no run" in str(caught.value)
    return caught.value


# --- CSV --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"person_link\na\nb.c-d_1\n",
        b"\xef\xbb\xbfperson_link\r\na\r\nb.c-d_1\r\n",
        b'"person_link"\n"a"\nb.c-d_1\n',
        b"person_link\na\na\nb.c-d_1\na\n",
        b"person_link\na\nb.c-d_1\n\n\r\n",
    ],
)
def test_a_csv_list(tmp_path: Path, content: bytes) -> None:
    listed = read(tmp_path, content)
    assert listed.people == {"a", "b.c-d_1"}
    assert listed.digest == hashlib.sha256(content).digest()
    assert listed.void == 0
    assert "b.c-d_1" not in repr(listed)


def test_a_list_of_nobody_is_its_header(tmp_path: Path) -> None:
    assert read(tmp_path, b"person_link\n").people == frozenset()


@pytest.mark.parametrize(
    ("content", "wrong", "row"),
    [
        (b"", "the list is empty", None),
        (b"\n\n", "the list is empty", None),
        (b"person_link\nabc12", "no end, as in a file that was cut off", None),
        (b"abc\ndef\n", "the first line is not person_link", 1),
        (b"person_link;name\nabc;x\n", "the first line is not person_link", 1),
        (b"person_link\rabc\rdef\n", "the first line is not person_link", 1),
        (b"Person_Link\nabc\n", "the first line is not person_link", 1),
        (b"person_link\nabc\nde f\n", "not a pseudonym", 3),
        (b"person_link\nabc,def\n", "not a pseudonym", 2),
        (b"person_link\nabc \n", "not a pseudonym", 2),
        (b'person_link\n"abc\n', "not a pseudonym", 2),
        (b'person_link\n""\n', "not a pseudonym", 2),
        (b'person_link\n"a""b"\n', "not a pseudonym", 2),
        (b"person_link\n#abc\n", "not a pseudonym", 2),
        (b"person_link\n" + b"x" * 65 + b"\n", "not a pseudonym", 2),
        (b"person_link\nabc\n\ndef\n", "the line is blank", 3),
        (b"person_link\n" + b"x" * 70_000 + b"\n", "longer than", 2),
        (b"person_link\nabc\ncaf\xe9\n", "not UTF-8", 3),
        ("person_link\nabc\n".encode("utf-16") + b"\n", "not UTF-8", 1),
        (b"person_link\na\0b\n", "zero byte", 2),
        (b'[{"resourceType": "Consent"}]\n', "the first line is not person_link", 1),
    ],
)
def test_a_csv_list_that_is_refused(tmp_path: Path, content: bytes, wrong: str, row: int | None) -> None:
    error = refusal(tmp_path, content)
    assert wrong in error.findings[0].wrong
    assert error.findings[0].row == row


def test_every_wrong_line_is_counted_and_none_repeated(tmp_path: Path) -> None:
    error = refusal(tmp_path, "person_link\n" + "Jansen 1234\n" * 50 + "good\n")
    assert error.total == 50
    assert [finding.row for finding in error.findings] == list(range(2, 2 + FINDINGS_SHOWN_MAX))
    assert "Jansen" not in str(error)


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(DataError, match="takes part in no run"):
            read_opt_outs(path, now=NOW)


# --- FHIR -------------------------------------------------------------------------------------------------

PERMIT_OUTSIDE = {"type": "permit", "provision": [{"type": "permit", "period": {"end": "2020"}}]}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"policyRule": None},
        {"policyRule": policy("SOMETHING"), "policy": [{"uri": "urn:x"}]},
        {"policyRule": policy("OPTOUT"), "provision": None},
        {"policyRule": policy("OPTOUT"), "provision": {"type": "permit"}},
        {"policyRule": policy("OPTOUTE"), "provision": {"period": {"start": "2026"}}},
        {"provision": {"type": "permit", "provision": [{"type": "deny", "purpose": [{"code": "HRESCH"}]}]}},
        {"provision": {"type": "deny", "provision": [{"type": "permit"}]}},
        {"provision": {"type": "deny", "period": {"start": "2026-03-01", "end": "2026-03-01"}}},
        {"provision": {"type": "deny", "period": {"start": "2026-03-02"}}},  # begun already, east of here
        {"provision": {"type": "deny", "period": {"end": "2026-02-28"}}},  # not over yet, far west
        {"provision": {"type": "deny", "period": {"start": "2026-03", "end": "2026-03"}}},
        {"provision": {"type": "deny", "period": {"end": "2026"}}},
        {"provision": {"type": "deny", "period": {"end": "2026-03-01T13:00:00+01:00"}}},
        {"provision": {"type": "deny", "period": {"start": "2026-03-01T12:00:00.000Z"}}},
    ],
)
def test_an_objection_in_force(tmp_path: Path, changes: dict[str, Any]) -> None:
    listed = read(tmp_path, [consent(**changes)])
    assert (listed.people, listed.entries, listed.void) == ({"p1"}, 1, 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "inactive"},
        {"status": "entered-in-error", "patient": None},
        {"provision": {"type": "permit"}},
        {"provision": PERMIT_OUTSIDE},
        {"policyRule": policy("OPTIN"), "provision": None},
        {"provision": {"type": "deny", "period": {"end": "2026-02-27"}}},
        {"provision": {"type": "deny", "period": {"start": "2026-03-03"}}},
        {"provision": {"type": "deny", "period": {"end": "2026-01"}}},
        {"provision": {"type": "deny", "period": {"end": "2025"}}},
        {"provision": {"type": "deny", "period": {"end": "2026-03-01T12:59:59+01:00"}}},
        {"policyRule": policy("OPTOUT"), "provision": {"period": {"end": "2025-12"}}},
    ],
)
def test_nobody_objects(tmp_path: Path, changes: dict[str, Any]) -> None:
    listed = read(tmp_path, [consent(**changes)])
    assert (listed.people, listed.entries, listed.void) == (frozenset(), 1, 1)


def nested(depth: int) -> dict[str, Any]:
    return {"type": "permit"} if depth == 0 else {"type": "permit", "provision": [nested(depth - 1)]}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("not json", "not one JSON object"),
        ("{", "not one JSON object"),
        ('{"a":' * 5000, "not one JSON object"),
        ('{"resourceType": "Consent", "status": "inactive", "status": "active"}', "not one JSON object"),
        (json.dumps(consent(resourceType="Bundle")), "at resourceType it is not a Consent"),
        (json.dumps(consent(status="on-hold")), "at status it is not a Consent"),
        (json.dumps(consent(status="draft")), "the status draft leaves open"),
        (json.dumps(consent(status="proposed")), "the status proposed leaves open"),
        (json.dumps(consent(status="rejected")), "the status rejected leaves open"),
        (json.dumps(consent(patient=None)), "does not name the person by patient.identifier"),
        (json.dumps(consent(patient={"reference": "Patient/1"})), "does not name the person"),
        (json.dumps(consent(patient={"identifier": {}})), "at patient.identifier it is not"),
        (json.dumps(consent(patient={"identifier": {"value": "J. Jansen"}})), "is not a pseudonym"),
        (json.dumps(consent(patient={"identifier": {"value": 123}})), "at patient.identifier.value it is not"),
        (
            json.dumps(
                consent(
                    patient={"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "123456782"}}
                )
            ),
            "by BSN",
        ),
        (json.dumps(consent(modifierExtension=[{"url": "urn:not"}])), "modifiers that are not known"),
        (json.dumps(consent(status="inactive", modifierExtension=[{"url": "urn:not"}])), "modifiers"),
        (json.dumps(consent(implicitRules="urn:x")), "modifiers"),
        (json.dumps(consent(provision={"type": "permit", "modifierExtension": [{}]})), "modifiers"),
        (json.dumps(consent(provision={"type": "permit", "provision": [{}]})), "neither denies nor permits"),
        (json.dumps(consent(provision={"type": "maybe"})), "at provision.type it is not"),
        (json.dumps(consent(provision={"type": "deny", "provision": {}})), "at provision.provision it is not"),
        (json.dumps(consent(provision=None, policyRule=None)), "neither denies nor permits"),
        (json.dumps(consent(provision={"type": "permit"}, policyRule=policy("NOCONSENT"))), "policyRule is not known"),
        (json.dumps(consent(provision={"type": "permit"}, policyRule=policy("OPTIN", "urn:x"))), "policyRule is not"),
        (json.dumps(consent(provision={"type": "permit"}, policyRule={"text": "opt-out"})), "policyRule is not known"),
        (
            json.dumps(consent(provision={"type": "permit"}, policyRule=None, policy=[{"uri": "urn:x"}])),
            "its policy is not known",
        ),
        (json.dumps(consent(provision=nested(9))), "nested deeper"),
        (json.dumps(consent(provision={"type": "deny", "period": {"start": "1 maart"}})), "FHIR dateTime"),
        (json.dumps(consent(provision={"type": "deny", "period": {"end": "2026-02-30"}})), "FHIR dateTime"),
        (json.dumps(consent(provision={"type": "deny", "period": {"end": "2026-03-01T12:00:00"}})), "FHIR dateTime"),
        (
            json.dumps(consent(provision={"type": "deny", "period": {"start": "2026", "end": "2024"}})),
            "ends before it begins",
        ),
        ("", "not one JSON object"),
    ],
)
def test_a_consent_that_is_refused_by_line(tmp_path: Path, line: str, wrong: str) -> None:
    error = refusal(tmp_path, f"{json.dumps(DENY)}\n{line}\n{json.dumps(DENY)}\n")
    assert [finding.row for finding in error.findings] == [2]
    assert wrong in error.findings[0].wrong
    assert "Jansen" not in str(error)
    assert "123456782" not in str(error)


@examples(100)
@given(
    content=st.sampled_from(["person_link\nabc\nd-1\n", json.dumps(DENY) + "\n"]).flatmap(lambda c: mutated(c.encode()))
)
def test_damaged_lists_are_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("lists") / "list"
    path.write_bytes(content)
    try:
        listed = read_opt_outs(path, now=NOW)
    except DataError:
        return
    assert all(re.fullmatch("[A-Za-z0-9._-]{1,64}", person) for person in listed.people)


def test_the_samples_in_the_documentation(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "opt-out.md").read_text()
    csv_text, json_text = (
        re.search(rf"```{kind}\n(.*?)```", text, re.DOTALL)[1]
        for kind in ("text", "json")  # type: ignore[index]
    )
    assert read(tmp_path, csv_text).people == {"8f14e45fceea167a", "c9f0f895fb98ab91"}
    assert read(tmp_path, json_text).people == {"8f14e45fceea167a"}


# --- what is left out -------------------------------------------------------------------------------------


def test_nothing_of_them_is_counted_and_they_may_come_back(tmp_path: Path) -> None:
    people = ["a", "a", "b", "c"]
    rows = [visit(n, person_link=who, sex="V" if who == "c" else "M") for n, who in enumerate(people)]
    plan = plan_table(BOOK, rows=["sex"], margins=True)
    with load_visits(write_csv(tmp_path / "visits.csv", rows), BOOK) as data:

        def counted() -> tuple[list[int], list[int]]:
            table = local_table(data, plan)
            return table.values.tolist(), table.children.tolist()

        assert counted() == ([3, 1, 0, 0, 4], [2, 1, 0, 0, 3])
        assert data.leave_out({"a", "stranger"}) == LeftOut(visits=2, people=1)
        assert counted() == ([1, 1, 0, 0, 2], [1, 1, 0, 0, 2])
        assert data.leave_out({"a", "b"}) == LeftOut(visits=3, people=2)
        assert counted() == ([0, 1, 0, 0, 1], [0, 1, 0, 0, 1])
        assert data.leave_out(()) == LeftOut(visits=0, people=0)
        assert counted() == ([3, 1, 0, 0, 4], [2, 1, 0, 0, 3])
        assert data.rows == 4


def test_many_objections_over_many_visits(tmp_path: Path, at_length: bool) -> None:
    """At length a hundred thousand over a million."""
    people = 100_000 if at_length else 10_000
    path, listed = tmp_path / "visits.parquet", tmp_path / "opt-out.csv"
    values = visit() | {"visit_id": "", "person_link": ""}
    with duckdb.connect() as connection:
        columns = ", ".join(
            {"visit_id": "'v' || i AS visit_id", "person_link": "'p' || i // 2 AS person_link"}.get(
                name, f"'{value}' AS {name}"
            )
            for name, value in values.items()
        )
        connection.execute(f"COPY (SELECT {columns} FROM range({10 * people}) t(i)) TO '{path}' (FORMAT parquet)")
    listed.write_text("person_link\n" + "".join(f"p{5 * n}\n" for n in range(people)))
    with load_visits(path, BOOK) as data:
        began = time.monotonic()
        left_out = data.leave_out(read_opt_outs(listed, now=NOW).people)
        seconds = time.monotonic() - began
        table = local_table(data, plan_table(BOOK, rows=["sex"]))
    assert left_out == LeftOut(visits=2 * people, people=people)
    assert (int(table.values.sum()), int(table.children.sum())) == (8 * people, 4 * people)
    assert seconds < 5, f"{seconds:.1f} s"  # half a second on two idle cores


def test_check_says_how_many_are_left_out(tmp_path: Path) -> None:
    rows = [visit(n, person_link=who) for n, who in enumerate("aab")]
    extract = write_csv(tmp_path / "visits.csv", rows)
    (tmp_path / "list").write_text("person_link\na\nz\n")
    command = [sys.executable, "-m", "nskd", "check", "--opt-out", str(tmp_path / "list"), str(extract)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 people object (0 of 2 entries are not in force); 2 visits of 1 of them are left out" in done.stdout
    (tmp_path / "list").write_text("person_link\na\nz")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "cut off" in done.stderr
    assert "Traceback" not in done.stderr
