"""The lies, and those that can be made from any message."""

from __future__ import annotations

import enum
from collections.abc import Iterator

import attrs
import numpy as np

from protocol import field
from protocol.wire import Message


class Lie(enum.Enum):
    """What may be wrong with a message; CONTRIBUTING.md asks it of each."""

    MALFORMED = "malformed"
    LENGTH = "of the wrong length"
    TYPE = "of the wrong type"
    OVERSIZED = "oversized"
    REPLAYED = "replayed"
    REORDERED = "reordered"
    EQUIVOCATED = "told differently to different parties"
    LATE = "late"
    MISSING = "missing"
    FALSE = "valid but false"


@attrs.frozen
class False_:  # noqa: N801 - False is taken
    """A message in place of the honest one; ``None``: nothing is sent, and the liar leaves."""

    lie: Lie
    name: str
    message: Message | None
    to: int | None = None  # one receiver alone, the others are told the truth


def _with(message: Message, *parts: np.ndarray) -> Message:
    return attrs.evolve(message, parts=tuple(np.ascontiguousarray(part) for part in parts))


def changed(part: np.ndarray) -> np.ndarray:
    """Another array of the same form, an allowed one where it holds field elements."""
    found = part.copy()
    flat = found.reshape(-1)
    if flat.size:
        middle = flat.size // 2
        if found.dtype == np.uint64:
            flat[middle] = np.uint64((int(flat[middle]) + 1) % field.P)
        else:
            flat[middle] ^= 1
    return found


def lies(message: Message, earlier: Message | None, *, one: int) -> Iterator[False_]:
    """Every lie that follows from the form of ``message`` alone; ``one`` is the party that an equivocator picks."""
    first, *rest = message.parts or (np.empty(0, np.uint8),)
    number, dot, label = message.step.partition(".")
    yield False_(Lie.MALFORMED, "no array", _with(message))
    yield False_(Lie.MALFORMED, "an array too many", _with(message, *message.parts, first))
    yield False_(Lie.MALFORMED, "two dimensions", _with(message, first.reshape(1, -1), *rest))
    yield False_(Lie.MALFORMED, "no elements in three", _with(message, np.empty((0, 3), first.dtype), *rest))
    yield False_(Lie.MALFORMED, "all ones", _with(message, np.full_like(first, np.iinfo(first.dtype).max), *rest))
    yield False_(Lie.LENGTH, "one less", _with(message, first.reshape(-1)[:-1], *rest))
    longer = np.concatenate([first.reshape(-1), np.zeros(1, first.dtype)])
    yield False_(Lie.LENGTH, "one more", _with(message, longer, *rest))
    other = np.uint64 if first.dtype == np.uint8 else np.uint8
    yield False_(Lie.TYPE, "another type", _with(message, np.zeros(first.shape, other), *rest))
    yield False_(Lie.OVERSIZED, "a mebibyte more", _with(message, np.zeros(first.size + (1 << 20), first.dtype), *rest))
    if earlier is not None:
        yield False_(Lie.REPLAYED, "the message before", earlier)
        yield False_(Lie.REPLAYED, "what was said before", attrs.evolve(message, parts=earlier.parts))
    following = f"{int(number) + 1}.{label}" if dot else "1.next"
    yield False_(Lie.REORDERED, "the next step's", attrs.evolve(message, step=following))
    yield False_(Lie.EQUIVOCATED, "another one to one", _with(message, changed(first), *rest), to=one)
    yield False_(Lie.FALSE, "another one to all", _with(message, changed(first), *rest))
    yield False_(Lie.MISSING, "nothing", None)
