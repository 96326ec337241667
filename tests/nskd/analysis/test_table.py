from __future__ import annotations

from typing import Any

import pytest

from nskd.analysis.shape import TableShape
from nskd.analysis.table import CELLS_MAX, plan_table
from nskd.data.errors import RequestError
from nskd.governance.question import Measure
from nskd.packs.codebook import TOTAL
from tests.nskd.data.extracts import nsk

BOOK = nsk().codebook


@pytest.mark.parametrize("columns", [None, 1, 3])
@pytest.mark.parametrize("margins", [False, True])
def test_every_cell_has_one_place(columns: int | None, margins: bool) -> None:
    shape = TableShape(4, columns, margins)
    places = [shape.place(index) for index in range(shape.size)]
    assert len(set(places)) == shape.size
    assert [shape.cell(row, column) for row, column in places] == list(range(shape.size))
    assert shape.size == {
        (None, False): 4, (None, True): 5, (1, False): 4, (1, True): 10, (3, False): 12, (3, True): 20,
    }[columns, margins]  # fmt: skip


def test_cells_are_the_full_product_in_codebook_order() -> None:
    plan = plan_table(BOOK, rows=["screened", "age_band"], columns=["delay"], measure="children", where="sex = 'M'")
    assert plan.measure is Measure.CHILDREN
    assert plan.size == 2 * 4 * 4
    assert plan.cells[0] == {"screened": "ja", "age_band": "0-3", "delay": "ja"}
    assert plan.cells[1] == {"screened": "ja", "age_band": "0-3", "delay": "nee"}
    assert plan.cells[-1] == {"screened": "nee", "age_band": "12-17", "delay": "missing"}
    assert plan.variables == ("screened", "age_band", "delay", "sex")


def test_margins_follow_the_interior() -> None:
    plan = plan_table(BOOK, rows=["screened"], columns=["hospital_type"], margins=True)
    keys = [tuple(cell.values()) for cell in plan.cells]
    types = ["academic", "teaching", "general"]
    assert keys[:6] == [(s, t) for s in ("ja", "nee") for t in types]
    assert keys[6:8] == [("ja", TOTAL), ("nee", TOTAL)]
    assert keys[8:] == [(TOTAL, t) for t in types] + [(TOTAL, TOTAL)]


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"rows": []}, "no row variable"),
        ({"rows": ["agebnd"]}, 'Did you mean "age_band"?'),
        ({"rows": ["zzzz"]}, "Choose from visit_month, "),
        ({"rows": ["age_months"]}, 'no levels to break a table down by. Use "age_band"'),
        ({"rows": ["person_link"]}, "singles out a visit or a child"),
        ({"rows": ["sex"], "columns": ["visit_id"]}, "singles out a visit or a child"),
        ({"rows": ["sex"], "columns": ["sex"]}, "named twice"),
        ({"rows": ["sex"], "measure": "rows"}, "Choose visits or children"),
        ({"rows": ["sex"], "where": "person_link = 'x'"}, "cannot be asked about"),
        (
            {"rows": ["visit_month", "complaint_group"], "columns": ["referrer", "triage"]},
            f"At most {CELLS_MAX}",
        ),
        ({"rows": [v.name for v in BOOK.groupable]}, "variables are named"),
    ],
)
def test_refused(asked: dict[str, Any], what: str) -> None:
    with pytest.raises(RequestError) as caught:
        plan_table(BOOK, **asked)
    assert what in str(caught.value)
