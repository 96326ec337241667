"""The drawing kit: scales, ticks, shortening; markup that refuses what a page never needs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.report import svg, words
from nskd.report.markup import element, style, text
from nskd.statistics.figure import Figure, Interval, Reason, missing

ENDS = st.tuples(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(ENDS, st.integers(1, 12))
def test_ticks_are_round_inside_and_not_too_many(ends: tuple[float, float], most: int) -> None:
    low, high = ends
    ticks = svg.Scale(low, high, 0, 100).ticks(most)
    margin = 1e-6 * max(abs(low), abs(high))
    assert 1 <= len(ticks) <= most
    assert all(low - margin <= tick <= high + margin for tick in ticks)
    assert list(ticks) == sorted(set(ticks))


@given(st.floats(1e-4, 1e3), st.floats(1.5, 1e4), st.integers(1, 10))
def test_log_ticks_likewise(low: float, times: float, most: int) -> None:
    ticks = svg.Scale(low, low * times, 0, 100, log=True).ticks(most)
    assert 1 <= len(ticks) <= max(most, 1)
    assert all(low <= tick <= low * times for tick in ticks)


@given(ENDS, st.floats(-1e7, 1e7))
def test_a_scale_stays_between_its_ends_and_rises(ends: tuple[float, float], value: float) -> None:
    scale = svg.Scale(*ends, 10, 90)
    assert 10 <= scale(value) <= 90
    assert (scale(ends[0]), scale(ends[1])) == (10, pytest.approx(90))


def test_ticks_people_expect() -> None:
    assert svg.Scale(0, 0.043, 0, 1).ticks(5) == (0.0, 0.01, 0.02, 0.03, 0.04)
    assert svg.Scale(0.4, 33, 0, 1, log=True).ticks(6) == (0.5, 1, 2, 5, 10, 20)
    assert svg.Scale(1, 100, 0, 300, log=True)(10) == pytest.approx(150)
    assert svg.digits([0.0, 0.005, 0.01], 100.0) == 1


def test_no_scale_divides_by_nothing() -> None:
    for wrong in (lambda: svg.Scale(1, 1, 0, 1), lambda: svg.Scale(0, 1, 0, 1, log=True)):
        with pytest.raises(ValueError, match="no scale"):
            wrong()


def test_shortened_text_says_that_it_is() -> None:
    assert svg.shortened("short", 100) == "short"
    assert svg.shortened("rather long words", 60) == "rather…"
    assert len(svg.shortened("rather long words", 0)) <= 2


def test_a_path_lifts_its_pen() -> None:
    assert 'd="M1 2 L3 4 M5 6"' in svg.path([(1, 2), (3, 4), None, (5, 6)], "x")
    assert svg.path([None], "x") == ""


@pytest.mark.parametrize("name", ["onclick", "ONLOAD", "style", "href", "src"])
def test_no_handlers_styles_or_addresses(name: str) -> None:
    with pytest.raises(ValueError, match="attribute"):
        element("p", {name: "x"})


def test_names_are_names() -> None:
    for wrong in (
        lambda: element("p><b"),
        lambda: element("p", {'x" y': "z"}),
        lambda: element("meta", None, text("x")),
    ):
        with pytest.raises(ValueError, match=r"name|content"):
            wrong()
    with pytest.raises(ValueError, match="style sheet"):
        style("</style>")


def test_numbers_as_they_are_read() -> None:
    assert words.count(None) == "."
    assert (words.count(9999), words.count(1_234_567)) == ("9999", "1\u202f234\u202f567")
    assert (words.percent(0.0265, "nl"), words.percent(0.0265, "en")) == ("2,6\u00a0%", "2.6\u00a0%")
    assert words.decimal(-1.5, "nl", 1) == "−1,5"
    assert [words.ratio(value, "en") for value in (0.0, 0.123456, 3.4, 14.1, 182.9, 1e7, math.inf)] == [
        "0",
        "0.123",
        "3.40",
        "14.1",
        "183",
        "1.00e+07",
        "∞",
    ]
    assert words.ratio_figure(Figure(2.0, Interval(1.0, math.inf)), "nl") == "2,00 (1,00–∞)"
    assert words.percent_figure(missing(Reason.SUPPRESSED), "nl") == "."


def test_a_narrow_interval_has_the_digits_that_tell_its_ends_apart() -> None:
    shown = [
        words.percent_figure(Figure(value, Interval(low, high)), "en").replace("\u00a0", " ")
        for value, low, high in ((0.5, 0.4, 0.6), (0.023, 0.0218, 0.0242), (0.999, 0.9988, 0.9991), (1.0, 1.0, 1.0))
    ]
    assert shown == [
        "50.0 % (40.0–60.0 %)", "2.30 % (2.18–2.42 %)", "99.900 % (99.880–99.910 %)", "100.0 % (100.0–100.0 %)",
    ]  # fmt: skip
