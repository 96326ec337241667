"""What a daemon says while a request is on its way, as lines for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from nskd.client.errors import plain

KINDS: Final = ("request.state", "generation.begin", "run.begin", "run.failed", "dropped")


@attrs.frozen
class Step:
    """One thing that happened; ``event`` is the daemon's own account of it, ``text`` a line about it."""

    kind: str
    text: str
    event: Mapping[str, Any] = attrs.field(repr=False)


def step_of(event: Mapping[str, Any], request: str) -> Step | None:
    """What an event means for a request; None when it is about another."""
    if event.get("request", request) != request:
        return None
    kind = str(event.get("kind"))
    match kind:
        case "request.state":
            who = f"{event['centre']} has decided, " if "centre" in event else ""
            text = f"{who}the request is {event.get('state')}"
        case "generation.begin":
            text = f"making material: {event.get('name')}"
        case "run.begin":
            text = f"computing: {event.get('name')}"
        case "run.failed":
            text = f"a run failed: {event.get('reason') or event.get('detail')}"
        case "dropped":
            text = f"{event.get('count')} events were not told"
        case _:
            return None
    return Step(kind, plain(text), event)
