"""The cascade: which proportion is of what, and what a suppressed step takes away."""

from __future__ import annotations

import pytest

from nskd.statistics.binomial import proportion
from nskd.statistics.cascade import Step, cascade
from nskd.statistics.figure import Reason, StatisticsError
from nskd.statistics.rounding import Rounding


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
