"""Pages are well-formed, fetch nothing, cannot be broken out of, and say what a released table says."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.governance.explain.page import LANGUAGES, Language
from nskd.governance.explain.words import same
from nskd.packs.codebook import Text
from nskd.report import style
from nskd.report.document import Digest, Document, Section, Table
from nskd.report.page import render
from nskd.report.plots.bars import BarChart
from nskd.report.plots.forest import ForestPlot, Kind, Row
from nskd.report.plots.funnel import FunnelPlot
from nskd.report.plots.spc import ControlPlot
from nskd.report.words import SUPPRESSED_LEGEND
from nskd.statistics.figure import Figure, Interval, Reason, missing
from nskd.statistics.funnel import Group, funnel
from nskd.statistics.spc import Period, p_chart
from tests.examples import examples

from . import samples
from .wellformed import Node, read

KINDS = samples.documents()
HOSTILE = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "</title><script>alert(1)</script>",
            "</style><img src=x onerror=alert(1)>",
            '" onmouseover="alert(1)',
            "' onload='x",
            "<!-- ",
            "-->",
            "]]>",
            "<![CDATA[",
            "</svg><iframe srcdoc='<b>'>",
            "&lt;script&gt;",
            "&#60;script&#62;",
            "\x00<b>",
            "\u202e\u2066evil",
            "\ud800",
            "NaN",
            "javascript:alert(1)",
            "<?xml?>",
            "a\r\n\r\nb",
        ]
    ),
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_well_formed(kind: str, language: Language) -> None:
    page = render(KINDS[kind], language)
    tree = read(page)
    assert page.startswith("<!DOCTYPE html>\n<html lang=")
    assert tree.all("html")[0].attributes["lang"] == language
    page.encode()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_fetched_and_nothing_runs(kind: str) -> None:
    page = render(KINDS[kind])
    assert not re.search(r"<script|https?://|url\(|@import|@font-face|<link|<img|javascript:", page)
    policy = read(page).all("meta")[1].attributes
    assert policy["http-equiv"] == "Content-Security-Policy"
    sheet = re.search("<style>(.*?)</style>", page, flags=re.DOTALL)
    assert sheet is not None
    digest = base64.b64encode(hashlib.sha256(sheet[1].encode()).digest()).decode()
    assert policy["content"].startswith(f"default-src 'none'; style-src 'sha256-{digest}';")


@pytest.mark.parametrize("kind", KINDS)
def test_every_drawing_has_words_and_its_numbers(kind: str) -> None:
    tree = read(render(KINDS[kind]))
    drawings = tree.all("svg")
    assert drawings
    for drawing in drawings:
        assert drawing.attributes["role"] == "img"
        title, description = drawing.children[:2]
        assert (title.name, description.name) == ("title", "desc")
        assert title.words
        assert len(description.words) > 10
        assert drawing.attributes["aria-labelledby"] == f"{title.attributes['id']} {description.attributes['id']}"
    for figure in tree.all("figure"):
        assert [svg.attributes["class"] for svg in figure.all("svg")] == ["wide", "narrow"]
        assert figure.all("details")[0].all("table")


@pytest.mark.parametrize("kind", KINDS)
def test_marks_stay_inside_their_drawing(kind: str) -> None:
    for drawing in read(render(KINDS[kind])).all("svg"):
        _, _, width, height = map(float, drawing.attributes["viewbox"].split())
        for name, across, down in (
            ("line", ("x1", "x2"), ("y1", "y2")),
            ("circle", ("cx",), ("cy",)),
            ("text", ("x",), ("y",)),
        ):
            for node in drawing.all(name):
                assert all(-1 <= float(node.attributes[key]) <= width + 1 for key in across), node
                assert all(-1 <= float(node.attributes[key]) <= height + 1 for key in down), node


def hostile_document(words: str) -> Document:
    text = same(words)
    bars = BarChart(text, text, (text,), (text, text), ((5, None),))
    forest = ForestPlot(text, text, Kind.RATIO, (Row(text, Figure(2.0, Interval(1.0, 3.0)), words),))
    tunnel = FunnelPlot(text, text, text, funnel([Group(words, 50, 100), Group(words, 1, 100), Group(words, 9, 100)]))
    control = ControlPlot(text, text, p_chart([Period(words, 5, 10), Period(words, None, 9)]))
    table = Table(text, (text, text), ((text, None), (text, text)))
    return Document(
        title=words,
        purpose=text,
        centres=(words, words),
        summary=(text,),
        sections=(Section(text, (table, bars, forest, tunnel, control, text)),),
        method=(text,),
        disclosure=(text,),
        digests=(Digest(text, words),),
        released=text,
    )


def shape(node: Node) -> object:
    """Names and attributes' names alone, but for tables' heads: an empty head is a plain cell."""
    name = "td" if node.name == "th" else node.name
    return name, sorted(node.attributes.keys() - {"scope", "aria-label"}), [shape(child) for child in node.children]


def without_labels(node: object) -> object:
    """The same without the texts whose number depends on their length, in a drawing."""
    name, attributes, children = node
    kept = [without_labels(child) for child in children if child[0] not in ("text", "line")]
    return name, attributes, kept


EXPECTED = without_labels(shape(read(render(hostile_document("words")))))


@examples(25)
@given(HOSTILE)
def test_no_text_breaks_out(words: str) -> None:
    page = render(hostile_document(words))
    assert without_labels(shape(read(page))) == EXPECTED
    page.encode()
    shown = "".join(c if c.isprintable() or c in "\u00a0\u202f" else " " for c in words)
    tree = read(page)
    assert tree.all("h1")[0].words == shown
    assert tree.all("title")[0].words == shown
    assert tree.all("code")[0].words == shown


def test_suppressed_cells_are_dots_with_a_legend() -> None:
    tree = read(render(KINDS["table"], "en"))
    row = tree.all("tbody")[0].all("tr")[1]
    assert [cell.words for cell in row.all("td")] == [".", "2025", "2715"]
    assert SUPPRESSED_LEGEND.en in tree.words
    shown = attrs.evolve(
        KINDS["table"], sections=(Section(same("x"), (Table(same("x"), (same("a"),), ((same("b"),),)),)),)
    )
    assert SUPPRESSED_LEGEND.en not in read(render(shown, "en")).words


def test_the_summary_is_in_both_languages_the_pages_own_first() -> None:
    for language, order in (("nl", ["nl", "en"]), ("en", ["en", "nl"])):
        sections = [s for s in read(render(KINDS["table"], language)).all("section") if "lang" in s.attributes]
        assert [section.attributes["lang"] for section in sections] == order
    assert "samen geteld" in sections[1].words
    assert "counted together" in sections[0].words


def test_a_ragged_table_is_refused() -> None:
    with pytest.raises(ValueError, match="cell under each head"):
        Table(Text("", ""), (same("a"), same("b")), ((same("c"),),))


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [style.LIGHT, style.DARK])
def test_colours_have_the_contrast_they_need(theme: dict[str, str]) -> None:
    for ground in style.GROUNDS:
        assert all(contrast(theme[name], theme[ground]) >= 4.5 for name in style.TEXTS)
        assert all(contrast(theme[name], theme[ground]) >= 3.0 for name in style.MARKS)


def test_a_page_needs_no_daemon() -> None:
    code = (
        "import nskd.report.page, nskd.report.kinds, sys\n"
        "print([n for n in sys.modules if n.startswith(('nskd.daemon', 'nskd.peers', 'trio', 'duckdb'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_remarks_have_a_column_only_where_there_are_any() -> None:
    for reason, heads in (
        (None, ["counts", "value (interval)"]),
        (Reason.EMPTY, ["counts", "remark", "value (interval)"]),
    ):
        figure = Figure(0.5) if reason is None else missing(reason)
        plot = ForestPlot(same("t"), same("a"), Kind.SHARE, (Row(same("x"), figure, "1 / 2"),))
        table = read(render(samples.document("x", plot), "en")).all("table")[0]
        assert [head.words for head in table.all("thead")[0].all("th")] == heads


def test_a_figure_named_as_its_section_is_named_once() -> None:
    plot = ForestPlot(same("one name"), same("a"), Kind.SHARE, (Row(same("x"), Figure(0.5), ""),))
    for title, captions in ((same("one name"), 0), (same("another"), 1)):
        document = attrs.evolve(samples.document("x", plot), sections=(Section(title, (plot,)),))
        assert len(read(render(document)).all("figcaption")) == captions


def test_a_long_label_stands_above_its_numbers_where_it_is_narrow() -> None:
    label = same("positive predictive value of it all")
    plot = ForestPlot(same("t"), same("a"), Kind.SHARE, (Row(label, Figure(0.5, Interval(0.4, 0.6)), ""),))
    narrow = read(render(samples.document("x", plot))).all("svg")[1]
    assert label.nl in [node.words for node in narrow.all("text")]
