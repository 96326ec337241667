"""How long this centre has used its keys, and which are due to be replaced."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs

from nskd.keyring import Age

DAY_S: Final = 86_400
NOTICE_S: Final = 30 * DAY_S
"""So long before a key is due it is said: an amendment of the charter takes people."""


@attrs.frozen
class KeyAge:
    """A key of ``kind``, in use since ``since``, due to be replaced at ``due`` (seconds since 1970)."""

    kind: str
    since: int
    due: int


def key_ages(ages: Iterable[Age], rotate_after_s: float) -> list[KeyAge]:
    """When each key is due, the soonest first."""
    return sorted((KeyAge(age.kind, age.since, int(age.since + rotate_after_s)) for age in ages), key=lambda a: a.due)
