"""The kinds of request beside a table: what is read of their texts, and what is said of wrong ones."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from nskd.governance.question import (
    AsAssociation,
    AsCascade,
    AsFunnel,
    AsRate,
    AsSpc,
    AsSummary,
    Chart,
    Kind,
    Measure,
)
from nskd.governance.request_text import RequestError, parse_request

CONFIGS = Path(__file__).parents[3] / "configs"
HEAD = 'title = "T"\npurpose = "improvement"\nmeasure = "visits"\n'
STEPS = '[[steps]]\nname = "one"\nwhere = "a = \'x\'"\n[[steps]]\nname = "two"\nwhere = "b = \'y\'"\n'


def text(kind: str, *lines: str) -> bytes:
    return "\n".join((f'kind = "{kind}"', HEAD, *lines)).encode()


def refused(raw: bytes) -> str:
    with pytest.raises(RequestError) as caught:
        parse_request(raw, where="r.toml")
    return str(caught.value)


def test_a_rate_is_a_table_by_groups_and_whether_the_condition_holds() -> None:
    read = parse_request(text("rate", "of = \"a = 'x'\"", 'by = ["b", "c"]'))
    assert (read.kind, read.reading, read.measure) == (Kind.RATE, AsRate(), Measure.VISITS)
    assert (read.rows, read.columns, read.margins) == (("b", "c"), ("@of",), True)
    assert read.variables == ("b", "c")
    (axis,) = read.axes
    assert [(level.key, level.conditions) for level in axis.levels] == [("yes", ("a = 'x'",)), ("no", ())]


def test_without_groups_the_condition_itself_makes_the_rows() -> None:
    for kind, reading in (("rate", AsRate()), ("funnel", AsFunnel())):
        read = parse_request(text(kind, "of = \"a = 'x'\""))
        assert (read.reading, read.rows, read.columns, read.margins) == (reading, ("@of",), (), True)
        assert read.variables == ()


def test_a_control_chart() -> None:
    raw = text("spc", "of = \"a = 'x'\"", 'by = "month"', 'chart = "ewma"', 'baseline = "2025-Q2"', 'change = "2025"')
    assert parse_request(raw).reading == AsSpc(Chart.EWMA, "2025-Q2", "2025")
    assert parse_request(text("spc", "of = \"a = 'x'\"", 'by = "month"')).reading == AsSpc(Chart.P, None, None)


def test_a_cascade_nests_its_steps() -> None:
    read = parse_request(text("cascade", STEPS))
    assert isinstance(read.reading, AsCascade)
    assert [step.key for step in read.reading.steps] == ["one", "two"]
    (axis,) = read.axes
    assert [(level.key, level.conditions) for level in axis.levels] == [
        ("none", ()),
        ("one", ("a = 'x'",)),
        ("two", ("a = 'x'", "b = 'y'")),
    ]
    assert axis.conditions == ("a = 'x'", "b = 'y'")
    assert read.reading.steps[0].label.nl == "one"  # for want of a better name


def test_an_association_has_two_axes() -> None:
    read = parse_request(text("association", "exposure = \"a = 'x'\"", "outcome = \"b = 'y'\"", "screening = true"))
    assert read.reading == AsAssociation(screening=True)
    assert (read.rows, read.columns, read.margins) == (("@exposure",), ("@outcome",), True)
    assert read.conditions == ("a = 'x'", "b = 'y'")


def test_a_summary_has_a_bin_from_each_edge_to_the_next() -> None:
    read = parse_request(text("summary", 'variable = "n"', "bins = [-3, 0, 1, 10]", "where = \"a = 'x'\""))
    assert read.reading == AsSummary("n", (-3, 0, 1, 10))
    (axis,) = read.axes
    assert [(level.key, level.label.en, level.conditions) for level in axis.levels] == [
        ("-3--1", "-3 – -1", ("n >= -3", "n < 0")),
        ("0-0", "0", ("n >= 0", "n < 1")),
        ("1-9", "1 – 9", ("n >= 1", "n < 10")),
        ("10-", "≥ 10", ("n >= 10",)),
        ("other", "missing or lower", ()),
    ]
    assert read.conditions[0] == "a = 'x'"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (text("rat", ""), "r.toml: kind: 'rat' is not known (did you mean 'rate'?)"),
        (text("rate"), "r.toml: of: this key is missing"),
        (text("rate", "of = \"a = 'x'\"", 'rows = "b"'), "unknown key 'rows'"),
        (text("table", 'rows = "b"', "of = \"a = 'x'\""), "unknown key 'of'"),
        (text("funnel", "of = \"a = 'x'\"", 'by = "b"'), "unknown key 'by'"),
        (text("spc", "of = \"a = 'x'\""), "r.toml: by: this key is missing"),
        (text("spc", "of = \"a = 'x'\"", 'by = ["a", "b"]'), "by: 2 variables are named"),
        (text("spc", "of = \"a = 'x'\"", 'by = "m"', 'chart = "x"'), "chart: 'x' is not known"),
        (text("spc", "of = \"a = 'x'\"", 'by = "m"', 'change = "June"'), "change: 'June' is not a month"),
        (text("cascade"), "steps: 0 entries, 2 to 12 are allowed"),
        (text("cascade", STEPS.replace("two", "one")), "steps[1].name: 'one' cannot be used, or not twice"),
        (text("cascade", STEPS.replace("two", "none")), "steps[2].name: 'none' cannot be used"),
        (text("cascade", STEPS.replace("two", "total")), "steps[2].name: 'total' cannot be used"),
        (text("cascade", STEPS + "wher = 1"), "steps[2].wher: unknown key 'wher'"),
        (text("association", "exposure = \"a = 'x'\""), "outcome: this key is missing"),
        (text("summary", 'variable = "n"', "bins = [1]"), "bins: a list of 2 to 250 whole numbers is expected"),
        (text("summary", 'variable = "n"', "bins = [1, 1]"), "bins: 1 follows 1"),
        (text("summary", 'variable = "n"', "bins = [1, 2.5]"), "bins: whole numbers are expected, not a float"),
        (text("summary", 'variable = "n"', "bins = [1, true]"), "bins: whole numbers are expected, not true"),
        (text("summary", 'variable = "n"', "bins = [1, 9999999999]"), "whole numbers are expected, not 9999999999"),
    ],
)
def test_what_is_wrong_is_said_where_it_is(raw: bytes, said: str) -> None:
    assert said in refused(raw)


@pytest.mark.parametrize("path", sorted((CONFIGS / "requests").glob("*.toml")), ids=lambda path: path.stem)
def test_there_is_a_sample_of_every_kind(path: Path) -> None:
    assert parse_request(path.read_bytes()).kind == path.stem == tomllib.loads(path.read_text())["kind"]


def test_no_kind_is_without_a_sample() -> None:
    assert {path.stem for path in (CONFIGS / "requests").glob("*.toml")} == set(Kind) - {Kind.TABLE}
