"""A released table becomes a document that says what the release says, in the codebook's words, and no more."""

from __future__ import annotations

import pytest

from nskd.governance.explain.page import say
from nskd.report.context import ReportError
from nskd.report.document import Document, Table
from nskd.report.kinds import document as document_of
from nskd.report.page import render
from nskd.report.plots.bars import BarChart
from nskd.report.plots.forest import ForestPlot
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
    assert len(document.sections) == 1
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
        "To see how well screening",
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
