"""What others can cause at this centre at will, and what costs it something: a burst, then one at a time."""

from __future__ import annotations

import attrs


@attrs.define
class Allowance:
    """``burst`` in a row, then one more for every ``every_s`` seconds since ``at``, and at most a burst."""

    burst: int
    every_s: float
    at: int
    _left: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._left = self.burst

    def has_left(self, now: int) -> bool:
        """Whether one more is allowed."""
        refilled = self._left + max(0, now - self.at) / self.every_s
        self._left, self.at = min(refilled, self.burst), now
        return self._left >= 1

    def take(self, now: int) -> bool:
        """One more; False, and nothing is taken, if there is none left."""
        if not self.has_left(now):
            return False
        self._left -= 1
        return True
