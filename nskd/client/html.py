"""Results and pages of plain words as HTML for a notebook; every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Final

from nskd.client.errors import plain
from nskd.client.result import Result
from nskd.control.answers import PageSection
from nskd.control.render import Crosstab

_NOTICE: Final = '<p style="border:2px solid #b00;color:#b00;padding:4px"><strong>{}</strong></p>'
_NUMBER: Final = ' style="text-align:right"'


def result_page(result: Result) -> str:
    """The table with its title, notes, and the rules where a cell is closed."""
    tab = Crosstab.of(result.release)
    closed = any(cell["value"] is None for cell in result.release["cells"])
    parts = [] if result.synthetic is None else [_NOTICE.format(_text(result.synthetic.notice))]
    parts.append(_table(tab, result.title))
    if lines := result.figure_lines():
        parts.append(_figures(lines))
    parts += [f"<p>{_text(note)}</p>" for note in result.notes]
    if closed and result.rules:
        parts.append(_list(result.rules))
    return "\n".join(parts)


def sections(pages: Mapping[str, Sequence[PageSection]], language: str) -> str:
    """A page of plain words in one language."""
    return "\n".join(
        f"<h4>{_text(section.title)}</h4>\n{_list(section.sentences)}" for section in pages.get(language, ())
    )


def _table(tab: Crosstab, title: str) -> str:
    heads = [
        " × ".join(f"{name} = {level}" for name, level in zip(tab.columns, each, strict=True)) for each in tab.across
    ]
    first = "".join(f"<th>{_text(name)}</th>" for name in tab.rows)
    first += "".join(f"<th{_NUMBER}>{_text(head or tab.measure)}</th>" for head in heads)
    lines = [
        "".join(f"<th>{_text(level)}</th>" for level in levels)
        + "".join(f"<td{_NUMBER}>{_text(value)}</td>" for value in tab.line(levels))
        for levels in tab.down
    ]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    caption = f"<caption>{_text(f'{title} (number of {tab.measure})')}</caption>"
    return f"<table>\n{caption}\n<thead><tr>{first}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _figures(lines: Sequence[Sequence[str]]) -> str:
    head, *rows = ("".join(f"<td>{_text(cell)}</td>" for cell in line) for line in lines)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head.replace('td>', 'th>')}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _list(sentences: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences) + "</ul>"


def _text(value: object) -> str:
    return escape(plain(value))
