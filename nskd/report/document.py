"""What a page says, before anybody knows how it looks: typed, in both languages, independent of the daemon."""

from __future__ import annotations

from typing import Final, Protocol

import attrs

from nskd.governance.explain.page import Language
from nskd.packs.codebook import Text
from nskd.report.markup import Markup

REMARK: Final = Text("opmerking", "remark")
"""The head of a column that says why a figure is missing, or what is to be known of it; not shown where empty."""

Cell = Text | int | None
"""Words, a count, or a suppressed one."""


@attrs.frozen
class Table:
    """Rows of cells under ``heads``; the first ``labels`` columns name a row, the others are numbers."""

    caption: Text
    heads: tuple[Text, ...]
    rows: tuple[tuple[Cell, ...], ...]
    labels: int = 1

    def __attrs_post_init__(self) -> None:
        """Refuse a ragged table."""
        if not 0 < self.labels <= len(self.heads) or any(len(row) != len(self.heads) for row in self.rows):
            raise ValueError("every row has a cell under each head")

    @property
    def hidden(self) -> int:
        """How many cells are suppressed."""
        return sum(cell is None for row in self.rows for cell in row)


class Plot(Protocol):
    """A figure that can be drawn at any width and read without being seen."""

    @property
    def title(self) -> Text:
        """What it shows."""

    def describe(self) -> Text:
        """What one sees in it, in words."""

    def draw(self, width: int, language: Language) -> tuple[int, Markup]:
        """Its height and the inside of an SVG of that size, in pixels."""

    def data(self) -> Table:
        """The numbers behind it."""


Block = Table | Plot | Text
"""What stands below a heading."""


@attrs.frozen
class Section:
    """A heading with tables, plots and sentences below it."""

    title: Text
    blocks: tuple[Block, ...]


@attrs.frozen
class Digest:
    """A hash by which people can tell that they look at the same thing."""

    label: Text
    value: str


@attrs.frozen
class Document:
    """A result as people read it.  ``released`` is a day in words, ``centres`` are names or titles.

    ``notice`` is what whoever opens the page has to know first.
    """

    title: str
    purpose: Text
    centres: tuple[str, ...]
    summary: tuple[Text, ...]
    sections: tuple[Section, ...]
    method: tuple[Text, ...]
    disclosure: tuple[Text, ...]
    digests: tuple[Digest, ...]
    released: Text | None = None
    notice: Text | None = None
