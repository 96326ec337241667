"""The life of a request at one centre, as one table.

    submitted ──approvals complete──▶ approved ──start──▶ running ──finish──▶ done
        ▲  └──────── refuse, expire ◀────┘ │ │               └──fail──▶ failed ──retry──▶ approved
        └───────────── lapse ◀─────────────┘ └───────give up──────────────▲

Each centre keeps its own; nothing here asks the others.  ``done``, ``refused`` and ``expired`` are final, and
so is ``failed`` when the failure was not retryable (a peer cheated).  What a daemon killed in the middle of a
run finds as ``running`` when it starts again becomes ``failed``, retryable; so does one that the centre which asked has
proposed in vain so often that it proposes it no more.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import Final

from nskd.errors import OperatorError


class State(enum.StrEnum):
    """Where a request is.  The values are stable: the database, the socket and scripts rely on them."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    EXPIRED = "expired"


class Event(enum.StrEnum):
    """What moves it."""

    COMPLETE = "approvals complete"
    LAPSE = "an approval lapsed"
    START = "start"
    FINISH = "finish"
    FAIL = "fail"
    GIVE_UP = "give up"
    RETRY = "retry"
    REFUSE = "refuse"
    EXPIRE = "expire"


TRANSITIONS: Final = MappingProxyType(
    {
        (State.SUBMITTED, Event.COMPLETE): State.APPROVED,
        (State.SUBMITTED, Event.REFUSE): State.REFUSED,
        (State.SUBMITTED, Event.EXPIRE): State.EXPIRED,
        (State.APPROVED, Event.LAPSE): State.SUBMITTED,
        (State.APPROVED, Event.REFUSE): State.REFUSED,
        (State.APPROVED, Event.EXPIRE): State.EXPIRED,
        (State.APPROVED, Event.START): State.RUNNING,
        (State.APPROVED, Event.GIVE_UP): State.FAILED,
        # No refusal while it runs: an approval can be taken back until the run starts, not after.
        (State.RUNNING, Event.FINISH): State.DONE,
        (State.RUNNING, Event.FAIL): State.FAILED,
        (State.FAILED, Event.RETRY): State.APPROVED,
        (State.FAILED, Event.REFUSE): State.REFUSED,
        (State.FAILED, Event.EXPIRE): State.EXPIRED,
    }
)

OPEN: Final = frozenset({State.SUBMITTED, State.APPROVED, State.RUNNING})
"""States in which somebody still has to do something."""


class StateError(OperatorError):
    """The request is not in a state for that."""


def advance(state: State, event: Event, *, request: str) -> State:
    """Return the state after ``event``; :class:`StateError` when the table has no such move."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise StateError(
            f"it is {state}, so it cannot {event}" if event not in (Event.COMPLETE, Event.LAPSE) else f"it is {state}",
            where=f"request {request}",
            remedy=_REMEDIES.get(state, "Wait until it is over."),
        ) from None


_REMEDIES: Final = {
    State.SUBMITTED: "Wait for the approvals that are missing.",
    State.APPROVED: "Run it, or refuse it.",
    State.DONE: "See `nskctl result show`; to ask again, submit it again.",
    State.REFUSED: "Submit it again if the centre that refused has changed its mind.",
    State.EXPIRED: "Submit it again.",
    State.FAILED: "Retry it if the fault allows, else submit it again.",
}
