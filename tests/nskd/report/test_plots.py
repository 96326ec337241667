"""Any numbers can be drawn: no mark outside, nothing that is no number, and what is said is what is there."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.governance.explain.page import LANGUAGES, say
from nskd.governance.explain.words import same
from nskd.packs.codebook import Text
from nskd.report.document import Plot
from nskd.report.measures import accuracy_section
from nskd.report.page import render
from nskd.report.plots.bars import BarChart
from nskd.report.plots.cascade import CascadePlot
from nskd.report.plots.forest import ForestPlot, Kind, Row
from nskd.report.plots.funnel import FunnelPlot
from nskd.report.plots.spc import ControlPlot
from nskd.statistics.association import VERIFICATION_BIAS, TwoByTwo, accuracy, association
from nskd.statistics.binomial import proportion
from nskd.statistics.cascade import Step, cascade
from nskd.statistics.funnel import Group, funnel
from nskd.statistics.interrupted import interrupted_series
from nskd.statistics.spc import Period, p_chart
from tests.examples import examples

from . import samples
from .wellformed import Node, read

COUNT = st.one_of(st.none(), st.integers(0, 40), st.integers(0, 900_000))


@st.composite
def parts(draw: st.DrawFn) -> tuple[int | None, int | None]:
    part, rest = draw(COUNT), draw(COUNT)
    return part, None if part is None or rest is None else part + rest


def drawn(plot: Plot) -> Node:
    tree = read(render(samples.document("x", plot)))
    for drawing in tree.all("svg"):
        _, _, width, height = map(float, drawing.attributes["viewbox"].split())
        for name, across, down in (("line", ("x1", "x2"), ("y1", "y2")), ("circle", ("cx",), ("cy",))):
            for node in drawing.all(name):
                assert all(-1 <= float(node.attributes[key]) <= width + 1 for key in across), node
                assert all(-1 <= float(node.attributes[key]) <= height + 1 for key in down), node
        for node in drawing.all("rect"):
            assert float(node.attributes["x"]) + float(node.attributes["width"]) <= width + 1
    return tree


@examples(20)
@given(st.lists(parts(), max_size=8))
def test_funnels(series: list[tuple[int | None, int | None]]) -> None:
    groups = [Group(f"Ziekenhuis {index}", x, n) for index, (x, n) in enumerate(series)]
    drawn(FunnelPlot(same("t"), same("s"), same("r"), funnel(groups)))


@examples(20)
@given(st.lists(parts(), min_size=1, max_size=30), st.booleans())
def test_control_charts(series: list[tuple[int | None, int | None]], laney: bool) -> None:
    periods = [Period(f"2024-{index:02d}", x, n) for index, (x, n) in enumerate(series)]
    drawn(ControlPlot(same("t"), same("r"), p_chart(periods, laney=laney)))
    if len(periods) > 1:
        middle = len(periods) // 2
        drawn(ControlPlot(same("t"), same("r"), p_chart(periods), middle, interrupted_series(periods, middle)))


@examples(20)
@given(st.lists(st.tuples(COUNT, COUNT), min_size=1, max_size=6))
def test_bars(values: list[tuple[int | None, int | None]]) -> None:
    groups = tuple(same(f"a rather long label {index}") for index in range(len(values)))
    drawn(BarChart(same("t"), same("a"), groups, (same("yes"), same("no")), tuple(values)))


@examples(20)
@given(st.lists(parts(), min_size=1, max_size=6))
def test_shares(series: list[tuple[int | None, int | None]]) -> None:
    rows = tuple(Row(same(str(index)), proportion(*part).share) for index, part in enumerate(series))
    drawn(ForestPlot(same("t"), same("a"), Kind.SHARE, rows))


@examples(20)
@given(st.lists(st.tuples(*[st.one_of(st.none(), st.integers(0, 300))] * 4), min_size=1, max_size=5))
def test_ratios(tables: list[tuple[int | None, int | None, int | None, int | None]]) -> None:
    found = [association(TwoByTwo(*cells)) for cells in tables]
    rows = tuple(Row(same("x"), figure) for each in found for figure in (each.woolf, each.conditional))
    drawn(ForestPlot(same("t"), same("a"), Kind.RATIO, rows))


@examples(20)
@given(st.lists(st.integers(0, 5000), max_size=6).map(lambda counts: sorted(counts, reverse=True)), st.integers(0, 6))
def test_cascades(counts: list[int], gap: int) -> None:
    steps = [Step(str(index), None if index == gap else count) for index, count in enumerate(counts)]
    drawn(CascadePlot(same("t"), cascade(steps), tuple(same(step.name) for step in steps)))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("bars", "largest number is 12\u202f400: 0–3 years, no"),
        ("bars", "Not shown: 4"),
        ("funnel", "Outside the 99.8\u00a0% limits: Ziekenhuis E and Ziekenhuis H."),
        ("spc", "Signal (outside the limits): "),
        ("spc", "Without a value: 1"),
        ("rates", "Highest: specificity, 93.7\u00a0% (92.0–95.0\u00a0%)"),
        ("ratios", "Not computable: 1"),
        ("cascade", "top-to-toe examination: 1385 (84.5\u00a0% of the first step)"),
    ],
)
def test_what_cannot_be_seen_is_said(kind: str, said: str) -> None:
    assert said in samples.PLOTS[kind].describe().en


def test_sensitivity_never_stands_without_its_note() -> None:
    section = accuracy_section(accuracy(TwoByTwo(40, 60, None, 890)))
    for language in LANGUAGES:
        page = render(attrs.evolve(samples.table(), sections=(section,)), language)
        words = read(page).words
        assert say(Text("sensitiviteit", "sensitivity"), language) in words
        assert say(VERIFICATION_BIAS, language) in words


def test_groups_outside_are_marked_by_shape_and_name() -> None:
    wide = drawn(samples.PLOTS["funnel"]).all("svg")[0]
    shapes = [node for node in wide.all("polygon") if node.attributes["class"] == "c2"]
    assert len(shapes) == 3  # E above, H below, and the one in the legend
    assert {"Ziekenhuis E", "Ziekenhuis H"} <= {node.words for node in wide.all("text")}
