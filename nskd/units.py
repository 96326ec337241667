"""Quantities as people write them: ``"30 s"``, ``"64 MiB"``, ``"200k"``.

A bare number for a time or a size is refused: whoever wrote it meant a unit, and nobody can know which.
"""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = re.compile(r"([0-9]+(?:_[0-9]+)*)(\.[0-9]+)? ?([A-Za-zµ]*)")
_DURATIONS: Final = {"ms": 0.001, "s": 1, "min": 60, "h": 3_600, "d": 86_400}
_SIZES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_COUNTS: Final = {"": 1, "k": 1_000, "M": 1_000_000}
_CHARS_MAX: Final = 32


def duration_s(value: object) -> float:
    """Read a time in seconds; raises ``ValueError`` with what is wrong and what would be right."""
    return _read(value, _DURATIONS, "a time with its unit", '"30 s" or "5 min"')


def size_bytes(value: object) -> int:
    """Read a size in bytes; raises ``ValueError``."""
    return _whole(_read(value, _SIZES, "a size with its unit", '"64 MiB"'))


def count(value: object) -> int:
    """Read a number of things, a bare whole number or text; raises ``ValueError``."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    return _whole(_read(value, _COUNTS, "a whole number", '200_000 or "200k"'))


def _read(value: object, units: dict[str, float] | dict[str, int], meaning: str, example: str) -> float:
    match = _NUMBER.fullmatch(value) if isinstance(value, str) and len(value) <= _CHARS_MAX else None
    if match is None:
        raise ValueError(f"{meaning} is expected, such as {example}")
    whole, fraction, unit = match.groups()
    if unit not in units:
        known = ", ".join(word for word in units if word)
        raise ValueError(f"the unit {unit!r} is not one of {known}" if unit else f"the unit is missing ({known})")
    return float(whole.replace("_", "") + (fraction or "")) * units[unit]


def _whole(value: float) -> int:
    if value != int(value):
        raise ValueError("it is not a whole number")
    return int(value)
