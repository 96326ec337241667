"""A condition means the same to DuckDB and to numpy."""

from __future__ import annotations

import duckdb
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nskd.packs.conditions import Cases, Condition, OneOf, Period, PeriodUnit, Within, identifier, text
from tests.examples import examples

KEYS = ("ja", "nee", "it's", 'a"b', "missing")
BOUND = st.none() | st.integers(0, 9)
TESTS = st.one_of(
    st.tuples(st.just("answer"), st.lists(st.sampled_from(KEYS), min_size=1).map(tuple).map(OneOf)),
    st.tuples(st.just("months"), st.builds(Within, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9))),
)
CONDITIONS = st.lists(TESTS, max_size=2).map(tuple).map(Condition)
CASES = st.builds(
    Cases,
    st.lists(st.tuples(CONDITIONS, st.sampled_from(KEYS)), min_size=1, max_size=3).map(tuple),
    st.sampled_from(KEYS),
)


@examples(20)
@given(CASES)
def test_both_backends_agree(cases: Cases) -> None:
    answers, months = (np.array(grid).ravel() for grid in np.meshgrid(KEYS, np.arange(10)))
    columns = {"answer": answers, "months": months.astype(np.int64)}
    with duckdb.connect() as connection:
        rows = ", ".join(f"({text(a)}, {m})" for a, m in zip(answers.tolist(), months.tolist(), strict=True))
        found = connection.execute(f"SELECT {cases.sql()} FROM (VALUES {rows}) v(answer, months)").fetchall()
    assert [level for (level,) in found] == cases.evaluate(columns, len(answers)).tolist()


def test_periods_agree() -> None:
    months = np.array([f"2025-{m:02d}" for m in range(1, 13)])
    with duckdb.connect() as connection:
        for unit in PeriodUnit:
            period = Period("month", unit)
            rows = ", ".join(f"({text(m)})" for m in months.tolist())
            found = connection.execute(f"SELECT {period.sql()} FROM (VALUES {rows}) v(month)").fetchall()
            assert [level for (level,) in found] == period.evaluate({"month": months}, 12).tolist()
    assert Period("month", PeriodUnit.QUARTER).level("2025-09") == "2025-Q3"


def test_a_missing_number_is_in_no_range() -> None:
    with duckdb.connect() as connection:
        query = f"SELECT {Within(None, 3).sql('n')} FROM (SELECT NULL::BIGINT AS {identifier('n')})"
        assert connection.execute(query).fetchall() == [(False,)]
