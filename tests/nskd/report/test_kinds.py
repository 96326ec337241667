"""A release of each kind becomes a page whose figures are those of other libraries on the same counts, and no more."""

from __future__ import annotations

import copy
import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats.contingency import odds_ratio
from statsmodels.stats.contingency_tables import Table2x2

from nskd.governance.explain.page import LANGUAGES, Language
from nskd.packs.codebook import Text
from nskd.report.context import ReportError
from nskd.report.document import Document, Table
from nskd.report.figures import FigureRow, Figures
from nskd.report.kinds import document as document_of
from nskd.report.kinds import figures as figures_of
from nskd.report.kinds.spc_words import interrupted_section
from nskd.report.page import render
from nskd.report.plots.cascade import CascadePlot
from nskd.report.plots.forest import ForestPlot
from nskd.report.plots.funnel import FunnelPlot
from nskd.report.plots.histogram import Histogram
from nskd.report.plots.spc import ControlPlot
from nskd.statistics.association import VERIFICATION_BIAS
from nskd.statistics.figure import REASONS, Figure, Reason
from nskd.statistics.interrupted import Interrupted
from tests.examples import examples

from . import releases
from .samples import CONTEXT
from .wellformed import read

RELEASES = releases.releases()
OWN = (180, 5600)


def page(release: dict[str, Any], own: tuple[int, int] | None = None) -> Document:
    return document_of(release, CONTEXT, own=own)


def rows_of(release: dict[str, Any]) -> dict[tuple[tuple[str, ...], str], FigureRow]:
    found = figures_of(release, CONTEXT)
    assert isinstance(found, Figures)
    return {(row.keys, row.name): row for row in found.rows}


def block(document: Document, kind: type) -> Any:
    return next(each for section in document.sections for each in section.blocks if isinstance(each, kind))


def texts(document: Document) -> Iterator[Text]:
    yield from (*document.summary, *document.method, *document.disclosure)
    for section in document.sections:
        yield section.title
        for each in section.blocks:
            if isinstance(each, Text):
                yield each
                continue
            table = each
            if not isinstance(each, Table):
                yield each.title
                yield each.describe()
                table = each.data()
            assert isinstance(table, Table)
            yield table.caption
            yield from table.heads
            yield from (cell for row in table.rows for cell in row if isinstance(cell, Text))


def said(document: Document, language: Language) -> str:
    return " ".join(getattr(each, language) for each in texts(document))


def cells(release: dict[str, Any], *axes: str) -> dict[tuple[str, ...], int]:
    return {tuple(cell[axis] for axis in axes): cell["value"] for cell in release["cells"]}


