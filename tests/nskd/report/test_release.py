"""A released table becomes a document that says what the release says, in the codebook's words, and no more."""

from __future__ import annotations

import attrs
import pytest

from nskd.governance.disclosure import Zeros
from nskd.governance.explain.page import say
from nskd.packs.codebook import Text
from nskd.report.context import ReportError
from nskd.report.document import Document, Table
from nskd.report.kinds import document as document_of
from nskd.report.page import render
from nskd.report.plots.bars import BarChart
from nskd.report.plots.forest import ForestPlot
from nskd.report.words import percent
from nskd.statistics.binomial import share
from nskd.statistics.figure import Reason
from nskd.statistics.rounding import Rounding

from . import samples
from .wellformed import read


def block(document: Document, kind: type) -> object:
    return next(each for section in document.sections for each in section.blocks if isinstance(each, kind))


def test_the_table_is_the_release_in_the_codebooks_words() -> None:
    table = block(samples.table(), Table)
    assert isinstance(table, Table)
    assert [head.en for head in table.heads] == ["Age band in years", "positive", "negative", "not screened"]
    assert table.heads[0].nl == "Leeftijdsgroep in jaren"
    cells = samples.release()["cells"]
    assert [value for row in table.rows for value in row[1:]] == [cell["value"] for cell in cells]
    assert table.rows[1][1] is None
    assert table.caption.en == "Number of children by result of the NSK: positive"


def test_rates_are_of_shown_cells_and_cover_the_rounding() -> None:
    plot = block(samples.table(), ForestPlot)
    assert isinstance(plot, ForestPlot)
    cells = [cell["value"] for cell in samples.release()["cells"]]
    assert plot.rows[0].figure == share(cells[0], cells[1], rounding=Rounding(5)).share
    assert plot.rows[1].figure.reason is Reason.SUPPRESSED
    assert plot.rows[0].counts == f"{cells[0]} / ({cells[0]} + {cells[1]})"


def test_margins_are_in_the_table_and_not_in_the_bars() -> None:
    document = document_of(samples.release(margins=True), samples.CONTEXT)
    table, bars = block(document, Table), block(document, BarChart)
    assert isinstance(table, Table)
    assert isinstance(bars, BarChart)
    assert table.rows[-1][0].nl == table.heads[-1].nl == "totaal"
    assert len(table.rows) == 5
    assert (len(bars.groups), len(bars.series)) == (4, 3)


def test_a_table_without_columns_has_one_bar_a_row() -> None:
    document = document_of(samples.release(rows="sex", columns="", hidden=()), samples.CONTEXT)
    bars = block(document, BarChart)
    assert isinstance(bars, BarChart)
    assert len(bars.series) == 1
    table = block(document, Table)
    assert isinstance(table, Table)
    assert table.heads[1].en == "number of children"
    assert [section.title.en for section in document.sections] == ["What was asked", "Result", "Counts"]
    read(render(document))


def test_a_large_table_has_no_picture() -> None:
    document = document_of(samples.release(rows="visit_month", hidden=()), samples.CONTEXT)
    blocks = [each for section in document.sections for each in section.blocks]
    assert not any(isinstance(each, BarChart) for each in blocks)
    assert any(isinstance(each, ForestPlot) for each in blocks)
    read(render(document))


def test_the_page_says_who_why_when_how_and_under_which_digests() -> None:
    words = read(render(samples.table(), "en")).words
    for wanted in (
        samples.TITLE,
        "Nagaan hoe goed het signaleren",
        "Ziekenhuis Noord",
        "21 September 2026",
        "Not shown: 1 of the 12 cells",
        "rounded to multiples of 5",
        "Clopper–Pearson",
        "at least 10 distinct children",
        "ab" * 32,
        "cd" * 32,
        samples.CHARTER.digest.hex(),
    ):
        assert wanted in words, wanted
    assert "TRUE" not in words  # nobody asked for a condition


def test_a_condition_is_stated() -> None:
    release = samples.release() | {"where": "sex = 'M' AND 1 < 2"}
    assert (
        "Only visits for which: sex = 'M' AND 1 < 2" in read(render(document_of(release, samples.CONTEXT), "en")).words
    )


def test_who_is_counted_stands_in_words_where_it_was_asked_and_in_the_summary() -> None:
    document = document_of(samples.release(margins=True) | {"where": "sex = 'M' AND age_months < 48"}, samples.CONTEXT)
    asked = document.sections[0]
    assert (asked.title.nl, asked.title.en) == ("Wat is gevraagd", "What was asked")
    of = "kinderen met een bezoek waarvoor geldt: „Geslacht” is man en „Leeftijd in maanden” is kleiner dan 48."
    for said in (asked.blocks, document.summary):
        assert any(isinstance(each, Text) and each.nl.endswith(of) for each in said)
    everybody = document_of(samples.release(), samples.CONTEXT)
    assert Text("Het gaat om alle kinderen.", "This is about all children.") in everybody.summary


def test_a_table_with_totals_says_how_many_and_which_share_of_all() -> None:
    release = samples.release(margins=True, hidden=())
    totals = {cell["nsk_positive"]: cell["value"] for cell in release["cells"] if cell["age_band"] == "total"}
    whole = share(totals["ja"], totals["nee"], rounding=Rounding(5)).share
    assert whole.value is not None
    summary = " ".join(each.en for each in document_of(release, samples.CONTEXT).summary)
    assert f"Together they are {totals['total']} children." in summary
    assert f"The share of positive of all, among positive and negative, is {percent(whole.value, 'en')}" in summary
    closed = samples.release(margins=True, hidden=tuple(range(len(release["cells"]))))
    assert "How many they are together is not shown." in [
        each.en for each in document_of(closed, samples.CONTEXT).summary
    ]
    without = " ".join(each.en for each in samples.table().summary)
    assert "Together they are" not in without and "of all, among" not in without


@pytest.mark.parametrize(("zeros", "said"), [(Zeros.SUPPRESS, True), (Zeros.SHOW, False)])
def test_a_dot_may_hide_a_zero_where_zeros_are_closed(zeros: Zeros, said: bool) -> None:
    rules = attrs.evolve(samples.CONTEXT.rules, zeros=zeros)
    words = read(render(document_of(samples.release(), attrs.evolve(samples.CONTEXT, rules=rules)), "en")).words
    assert ("among them there can be zeros, and larger ones too" in words) == said
    assert ("among them there can be larger ones too" in words) != said


def test_nothing_suppressed_says_nothing_of_it() -> None:
    document = document_of(samples.release(hidden=()), samples.CONTEXT)
    assert not any("Not shown" in sentence.en for sentence in document.summary)


def test_all_suppressed_is_a_page_too() -> None:
    document = document_of(samples.release(hidden=tuple(range(12))), samples.CONTEXT)
    assert "12 of the 12" in " ".join(say(sentence, "en") for sentence in document.summary)
    read(render(document))


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"cells": None}, {"cells": [{"age_band": "0-3", "value": -1}], "columns": []}],
)
def test_an_unknown_form_is_refused_in_words(change: dict[str, object]) -> None:
    with pytest.raises(ReportError, match="Use the version"):
        document_of(samples.release() | change, samples.CONTEXT)


def test_a_level_that_the_codebook_lacks_stands_for_itself() -> None:
    release = samples.release() | {
        "rows": ["other"],
        "columns": [],
        "cells": [{"other": "<b>x</b>", "value": 10}],
    }
    document = document_of(release, samples.CONTEXT)
    assert "<b>x</b>" in read(render(document)).words
