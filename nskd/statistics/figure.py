"""A figure: a number with its interval, or the reason why there is none."""

from __future__ import annotations

import enum
import math
from types import MappingProxyType
from typing import Final

import attrs

from nskd.errors import OperatorError
from nskd.packs.codebook import Text

Count = int | None
"""A released count; ``None`` where the cell was suppressed."""


class StatisticsError(OperatorError):
    """Counts that cannot be what they are said to be: negative, more of a part than of the whole, of unequal length."""


class Reason(enum.Enum):
    """Why a figure has no value."""

    SUPPRESSED = "suppressed"  # it needs a count that was not released
    EMPTY = "empty"  # nobody to divide by
    ZERO_CELL = "zero-cell"  # a zero among the counts leaves it 0/0, or infinite
    TOO_FEW = "too-few"  # fewer than the smallest group it is shown for
    CONSTANT = "constant"  # nothing varies, so nothing can be estimated
    SEPARATED = "separated"  # the covariates tell the outcomes apart: the estimate is infinite
    COLLINEAR = "collinear"  # the covariates determine each other: no single estimate
    NOT_CONVERGED = "not-converged"
    SATURATED = "saturated"  # as many parameters as patterns: nothing left over to test with


REASONS: Final = MappingProxyType(
    {
        Reason.SUPPRESSED: Text(
            "een aantal dat hiervoor nodig is, wordt niet getoond", "a count it needs is not shown"
        ),
        Reason.EMPTY: Text("er is niemand om door te delen", "there is nobody to divide by"),
        Reason.ZERO_CELL: Text("een aantal is nul", "a count is zero"),
        Reason.TOO_FEW: Text("de groep is te klein", "the group is too small"),
        Reason.CONSTANT: Text("er is geen spreiding", "nothing varies"),
        Reason.SEPARATED: Text("de kenmerken scheiden de uitkomsten volledig", "the covariates separate the outcomes"),
        Reason.COLLINEAR: Text("de kenmerken bepalen elkaar", "the covariates determine each other"),
        Reason.NOT_CONVERGED: Text("de berekening liep niet uit op één waarde", "the computation did not settle"),
        Reason.SATURATED: Text("er blijft niets over om te toetsen", "nothing is left over to test with"),
    }
)
"""Each reason in a few words."""


@attrs.frozen
class Interval:
    """From ``low`` to ``high``, both included; either may be infinite."""

    low: float
    high: float

    def __attrs_post_init__(self) -> None:
        """Refuse what is no interval."""
        if not self.low <= self.high:  # also refuses NaN
            raise ValueError(f"no interval: {self.low} to {self.high}")

    def covers(self, value: float) -> bool:
        """Whether ``value`` lies in it."""
        return self.low <= value <= self.high


@attrs.frozen
class Figure:
    """``value`` with ``interval`` where one is known, or neither and ``reason``."""

    value: float | None
    interval: Interval | None = None
    reason: Reason | None = None

    def __attrs_post_init__(self) -> None:
        """Refuse a figure that is both there and not, and one that is not a number."""
        if (self.value is None) == (self.reason is None) or (self.value is None and self.interval is not None):
            raise ValueError("a figure has a value or a reason")
        if self.value is not None and math.isnan(self.value):
            raise ValueError("a figure is a number")


def missing(reason: Reason) -> Figure:
    """Make a figure that cannot be computed."""
    return Figure(None, reason=reason)


def check_count(value: Count, where: str) -> None:
    """Raise :class:`StatisticsError` for what is no count."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise StatisticsError(
            f"{value!r} is no count", where=where, remedy="Give whole numbers from 0, or None where suppressed."
        )


def check_part(part: Count, whole: Count, where: str) -> None:
    """Raise :class:`StatisticsError` unless ``part`` of ``whole`` is possible as far as both are known."""
    check_count(part, where)
    check_count(whole, where)
    if part is not None and whole is not None and part > whole:
        raise StatisticsError(
            f"{part} of {whole} is more than all", where=where, remedy="Give a part and the whole that it is of."
        )


def check_level(level: float) -> None:
    """Raise :class:`StatisticsError` unless ``level`` is a confidence level."""
    if not 0.0 < level < 1.0:
        raise StatisticsError(
            f"{level!r} is no confidence level", where="level", remedy="Give a number between 0 and 1, such as 0.95."
        )
