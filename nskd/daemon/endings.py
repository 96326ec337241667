"""Requests that end before they are decided: the charter was amended, the purpose is over, a centre has left, this
one was restored from a backup, or it came to nothing for too long.

An approval names the charter under which it was given, so nothing approved under one version runs under the next; who
asked submits again.  Done at the start and at every round of housekeeping, from the ledger, the charter and the clock
alone, so that it makes no difference when this centre was away.
"""

from __future__ import annotations

from nskd.daemon.workshop import Workshop
from nskd.governance.audit import Event
from nskd.governance.ledger import Entry, Ledger
from nskd.governance.lifecycle import Event as Ending
from nskd.governance.lifecycle import State
from nskd.governance.limits import DAY_S, REQUEST_OPEN_MAX_S
from nskd.governance.policy import Refusal, Rule, day_of


async def end_requests(workshop: Workshop) -> bool:
    """End what is over; whether anything was.  Raises an ``OperatorError`` when the disk is full."""
    ended = False
    for digest in await workshop.ledger(Ledger.undecided):
        over = over_by_now(workshop, await workshop.ledger(Ledger.get, digest))
        if over is not None:
            ended |= await end_request(workshop, digest, over)
    return ended


async def end_request(
    workshop: Workshop, digest: bytes, over: Refusal, *, peer: str | None = None, as_: Ending = Ending.EXPIRE
) -> bool:
    """End an open request by a rule that is shown with it; False when it began to run meanwhile.

    ``peer`` is the other centre on account of which it ends.
    """
    state = await workshop.ledger(
        Ledger.end, digest, rule=over.rule.value, detail=over.what, now=workshop.clock(), event=as_
    )
    if state not in (State.EXPIRED, State.REFUSED):
        return False
    await workshop.audit.note(Event.REQUEST_ENDED, peer=peer, request=digest, details={"rule": over.rule.value})
    workshop.log.info("request ended", request=digest.hex(), rule=over.rule.value)
    workshop.publish_state(digest, state)
    return True


def over_by_now(workshop: Workshop, entry: Entry) -> Refusal | None:
    """Why a request that is not done can never run here any more; None when it can."""
    charter, request = workshop.charter, entry.request
    if request.charter_digest != charter.digest:
        what = f"the charter was amended; version {charter.version} is in force"
        return Refusal(Rule.CHARTER_AMENDED, request.centre, what, "Submit the request again.")
    if workshop.too_old(request):
        what = "this centre was restored from a backup since it was submitted, and may have run it before"
        return Refusal(Rule.RESTORED, workshop.own, what, "Submit the request again.")
    purpose = charter.purpose(request.table.purpose)
    if purpose is not None and purpose.valid_until is not None and day_of(workshop.clock()) > purpose.valid_until:
        what = f"purpose {purpose.id} ended on {purpose.valid_until}"
        return Refusal(Rule.PURPOSE_EXPIRED, purpose.id, what, "Renew it in the charter, and submit the request again.")
    if workshop.clock() >= entry.open_until:
        what = f"it did not come to a result within {REQUEST_OPEN_MAX_S // DAY_S} days"
        if entry.state is State.SUBMITTED:
            what += ": not all centres have approved"
        elif entry.detail:
            what += f", and last failed: {entry.detail}"
        return Refusal(Rule.REQUEST_LAPSED, request.centre, what, "Submit the request again.")
    return None
