"""A page of plain words: sections of sentences, each in Dutch and in English."""

from __future__ import annotations

from typing import Literal

import attrs

from nskd.governance.question import TableRequest
from nskd.packs.codebook import Text

Language = Literal["nl", "en"]
LANGUAGES: tuple[Language, ...] = ("nl", "en")


def say(text: Text, language: Language) -> str:
    """Return one of the two languages."""
    return text.nl if language == "nl" else text.en


@attrs.frozen
class Section:
    """Some sentences under a title; ``key`` is stable and names the section to programs."""

    key: str
    title: Text
    sentences: tuple[Text, ...]


@attrs.frozen
class Page:
    """Sections in reading order."""

    sections: tuple[Section, ...]


@attrs.frozen
class Question:
    """A request as the page speaks of it.

    ``filter`` is the condition in one spelling, empty for all visits: two questions with equal filters are about the
    same visits.  ``cells`` counts the table's cells, ``None`` where it cannot be laid out.
    """

    table: TableRequest
    requester: str
    filter: str
    cells: int | None
