"""One target: a function of bytes that raises on whatever is not documented, and samples to begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs

Check = Callable[[bytes], None]


@attrs.frozen
class Target:
    """``make`` sets up once and returns the check of one input.

    ``seeds`` are valid samples; what was found besides lies in the corpus.  ``bytes_max`` and ``seconds_max`` bound an
    input and its time; ``mutations`` is how many the suite tries beside the corpus.
    """

    name: str
    make: Callable[[], Check]
    seeds: Callable[[], Iterable[bytes]]
    bytes_max: int = 4096
    seconds_max: int = 5
    mutations: int = 150


class Script:
    """An input read as a list of choices, for targets that need genuine bytes around the false ones."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self, below: int) -> int:
        """A choice of ``below`` (at most 65536); 0 once the input is used up."""
        return int.from_bytes(self.take(1 if below <= 256 else 2), "little") % below

    def take(self, count: int) -> bytes:
        """At most so many bytes."""
        piece = self._data[self._at : self._at + count]
        self._at += len(piece)
        return piece

    def blob(self, most: int) -> bytes:
        """A number of bytes, which the input says itself."""
        return self.take(self.number(most + 1))

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))

    def edited(self, genuine: bytes) -> bytes:
        """Genuine bytes as the script changes them: nothing, a part, a cut, more of it, or all."""
        how, at = self.number(6), self.number(1 << 16) % (len(genuine) + 1)
        match how:
            case 0:
                return genuine
            case 1:
                mask = self.blob(16)
                part = bytes(a ^ b for a, b in zip(genuine[at:], mask, strict=False))
                return genuine[:at] + part + genuine[at + len(part) :]
            case 2:
                return genuine[:at]
            case 3:
                return genuine[:at] + self.blob(64) + genuine[at:]
            case 4:
                return genuine[:at] + genuine[at + self.number(64) :]
            case _:
                return self.blob(2048)
