"""A page of plain words on a terminal: a title, its sentences below it with hanging bullets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from nskd.control import answers
from nskd.control.answers import PageSection
from nskd.control.app import App
from nskd.control.render import plain, request

Language = Literal["nl", "en"]
_NAMES: Final = {"nl": "Nederlands", "en": "English"}


def show(console: Console, pages: dict[str, list[PageSection]], language: Language | None) -> None:
    """Print the page in ``language``, or in every language there is, each under its name."""
    chosen = [language] if language else [name for name in _NAMES if name in pages]
    for name in chosen:
        if language is None:
            console.print(Text(_NAMES[name], style="bold underline"))
            console.print()
        _sections(console, pages.get(name, ()))


def show_request(app: App, name: str, language: Language | None) -> answers.RequestDetail:
    """Fetch a request and print what it means and who has said what: what a steward decides on."""

    def view(console: Console, detail: answers.RequestDetail) -> None:
        show(console, detail.pages, language)
        request(console, detail)

    return app.show(app.call("request.show", request=name), answers.RequestDetail, view)


def _sections(console: Console, sections: Sequence[PageSection]) -> None:
    for section in sections:
        console.print(Text(plain(section.title), style="bold"))
        grid = Table.grid(padding=(0, 1))
        for sentence in section.sentences:
            grid.add_row(Text("-", style="dim"), Text(plain(sentence)))
        console.print(grid)
        console.print()
