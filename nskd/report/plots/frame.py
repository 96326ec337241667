"""What plots with two axes share: margins, grid lines, tick labels, axis titles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from nskd.report.markup import Markup
from nskd.report.svg import FONT, Scale, line, wide, words

NARROW: Final = 520  # below it, labels stand above what they name instead of beside it
_BELOW: Final = 48
_ABOVE: Final = 26
_TICK_GAP: Final = 6
_PER_TICK_X: Final = 64
_PER_TICK_Y: Final = 48


@attrs.frozen
class Frame:
    """The rectangle inside the axes, in pixels."""

    left: float
    top: float
    right: float
    bottom: float


def frame(width: int, height: int, tick_labels: Sequence[str], *, right: float = 14) -> Frame:
    """Leave room for the labels of the upright axis, and for the level one's and its title."""
    room = max((wide(label, small=True) for label in tick_labels), default=0.0)
    return Frame(room + _TICK_GAP + 4, _ABOVE, width - right, height - _BELOW)


def upright_axis(
    box: Frame, scale: Scale, ticks: Sequence[float], label: Callable[[float], str], title: str
) -> list[Markup]:
    """Grid lines across with their values, and the title above, where it reads without turning one's head."""
    parts = [words(0, FONT, title, css="small")]
    for tick in ticks:
        y = scale(tick)
        parts.append(line(box.left, y, box.right, y, "grid"))
        parts.append(words(box.left - _TICK_GAP, y + 4, label(tick), anchor="end", css="small"))
    return parts


def level_axis(
    box: Frame, scale: Scale, ticks: Sequence[float], label: Callable[[float], str], title: str
) -> list[Markup]:
    """Short ticks with their values, and the title below."""
    parts = [line(box.left, box.bottom, box.right, box.bottom, "axis")]
    for tick in ticks:
        x = scale(tick)
        parts.append(line(x, box.bottom, x, box.bottom + 4, "axis"))
        parts.append(words(x, box.bottom + 18, label(tick), anchor="middle", css="small"))
    parts.append(words((box.left + box.right) / 2, box.bottom + 38, title, anchor="middle", css="small"))
    return parts


def most_ticks(box: Frame) -> tuple[int, int]:
    """How many fit along the level and the upright axis."""
    return max(int((box.right - box.left) / _PER_TICK_X), 2), max(int((box.bottom - box.top) / _PER_TICK_Y), 2)
