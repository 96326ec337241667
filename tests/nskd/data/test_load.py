from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from nskd.data import engine
from nskd.data.errors import FINDINGS_SHOWN_MAX, DataError
from nskd.data.load import Dataset, load_visits
from nskd.errors import OperatorError
from nskd.packs.synthetic import generate, write_visits
from tests.nskd.data.extracts import Row, nsk, visit, write_csv

BOOK = nsk().codebook


def load(path: Path) -> Dataset:
    return load_visits(path, BOOK)


def refusal(path: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        load(path).close()
    return caught.value


def refused_rows(tmp_path: Path, rows: list[Row]) -> DataError:
    return refusal(write_csv(tmp_path / "visits.csv", rows))


def test_too_little_memory_is_an_operators_trouble_and_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken for an error of the program, which ended the daemon and the request for good."""
    monkeypatch.setattr(engine, "MEMORY", "100MB")
    with load(write_csv(tmp_path / "visits.csv", [visit(1)])) as dataset:
        with pytest.raises(OperatorError, match="more memory than there is \\(at most 100MB\\)"):
            dataset.fetch("SELECT list(i) FROM range(30_000_000) AS t(i)")
        with pytest.raises(OperatorError, match="more memory"):
            dataset.leave_out(["x" * 10_000_000] * 20)
        assert dataset.fetch("SELECT count(*) FROM visits") == [(1,)]


def test_derives_what_the_file_leaves_out(tmp_path: Path) -> None:
    rows = [
        visit(1, interaction="nee", age_months="47"),
        visit(2, delay="ja", age_months="48"),
        visit(3, injury_fit="nvt", age_months="144"),
        visit(4, nsk_status="absent", delay="missing", interaction="", injury_fit="missing", other_signals=""),
    ]
    with load(write_csv(tmp_path / "visits.csv", rows)) as data:
        assert data.rows == 4
        got = data.fetch(
            "SELECT age_band, visit_quarter, screened, delay_abnormal, interaction_abnormal,"
            " injury_fit_abnormal, nsk_positive FROM visits"
        )
        assert data.fetch("SELECT interaction FROM visits")[3] == ("missing",)
    assert got == [
        ("0-3", "2025-Q1", "ja", "nee", "ja", "nee", "ja"),
        ("4-8", "2025-Q1", "ja", "ja", "nee", "nee", "ja"),
        ("12-17", "2025-Q1", "ja", "nee", "nee", "nee", "nee"),
        ("0-3", "2025-Q1", "nee", "missing", "missing", "missing", "not_screened"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_reads_what_spreadsheets_write(tmp_path: Path, delimiter: str, encoding: str) -> None:
    path = write_csv(tmp_path / "visits.csv", [visit(1), visit(2)], delimiter=delimiter, encoding=encoding)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    with load(path) as data:
        assert data.rows == 2


def test_csv_and_parquet_load_alike(tmp_path: Path) -> None:
    made = generate(nsk(), seed=5, visits=50)
    tables = []
    for name in ("visits.csv", "visits.parquet"):
        write_visits(made, tmp_path / name)
        with load(tmp_path / name) as data:
            assert not data.warnings.counts
            tables.append(data.fetch("SELECT * FROM visits"))
    assert tables[0] == tables[1]
    assert [str(v) for v in tables[0][0]] == [str(column[0]) for column in made.values()]


@pytest.mark.parametrize(
    ("column", "value", "right"),
    [
        ("delay", "JA", 'write "ja"'),
        ("delay", "yes!", "write one of ja, nee, nvt, missing"),
        ("sex", "", "write one of M, V, X, unknown"),
        ("age_months", "216", "write a whole number from 0 to 215"),
        ("age_months", "-1", "write a whole number from 0 to 215"),
        ("age_months", "12.0", "write a whole number from 0 to 215"),
        ("age_months", "9" * 30, "write a whole number from 0 to 215"),
        ("age_months", "", "write a whole number from 0 to 215"),
        ("visit_month", "2025-13", "write a month from 2024-01 to 2027-12 as YYYY-MM"),
        ("visit_month", "2023-12", "write a month from 2024-01 to 2027-12 as YYYY-MM"),
        ("person_link", "", "write 1 to 64 letters"),
        ("visit_id", "a b", "write 1 to 64 letters"),
    ],
)
def test_a_wrong_value_is_found(tmp_path: Path, column: str, value: str, right: str) -> None:
    error = refused_rows(tmp_path, [visit(1), visit(2, **{column: value})])
    assert error.total == 1
    (finding,) = error.findings
    assert (finding.row, finding.column) == (3, column)
    assert finding.right.startswith(right)
    assert str(error) == f"{error.where}: {finding}. {error.remedy}"


def test_identifiers_are_never_repeated_in_a_report(tmp_path: Path) -> None:
    assert "123 456" not in str(refused_rows(tmp_path, [visit(1, person_link="123 456")]))


def test_a_visit_may_occur_once(tmp_path: Path) -> None:
    error = refused_rows(tmp_path, [visit(1), visit(2), visit(1)])
    assert [finding.row for finding in error.findings] == [2, 4]
    assert "twice" in error.findings[0].wrong


@pytest.mark.parametrize(
    ("answer", "flag", "computed"),
    [
        ({"delay": "ja"}, {"delay_abnormal": "nee"}, "ja"),
        ({"interaction": "ja"}, {"interaction_abnormal": "ja"}, "nee"),
        ({"injury_fit": "nee"}, {"injury_fit_abnormal": "nee"}, "ja"),
        ({"other_signals": "nee"}, {"other_signals_abnormal": "ja"}, "nee"),
        ({"injury_fit": "nee"}, {"nsk_positive": "nee"}, "ja"),
        ({"age_months": "47"}, {"age_band": "4-8"}, "0-3"),
        ({"delay": "nee"}, {"delay_abnormal": "gibberish"}, "nee"),
    ],
)
def test_a_derived_flag_must_follow_from_the_answers(tmp_path: Path, answer: Row, flag: Row, computed: str) -> None:
    error = refused_rows(tmp_path, [visit(1, **answer, **flag)])
    (finding,) = error.findings
    assert finding.column == next(iter(flag))
    assert finding.right.startswith(f'write "{computed}"')
    with load(write_csv(tmp_path / "right.csv", [visit(1, **answer, **dict.fromkeys(flag, computed))])) as data:
        assert data.rows == 1
    with load(write_csv(tmp_path / "blank.csv", [visit(1, **answer, **dict.fromkeys(flag, ""))])) as data:
        assert data.rows == 1


def test_a_report_is_bounded_and_counts_everything(tmp_path: Path) -> None:
    broken = {"delay": "?", "sex": "?", "triage": "?", "ehr": "?", "daypart": "?", "admitted": "?"}
    error = refused_rows(tmp_path, [visit(n, **broken) for n in range(40)])
    assert error.total == 240
    assert len(error.findings) == FINDINGS_SHOWN_MAX
    assert len({finding.column for finding in error.findings}) >= 4
    assert f"240 faults, of which {FINDINGS_SHOWN_MAX} are shown" in str(error)


@pytest.mark.parametrize(
    ("column", "wrong", "right"),
    [
        ("bsn", "may not be in the file", "identifies a person"),
        ("Patient_Naam", "may not be in the file", "identifies a person"),
        ("postcode4", "may not be in the file", "where a person lives"),
        ("toelichting", "may not be in the file", "free text"),
        ("arrival_time", "may not be in the file", "never the exact time"),
        ("foto", "may not be in the file", "Images"),
        ("Triage_", "no such column", "remove it"),
    ],
)
def test_an_unknown_column_is_refused_by_name(tmp_path: Path, column: str, wrong: str, right: str) -> None:
    error = refused_rows(tmp_path, [visit(1) | {column: "secret"}])
    (finding,) = error.findings
    assert finding.column == column
    assert wrong in finding.wrong
    assert right in finding.right
    assert "secret" not in str(error)


def test_a_missing_and_a_misspelt_column(tmp_path: Path) -> None:
    row = visit(1)
    row["dealy"] = row.pop("delay")
    error = refused_rows(tmp_path, [row])
    assert [str(finding) for finding in error.findings] == [
        'dealy: the codebook has no such column; did you mean "delay"?',
        "delay: the column is missing; add it: Unnecessary delay in seeking medical help?",
    ]


def _text(change: Callable[[list[str]], list[str]]) -> bytes:
    rows = [visit(1), visit(2)]
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    return "\n".join(change(lines)).encode()


@pytest.mark.parametrize(
    ("raw", "wrong", "row"),
    [
        (b"", "the file is empty", None),
        (b"\n\n", "the first line is blank", 1),
        (_text(lambda lines: lines[:1]), "a header and no visit", None),
        (_text(lambda lines: [lines[0], lines[1] + ",x", lines[2]]), "too many columns", 2),
        (_text(lambda lines: [*lines[:2], lines[2].rpartition(",")[0]]), "missing columns", 3),
        (_text(lambda lines: [*lines[:2], "", lines[2]]), "the line is blank", 3),
        (_text(lambda lines: [*lines[:2], "x" * 70_000]), "longer than", 3),
        (_text(lambda lines: [*lines, "\0"]), "zero byte", 4),
        (_text(lambda lines: [*lines, "caf\xe9"]).replace(b"\xc3\xa9", b"\xe9"), "not UTF-8", 4),
        (_text(lambda lines: lines).decode().encode("utf-16"), "not UTF-8", 1),
        (_text(lambda lines: ["a,b,c", *lines[1:]]), "no column name of the codebook", 1),
        (_text(lambda lines: [lines[0] + ",sex", *(f"{x},M" for x in lines[1:])]), "more than once", None),
        (b"PAR1 but no more", "cannot be read as Parquet", None),
    ],
)  # fmt: skip
def test_a_file_that_is_not_a_table(tmp_path: Path, raw: bytes, wrong: str, row: int | None) -> None:
    path = tmp_path / "visits.csv"
    path.write_bytes(raw)
    error = refusal(path)
    assert wrong in error.findings[0].wrong
    assert error.findings[0].row == row


def test_an_unclosed_quote_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_bytes(_text(lambda lines: [lines[0], lines[1], '"' + lines[2]]))
    assert refusal(path).total >= 1


def test_paths_that_are_not_files(tmp_path: Path) -> None:
    assert "cannot be opened" in str(refusal(tmp_path / "absent.csv"))
    assert "not a regular file" in str(refusal(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in str(refusal(tmp_path / "pipe"))
    assert "cannot be opened" in str(refusal(Path("a\0b")))


def test_a_file_name_is_not_a_pattern(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [visit(1)])
    with load(write_csv(tmp_path / "*.csv", [visit(2), visit(3)])) as data:
        assert data.rows == 2


def test_empty_parquet(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        columns = ", ".join(f"'' AS {v.name}" for v in BOOK.recorded)
        connection.execute(f"COPY (SELECT {columns} WHERE false) TO '{tmp_path}/v.parquet' (FORMAT parquet)")
    assert "there is no visit" in str(refusal(tmp_path / "v.parquet"))


def test_quality_rules_warn_without_refusing(tmp_path: Path) -> None:
    rows = [visit(1, delay="missing"), visit(2, nsk_status="absent", screener_role="missing")]
    with load(write_csv(tmp_path / "visits.csv", rows)) as data:
        assert data.warnings.counts == {"complete_means_answered": 1, "absent_means_unanswered": 1}
        assert [finding.row for finding in data.warnings.findings] == [2, 3]


def test_after_loading_nothing_outside_can_be_reached(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "visits.csv", [visit(1)])
    with load(path) as data:
        for sql in (
            f"SELECT * FROM read_text('{path}')",
            f"COPY visits TO '{tmp_path}/out.csv'",
            f"ATTACH '{tmp_path}/x.db'",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
        ):
            with pytest.raises(duckdb.Error):
                data.fetch(sql)
        assert repr(data) == "<Dataset visits.csv, 1 visits>"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["visits.csv"]


def test_the_engine_is_not_imported_until_a_file_is_loaded() -> None:
    modules = "nskd.data.load, nskd.data.query, nskd.analysis.table, nskd.packs.synthetic"
    code = f"import sys, {modules}; print('duckdb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
