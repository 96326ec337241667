"""What is made next: pure decisions, each against what a person would say."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.daemon.demand import (
    HALF_LIFE_S,
    RUNS_AHEAD,
    Policy,
    Shortage,
    Target,
    Use,
    Watermarks,
    being_filled,
    foreseen,
    marks_by_kind,
    total_demand,
    worst_shortage,
)

NOW = 2_000_000_000
MARKS = {"triple": Watermarks(200, 1000), "bit": Watermarks(20, 100), "square": Watermarks(0, 0)}
TARGETS = {kind: Target(mark.low, mark.high) for kind, mark in MARKS.items()}
KINDS = st.sampled_from(["triple", "bit", "mask/0"])
ITEMS = st.dictionaries(KINDS, st.integers(1, 10**7), max_size=3)


def run(days_ago: float = 0, **items: int) -> Use:
    return Use(NOW - int(days_ago * 86_400), items)


def test_marks_by_kind() -> None:
    a, b, c, d = (Watermarks(k, 2 * k) for k in (1, 2, 3, 4))
    assert marks_by_kind(a, b, c, d, 2) == {"triple": a, "square": b, "bit": c, "mask/0": d, "mask/1": d}


def test_total_demand() -> None:
    assert total_demand([]) == {}
    assert total_demand([{"triple": 3}, {"triple": 4, "bit": 1}]) == {"triple": 7, "bit": 1}


# --- history -----------------------------------------------------------------------------------------------


def test_nothing_is_foreseen_without_history() -> None:
    assert foreseen([], NOW) == {}
    assert Policy(MARKS, 10**9).targets([], NOW) == TARGETS


def test_a_few_recent_runs_come_again() -> None:
    assert foreseen([run(triple=100, bit=7), run(triple=50)], NOW) == {"triple": 150, "bit": 7}


def test_of_many_runs_so_many_are_expected() -> None:
    """Fifty alike: ten more of them; the mix is that of the history."""
    many = [run(triple=1000, bit=10)] * 25 + [run(triple=3000)] * 25
    assert foreseen(many, NOW) == {"triple": RUNS_AHEAD * 2000, "bit": RUNS_AHEAD * 5}


def test_a_run_counts_half_after_a_half_life() -> None:
    days = HALF_LIFE_S / 86_400
    assert foreseen([run(days, triple=1000)], NOW) == {"triple": 500}
    assert foreseen([run(10 * days, triple=1000)], NOW) == {"triple": 1}
    assert foreseen([Use(NOW + 10**6, {"triple": 1000})], NOW) == {"triple": 1000}  # a clock that was put back


@given(st.lists(st.tuples(st.integers(0, 10**8), ITEMS), max_size=50))
def test_no_more_is_foreseen_than_the_largest_runs_used(history: list[tuple[int, Mapping[str, int]]]) -> None:
    uses = [Use(NOW - age, items) for age, items in history]
    ahead = foreseen(uses, NOW)
    for kind, items in ahead.items():
        used = [use.items.get(kind, 0) for use in uses]
        assert 0 < items <= min(sum(used), RUNS_AHEAD * max(used)) + 1
    later = foreseen(uses, NOW + HALF_LIFE_S)
    assert all(later[kind] <= items for kind, items in ahead.items())


def test_history_raises_marks_and_never_lowers_them() -> None:
    policy = Policy(MARKS, 5000)
    assert policy.targets([run(triple=100, bit=30)], NOW) == TARGETS
    # Within the high mark: begins earlier.
    assert policy.targets([run(triple=900)], NOW)["triple"] == Target(450, 1000, raised=True)
    assert policy.targets([run(triple=3000)], NOW) == {**TARGETS, "triple": Target(1500, 3000, raised=True)}
    assert policy.targets([run(triple=10**9)], NOW)["triple"] == Target(2500, 5000, raised=True)  # the ceiling
    assert Policy(MARKS, 0).targets([run(triple=10**9)], NOW) == TARGETS


def test_what_is_made_on_request_only_stays_so() -> None:
    assert Policy(MARKS, 10**9).targets([run(square=10**6)], NOW)["square"] == Target(0, 0)


@given(st.integers(0, 10**6), st.integers(1, 10**6), ITEMS, st.integers(0, 10**7))
def test_a_target_is_a_pair_of_marks(low: int, more: int, items: Mapping[str, int], most: int) -> None:
    policy = Policy({"triple": Watermarks(low, low + more)}, most)
    target = policy.targets([Use(NOW, items)], NOW)["triple"]
    assert low <= target.low < target.high
    assert target.high <= max(low + more, most)


# --- filling -----------------------------------------------------------------------------------------------


def test_filling_begins_below_low_and_ends_at_high() -> None:
    filling: frozenset[str] = frozenset()
    for level, expected in (
        (1000, False),
        (200, False),
        (199, True),
        (500, True),
        (999, True),
        (1000, False),
        (200, False),
    ):
        filling = being_filled({"triple": level, "bit": 100}, TARGETS, filling)
        assert filling == ({"triple"} if expected else set())
    assert being_filled({}, TARGETS) == {"triple", "bit"}
    assert being_filled({}, {}, {"triple"}) == set()  # a kind that is kept no longer


def test_the_relatively_lowest_is_filled_first() -> None:
    both = {"triple", "bit"}
    assert worst_shortage({"triple": 500, "bit": 40}, [], TARGETS, both) == Shortage("bit", 60)
    assert worst_shortage({"triple": 500, "bit": 60}, [], TARGETS, both) == Shortage("triple", 500)
    assert worst_shortage({}, [], TARGETS, both) == Shortage("bit", 100)
    assert worst_shortage({"triple": 5, "bit": 6}, [], TARGETS, set()) is None


def test_filling_in_batches_keeps_kinds_level() -> None:
    """No kind waits until another is full: no two are ever further apart than one batch, and a small one is first."""
    targets = {"triple": Target(500, 1000), "bit": Target(500, 1000), "mask/0": Target(50, 100)}
    levels = dict.fromkeys(targets, 0)
    filling: frozenset[str] = frozenset()
    made = 0
    while True:
        filling = being_filled(levels, targets, filling)
        short = worst_shortage(levels, [], targets, filling)
        if short is None:
            break
        levels[short.kind] += min(short.items, 100)
        made += 1
        assert abs(levels["triple"] - levels["bit"]) <= 100
    assert levels == {"triple": 1000, "bit": 1000, "mask/0": 100}
    assert made == 21


def test_ample_is_far_above_what_any_first_centre_wants() -> None:
    """Be its marks higher than ours, or its requests not told yet; and one that wants more still gets other kinds."""
    small = Policy({"triple": Watermarks(1, 2), "bit": Watermarks(0, 0)})
    assert not small.is_ample(39_999_999, 0) and small.is_ample(40_000_000, 0)
    assert not small.is_ample(79_999_999, 10_000_000) and small.is_ample(80_000_000, 10_000_000)
    assert not attrs.evolve(small, history_max=20_000_000).is_ample(79_999_999, 0)
    large = Policy({"triple": Watermarks(0, 20_000_000), "bit": Watermarks(0, 0)})
    assert not large.is_ample(79_999_999, 0) and large.is_ample(80_000_000, 0)
    greedy = {"triple": Target(10**8, 10**9), "bit": Target(500, 1000)}
    levels = {"triple": 40_000_000, "bit": 39}
    assert worst_shortage(levels, [], greedy, being_filled(levels, greedy)) == Shortage("bit", 961)


# --- requests ----------------------------------------------------------------------------------------------


def test_requests_go_before_marks() -> None:
    assert worst_shortage({"bit": 50}, [{"bit": 60}], TARGETS, {"triple"}) == Shortage("bit", 10)
    assert worst_shortage({"bit": 60}, [{"bit": 60}], TARGETS, {"triple"}) == Shortage("triple", 1000)
    assert worst_shortage({}, [{"mask/7": 5}], TARGETS, set()) == Shortage("mask/7", 5)  # no mark is needed


def test_the_first_request_is_served_first_and_for_all() -> None:
    """The second would let bits go first; the batch of triples is for both."""
    needs = [{"triple": 100}, {"triple": 50, "bit": 1000}]
    assert worst_shortage({"triple": 90, "bit": 0}, needs, {}, set()) == Shortage("triple", 60)
    assert worst_shortage({"triple": 100, "bit": 0}, needs, {}, set()) == Shortage("bit", 1000)
    assert worst_shortage({"triple": 100, "bit": 900}, needs, {}, set()) == Shortage("triple", 50)
    assert worst_shortage({"triple": 150, "bit": 1000}, needs, {}, set()) is None


@pytest.mark.parametrize("batch", [1, 7, 1000])
@given(needs=st.lists(ITEMS.map(lambda items: {kind: 1 + count % 50 for kind, count in items.items()}), max_size=4))
def test_every_request_gets_what_it_needs(batch: int, needs: list[dict[str, int]]) -> None:
    levels: dict[str, int] = {}
    while (short := worst_shortage(levels, needs, {}, ())) is not None:
        assert short.items > 0
        levels[short.kind] = levels.get(short.kind, 0) + min(batch, short.items)
    assert levels == total_demand(needs)
