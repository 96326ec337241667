"""Releases this centre has and some other centre lacks: it stopped, or could not write, before it had recorded them."""

from __future__ import annotations

from collections.abc import Collection, Iterator


class Wanted:
    """Requests to be run once more, by digest, with the centres that asked.

    A centre only tells of requests that are open with it; so being told of one that is done here is being told that the
    release is missing there.  Kept in memory: whoever lacks it tells again whenever it connects.
    """

    def __init__(self) -> None:
        self._lacking: dict[bytes, set[str]] = {}

    def __contains__(self, request: bytes) -> bool:
        return request in self._lacking

    def __iter__(self) -> Iterator[bytes]:
        return iter(tuple(self._lacking))

    def note(self, request: bytes, centres: Collection[str]) -> None:
        """These lack it."""
        if centres:
            self._lacking.setdefault(request, set()).update(centres)

    def take(self, request: bytes) -> Collection[str]:
        """A run begins: who lacked it until now.  To be noted again if the run fails."""
        return self._lacking.pop(request, set())