def on_the_page(release: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of a release but for periods before the first and after the last of which a count is shown."""
    axis = next((each for each in release["rows"] if each.startswith("visit_")), None)
    there = [cell for cell in release["cells"] if cell.get(axis) != "total" and cell["value"] is not None]
    if axis is None or not there:
        return list(release["cells"])
    first, last = there[0][axis], there[-1][axis]
    return [cell for cell in release["cells"] if cell[axis] == "total" or first <= cell[axis] <= last]


# --- every kind --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", RELEASES)
def test_every_page_is_well_formed_and_in_both_languages(name: str, language: Language) -> None:
    document = page(RELEASES[name], OWN if name.startswith("funnel") else None)
    html = render(document, language)
    read(html)
    assert not re.search(r"<script|https?://|url\(|<b>", html)
    for each in texts(document):
        assert bool(each.nl.strip()) == bool(each.en.strip()), each
        assert not re.search(r"\bNone\b|\bnan\b|\binf\b|@", each.nl + each.en), each
        # A sentence in one language alone would be the same in both.
        if re.search(r"[a-z]{3,} [a-z]{3,} [a-z]{3,}", each.nl):
            assert each.nl != each.en, each


@pytest.mark.parametrize("name", RELEASES)
def test_every_page_says_what_was_asked_how_and_what_is_missing(name: str) -> None:
    release = RELEASES[name]
    document, language = page(release), "en"
    words = said(document, language)
    assert document.sections[0].title.en == "What was asked"
    for levels in release.get("axes", {}).values():
        for level in levels[:1]:
            if level["where"] is not None and release["kind"] in ("rate", "spc", "funnel", "association"):
                assert level["where"] in words
    there = on_the_page(release)
    hidden = sum(cell["value"] is None for cell in there)
    assert (f"{hidden} of the {len(there)} counts are not shown" in words) == bool(hidden)
    shown = " ".join(each.en for each in document.summary)
    of = " in the periods on this page" if len(there) < len(release["cells"]) else ""
    assert (f"Not shown: {hidden} of the {len(there)} cells{of}, to protect" in shown) == (
        bool(hidden) and name != "regression-none"
    )
    assert ("rounded to multiples of 5" in words) == (release["rounding"] == 5)


@pytest.mark.parametrize("name", [name for name in RELEASES if name.endswith("closed")])
def test_with_all_counts_closed_every_figure_says_so(name: str) -> None:
    rows = rows_of(RELEASES[name])
    assert rows or name == "spc-closed"
    for row in rows.values():
        assert (row.value, row.within, row.note) == (None, None, "suppressed")
    document = page(RELEASES[name], OWN if name.startswith("funnel") else None)
    # Digits are there for counts of cells and for levels only.
    assert any("not shown" in each.en or "not computable" in each.en for each in document.summary)
    for each in document.sections:
        for one in each.blocks:
            if isinstance(one, ForestPlot | CascadePlot | Histogram):
                data = one.data()
                remarks = [row[index] for row in data.rows for index, h in enumerate(data.heads) if h.en == "remark"]
                assert REASONS[Reason.SUPPRESSED] in remarks


def test_a_figure_without_value_says_why_where_it_would_be() -> None:
    for svg in read(render(page(RELEASES["association-closed"]), "en")).all("svg"):
        said = [node.words for node in svg.all("text")]
        assert "a count it needs is not shown" in said
        assert not any("%" in each and each[0].isdigit() for each in said if "interval" not in each)  # no empty scale


def test_a_hidden_count_takes_only_what_needs_it() -> None:
    rows = rows_of(RELEASES["rate-hidden"])
    assert rows[(("9-11",), "share")].note == "suppressed"
    assert rows[(("0-3",), "share")].value is not None


def test_the_tidy_table_has_a_line_a_figure() -> None:
    found = figures_of(RELEASES["rate"], CONTEXT)
    assert found is not None
    lines = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert [line["age_band"] for line in lines] == ["0-3", "4-8", "9-11", "12-17", "total"]
    assert list(lines[0]) == [
        "age_band", "figure", "numerator", "denominator", "value", "low", "high", "level", "note",
    ]  # fmt: skip
    for line, row in zip(lines, found.rows, strict=True):
        assert (float(line["value"]), float(line["low"])) == (row.value, row.within and row.within.low)
    closed = figures_of(RELEASES["rate-closed"], CONTEXT)
    assert closed is not None
    assert list(csv.reader(io.StringIO(closed.to_csv())))[1] == ["0-3", "share", "", "", "", "", "", "", "suppressed"]


# --- rate ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("measure", ["visits", "children"])
def test_shares_are_those_of_scipy(measure: str) -> None:
    release = releases.rate(rounding=1, measure=measure)
    counts = cells(release, "age_band", "@of")
    for (keys, _), row in rows_of(release).items():
        yes = counts[(*keys, "yes")]
        whole = counts[(*keys, "total")] if measure == "children" else yes + counts[(*keys, "no")]
        exact = stats.binomtest(yes, whole).proportion_ci(0.95, method="exact")
        assert row.within is not None
        assert row.value == pytest.approx(yes / whole, rel=1e-12)
        assert (row.within.low, row.within.high) == pytest.approx((exact.low, exact.high), rel=1e-9)


def test_children_are_of_distinct_children_not_of_the_sum_of_cells() -> None:
    release = releases.rate(by="", rounding=1, measure="children")
    for cell in release["cells"]:
        cell["value"] = {"yes": 80, "no": 50, "total": 100}[cell["@of"]]  # thirty came for both
    assert rows_of(release)[((), "share")].value == 0.8
    release["measure"] = "visits"
    assert rows_of(release)[((), "share")].value == pytest.approx(80 / 130)


def test_a_rate_says_its_share_and_where_it_is_lowest_and_highest() -> None:
    release = releases.rate(rounding=1)
    rows = rows_of(release)
    summary = " ".join(each.en for each in page(release).summary)
    whole = rows[(("total",), "share")]
    assert f"{100 * whole.value:.1f}\u00a0%" in summary and f"{whole.numerator} of" in summary
    by_share = sorted((row.value, keys[0]) for (keys, _), row in rows.items() if keys != ("total",))
    low, high = (f"{100 * value:.1f}\u00a0%" for value, _ in (by_share[0], by_share[-1]))
    assert f"It runs from {low} ({by_share[0][1].replace('-', '–')} years) to {high}" in summary
    assert "„Is de NSK ingevuld?” is volledig" in page(release).summary[0].nl


def test_periods_stay_in_order_and_those_beside_the_data_are_left_off() -> None:
    plot = block(page(RELEASES["rate-quarter"]), ForestPlot)
    assert [row.label.nl for row in plot.rows][:3] == ["2024-Q1", "2024-Q2", "2024-Q3"]
    assert [row.label.nl for row in plot.rows][-2:] == ["2025-Q4", "allen samen"]
    assert "are left off: 8" in said(page(RELEASES["rate-quarter"]), "en")


# --- control chart -------------------------------------------------------------------------------------------------


def series(release: dict[str, Any]) -> tuple[list[str], np.ndarray, np.ndarray]:
    counts = cells(release, "visit_month", "@of")
    names = [m for m in releases.MONTHS if counts[(m, "yes")] is not None]
    yes = np.array([counts[(m, "yes")] for m in names])
    return names, yes, yes + np.array([counts[(m, "no")] for m in names])


def test_the_chart_is_that_of_the_formula() -> None:
    release = releases.spc(rounding=1)
    names, yes, size = series(release)
    rows = rows_of(release)
    base = [index for index, name in enumerate(names) if name <= "2025-02"]
    centre = yes[base].sum() / size[base].sum()
    assert rows[((), "centre")].value == pytest.approx(centre, rel=1e-12)
    sigma = np.sqrt(centre * (1 - centre) / size)
    for index, name in enumerate(names):
        row = rows[((name,), "chart-p")]
        assert row.within is not None
        assert row.value == pytest.approx(yes[index] / size[index], rel=1e-12)
        assert row.within.low == pytest.approx(centre - 3 * sigma[index], rel=1e-9)
        assert ("beyond" in row.note.split()) == bool(abs(row.value - centre) > 3 * sigma[index])
    assert rows[(("2024-09",), "chart-p")].note == ""
    assert rows[(("2024-09",), "chart-p")].value is None


def test_before_and_after_is_the_model_of_statsmodels() -> None:
    release = releases.spc(rounding=1)
    names, yes, size = series(release)
    shown = [m for m in releases.MONTHS if names[0] <= m <= names[-1]]
    t = np.array([shown.index(name) for name in names], dtype=float)
    after = shown.index("2025-03")
    design = np.column_stack([np.ones_like(t), t, t >= after, np.maximum(t - after, 0)])
    fit = sm.GLM(np.column_stack([yes, size - yes]), design, family=sm.families.Binomial()).fit(tol=1e-14)
    rows = rows_of(release)
    for place, name in ((2, "level-change"), (3, "slope-change")):
        assert rows[((), f"odds-ratio-{name}")].value == pytest.approx(np.exp(fit.params[place]), rel=1e-7)
    scale = max(fit.pearson_chi2 / fit.df_resid, 1.0)
    reach = stats.t.ppf(0.975, fit.df_resid) * fit.bse[2] * np.sqrt(scale)
    within = rows[((), "odds-ratio-level-change")].within
    assert within is not None
    assert within.low == pytest.approx(np.exp(fit.params[2] - reach), rel=1e-6)
    words = said(page(release), "en")
    assert "The level at the change: higher" in words and "The slope per period after it: no clear change" in words


def test_signals_are_spans_of_periods() -> None:
    words = said(page(RELEASES["spc"]), "en")
    assert "Signal, outside the limits: 2025-03 to 2026-06 (16)" in words
    plot = block(page(RELEASES["spc"]), ControlPlot)
    assert [point.period.name for point in plot.chart.points][::27] == ["2024-03", "2026-06"]


def test_only_periods_that_resemble_their_neighbours_are_warned_of() -> None:
    found = block_of_series(releases.spc(rounding=1))
    for correlation, warned in ((0.5, True), (0.1, False), (-0.5, False)):
        section = interrupted_section("2025-03", 12, attrs.evolve(found, correlation=Figure(correlation)))
        assert any("resemble each other" in each.en for each in section.blocks if isinstance(each, Text)) == warned


def block_of_series(release: dict[str, Any]) -> Interrupted:
    found = block(page(release), ControlPlot).series
    assert isinstance(found, Interrupted)
    return found


def test_a_change_without_two_sides_says_so() -> None:
    release = releases.spc(baseline=None, change="2024-02")
    assert "There must be periods with counts shown before and after the change (2024-02)" in said(page(release), "en")
    assert not [name for _, name in rows_of(release) if name.startswith("odds")]


def test_other_charts_say_what_they_are() -> None:
    assert "Laney 2002" in said(page(RELEASES["spc-laney"]), "nl")
    assert "Roberts 1959" in said(page(RELEASES["spc-ewma"]), "nl")
    assert "no chart" in said(page(RELEASES["spc-closed"]), "en")


@pytest.mark.parametrize(("rounding", "why"), [(5, True), (1, False)])
def test_a_centre_line_that_is_not_the_share_of_all_says_why(rounding: int, why: bool) -> None:
    def size(cell: releases.Keys) -> int:  # rounding takes two from each month, and four from the whole
        return {"2025-01": 12, "2025-02": 12}.get(cell["visit_month"], 0) * (1 if cell["@of"] == "yes" else 3)

    lines = 'of = "nsk_status = \'complete\'"\nby = "visit_month"'
    release = releases.release("spc", lines, size, rounding=rounding)
    summary = " ".join(each.en for each in page(release).summary)
    assert "The centre line is the share over the periods shown together" in summary
    assert ("It differs from the share of all together: numbers are rounded one by one" in summary) == why
    hidden = releases.spc(baseline=None, rounding=1)
    assert "periods that are not shown do not count" in " ".join(each.en for each in page(hidden).summary)
    until = " ".join(each.en for each in page(releases.spc()).summary)
    assert "the share over the periods up to and including 2025-02 together" in until
    assert "It differs" not in until


# --- cascade -------------------------------------------------------------------------------------------------------


def test_a_cascade_counts_all_that_come_after() -> None:
    release = releases.cascade(rounding=1)
    rows, counts = rows_of(release), cells(release, "@step")
    steps = ["positive", "top_to_toe", "advice", "report"]
    at = [sum(counts[(later,)] for later in steps[index:]) for index in range(4)]
    for index, step in enumerate(steps):
        assert rows[((), f"reached:{step}")].value == at[index]
        if index:
            for name, of in (("of-step-before", at[index - 1]), ("of-first-step", at[0])):
                exact = stats.binomtest(at[index], of).proportion_ci(0.95, method="exact")
                within = rows[((), f"{name}:{step}")].within
                assert within is not None
                assert (within.low, within.high) == pytest.approx((exact.low, exact.high), rel=1e-9)
    assert "1640 visits of 62" in page(release).summary[0].en


def test_a_rounded_cascade_says_between_which_numbers_and_covers_the_exact_interval() -> None:
    exact, rounded = rows_of(releases.cascade(rounding=1)), rows_of(releases.cascade())
    table = block(page(releases.cascade()), CascadePlot).data()
    assert table.heads[2].en == "true number, from–to"
    for key, row in exact.items():
        if row.within is not None:
            within = rounded[key].within
            assert within is not None
            assert within.low <= row.within.low and row.within.high <= within.high
        if key[1].startswith("reached:"):
            low, high = (int(n) for n in re.findall(r"\d+", rounded[key].note))
            assert low <= row.value <= high


def test_steps_are_said_each_by_what_it_adds() -> None:
    asked = [each.en for each in page(RELEASES["cascade"]).sections[0].blocks]
    assert asked[1:5] == [
        "Step 1, NSK positive: “Result of the NSK: positive” is positive.",
        "Step 2, Top-to-toe examination: “Top-to-toe examination done” is yes.",
        "Step 3, Advice of Veilig Thuis: “Advice asked from Veilig Thuis” is yes.",
        "Step 4, report: “Report made to Veilig Thuis” is yes.",
    ]


def test_a_closed_step_leaves_what_the_total_gives() -> None:
    rows = rows_of(RELEASES["cascade-hidden"])
    assert rows[((), "reached:positive")].value == 1640
    assert rows[((), "reached:top_to_toe")].note == "suppressed"
    assert rows[((), "of-first-step:report")].value == pytest.approx(100 / 1640)


# --- association ---------------------------------------------------------------------------------------------------


def test_an_association_is_that_of_scipy_and_statsmodels() -> None:
    table = np.array([[168, 1474], [62, 5988]])
    rows = {name: row for (_, name), row in rows_of(releases.association(tuple(table.ravel()), rounding=1)).items()}
    woolf = Table2x2(table)
    low, high = woolf.oddsratio_confint()
    assert rows["odds-ratio-woolf"].within is not None and rows["odds-ratio-conditional"].within is not None
    assert rows["odds-ratio-woolf"].value == pytest.approx(woolf.oddsratio, rel=1e-9)
    assert (rows["odds-ratio-woolf"].within.low, rows["odds-ratio-woolf"].within.high) == pytest.approx((low, high))
    exact = odds_ratio(table, kind="conditional")
    interval = exact.confidence_interval(0.95)
    assert rows["odds-ratio-conditional"].value == pytest.approx(exact.statistic, rel=1e-6)
    assert rows["odds-ratio-conditional"].within.high == pytest.approx(interval.high, rel=1e-6)
    assert rows["fisher-p"].value == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-9)
    for name, correction in (("chi-square", False), ("chi-square-yates", True)):
        test = stats.chi2_contingency(table, correction=correction)
        assert rows[name].value == pytest.approx(test.statistic, rel=1e-9)
        assert rows[f"{name}-p"].value == pytest.approx(test.pvalue, rel=1e-9)
    a, b, c, d = table.ravel()
    for name, part, rest in (
        ("sensitivity", a, c),
        ("specificity", d, b),
        ("positive-predictive", a, b),
        ("negative-predictive", d, c),
        ("prevalence", a + c, b + d),
        ("outcome-exposed", a, b),
        ("outcome-not-exposed", c, d),
    ):
        confint = stats.binomtest(int(part), int(part + rest)).proportion_ci(0.95, method="exact")
        assert rows[name].value == pytest.approx(part / (part + rest), rel=1e-12)
        assert rows[name].within is not None
        assert (rows[name].within.low, rows[name].within.high) == pytest.approx((confint.low, confint.high), rel=1e-9)


def test_only_a_screening_has_sensitivity_and_then_with_its_bias() -> None:
    screening, plain = page(RELEASES["association"]), page(RELEASES["association-plain"])
    for language in LANGUAGES:
        assert getattr(VERIFICATION_BIAS, language) in said(screening, language)
        assert getattr(VERIFICATION_BIAS, language) not in said(plain, language)
    assert "sensitivity" not in said(plain, "en")
    assert not [name for _, name in rows_of(RELEASES["association-plain"]) if name == "sensitivity"]
    assert "more common" in screening.summary[0].en
    assert "less common" in page(releases.association((10, 900, 400, 500))).summary[0].en
    assert "No association is shown" in page(releases.association((100, 900, 100, 900))).summary[0].en


# --- summary -------------------------------------------------------------------------------------------------------


def test_a_summary_bounds_what_the_bins_leave_open() -> None:
    release = releases.summary(rounding=1)
    counts = cells(release, "@bin")
    ends = [(low, high - 1) for low, high in zip(releases.EDGES, (*releases.EDGES[1:], 216), strict=True)]
    keys = [f"{low}-{high}" for low, high in ends[:-1]] + ["192-"]
    size = [counts[(key,)] for key in keys]
    lows, highs = (np.repeat([each[i] for each in ends], size) for i in (0, 1))
    rows = {name: row for (_, name), row in rows_of(release).items()}
    assert rows["mean"].within is not None and rows["mean"].denominator == sum(size)
    assert (rows["mean"].within.low, rows["mean"].within.high) == pytest.approx((lows.mean(), highs.mean()))
    for q in (0.25, 0.5, 0.75):
        within = rows[f"quantile-{q:g}"].within
        assert within is not None
        assert within.low <= np.quantile(lows, q) and np.quantile(highs, q) <= within.high
    rng = np.random.default_rng(1)
    for _ in range(50):
        values = rng.integers(lows, highs + 1)
        assert rows["standard-deviation"].within is not None
        assert rows["standard-deviation"].within.covers(values.std(ddof=1))
        assert rows["mean"].within.covers(values.mean())
    assert rows["mean"].value is None  # nothing that pretends to be exact


def test_counts_by_group_have_bins_down_and_groups_across() -> None:
    release = RELEASES["summary-by"]
    table = page(release).sections[-2].blocks[0]
    assert isinstance(table, Table)
    assert [head.en for head in table.heads] == ["Value", "male", "female", "other", "unknown", "total"]
    shown = [cell for row in table.rows for cell in row[1:]]
    counts = cells(release, "@bin", "sex")
    bins = list(dict.fromkeys(cell["@bin"] for cell in release["cells"]))
    assert shown == [counts[(key, sex)] for key in bins for sex in ("M", "V", "X", "unknown", "total")]


def test_bounds_are_shown_rounded_outwards() -> None:
    release = releases.summary(rounding=1)
    within = rows_of(release)[((), "mean")].within
    assert within is not None
    low, high = (float(n) for n in re.findall(r"between ([\d.]+\d) and ([\d.]+\d)", page(release).summary[0].en)[0])
    assert low <= within.low < low + 0.1 + 1e-9 and high - 0.1 - 1e-9 < within.high <= high


def test_uneven_bins_are_columns_of_equal_density_and_say_so() -> None:
    plot = block(page(RELEASES["summary"]), Histogram)
    assert not plot.even and "area of a column" in said(page(RELEASES["summary"]), "en")
    assert block(page(RELEASES["summary-even"]), Histogram).even
    tree = read(render(page(RELEASES["summary"]), "en"))
    bars = [bar for bar in tree.all("svg")[0].all("rect") if bar.attributes["class"] == "c1"]
    areas = [(float(bar.attributes["width"]) + 1.5) * float(bar.attributes["height"]) for bar in bars]
    counts = [each.count for each in plot.bins]
    per_child = [area / count for area, count in zip(areas, counts, strict=True)]
    assert max(per_child) == pytest.approx(min(per_child), rel=0.01)


def test_a_variable_without_a_largest_value_has_an_open_bin() -> None:
    release = copy.deepcopy(RELEASES["summary"])
    release["reading"]["last"] = None
    row = rows_of(release)[((), "mean")]
    assert row.within is not None and row.within.high == float("inf")
    assert "∞" in said(page(release), "en")
    read(render(page(release)))


# --- funnel --------------------------------------------------------------------------------------------------------


def interpolated(target: float, size: int, tail: float) -> float:
    r = int(stats.binom.ppf(tail, size, target))
    while stats.binom.cdf(r, size, target) <= tail:
        r += 1
    weight = (stats.binom.cdf(r, size, target) - tail) / stats.binom.pmf(r, size, target)
    return float(min(max((r - weight) / size, 0.0), 1.0))


def test_limits_are_exact_around_the_pooled_share() -> None:
    found = block(page(RELEASES["funnel"], OWN), FunnelPlot).funnel
    target = 1435 / (1435 + 61_020)
    assert found.target.value == pytest.approx(target, rel=1e-12)
    for limits in found.points[0].limits:
        tail = (1 - limits.level) / 2
        assert limits.exact.low == pytest.approx(interpolated(target, 5600, tail), rel=1e-9)
        assert limits.exact.high == pytest.approx(interpolated(target, 5600, 1 - tail), rel=1e-9)


def test_ones_own_point_is_on_ones_own_page_and_in_no_file() -> None:
    document = page(RELEASES["funnel"], OWN)
    words = said(document, "en")
    assert "has not left" in words and "180 of 5600" in words and "above the 99.8 % limit" in words
    assert "heeft het ziekenhuis niet verlaten" in said(document, "nl")
    without = said(page(RELEASES["funnel"]), "en")
    assert "Own hospital" not in without and "5600" not in without
    found = figures_of(RELEASES["funnel"], CONTEXT)
    assert found is not None and "5600" not in found.to_csv()
    with pytest.raises(ReportError, match="cannot be a hospital's own counts"):
        page(RELEASES["funnel"], (6, 5))


def test_a_funnel_without_points_has_its_limits() -> None:
    document = page(RELEASES["funnel"])
    plot = block(document, FunnelPlot)
    assert plot.funnel.points == () and len(plot.data().rows) > 3
    assert "each hospital sees its own point only" in said(document, "en")
    assert read(render(document)).all("svg")[0].all("path")


def test_released_points_are_unnamed_and_called_outside_only_if_rounding_leaves_no_doubt() -> None:
    document = page(RELEASES["funnel-points"], OWN)
    plot = block(document, FunnelPlot)
    assert len(plot.funnel.points) == len(releases.POINTS) + 1
    assert plot.funnel.phi.value == 3.2
    words = said(document, "en")
    assert "The 8 points without a name" in words and "φ = 3.20" in words and "clipped at 102.3" in words
    assert "Points of other hospitals are not there" not in words
    assert "Rounded, it can be among the points" in words and "no other hospital sees it" not in words
    assert "has not left the hospital" not in words


def test_points_that_were_asked_for_and_not_shown_are_said_to_be_missing() -> None:
    centres = tuple(f"Ziekenhuis {number}" for number in range(1, 10))
    context = attrs.evolve(CONTEXT, centres=centres)
    none = said(document_of(releases.funnel(points=None, phi=None), context), "en")
    assert "Hospitals without a point: 9. Their counts were too small" in none
    assert "By how much hospitals differ is not shown" in none
    assert "by the charter" not in none and "clipped at" not in none
    assert "Hospitals without a point: 1." in said(document_of(RELEASES["funnel-points"], context), "en")


def test_rules_about_hospitals_are_those_of_a_funnel() -> None:
    for name in ("funnel", "rate"):
        rules = " ".join(each.en for each in page(RELEASES[name]).disclosure)
        assert ("In a funnel plot a hospital sees its own point only" in rules) == (name == "funnel")


@pytest.mark.parametrize("name", ["funnel-none", "funnel-closed"])
def test_a_funnel_without_limits_says_so(name: str) -> None:
    assert "There is no figure" in said(page(RELEASES[name], OWN), "en")


# --- what is no release --------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "format": ("rate", {"format": 2}),
    "kind unknown": ("rate", {"kind": "oracle"}),
    "kind no text": ("rate", {"kind": 3}),
    "no axes": ("rate", {"axes": {}}),
    "axes a list": ("rate", {"axes": [1]}),
    "axis without keys": ("rate", {"axes": {"@of": [{"where": "x"}]}}),
    "axis of others": ("rate", {"axes": {"@of": [{"key": "a", "where": "x"}, {"key": "no", "where": None}]}}),
    "cells none": ("rate", {"cells": []}),
    "cells of text": ("rate", {"cells": ["a"]}),
    "negative": ("rate", {"cells": [{"age_band": "0-3", "@of": key, "value": -5} for key in ("yes", "no", "total")]}),
    "not rounded": ("rate", {"cells": [{"age_band": "0-3", "@of": key, "value": 7} for key in ("yes", "no", "total")]}),
    "rounding": ("rate", {"rounding": 4}),
    "rounding text": ("rate", {"rounding": "5"}),
    "rows": ("rate", {"rows": "age_band"}),
    "no columns": ("rate", {"columns": []}),
    "reading": ("spc", {"reading": ["p"]}),
    "chart": ("spc", {"reading": {"chart": "pie"}}),
    "change": ("spc", {"reading": {"chart": "p", "change": "1999-01"}}),
    "steps": ("cascade", {"reading": {"steps": []}}),
    "other steps": ("cascade", {"reading": {"steps": [{"key": "x"}]}}),
    "screening": ("association", {"reading": {"screening": "no"}}),
    "exposure alone": ("association", {"columns": []}),
    "no bins": ("summary", {"reading": {"variable": "age_months"}}),
    "bins of text": ("summary", {"reading": {"variable": "age_months", "edges": ["0"], "last": 5}}),
    "fewer bins": ("summary", {"reading": {"variable": "age_months", "edges": [0, 6], "last": 215}}),
    "points": ("funnel", {"points": [[5, 4]]}),
    "points of text": ("funnel", {"points": ["a"]}),
    "phi": ("funnel", {"phi": "large"}),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_release_is_refused_in_words(name: str) -> None:
    kind, change = WRONG[name]
    with pytest.raises(ReportError, match="Use the version of nskd that made it"):
        page(RELEASES[kind] | change)


def test_a_count_that_rounding_cannot_give_is_refused_in_a_table_too() -> None:
    table = {"format": 1, "rows": ["age_band"], "columns": [], "measure": "visits", "rounding": 5}
    page(table | {"cells": [{"age_band": "0-3", "value": 10}]})
    with pytest.raises(ReportError, match="has 7 where all are multiples of 5"):
        page(table | {"cells": [{"age_band": "0-3", "value": 7}]})


def test_a_part_above_the_whole_is_refused() -> None:
    release = copy.deepcopy(RELEASES["rate-children"])
    for cell in release["cells"]:
        if cell["@of"] == "total":
            cell["value"] = 5
    with pytest.raises(ReportError, match="contradict each other"):
        page(release)


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 10**7), st.floats(), st.text(max_size=5), st.just([]), st.just({})
)


@examples(60)
@given(st.sampled_from(["table", "rate", "spc", "cascade-by", "association", "summary", "funnel-points"]), st.data())
def test_any_other_document_is_a_page_or_refused(name: str, data: st.DataObject) -> None:
    release = copy.deepcopy(RELEASES[name])
    for _ in range(data.draw(st.integers(1, 2))):
        at: Any = release
        while True:
            key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
            deeper = isinstance(at[key], dict | list) and len(at[key]) > 0
            if deeper and data.draw(st.booleans()):
                at = at[key]
                continue
            if data.draw(st.booleans()):
                at[key] = data.draw(JUNK)
            else:
                del at[key]
            break
        if not release:
            break
    try:
        document = page(release)
        figures_of(release, CONTEXT)
    except ReportError:
        return
    read(render(document))
