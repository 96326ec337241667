"""The cascade: which proportion is of what, and what a suppressed step takes away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.statistics.binomial import proportion
from nskd.statistics.cascade import Step, cascade, reached
from nskd.statistics.figure import Reason, StatisticsError
from nskd.statistics.rounding import Rounding
from tests.examples import examples


def steps(*counts: int | None) -> list[Step]:
    return [Step(f"step {index}", count) for index, count in enumerate(counts)]


def test_of_the_step_before_and_of_the_first() -> None:
    stages = cascade(steps(200, 150, 30))
    assert stages[0].of_before is None
    assert stages[0].of_first == proportion(200, 200)
    assert [stage.of_before for stage in stages[1:]] == [proportion(150, 200), proportion(30, 150)]
    assert stages[2].of_first == proportion(30, 200)


def test_rounded_steps_cover_what_they_hide() -> None:
    stages = cascade(steps(200, 150), rounding=Rounding(5))
    assert stages[1].of_before == proportion(150, 200, rounding=Rounding(5))


def test_a_suppressed_step_breaks_only_what_needs_it() -> None:
    stages = cascade(steps(200, None, 30))
    assert stages[1].of_first.share.reason is Reason.SUPPRESSED
    assert stages[2].of_before is not None
    assert stages[2].of_before.share.reason is Reason.SUPPRESSED
    assert stages[2].of_first == proportion(30, 200)
    lost = cascade(steps(None, 10))
    assert lost[1].of_first.share.reason is Reason.SUPPRESSED


def test_an_empty_start_has_no_proportions() -> None:
    assert cascade(steps(0, 0))[1].of_first.share.reason is Reason.EMPTY


@pytest.mark.parametrize("counts", [(10, 20), (10, None, 20), (-1,)])
def test_a_step_is_a_part_of_all_before(counts: tuple[int | None, ...]) -> None:
    with pytest.raises(StatisticsError, match="step"):
        cascade(steps(*counts))


@examples(60)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=5), st.sampled_from([1, 3, 5]), st.data())
def test_of_visits_every_true_number_lies_in_its_range(true: list[int], base: int, data: st.DataObject) -> None:
    shown = [base * round(count / base) for count in [*true, sum(true)]]
    hidden = data.draw(st.sets(st.integers(0, len(true)), max_size=2))
    none, *furthest, everybody = [None if index in hidden else count for index, count in enumerate(shown)]
    names = [str(index) for index in range(len(furthest))]
    steps = reached(names, none, furthest, everybody, distinct=False, rounding=Rounding(base))
    for index, step in enumerate(steps):
        if step.count is not None:
            assert step.within is not None
            assert step.within[0] <= sum(true[index + 1 :]) <= step.within[1]
    counts = [step.count for step in steps if step.count is not None]
    assert counts == sorted(counts, reverse=True)
    cascade(steps, rounding=Rounding(base))
    if base == 1 and not hidden:
        assert [step.within for step in steps] == [(count, count) for count in counts]
        assert counts == [sum(true[index + 1 :]) for index in range(len(furthest))]


@examples(60)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=3), min_size=1, max_size=40), st.sampled_from([1, 3, 5])
)
def test_of_children_too_though_some_come_twice(children: list[list[int]], base: int) -> None:
    """Each child is the list of what its visits reach, 0 being no step."""
    shown = [base * round(sum(level in child for child in children) / base) for level in range(4)]
    everybody = base * round(len(children) / base)
    steps = reached("abc", shown[0], shown[1:], everybody, distinct=True, rounding=Rounding(base))
    for index, step in enumerate(steps):
        assert step.within is not None
        assert step.within[0] <= sum(max(child) > index for child in children) <= step.within[1]


def test_of_children_a_suppressed_cell_leaves_no_number() -> None:
    steps = reached("ab", 100, [None, 20], 150, distinct=True)
    assert [step.count for step in steps] == [None, 20]
    assert [step.count for step in reached("ab", 100, [None, 20], 150, distinct=False)] == [50, 20]


def test_ranges_narrow_each_other_and_what_is_given_lies_in_them() -> None:
    # 110 less 100 leaves 6 to 14, of whom 8 to 12 reach the last step: so at least 8 reach the first.
    steps = reached("ab", 100, [None, 10], 110, distinct=False, rounding=Rounding(5))
    assert [step.within for step in steps] == [(8, 14), (8, 12)]
    # 13 to 17 reach the last step: so 13 or 14 the first, though 10 is what the rounded numbers leave.
    steps = reached("ab", 100, [None, 15], 110, distinct=False, rounding=Rounding(5))
    assert [(step.count, step.within) for step in steps] == [(13, (13, 14)), (13, (13, 14))]


def test_numbers_of_no_partition_are_refused() -> None:
    with pytest.raises(StatisticsError, match="no true number"):
        reached("ab", 100, [10, 20], 500, distinct=False)
