"""A small drawing kit: scales, ticks, and the few shapes that the plots are made of.

Colours are classes of the page's style sheet, so that one drawing serves light and dark; which group a mark belongs
to is told by its shape, place or words as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import attrs

from nskd.report.markup import Markup, Value, element, join, number, text
from nskd.report.words import SUPPRESSED

FONT: Final = 13  # pixels, as the style sheet has it
_WIDE: Final = 7.4  # pixels a character, about that of the widest font of the style sheet
_WIDE_SMALL: Final = 6.8
Anchor = Literal["start", "middle", "end"]


@attrs.frozen
class Scale:
    """From ``low``…``high`` to pixels ``start``…``end``; with ``log`` equal ratios are equal lengths."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __attrs_post_init__(self) -> None:
        """Refuse a scale that divides by nothing."""
        if not self.low < self.high or (self.log and self.low <= 0.0):
            raise ValueError(f"no scale from {self.low} to {self.high}")

    def __call__(self, value: float) -> float:
        """The pixel of ``value``, at the nearer end if it is beyond."""
        inside = min(max(value, self.low), self.high)
        if self.log:
            part = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            part = (inside - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self, most: int) -> tuple[float, ...]:
        """Round values inside, ``most`` or fewer of them (at least one)."""
        return _log_ticks(self.low, self.high, most) if self.log else _ticks(self.low, self.high, most)


def _ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Multiples of 1, 2 or 5 times a power of ten."""
    rough = (high - low) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1.0, 2.0, 5.0, 10.0, 20.0, 50.0):
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= max(most, 1):
            break
    # Multiplying by a whole number and dividing by a power of ten keeps 0.3 from becoming 0.30000000000000004.
    return tuple(float(f"{index * step:.12g}") for index in range(first, last + 1)) or (low,)


def _log_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """1, 2, 5 or 1 alone times powers of ten, or fewer of these."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors, stride in (((1, 2, 5), 1), ((1,), 1), ((1,), 2), ((1,), 3), ((1,), 5), ((1,), 10)):
        found = tuple(
            float(f"{factor}e{power}")
            for power in range(first, last + 1)
            if power % stride == 0
            for factor in factors
            if low <= float(f"{factor}e{power}") <= high
        )
        if len(found) <= max(most, 1):
            break
    return found or (low,)


def digits(ticks: Sequence[float], scale: float = 1.0) -> int:
    """How many digits after the point tell these apart, when multiplied by ``scale``."""
    for count in range(7):
        if all(abs(round(each * scale, count) - each * scale) < 1e-9 for each in ticks):
            return count
    return 7


def wide(words: str, *, small: bool = False) -> float:
    """About how many pixels a text takes."""
    return (_WIDE_SMALL if small else _WIDE) * len(words)


def shortened(words: str, pixels: float, *, small: bool = False) -> str:
    """As much of a text as fits, with an ellipsis where some is lost."""
    fits = max(int(pixels / (_WIDE_SMALL if small else _WIDE)), 1)
    return words if len(words) <= fits else words[: max(fits - 1, 1)].rstrip() + "…"


def drawing(width: int, height: int, *, key: str, title: str, description: str, css: str, inside: Markup) -> Markup:
    """A whole SVG with its text alternative; ``key`` is unique in the page."""
    return element(
        "svg",
        {
            "class": css,
            "viewBox": f"0 0 {width} {height}",
            "role": "img",
            "aria-labelledby": f"{key}-t {key}-d",
            "preserveAspectRatio": "xMinYMin meet",
        },
        element("title", {"id": f"{key}-t"}, text(title)),
        element("desc", {"id": f"{key}-d"}, text(description)),
        inside,
    )


def words(x: float, y: float, content: str, *, anchor: Anchor = "start", css: str = "", turn: bool = False) -> Markup:
    """A text with its baseline at ``y``; ``turn`` makes it run upwards."""
    attributes: dict[str, Value] = {"x": float(x), "y": float(y)}
    if anchor != "start":
        attributes["text-anchor"] = anchor
    if css:
        attributes["class"] = css
    if turn:
        attributes["transform"] = f"rotate(-90 {number(x)} {number(y)})"
    return element("text", attributes, text(content))


def line(x1: float, y1: float, x2: float, y2: float, css: str) -> Markup:
    """A straight line."""
    return element("line", {"x1": float(x1), "y1": float(y1), "x2": float(x2), "y2": float(y2), "class": css})


def box(x: float, y: float, width: float, height: float, css: str) -> Markup:
    """A filled rectangle; none of negative size."""
    sides: Mapping[str, Value] = {
        "x": float(x),
        "y": float(y),
        "width": float(max(width, 0.0)),
        "height": float(max(height, 0.0)),
        "class": css,
    }
    return element("rect", sides)


def hidden(x: float, y: float, *, anchor: Anchor = "start") -> Markup:
    """The dot of a suppressed number, large enough to be seen."""
    return words(x, y, SUPPRESSED, anchor=anchor, css="hidden")


def path(points: Sequence[tuple[float, float] | None], css: str) -> Markup:
    """A broken line through ``points``; None lifts the pen."""
    steps, pen_down = [], False
    for point in points:
        if point is not None:
            steps.append(f"{'L' if pen_down else 'M'}{number(point[0])} {number(point[1])}")
        pen_down = point is not None
    return element("path", {"d": " ".join(steps), "class": css}) if steps else Markup("")


Shape = Literal["dot", "up", "down", "left", "right", "diamond", "square"]


def mark(shape: Shape, x: float, y: float, size: float, css: str) -> Markup:
    """A mark of about ``size`` pixels from its middle to its edge."""
    if shape == "dot":
        return element("circle", {"cx": float(x), "cy": float(y), "r": float(size), "class": css})
    corners: dict[str, tuple[tuple[float, float], ...]] = {
        "up": ((0, -1.25), (1.15, 0.85), (-1.15, 0.85)),
        "down": ((0, 1.25), (1.15, -0.85), (-1.15, -0.85)),
        "left": ((-1.25, 0), (0.85, -1.15), (0.85, 1.15)),
        "right": ((1.25, 0), (-0.85, 1.15), (-0.85, -1.15)),
        "diamond": ((0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)),
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
    }
    points = " ".join(f"{number(x + size * dx)},{number(y + size * dy)}" for dx, dy in corners[shape])
    return element("polygon", {"points": points, "class": css})


@attrs.frozen
class LegendEntry:
    """A mark or a line (``shape`` None), and what it stands for."""

    shape: Shape | None
    css: str
    meaning: str


def legend(entries: Sequence[LegendEntry], x: float, y: float, width: float) -> tuple[float, Markup]:
    """Entries side by side as far as they fit, from ``y`` down; returns the height taken."""
    parts: list[Markup] = []
    left, top = x, y
    for entry in entries:
        room = x + width
        taken = 24 + wide(entry.meaning, small=True) + 14
        if left > x and left + taken - 14 > room:
            left, top = x, top + 20
        sign = (
            line(left, top + 8, left + 18, top + 8, entry.css)
            if entry.shape is None
            else mark(entry.shape, left + 9, top + 8, 5, entry.css)
        )
        parts += [sign, words(left + 24, top + 12, shortened(entry.meaning, room - left - 24, small=True), css="small")]
        left += taken
    return (top - y + 20 if entries else 0.0), join(parts)
