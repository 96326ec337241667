"""Requests that end before they are decided: their charter was amended, or their purpose is over.

An approval names the charter under which it was given, so nothing approved under one version runs under the next; who
asked submits again.  Done at the start and at every round of housekeeping, from the ledger, the charter and the clock
alone, so that it makes no difference when this centre was away.
"""

from __future__ import annotations

from typing import Final

from nskd.daemon.workshop import Workshop
from nskd.governance.audit import Event
from nskd.governance.ledger import Entry, Ledger
from nskd.governance.lifecycle import State
from nskd.governance.policy import Refusal, Rule, day_of

_OPEN: Final = (State.SUBMITTED, State.APPROVED, State.FAILED)


async def end_requests(workshop: Workshop) -> bool:
    """End what is over; whether anything was.  Raises an ``OperatorError`` when the disk is full."""
    ended = False
    for entry in await workshop.ledger(Ledger.entries, states=_OPEN):
        over = _over(workshop, entry)
        if over is not None and (entry.state is not State.FAILED or entry.retryable):
            await _end(workshop, entry, over)
            ended = True
    return ended


def _over(workshop: Workshop, entry: Entry) -> Refusal | None:
    charter, request = workshop.charter, entry.request
    if request.charter_digest != charter.digest:
        what = f"the charter was amended; version {charter.version} is in force"
        return Refusal(Rule.CHARTER_AMENDED, request.centre, what, "Submit the request again.")
    purpose = charter.purpose(request.table.purpose)
    if purpose is not None and purpose.valid_until is not None and day_of(workshop.clock()) > purpose.valid_until:
        what = f"purpose {purpose.id} ended on {purpose.valid_until}"
        return Refusal(Rule.PURPOSE_EXPIRED, purpose.id, what, "Renew it in the charter, and submit the request again.")
    return None


async def _end(workshop: Workshop, entry: Entry, over: Refusal) -> None:
    digest = entry.request.digest
    state = await workshop.ledger(Ledger.end, digest, rule=over.rule.value, detail=over.what, now=workshop.clock())
    await workshop.audit.note(Event.REQUEST_ENDED, request=digest, details={"rule": over.rule.value})
    workshop.log.info("request ended", request=digest.hex(), rule=over.rule.value)
    workshop.publish_state(digest, state)
