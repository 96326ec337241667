"""What permits demand as time goes by: open requests end with them, and results are erased after their retention.

Done at every round of housekeeping, from the ledger and the clock alone, so that a daemon that was away on the day does
it when it is back.  What is erased here: the release, the files that fix this centre's contribution, and the backup in
the state directory, which has both.  What stays: the request, the words on it, the digest of the release, and the audit
log, which says what was erased and when.
"""

from __future__ import annotations

from typing import Final

from nskd.analysis.contribution import Contributions
from nskd.daemon.backups import Backups
from nskd.daemon.workshop import Workshop
from nskd.governance.audit import Event
from nskd.governance.ledger import Ledger
from nskd.governance.lifecycle import State
from nskd.governance.permit import Permit
from nskd.governance.policy import Refusal, Rule, day_of
from nskd.governance.retention_table import UnderPermit

_OPEN: Final = (State.SUBMITTED, State.APPROVED, State.FAILED)


class PermitKeeper:
    """Applies the clock to what was asked under permits."""

    def __init__(self, workshop: Workshop, contributions: Contributions, backups: Backups) -> None:
        self._workshop = workshop
        self._contributions = contributions
        self._backups = backups

    async def apply(self) -> bool:
        """End and erase what is due; whether anything ended.  Raises an ``OperatorError`` when the disk is full."""
        ended = False
        for each in await self._workshop.ledger(Ledger.under_permit):
            permit = self._workshop.permits.find(each.permit)
            over = self._over(permit, each.permit)
            if over is not None and each.state in _OPEN:
                ended |= await self._end(each, over)
            if self._is_due(each, permit):
                await self._erase(each)
        return ended

    def _over(self, permit: Permit | None, permit_id: str) -> Refusal | None:
        """Why nothing is served under a permit any more; None while it holds, or is still to begin."""
        if permit is None:
            what = f"this centre knows no permit {permit_id}"
            return Refusal(Rule.PERMIT_UNKNOWN, permit_id, what, "Put it back, and submit the request again.")
        found = permit.standing(day_of(self._workshop.clock()))
        return found if found is not None and found.rule is Rule.PERMIT_EXPIRED else None

    def _is_due(self, each: UnderPermit, permit: Permit | None) -> bool:
        erase_at = each.erase_at if permit is None else permit.erase_at
        # What runs at this moment ends first: it cannot be released any more.
        return each.state is not State.RUNNING and erase_at is not None and self._workshop.clock() >= erase_at

    async def _end(self, each: UnderPermit, over: Refusal) -> bool:
        workshop = self._workshop
        state = await workshop.ledger(
            Ledger.end, each.request, rule=over.rule.value, detail=over.what, now=workshop.clock()
        )
        if state is not State.EXPIRED:  # a failure that is final already
            return False
        await workshop.audit.note(
            Event.PERMIT_ENDED, request=each.request, details={"permit": each.permit, "rule": over.rule.value}
        )
        workshop.log.info("request ended", request=each.request.hex(), rule=over.rule.value, permit=each.permit)
        workshop.publish_state(each.request, state)
        return True

    async def _erase(self, each: UnderPermit) -> None:
        workshop = self._workshop
        result = await workshop.ledger(Ledger.result, each.request)
        # Before it is done, so that nothing vanishes without a trace; done again if we die in between.
        await workshop.audit.record(
            Event.RESULT_ERASED,
            request=each.request,
            result=None if result is None else result.digest,
            details={"permit": each.permit},
        )
        async with self._backups.none():
            self._contributions.erase(each.request)
            # Last, as it is this that says that all is done: a backup removed after it might outlive a crash for good.
            await workshop.ledger(Ledger.erase, each.request, now=workshop.clock())
        workshop.log.info("result erased", request=each.request.hex(), permit=each.permit)
