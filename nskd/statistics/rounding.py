"""What a rounded count still says: the counts that it may stand for.

A workshop rounds to the nearest multiple of an odd base b before anything is opened (``docs/protocol.md`` 10.7), each
cell and each total by itself.  A released v therefore stands for any count from v − (b − 1)/2 to v + (b − 1)/2, and for
none below 0 (or below ``least``, where it is known that a shown cell counts at least so many).
"""

from __future__ import annotations

from typing import Final

import attrs

from nskd.statistics.figure import StatisticsError


@attrs.frozen
class Rounding:
    """``base`` is 1 for exact counts, else odd; ``least`` is what every released count is known to reach."""

    base: int = 1
    least: int = 0

    def __attrs_post_init__(self) -> None:
        """Refuse an even base, whose ties would leave the range open."""
        if self.base < 1 or self.base % 2 == 0 or self.least < 0:
            raise StatisticsError(
                f"rounding to multiples of {self.base}, counts from {self.least}, is not known here",
                where="rounding",
                remedy="Give an odd base, 1 for exact counts, and a least count of 0 or more.",
            )

    @property
    def exact(self) -> bool:
        """Whether counts are what they seem."""
        return self.base == 1

    def counts(self, value: int) -> tuple[int, int]:
        """The smallest and the largest count that ``value`` may stand for."""
        if value % self.base:
            raise StatisticsError(
                f"{value} is no multiple of {self.base}", where="rounding", remedy="Give the base that was used."
            )
        half = self.base // 2
        low, high = max(value - half, 0), value + half
        return min(max(low, self.least), high), high


EXACT: Final = Rounding()
