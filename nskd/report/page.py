"""A document as one HTML page: no script, nothing fetched, and a policy in its head that would stop both."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Final

from nskd.governance.explain.page import LANGUAGES, Language, say
from nskd.packs.codebook import Text
from nskd.report import words
from nskd.report.document import REMARK, Cell, Document, Plot, Section, Table
from nskd.report.markup import EMPTY, Markup, Value, element, join, style, text
from nskd.report.style import SHEET
from nskd.report.svg import drawing

WIDE: Final = 720  # pixels of the two drawings of each plot; the style sheet shows the one that fits
NARROW: Final = 350
_NOTHING: Final = Text("", "")
_BEFORE_PER_CENT: Final = re.compile(r"(?<=\d) (?=%)")


def render(document: Document, language: Language = "nl") -> str:
    """The whole page; the summary is in both languages, everything else in ``language``."""
    title = text(document.title)
    sections = join(_section(each, index, language) for index, each in enumerate(document.sections))
    main = element(
        "main",
        None,
        element("h1", None, title),
        _notice(document, language),
        _facts(document, language),
        _summary(document, language),
        sections,
        _listed(words.METHOD, document.method, language),
        _listed(words.DISCLOSURE, document.disclosure, language),
        _digests(document, language),
    )
    page = element("html", {"lang": language}, _head(title), element("body", None, main))
    return f"<!DOCTYPE html>\n{page}\n"


def _head(title: Markup) -> Markup:
    # The page's only style sheet is allowed by its hash, and nothing else is: no script, image, font, frame or form.
    digest = base64.b64encode(hashlib.sha256(SHEET.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        None,
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "referrer", "content": "no-referrer"}),
        element("title", None, title),
        style(SHEET),
    )


def _notice(document: Document, language: Language) -> Markup:
    if document.notice is None:
        return EMPTY
    return element("p", {"class": "notice", "role": "note"}, text(say(document.notice, language)))


def _facts(document: Document, language: Language) -> Markup:
    facts = [(words.PURPOSE, text(say(document.purpose, language)))]
    if document.centres:
        facts.append((words.WHO, text(", ".join(document.centres))))
    if document.released is not None:
        facts.append((words.RELEASED, text(say(document.released, language))))
    return element("dl", {"class": "facts"}, *_pairs(facts, language))


def _pairs(facts: Iterable[tuple[Text, Markup]], language: Language) -> Iterable[Markup]:
    for label, value in facts:
        yield element("dt", None, text(say(label, language)))
        yield element("dd", None, value)


def _summary(document: Document, language: Language) -> Markup:
    order = sorted(LANGUAGES, key=lambda each: each != language)
    parts = (
        element(
            "section",
            {"lang": each, "aria-labelledby": f"summary-{each}"},
            element("h2", {"id": f"summary-{each}"}, text(say(words.SUMMARY, each))),
            *(element("p", None, _sentence(sentence, each)) for sentence in document.summary),
        )
        for each in order
    )
    return element("div", {"class": "summary"}, *parts)


def _sentence(sentence: Text, language: Language) -> Markup:
    """Prose, in which no line breaks between a number and its per-cent sign."""
    return text(_BEFORE_PER_CENT.sub("\u00a0", say(sentence, language)))


def _section(section: Section, index: int, language: Language) -> Markup:
    parts = [_heading(section.title, language)]
    tables: list[Table] = []
    for place, block in enumerate(section.blocks):
        if isinstance(block, Text):
            parts.append(element("p", None, _sentence(block, language)))
        elif isinstance(block, Table):
            parts += [element("p", {"class": "caption"}, text(say(block.caption, language))), _table(block, language)]
            tables.append(block)
        else:
            data = block.data()
            parts.append(_figure(block, data, f"p{index}-{place}", language, named=block.title != section.title))
            tables.append(data)
    # Once a section: it stands near every dot, and is not read out after each figure.
    return element("section", None, *parts, _legend(tables, language))


def _figure(plot: Plot, data: Table, key: str, language: Language, *, named: bool) -> Markup:
    """A plot at both widths, and its numbers; ``named`` unless its title is that of the section right above."""
    title, description = say(plot.title, language), say(plot.describe(), language)
    drawings = []
    for css, width in (("wide", WIDE), ("narrow", NARROW)):
        height, inside = plot.draw(width, language)
        # Only one is displayed, and what is not displayed is not read aloud either.
        drawings.append(
            drawing(width, height, key=f"{key}-{css}", title=title, description=description, css=css, inside=inside)
        )
    numbers = element(
        "details",
        None,
        element("summary", None, text(say(words.NUMBERS, language))),
        _table(data, language),
    )
    caption = (element("figcaption", None, text(title)),) if named else ()
    return element("figure", None, *caption, *drawings, numbers)


def _table(table: Table, language: Language) -> Markup:
    table = _telling(table)

    def css(index: int) -> dict[str, Value]:
        return {"class": "n"} if index >= table.labels else {}

    head = (
        element("th", {"scope": "col", **css(index)}, text(say(each, language)))
        if say(each, language)
        else element("td", css(index))  # an empty head is no head to anybody who hears it
        for index, each in enumerate(table.heads)
    )
    rows = (
        element("tr", None, *(_cell(cell, index, table.labels, language) for index, cell in enumerate(row)))
        for row in table.rows
    )
    grid = element(
        "table",
        {"aria-label": say(table.caption, language)},
        element("thead", None, element("tr", None, *head)),
        element("tbody", None, *rows),
    )
    # A region that scrolls can be reached by keyboard, and says what it is.
    region: dict[str, Value] = {
        "class": "scroll",
        "role": "region",
        "tabindex": 0,
        "aria-label": say(table.caption, language),
    }
    return element("div", region, grid)


def _telling(table: Table) -> Table:
    """Without columns of remarks in which nothing is remarked."""
    said = [
        head != REMARK or any(row[index] != _NOTHING for row in table.rows) for index, head in enumerate(table.heads)
    ]
    if all(said):
        return table
    return Table(
        table.caption,
        tuple(itertools.compress(table.heads, said)),
        tuple(tuple(itertools.compress(row, said)) for row in table.rows),
        sum(said[: table.labels]),
    )


def _cell(cell: Cell, index: int, labels: int, language: Language) -> Markup:
    shown = text(say(cell, language) if isinstance(cell, Text) else words.count(cell))
    if index == 0:
        return element("th", {"scope": "row"}, shown)
    css = " ".join(name for name, on in (("n", index >= labels), ("hidden", cell is None)) if on)
    return element("td", {"class": css} if css else None, shown)


def _legend(tables: Sequence[Table], language: Language) -> Markup:
    if not any(table.hidden for table in tables):
        return EMPTY
    return element("p", {"class": "legend"}, text(say(words.SUPPRESSED_LEGEND, language)))


def _listed(title: Text, sentences: Sequence[Text], language: Language) -> Markup:
    if not sentences:
        return EMPTY
    items = (element("li", None, _sentence(each, language)) for each in sentences)
    return element("section", None, _heading(title, language), element("ul", None, *items))


def _digests(document: Document, language: Language) -> Markup:
    if not document.digests:
        return EMPTY
    facts = ((each.label, element("code", None, text(each.value))) for each in document.digests)
    return element(
        "section",
        None,
        _heading(words.VERIFY, language),
        element("p", None, text(say(words.VERIFY_WHY, language))),
        element("dl", {"class": "facts"}, *_pairs(facts, language)),
    )


def _heading(title: Text, language: Language) -> Markup:
    return element("h2", None, text(say(title, language)))
