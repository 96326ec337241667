"""A rehearsal gives what hospitals with these extracts would get: by plain SQL, and by the joint computation."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import attrs
import numpy as np
import pytest
import trio
from hypothesis import HealthCheck, event, example, given
from hypothesis import strategies as st

from nskd.analysis.clear_rules import broken, rounded, safe_of
from nskd.client import Client
from nskd.client.rehearsal import Cast, rehearse, rules_of
from nskd.errors import OperatorError
from nskd.governance.disclosure import HospitalPoints
from nskd.packs.synthetic import generate, write_visits
from protocol.online.rules import Dominance, Rules
from tests.examples import examples
from tests.system.oracle import check, random_question
from tests.system.test_sandbox import in_memory

from .requests import PACK

CLIENT = Client("/nowhere/control.sock")


def extracts(directory: Path, cast: Cast) -> list[Path]:
    """The extracts of a rehearsal as files."""
    paths = [directory / f"{centre}.csv" for centre in range(cast.centres)]
    for centre, path in enumerate(paths):
        write_visits(generate(PACK, seed=cast.seed, centre=centre, visits=cast.visits), path)
    return paths


@examples(3, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1), centres=st.integers(2, 4), visits=st.sampled_from([20, 120, 300]))
def test_a_rehearsal_equals_plain_sql_and_the_rules_on_paper(seed: int, centres: int, visits: int) -> None:
    question = random_question(np.random.default_rng(seed), cells_max=40)
    cast = Cast(centres, seed, visits)
    agreed = attrs.evolve(rules_of(None, centres), threshold=question.threshold, insider=question.insider)
    result = rehearse(CLIENT.read(question.text), cast, agreed, "en")
    with tempfile.TemporaryDirectory() as directory:
        check(question, extracts(Path(directory), cast), result.cells)
    shown = sum(cell["value"] is not None for cell in result.cells)
    event("nothing shown" if not shown else "all shown" if shown == len(result.cells) else "some shown")


def test_a_rehearsal_equals_the_joint_computation(tmp_path: Path) -> None:
    seed = 7
    question = random_question(np.random.default_rng(seed), cells_max=12)
    cast = Cast(3, seed, 200)
    agreed = attrs.evolve(rules_of(None, 3), threshold=question.threshold, insider=question.insider)
    released = json.loads(trio.run(in_memory, question, extracts(tmp_path, cast), seed))
    del released["request"]
    assert rehearse(CLIENT.read(question.text), cast, agreed, "en").release == released


def plainly(values: list[int], children: list[int], rules: Rules) -> set[str]:
    """The rules that one cell breaks, each in the words of its definition."""
    centres = range(len(values))
    found = set()
    if sum(children) < rules.threshold:
        found.add("threshold")
    if rules.insider and any(sum(children[j] for j in centres if j != i) < rules.threshold for i in centres):
        found.add("insider")
    if sum(count > 0 for count in children) < rules.centres:
        found.add("centres_min")
    if rules.dominance is not None:
        whole = sum(values)
        if any(100 * v > rules.dominance.share * whole for v in values):
            found.add("dominance")
        pairs = [(i, j) for i in centres for j in centres if i != j]
        if any(100 * (values[i] + values[j]) > rules.dominance.pair * whole for i, j in pairs):
            found.add("nk")
        if any(100 * (whole - values[i] - values[j]) < rules.dominance.rest * values[i] for i, j in pairs):
            found.add("p_percent")
    return set() if rules.show_zeros and not any(children) else found


counts = st.integers(0, 25)


@examples(200)
@given(
    cells=st.integers(2, 4).flatmap(
        lambda n: st.lists(st.tuples(st.lists(counts, min_size=n, max_size=n), st.booleans()), min_size=1, max_size=4)
    ),
    threshold=st.integers(1, 30),
    insider=st.booleans(),
    centres=st.integers(1, 4),
    zeros=st.booleans(),
    dominance=st.none() | st.builds(Dominance, st.integers(1, 100), st.integers(0, 100), st.integers(0, 100)),
)
@example([([0, 0, 0], False)], 3, True, 1, True, Dominance(85, 90, 10))
@example([([9, 1, 0], False)], 1, False, 1, False, Dominance(90, 100, 0))
@example([([8, 1, 1], False)], 1, False, 1, False, Dominance(100, 90, 0))
@example([([10, 5, 1], False)], 1, False, 1, False, Dominance(100, 100, 10))
def test_every_rule_in_the_clear_is_its_definition(
    cells: list[tuple[list[int], bool]],
    threshold: int,
    insider: bool,
    centres: int,
    zeros: bool,
    dominance: Dominance | None,
) -> None:
    rules = Rules(threshold, insider, centres, show_zeros=zeros, dominance=dominance)
    children = [column for column, _ in cells]
    values = [[3 * count if more else count for count in column] for column, more in cells]
    found = broken(np.array(values).T, np.array(children).T, rules)
    wanted = [plainly(v, c, rules) for v, c in zip(values, children, strict=True)]
    for cell, expected in enumerate(wanted):
        assert {rule for rule, cells_ in found.items() if cells_[cell]} == expected
    assert safe_of(found).tolist() == [not each for each in wanted]


@given(st.integers(0, 2**20), st.sampled_from([1, 3, 5]))
def test_rounding_is_to_the_nearest(value: int, base: int) -> None:
    (near,) = rounded(np.array([value]), base).tolist()
    assert near % base == 0
    assert abs(near - value) <= base // 2


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    request = CLIENT.table(rows="age_band", columns="sex").titled("T")
    first = CLIENT.rehearse(request, visits=60, seed=4)
    assert first.cells == CLIENT.rehearse(request, visits=60, seed=4).cells
    assert first.cells != CLIENT.rehearse(request, visits=60, seed=5).cells


def test_the_rules_are_those_of_the_charter_given(tmp_path: Path) -> None:
    charter = tmp_path / "charter.toml"
    text = (Path(__file__).parents[3] / "configs" / "charter.toml").read_text()
    assert "threshold = 10 " in text
    charter.write_text(text.replace("threshold = 10 ", "threshold = 500 "))
    request = CLIENT.table(rows="sex")
    strict = CLIENT.rehearse(request, visits=100, charter=charter)
    assert all(cell["value"] is None for cell in strict.cells)
    assert "at least 500 distinct children" in repr(strict)
    usual = CLIENT.rehearse(request, visits=100)
    assert any(cell["value"] is not None for cell in usual.cells)
    assert "at least 10 distinct children" in repr(usual)
    assert "Minstens" not in repr(usual)
    dutch = Client("/nowhere", language="nl").rehearse(request, visits=20)
    assert "minstens 10 verschillende kinderen" in repr(dutch)


def test_a_funnel_tells_of_centres_what_the_charter_lets_it() -> None:
    funnel, cast = CLIENT.funnel(of="sex = 'M'"), Cast(5, 3, 200)
    usual = rehearse(funnel, cast, rules_of(None, 5), "en")
    assert not {"phi", "points"} & set(usual.release)
    told = attrs.evolve(rules_of(None, 5), hospital_points=HospitalPoints.SHUFFLED, overdispersion=True)
    release = rehearse(funnel, cast, told, "en").release
    assert len(release["points"]) == 5 and release["points"] == sorted(release["points"])
    total = next(cell["value"] for cell in release["cells"] if cell["@of"] == "total")
    assert abs(sum(size for _, size in release["points"]) - total) <= 2 * 6  # each was rounded by itself
    assert 0 <= release["phi"] < 10
    few = rehearse(funnel, cast, attrs.evolve(told, threshold=1000), "en").release
    assert (few["phi"], few["points"]) == (None, None)


def test_every_closed_cell_is_counted_under_a_rule() -> None:
    result = CLIENT.rehearse(CLIENT.table(rows="age_band", columns="sex").with_totals(), visits=60)
    assert result.synthetic is not None
    counts = result.synthetic.closed
    closed = sum(cell["value"] is None for cell in result.cells)
    assert 0 < max(counts.values()) <= closed <= sum(counts.values())
    assert counts["threshold"] <= counts["insider"]  # who has too few has too few without any one centre
    assert "margins" in counts


def test_what_cannot_be_rehearsed_is_said_in_a_sentence() -> None:
    request = CLIENT.table(rows="sex")
    for options, words in (({"centres": 1}, "2 to 16"), ({"visits": 0}, "visits"), ({"seed": -1}, "seed")):
        with pytest.raises(OperatorError, match=words):
            CLIENT.rehearse(request, **options)
    with pytest.raises(OperatorError, match=r"none\.toml"):
        CLIENT.rehearse(request, charter="/nowhere/none.toml")
