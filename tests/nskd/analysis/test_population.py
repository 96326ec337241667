"""Which cells are compared, who is in them, and how that is kept."""

from __future__ import annotations

import hashlib
import stat
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.analysis.pairs import TESTS_MAX, TooManyPairsError, corresponding
from nskd.analysis.population import NOBODY, differences, population
from nskd.analysis.populations import PopulationError, Populations, Record, joined, split
from nskd.analysis.shape import TableShape
from nskd.analysis.table import TablePlan, plan_table
from tests.examples import examples
from tests.nskd.data.extracts import nsk

BOOK = nsk().codebook
KEY = b"k" * 32


def table(*rows: str, columns: tuple[str, ...] = (), margins: bool = False) -> TablePlan:
    return plan_table(BOOK, rows=rows, columns=columns, margins=margins)


def cells(new: TablePlan, earlier: TablePlan) -> set[tuple[tuple[str, ...], tuple[str, ...]]]:
    pairs = corresponding(new, earlier)
    assert pairs.shape == (2, len({tuple(pair) for pair in pairs.T.tolist()}))
    return {(tuple(new.cells[a].values()), tuple(earlier.cells[b].values())) for a, b in pairs.T.tolist()}


def test_the_same_table_is_compared_cell_by_cell_and_with_its_totals() -> None:
    plan = table("screened", columns=("sex",), margins=True)
    found = cells(plan, plan)
    assert (("ja", "M"), ("ja", "M")) in found
    assert {other for one, other in found if one == ("ja", "M")} == {
        ("ja", "M"), ("ja", "total"), ("total", "M"), ("total", "total"),
    }  # fmt: skip
    assert (("ja", "M"), ("nee", "M")) not in found
    assert len({other for one, other in found if one == ("total", "total")}) == plan.size


def test_other_variables_are_compared_cell_by_cell() -> None:
    new, earlier = table("sex"), table("daypart")
    assert len(cells(new, earlier)) == new.size * earlier.size
    finer = table("sex", columns=("daypart",))
    assert cells(table("sex"), finer) == {
        ((sex,), (sex, part)) for sex in ("M", "V", "X", "unknown") for part in BOOK.variables["daypart"].keys
    }


def test_too_many_are_refused() -> None:
    large = table("visit_month", columns=("complaint_group", "triage"))
    with pytest.raises(TooManyPairsError, match=f"{TESTS_MAX:,} can be made"):
        corresponding(large, table("daypart", columns=("sex", "ehr", "hospital_type")))


SHAPES = st.builds(TableShape, st.integers(1, 3), st.sampled_from([None, 1, 3]), st.booleans())


@st.composite
def crowds(draw: st.DrawFn) -> tuple[TableShape, list[tuple[int, str, int]]]:
    shape = draw(SHAPES)
    visits = draw(st.lists(st.tuples(st.integers(0, shape.interior - 1), st.sampled_from("abcdefg")), max_size=25))
    return shape, [(cell, person, count) for (cell, person), count in Counter(visits).items()]


def members(shape: TableShape, rows: list[tuple[int, str, int]], cell: int) -> Counter[str]:
    found: Counter[str] = Counter()
    row, column = shape.place(cell)
    for interior, person, visits in rows:
        r, c = shape.place(interior)
        if row in (r, shape.rows) and column in (c, shape.width):
            found[person] += visits
    return found


@examples(150)
@given(crowds(), crowds())
def test_children_that_make_cells_differ(
    new: tuple[TableShape, list[tuple[int, str, int]]], old: tuple[TableShape, list[tuple[int, str, int]]]
) -> None:
    pairs = np.array([(a, b) for a in range(new[0].size) for b in range(old[0].size)]).T
    found = differences(population(new[1], KEY), new[0], population(old[1], KEY), old[0], pairs)
    for (a, b), differing in zip(pairs.T.tolist(), found, strict=True):
        one, other = members(*new, a), members(*old, b)
        assert differing == sum(one[person] != other[person] for person in one | other)


def derive(key: bytes):  # type: ignore[no-untyped-def]
    return lambda label: hashlib.sha256(key + label).digest()


def test_what_was_kept_first_stays(tmp_path: Path) -> None:
    kept = Populations(tmp_path / "p", derive(b"1"))
    first = Record(("noord", "zuid"), (b"a" * 32,), population([(0, "x", 1), (2, "y", 7)], kept.person_key))
    assert kept.find(b"r" * 32) is None
    kept.hold(b"r" * 32, first)
    kept.hold(b"r" * 32, Record(("noord",), (), NOBODY))
    found = Populations(tmp_path / "p", derive(b"1")).find(b"r" * 32)
    assert found is not None
    assert (found.contributors, found.earlier) == (first.contributors, first.earlier)
    for name in ("cell", "person", "visits"):
        np.testing.assert_array_equal(getattr(found.population, name), getattr(first.population, name))
    (path,) = (tmp_path / "p").iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"noord" not in path.read_bytes()


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:20] + bytes([b[20] ^ 1]) + b[21:], lambda b: b""])
def test_a_damaged_or_transplanted_file_is_not_believed(tmp_path: Path, damage) -> None:  # type: ignore[no-untyped-def]
    kept = Populations(tmp_path, derive(b"1"))
    kept.hold(b"r" * 32, Record(("noord",), (), NOBODY))
    path = tmp_path / f"{(b'r' * 32).hex()}.population"
    good = path.read_bytes()
    path.write_bytes(damage(good))
    with pytest.raises(PopulationError, match="damaged"):
        kept.find(b"r" * 32)
    (tmp_path / f"{(b's' * 32).hex()}.population").write_bytes(good)
    with pytest.raises(PopulationError):
        kept.find(b"s" * 32)
    path.write_bytes(good)
    with pytest.raises(PopulationError):
        Populations(tmp_path, derive(b"2")).find(b"r" * 32)


def test_nobody_of_a_population_is_readable_on_disk(tmp_path: Path) -> None:
    """Neither a pseudonym nor its digest; and a digest under another key is another one."""
    kept = Populations(tmp_path, derive(b"1"))
    people = population([(0, "8f14e45fceea167a", 1), (3, "c9f0f895fb98ab91", 2)], kept.person_key)
    kept.hold(b"r" * 32, Record(("noord",), (), people))
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    raw = path.read_bytes()
    for plain in (b"8f14e45fceea167a", b"c9f0f895fb98ab91", b"noord", *(each.tobytes() for each in people.person)):
        assert plain not in raw
    other = population([(0, "8f14e45fceea167a", 1)], Populations(tmp_path, derive(b"2")).person_key)
    assert other.person[0] != people.person[0]


def test_lists_as_they_travel() -> None:
    digests = (b"a" * 32, b"b" * 32)
    assert split(joined(digests)) == digests
    assert split(b"") == ()
    assert split(b"a" * 33) is None
    assert split(joined((digests[0], digests[0]))) is None
