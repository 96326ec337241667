"""A funnel's hospitals outside the joint part: what is asked for, what each makes of its own, what is told."""

from __future__ import annotations

import json
import math

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.analysis.clear_rules import compared
from nskd.analysis.hospitals import Places, hospitals, own_point, own_score, told
from nskd.analysis.population import population
from nskd.analysis.release import release_bytes
from nskd.analysis.table import TablePlan, plan_request
from nskd.governance.disclosure import DisclosureRules, HospitalPoints
from nskd.governance.request_text import parse_request
from nskd.statistics.funnel import Group, funnel
from protocol.online.disclosure import Release
from protocol.online.hospitals import Compared
from protocol.online.overdispersion import SCORE_MAX
from protocol.online.rules import Rules
from tests.nskd.data.extracts import nsk
from tests.protocol.test_hospitals import both, exact_score, nearest, plain, random_case

BOOK = nsk().codebook
USUAL = DisclosureRules()
BOTH = attrs.evolve(USUAL, hospital_points=HospitalPoints.SHUFFLED, overdispersion=True)
FUNNEL = 'kind = "funnel"\ntitle = "T"\npurpose = "improvement"\nof = "sex = \'M\'"\n'


def plan(measure: str = "children", text: str = FUNNEL) -> TablePlan:
    return plan_request(BOOK, parse_request(f'{text}measure = "{measure}"\n'.encode()))


def test_nothing_is_told_of_hospitals_unless_the_charter_says_so() -> None:
    assert hospitals(USUAL, range(3), plan()) is None
    rate = plan(text=FUNNEL.replace("funnel", "rate"))
    assert hospitals(BOTH, range(3), rate) is None
    found = hospitals(BOTH, (0, 2, 3), plan(), np.array([4]))
    assert found is not None
    assert (found.parties, found.points, found.overdispersion) == ((0, 2, 3), True, True)
    assert found.near.tolist() == [4]
    assert plan().cells[found.events] == {"@of": "yes"}
    assert plan().cells[found.others] == {"@of": "no"}
    assert plan().cells[found.size] == {"@of": "total"}


@pytest.mark.parametrize("parties", [3, 4, 6])
@pytest.mark.parametrize("small", [0.0, 0.25])
def test_in_the_clear_it_is_the_same(parties: int, small: float) -> None:
    """What a rehearsal tells, against the definition that the joint part is tested against."""
    rng = np.random.default_rng(parties)
    for rules in (Rules(10, True, centres=3, rounding=5), Rules(3, False, rounding=3)):
        for _ in range(20):
            case, asked = random_case(rng, parties, small), both(parties)
            expected = plain(case, asked, rules)
            shown = np.full(3, expected != Compared())
            together = np.array([nearest(int(v), rules.rounding) for v in case.values.sum(axis=0)])
            found = compared(
                case.values,
                case.children,
                Release(shown, together),
                asked,
                rules,
                lambda events, size, values=case.values: [exact_score(own, events, size) for own in values],
            )
            assert found == expected


@given(
    events=st.integers(0, 5000), others=st.integers(0, 5000), pooled=st.integers(1, 999), of=st.integers(1001, 99_999)
)
def test_a_score_is_z_squared_in_tenths(events: int, others: int, pooled: int, of: int) -> None:
    values, n = np.array([events, others, events + others], dtype=np.uint64), events + others
    found = own_score(values, plan("visits"), pooled, of)
    rate = pooled / of
    exact = 10 * (events - n * rate) ** 2 / (n * rate * (1 - rate)) if n else 0.0
    assert found == SCORE_MAX if exact > SCORE_MAX + 1 else abs(found - exact) <= 0.5 + 1e-6 * exact


def test_phi_is_that_of_the_funnel_within_what_rounding_allows() -> None:
    """Against the statistic over the same hospitals, nothing winsorised."""
    rng = np.random.default_rng(3)
    for parties in (4, 5, 8, 16):
        size = rng.integers(300, 3000, parties)
        events = rng.binomial(size, rng.beta(40, 60, parties))
        target = events.sum() / size.sum()
        groups = [Group(str(k), int(e), int(n)) for k, (e, n) in enumerate(zip(events, size, strict=True))]
        exact = funnel(groups, target=target, winsorised=0.0).phi.value
        assert exact is not None
        rows = [np.array([e, n - e, n], dtype=np.uint64) for e, n in zip(events, size, strict=True)]
        scores = [own_score(row, plan("visits"), int(events.sum()), int(size.sum())) for row in rows]
        assert max(scores) < SCORE_MAX
        asked = hospitals(BOTH, range(parties), plan("visits"))
        phi = told(asked, Compared(nearest(sum(scores), 5), ()))["phi"]
        assert isinstance(phi, float)
        assert math.isclose(phi, exact, abs_tol=0.05 + 0.25 / parties + 1e-3)


@pytest.mark.parametrize(("measure", "expected"), [("children", (2, 3)), ("visits", (5, 9))])
def test_ones_own_point_is_from_what_was_contributed(measure: str, expected: tuple[int, int]) -> None:
    """Child b is with the event once and without twice, and is one child."""
    asked = plan(measure)
    cell = Places.of(asked)
    rows = [(cell.events, "a", 4), (cell.events, "b", 1), (cell.others, "b", 2), (cell.others, "c", 2)]
    assert own_point(population(rows, b"k" * 32), asked) == expected
    assert own_point(population([], b"k" * 32), asked) == (0, 0)


def test_a_release_says_what_was_asked_and_null_where_it_may_not_be_told() -> None:
    asked = hospitals(BOTH, range(4), plan())
    assert told(None, Compared()) == {}
    assert told(asked, Compared()) == {"phi": None, "points": None}
    assert told(asked, Compared(None, ())) == {"phi": None, "points": None}
    assert told(asked, Compared(95, ((5, 20), (10, 15)))) == {"phi": 2.375, "points": [[5, 20], [10, 15]]}
    alone = hospitals(attrs.evolve(USUAL, overdispersion=True), range(4), plan())
    assert told(alone, Compared(0)) == {"phi": 0.0}
    shown, values, impossible = np.full(3, True), np.array([10, 20, 30]), np.full(3, False)
    raw = release_bytes(
        plan(), shown, values, impossible, rounding=5, request=b"r", title="T", further=told(asked, Compared(95))
    )
    found = json.loads(raw)
    assert (found["kind"], found["phi"], found["points"]) == ("funnel", 2.375, None)
    usual = json.loads(release_bytes(plan(), shown, values, impossible, rounding=5, request=b"r", title="T"))
    assert not {"phi", "points"} & set(usual)
