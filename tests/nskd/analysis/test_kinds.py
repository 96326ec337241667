"""Every kind of request against counting by hand: the same cells from rows in plain Python, over several centres."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.analysis.impossible import impossible_cells
from nskd.analysis.pairs import corresponding
from nskd.analysis.population import population
from nskd.analysis.release import release_bytes
from nskd.analysis.table import TablePlan, plan_request
from nskd.data.errors import RequestError
from nskd.data.load import load_visits
from nskd.data.query import local_members, local_table
from nskd.governance.request_text import parse_request
from nskd.packs.codebook import TOTAL
from nskd.packs.pack import load_pack
from tests.examples import examples
from tests.nskd.data.extracts import nsk, random_rows, visit, write_csv

BOOK = nsk().codebook
SAMPLES = Path(__file__).parents[3] / "configs" / "requests"
HEAD = 'title = "T"\npurpose = "improvement"\nmeasure = "visits"\n'
Row = dict[str, str]


def plan(kind: str, *lines: str) -> TablePlan:
    return plan_request(BOOK, parse_request("\n".join((f'kind = "{kind}"', HEAD, *lines)).encode()))


def refused(kind: str, *lines: str) -> str:
    with pytest.raises(RequestError) as caught:
        plan(kind, *lines)
    return str(caught.value)


def step(row: Row) -> str:
    if row["delay"] != "ja":
        return "none"
    return "two" if int(row["age_months"]) < 48 else "one"


def months(row: Row) -> str:
    age = int(row["age_months"])
    return "other" if age < 12 else "12-99" if age < 100 else "100-"


QUESTIONS: dict[str, tuple[TablePlan, dict[str, Callable[[Row], str]], Callable[[Row], bool]]] = {
    "rate": (
        plan("rate", "of = \"delay = 'ja' OR age_months < 48\"", 'by = ["sex", "daypart"]', "where = \"sex <> 'X'\""),
        {
            "sex": lambda row: row["sex"],
            "daypart": lambda row: row["daypart"],
            "@of": lambda row: "yes" if row["delay"] == "ja" or int(row["age_months"]) < 48 else "no",
        },
        lambda row: row["sex"] != "X",
    ),
    "rate over all": (
        plan("rate", "of = \"delay = 'ja'\""),
        {"@of": lambda row: "yes" if row["delay"] == "ja" else "no"},
        lambda row: True,
    ),
    "spc": (
        plan("spc", "of = \"sex = 'V'\"", 'by = "visit_year"'),
        {"visit_year": lambda row: row["visit_month"][:4], "@of": lambda row: "yes" if row["sex"] == "V" else "no"},
        lambda row: True,
    ),
    "cascade": (
        plan(
            "cascade",
            'by = "sex"',
            '[[steps]]\nname = "one"\nwhere = "delay = \'ja\'"',
            '[[steps]]\nname = "two"\nwhere = "age_band = \'0-3\'"',
        ),
        {"sex": lambda row: row["sex"], "@step": step},
        lambda row: True,
    ),
    "association": (
        plan("association", "exposure = \"delay = 'ja'\"", "outcome = \"sex = 'M'\""),
        {
            "@exposure": lambda row: "yes" if row["delay"] == "ja" else "no",
            "@outcome": lambda row: "yes" if row["sex"] == "M" else "no",
        },
        lambda row: True,
    ),
    "summary": (plan("summary", 'variable = "age_months"', "bins = [12, 100]"), {"@bin": months}, lambda row: True),
}


def by_hand(
    asked: TablePlan, rows: list[Row], axes: dict[str, Callable[[Row], str]], counts: Callable[[Row], bool]
) -> dict[tuple[str, ...], tuple[int, int]]:
    """Visits and distinct children of every cell with anybody in it: of the groups, and over each side and both."""
    seen: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row in filter(counts, rows):
        levels = {name: level(row) for name, level in axes.items()}
        cells = {
            tuple(TOTAL if name in summed else levels[name] for name in axes)
            for summed in ((), asked.rows, asked.columns, asked.names)
        }
        for cell in cells:
            seen[cell].append(row["person_link"])
    return {cell: (len(people), len(set(people))) for cell, people in seen.items()}


@pytest.mark.parametrize("name", QUESTIONS)
@examples(3)
@given(centres=st.tuples(*(random_rows(BOOK, prefix) for prefix in "abc")))
def test_the_centres_together_count_what_counting_by_hand_gives(name: str, centres: tuple[list[Row], ...]) -> None:
    asked, axes, counts = QUESTIONS[name]
    with tempfile.TemporaryDirectory() as directory:
        tables = []
        for index, rows in enumerate(centres):
            with load_visits(write_csv(Path(directory) / f"{index}.csv", rows), BOOK) as data:
                table = local_table(data, asked)
                tables.append(table)
                # Who is where is the same as how many: the guard compares what was counted.
                people = local_members(data, asked)
                assert sum(visits for _, _, visits in people) == table.values[: asked.shape.interior].sum()
    visits, children = (sum(getattr(table, part) for table in tables) for part in ("values", "children"))
    found = {
        tuple(cell[axis] for axis in axes): (int(v), int(c))
        for cell, v, c in zip(asked.cells, visits, children, strict=True)
        if v or c
    }
    assert found == by_hand(asked, [row for rows in centres for row in rows], axes, counts)
    assert not impossible_cells(asked)[visits > 0].any()


def test_a_release_says_what_its_axes_stand_for() -> None:
    asked = plan("rate", "of = \"delay = 'ja'\"", 'by = "sex"')
    nothing, all_shown = np.zeros(asked.size, np.int64), np.ones(asked.size, np.bool_)
    told = json.loads(release_bytes(asked, all_shown, nothing, ~all_shown, rounding=5, request=b"", title="T"))
    assert (told["kind"], told["reading"]) == ("rate", {})
    assert told["axes"] == {"@of": [{"key": "yes", "where": "(\"delay\" = 'ja')"}, {"key": "no", "where": None}]}
    assert told["cells"][0] == {"sex": "M", "@of": "yes", "value": 0}


def test_a_release_of_bins_says_where_the_last_ends() -> None:
    asked = plan("summary", 'variable = "age_months"', "bins = [12, 100]")
    shown = np.ones(asked.size, np.bool_)
    told = json.loads(
        release_bytes(asked, shown, np.zeros(asked.size, np.int64), ~shown, rounding=5, request=b"", title="T")
    )
    assert told["reading"] == {"variable": "age_months", "edges": [12, 100], "last": 215}


def test_every_condition_uses_its_variables() -> None:
    asked = plan("association", "exposure = \"delay = 'ja'\"", "outcome = \"sex = 'M'\"", "where = \"triage = 'red'\"")
    assert set(asked.variables) == {"triage", "delay", "sex"}
    assert set(QUESTIONS["cascade"][0].variables) == {"sex", "delay", "age_band"}


def test_groups_nobody_can_be_in_are_known() -> None:
    asked = plan("association", "exposure = \"screened = 'ja'\"", "outcome = \"nsk_positive = 'not_screened'\"")
    known = {tuple(cell.values()) for cell, zero in zip(asked.cells, impossible_cells(asked), strict=True) if zero}
    assert known == {("yes", "yes")}
    ages = plan("summary", 'variable = "age_months"', "bins = [0, 100]")
    assert [bool(zero) for zero in impossible_cells(ages)] == [False, False, True, False]  # no age is missing or lower


def test_axes_correspond_only_where_they_mean_the_same() -> None:
    delayed = plan("rate", "of = \"delay = 'ja'\"", 'by = "sex"')
    again = plan("rate", "of = \"(delay = 'ja')\"", 'by = "sex"', 'where = "age_months < 100"')
    other = plan("rate", "of = \"delay = 'nee'\"", 'by = "sex"')

    def pairs(new: TablePlan, earlier: TablePlan) -> set[tuple[Any, ...]]:
        found = corresponding(new, earlier).T.tolist()
        return {(*new.cells[a].values(), *earlier.cells[b].values()) for a, b in found}

    assert ("M", "yes", "M", "yes") in pairs(delayed, again)
    assert ("M", "yes", "M", "no") not in pairs(delayed, again)  # they share nobody
    assert ("M", "yes", "M", "no") in pairs(delayed, other)  # "no" of the one may well be "yes" of the other
    assert ("M", "yes", "V", "yes") not in pairs(delayed, other)


def test_the_guard_sees_who_is_in_a_group(tmp_path: Path) -> None:
    rows = [visit(number, delay=delay) for number, delay in enumerate(("ja", "nee", "ja"))]
    asked = plan("rate", "of = \"delay = 'ja'\"")
    with load_visits(write_csv(tmp_path / "v.csv", rows), BOOK) as data:
        people = population(local_members(data, asked), bytes(32))
    assert sorted(people.cell.tolist()) == [0, 0, 1]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("rate", "of = \"delay = 'jaa'\""), "of, character 1: 'jaa' is not a level of delay"),
        (("rate", "of = \"delya = 'ja'\""), "of, character 1"),
        (("rate", 'of = "1 = 1"'), "the condition is the same for every visit"),
        (("rate", 'of = "count(*) > 1"'), "of, character"),
        (("rate", "of = \"delay = 'ja'\"", 'by = "age_month"'), 'by: there is no variable "age_month"'),
        (("rate", "of = \"person_link = 'x'\""), "of"),
        (("spc", "of = \"delay = 'ja'\"", 'by = "sex"'), 'by: "sex" is no period. Choose from visit_month'),
        (("spc", "of = \"delay = 'ja'\"", 'by = "visit_year"', 'change = "2025-01"'), 'change: "2025-01" is not among'),
        (
            ("summary", 'variable = "sex"', "bins = [0, 12]"),
            'variable: "sex" is no whole number. Choose from age_months',
        ),
        (("summary", 'variable = "age_month"', "bins = [0, 12]"), 'Did you mean "age_months"?'),
        (("summary", 'variable = "age_months"', "bins = [0, 500]"), 'no "age_months" is 500. They run from 0 to 215'),
    ],
)
def test_what_cannot_be_is_said_where_it_is(asked: tuple[str, ...], said: str) -> None:
    assert said in refused(*asked)


def test_nothing_comes_before_the_first_period() -> None:
    first = BOOK.variables["visit_month"].keys[0]
    said = refused("spc", "of = \"delay = 'ja'\"", 'by = "visit_month"', f'change = "{first}"')
    assert said == "change: nothing comes before the change. Name a later period."


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_samples_can_be_asked_of_the_built_in_pack(path: Path) -> None:
    pack = load_pack("nsk")
    request = parse_request(path.read_bytes())
    asked = plan_request(pack.codebook, request)
    assert not pack.codebook.unsuited(request.purpose, asked.variables)
