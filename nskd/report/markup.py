"""Markup that cannot be broken out of: text becomes markup only by :func:`text`, elements only by :func:`element`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import Final, NewType

Markup = NewType("Markup", str)
"""HTML or SVG that is well-formed by construction.  Nothing but this module makes one."""

_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9:-]*")
_VOID: Final = frozenset({"meta", "br", "hr", "link"})
_SPACES: Final = frozenset("\u00a0\u202f")
EMPTY: Final = Markup("")

Value = str | int | float


def plain(value: str) -> str:
    """One line without control, direction-changing or unassigned characters; each becomes a space."""
    return "".join(c if c.isprintable() or c in _SPACES else " " for c in value)


def text(value: str) -> Markup:
    """Text as it is read."""
    return Markup(html.escape(plain(value), quote=True))


def join(parts: Iterable[Markup], between: str = "") -> Markup:
    """Some after each other; ``between`` is text."""
    return Markup(text(between).join(parts))


def element(name: str, attributes: Mapping[str, Value] | None = None, *children: Markup) -> Markup:
    """An element; names are the programmer's own, values are escaped here.

    Event handlers, styles and addresses are refused: no page here needs one.
    """
    opening = [_checked(name)]
    for key, value in (attributes or {}).items():
        folded = key.lower()
        if folded.startswith("on") or folded in ("style", "href", "src", "xlink:href"):
            raise ValueError(f"no element here has the attribute {key}")
        shown = number(value) if isinstance(value, float) else str(value)
        opening.append(f'{_checked(key)}="{html.escape(plain(shown), quote=True)}"')
    start = f"<{' '.join(opening)}>"
    if name in _VOID:
        if children:
            raise ValueError(f"{name} has no content")
        return Markup(start)
    return Markup(f"{start}{''.join(children)}</{name}>")


def style(rules: str) -> Markup:
    """A style sheet; ``rules`` are the programmer's own and hold no markup."""
    if "<" in rules:
        raise ValueError("a style sheet holds no markup")
    return Markup(f"<style>{rules}</style>")


def number(value: float) -> str:
    """A coordinate: hundredths are finer than any screen."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name")
    return name
