"""A report in Markdown whose gaps are part of it: numbered where they stand, and listed at the end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import attrs

MARK: Final = "OPEN PUNT"


@attrs.frozen
class Open:
    """Something this program cannot know, or people have to judge: ``what`` is to be written by them."""

    what: str


Block = str | Open


@attrs.frozen
class Point:
    """One numbered point; a block is a paragraph, a list or a table in Markdown, or a gap."""

    number: int
    title: str
    blocks: tuple[Block, ...]

    def gaps(self) -> Iterator[tuple[str, str]]:
        """The gaps with their numbers: ``4.2`` is the second one of point 4."""
        for count, gap in enumerate((block for block in self.blocks if isinstance(block, Open)), 1):
            yield f"{self.number}.{count}", gap.what


@attrs.frozen
class Part:
    """A letter, its title, its points."""

    letter: str
    title: str
    points: tuple[Point, ...]


@attrs.frozen
class Report:
    """All of it; ``preface`` are paragraphs above part A."""

    title: str
    preface: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def gaps(self) -> list[tuple[str, str]]:
        """Every gap with its number, in order."""
        return [gap for part in self.parts for point in part.points for gap in point.gaps()]

    def markdown(self) -> str:
        """Write it out."""
        blocks = [f"# {self.title}", *self.preface]
        for part in self.parts:
            blocks.append(f"## {part.letter}. {part.title}")
            for point in part.points:
                blocks.append(f"### {point.number}. {point.title}")
                numbers = iter(number for number, _ in point.gaps())
                blocks += [
                    f"**{MARK} {next(numbers)}** {block.what}" if isinstance(block, Open) else block
                    for block in point.blocks
                ]
        blocks.append("## Open punten")
        blocks.append("\n".join(f"* **{number}** {what}" for number, what in self.gaps) or "Er zijn geen open punten.")
        return "\n\n".join(blocks) + "\n"


def plain(text: str) -> str:
    """Make text safe inside Markdown: one line, and nothing of it is markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", " ".join(text.split()))


def code(value: object) -> str:
    """Write a path, a name or an address as it stands."""
    return "`" + re.sub(r"[`|\s]+", " ", str(value)) + "`"


def bullets(items: Iterable[str]) -> str:
    """Write a list; ``items`` are Markdown already."""
    return "\n".join(f"* {item}" for item in items)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table; cells are Markdown already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
