"""Until when the documents hold that this centre works under: purposes of the charter, its standing policy, permits.

Keys have no end of their own: they hold as long as the charter lists them.
"""

from __future__ import annotations

import datetime

import attrs

from nskd.daemon.workshop import Workshop
from nskd.governance.own_policy import OwnPolicy


@attrs.frozen
class Expiry:
    """A document: its ``kind`` (purpose, standing-policy, permit), its ``name``, and the moment from which it is over.

    ``at`` is in seconds since 1970.  Of permits only the kind is told, and of all that hold the one that ends first.
    """

    kind: str
    name: str
    at: int


def expiries(workshop: Workshop, own_policy: OwnPolicy | None, now: int) -> list[Expiry]:
    """All that have an end."""
    found = [
        Expiry("purpose", purpose.id, _after(purpose.valid_until))
        for purpose in workshop.charter.purposes
        if purpose.valid_until is not None
    ]
    if own_policy is not None:
        found.append(Expiry("standing-policy", "", _after(own_policy.policy.valid_until)))
    current = [at for permit in workshop.permits.permits if (at := _after(permit.valid_until)) > now]
    if current:  # what has ended is kept on file, and asks nothing of anybody
        found.append(Expiry("permit", "", min(current)))
    return found


def any_purpose_left(workshop: Workshop, now: int) -> bool:
    """Whether anything may be asked under the charter at all."""
    return any(p.valid_until is None or _after(p.valid_until) > now for p in workshop.charter.purposes)


def _after(day: datetime.date) -> int:
    """The end of a last day, in UTC."""
    midnight = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    return int(midnight.timestamp()) + 86_400
