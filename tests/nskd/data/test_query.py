"""The local part of a table against plain SQL over the files as they lie."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.analysis.table import TablePlan, plan_table
from nskd.data.load import load_visits
from nskd.data.query import LocalTable, local_table
from nskd.governance.question import Measure
from nskd.packs.codebook import TOTAL
from nskd.packs.synthetic import generate, write_visits
from tests.examples import examples
from tests.nskd.data.extracts import nsk, random_rows, visit, write_csv

BOOK = nsk().codebook

# The derived columns of the tests, written down once more by hand.
DERIVED = """
    CASE WHEN age_months < 48 THEN '0-3' WHEN age_months < 108 THEN '4-8' WHEN age_months < 144 THEN '9-11'
         ELSE '12-17' END AS age_band,
    CASE WHEN nsk_status = 'absent' THEN 'nee' ELSE 'ja' END AS screened,
    CASE WHEN delay = 'ja' OR interaction = 'nee' OR injury_fit = 'nee' OR other_signals = 'ja' THEN 'ja'
         WHEN nsk_status = 'absent' THEN 'not_screened' ELSE 'nee' END AS nsk_positive,
    CASE interaction WHEN 'nee' THEN 'ja' WHEN 'missing' THEN 'missing' ELSE 'nee' END
         AS interaction_abnormal,
    visit_month[:4] || '-Q' || CASE WHEN visit_month[6:] <= '03' THEN 1 WHEN visit_month[6:] <= '06' THEN 2
        WHEN visit_month[6:] <= '09' THEN 3 ELSE 4 END AS visit_quarter
"""
GROUPED = (
    "age_band",
    "screened",
    "nsk_positive",
    "interaction_abnormal",
    "visit_quarter",
    "sex",
    "delay",
    "daypart",
)
WHERES = (
    "",
    "age_months BETWEEN 47 AND 143",
    "delay <> 'ja' OR sex = 'X'",
    "NOT (daypart IN ('night', 'missing'))",
)


def centre_table(path: Path, plan: TablePlan) -> LocalTable:
    with load_visits(path, BOOK) as data:
        return local_table(data, plan)


def oracle(paths: list[Path], plan: TablePlan, where: str) -> dict[tuple[str, ...], tuple[int, int]]:
    """Visits and children per interior cell, by plain GROUP BY over the concatenated text files."""
    names = ", ".join((*plan.rows, *plan.columns))
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"WITH text AS (SELECT * REPLACE (CAST(age_months AS INTEGER) AS age_months)"
            f"   FROM read_csv({[str(p) for p in paths]}, all_varchar = true)),"
            f" derived AS (SELECT *, {DERIVED} FROM text)"
            f" SELECT {names}, count(*), count(DISTINCT person_link) FROM derived WHERE {where or 'true'}"
            f" GROUP BY {names}"
        ).fetchall()
    return {tuple(levels): (visits, children) for *levels, visits, children in rows}


@examples(4)
@given(
    centres=st.tuples(*(random_rows(BOOK, prefix) for prefix in "abc")),
    names=st.lists(st.sampled_from(GROUPED), min_size=1, max_size=3, unique=True),
    split=st.integers(1, 3),
    where=st.sampled_from(WHERES),
)
def test_the_sum_over_centres_is_the_table_of_all_files_together(
    centres: tuple[list[dict[str, str]], ...], names: list[str], split: int, where: str
) -> None:
    plan = plan_table(BOOK, rows=names[:split], columns=names[split:], where=where)
    with tempfile.TemporaryDirectory() as directory:
        paths = [write_csv(Path(directory) / f"{i}.csv", rows) for i, rows in enumerate(centres)]
        tables = [centre_table(path, plan) for path in paths]
        expected = oracle(paths, plan, where)
    visits = sum(table.values for table in tables)
    children = sum(table.children for table in tables)  # pseudonyms of different centres never meet
    found = {
        tuple(cell.values()): (int(v), int(c))
        for cell, v, c in zip(plan.cells, visits, children, strict=True)
        if v or c
    }
    assert found == expected


def test_margins_count_their_own_distinct_children(tmp_path: Path) -> None:
    rows = [
        visit(1, person_link="a", delay="ja", sex="M"),
        visit(2, person_link="a", delay="nee", sex="M"),
        visit(3, person_link="a", delay="nee", sex="M"),
        visit(4, person_link="b", delay="nee", sex="V"),
    ]
    plan = plan_table(BOOK, rows=["sex"], columns=["delay"], measure="children", margins=True)
    path = write_csv(tmp_path / "visits.csv", rows)
    table = centre_table(path, plan)
    by_cell = {tuple(cell.values()): int(n) for cell, n in zip(plan.cells, table.values, strict=True) if n}
    assert by_cell == {
        ("M", "ja"): 1, ("M", "nee"): 1, ("V", "nee"): 1,
        ("M", TOTAL): 1, ("V", TOTAL): 1, (TOTAL, "ja"): 1, (TOTAL, "nee"): 2, (TOTAL, TOTAL): 2,
    }  # fmt: skip
    assert (table.values == table.children).all()
    visits = centre_table(path, plan_table(BOOK, rows=["sex"], columns=["delay"], margins=True))
    assert visits.values.dtype == np.uint64
    assert int(visits.values[-1]) == 4
    assert int(visits.children[-1]) == 2
    assert repr(visits).startswith("<nskd.data.query.LocalTable object")


def test_margins_of_visits_are_sums(tmp_path: Path) -> None:
    write_visits(generate(nsk(), seed=2, visits=400), tmp_path / "visits.csv")
    plan = plan_table(BOOK, rows=["age_band", "sex"], columns=["nsk_positive"], where="delay <> 'nvt'", margins=True)
    table = centre_table(tmp_path / "visits.csv", plan)
    shape = plan.shape
    assert shape.columns is not None
    interior = table.values[: shape.interior].reshape(shape.rows, shape.columns)
    margins = [*interior.sum(axis=1), *interior.sum(axis=0), interior.sum()]
    assert table.values[shape.interior :].tolist() == [int(m) for m in margins]


@pytest.mark.parametrize("measure", list(Measure))
def test_one_way_table_with_a_total_and_no_matching_row(tmp_path: Path, measure: Measure) -> None:
    path = write_csv(tmp_path / "visits.csv", [visit(1), visit(2)])
    plan = plan_table(BOOK, rows=["sex"], measure=measure, margins=True)
    assert centre_table(path, plan).values.tolist() == [2, 0, 0, 0, 2]
    nobody = plan_table(BOOK, rows=["sex"], measure=measure, where="false", margins=True)
    assert centre_table(path, nobody).values.tolist() == [0] * 5
