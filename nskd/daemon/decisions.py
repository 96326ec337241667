"""What this centre says of requests: its stewards' words, and those of its standing policy.

A steward's word comes signed; the daemon reviews it as it would a peer's, adds its own signature, keeps it and tells
all.  The standing policy speaks once on a request, and only on one of which nobody at this centre has said anything:
what a person has refused or withdrawn is not approved again by a file.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from nskd.control import answers, methods
from nskd.control.codes import Code, ControlError
from nskd.control.service import Call
from nskd.daemon.notices import Notices
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance import limits, sshsig
from nskd.governance.approval import ApprovalError, SignedApproval, sign_approval
from nskd.governance.audit import Event
from nskd.governance.charter import Centre
from nskd.governance.ledger import Entry, Ledger
from nskd.governance.lifecycle import State
from nskd.governance.own_policy import OwnPolicy
from nskd.governance.policy import PolicyError, Refusal, Rule
from nskd.governance.standing_policy import review_by_policy
from nskd.governance.statement import (
    NAMESPACE,
    POLICY_MARK,
    Statement,
    StatementError,
    Verdict,
    read_statement,
)
from nskd.governance.steward import Steward
from nskd.governance.tally import withdrawn_until
from nskd.governance.verification import review_approval
from protocol.errors import RemoteProtocolError

_SETTLED: Final = (State.DONE, State.REFUSED, State.EXPIRED)


class Decisions:
    """Takes stewards' words, and lets the standing policy speak."""

    def __init__(self, workshop: Workshop, notices: Notices, own_policy: OwnPolicy | None) -> None:
        self._workshop = workshop
        self._notices = notices
        self._own_policy = own_policy
        self._passed_over: dict[bytes, str] = {}  # requests the policy does not cover, and why; said once each

    @property
    def centre(self) -> Centre:
        """This centre, as the charter lists it."""
        return self._workshop.charter.centres[self._workshop.index]

    # --- stewards -------------------------------------------------------------------------------------------

    async def statement(self, entry: Entry, params: methods.StatementParams) -> answers.StatementAnswer:
        """Write what a steward is to sign."""
        verdict = Verdict(params.verdict)
        if verdict is Verdict.APPROVE:
            self._workshop.check(entry.request.table, entry.request.centre)
        given = await self._own_words(entry)
        self._refuse_if_too_late(entry, verdict, given)
        if verdict is Verdict.APPROVE:
            self._workshop.attendance.require_own()
        steward = _chosen(self.centre, params.steward)
        now = self._workshop.clock()
        issued_at = _after(now, verdict, given)
        statement = Statement(
            workshop=self._workshop.charter.workshop,
            centre=self._workshop.own,
            request=entry.request.digest,
            charter=self._workshop.charter.digest,
            verdict=verdict,
            issued_at=issued_at,
            expires_at=issued_at + params.validity_s if verdict is Verdict.APPROVE else None,
            by=steward.fingerprint,
            name=steward.name,
        )
        return answers.StatementAnswer(
            request=entry.request.digest.hex(),
            verdict=verdict.value,
            steward=steward.line,
            namespace=NAMESPACE,
            statement=statement.text().decode(),
        )

    async def decide(
        self, call: Call, entry: Entry, params: methods.DecideParams, verdict: Verdict
    ) -> answers.DecisionAnswer:
        """Take a steward's signed word.  Raises ``PolicyError`` with the rule it breaks."""
        workshop, now = self._workshop, self._workshop.clock()
        if verdict is Verdict.APPROVE:
            workshop.check(entry.request.table, entry.request.centre)
        given = await self._own_words(entry)
        self._refuse_if_too_late(entry, verdict, given)
        if verdict is Verdict.APPROVE:
            self._workshop.attendance.require_own()
        approval = self._signed(params)
        found = self._review(approval, entry, verdict, given, now)
        if found is not None:
            raise PolicyError((found,))
        state = entry.state
        if not params.check:
            state = await self._keep(entry, approval, call)
        return answers.DecisionAnswer(
            request=entry.request.digest.hex(),
            verdict=verdict.value,
            state=state.value,
            steward=approval.steward,
            expires_at=approval.statement.expires_at,
            checked=params.check,
        )

    def _signed(self, params: methods.DecideParams) -> SignedApproval:
        """The steward's text and signature under the daemon's own."""
        try:
            statement = params.statement.encode()
            read_statement(statement)
            signatures = sshsig.unarmoured(params.signature)
            return sign_approval(statement, signatures, centre=self._workshop.own, sign=self._workshop.sign)
        except (StatementError, sshsig.SshFormatError, ApprovalError) as exc:
            what = exc.what if isinstance(exc, ApprovalError) else str(exc)
            remedy = "Sign the statement that `nskctl request approve --write-statement` wrote, unchanged."
            refusal = Refusal(Rule.APPROVAL_MALFORMED, self._workshop.own, what, remedy)
            raise PolicyError((refusal,)) from None

    def _review(
        self, approval: SignedApproval, entry: Entry, verdict: Verdict, given: Collection[SignedApproval], now: int
    ) -> Refusal | None:
        def refusal(rule: Rule, what: str) -> Refusal:
            return Refusal(rule, self._workshop.own, what, "Have a new statement written, and signed.")

        found = review_approval(approval, charter=self._workshop.charter, request=entry.request)
        if found is not None:
            return found
        if approval.verdict is not verdict:
            return refusal(Rule.APPROVAL_MALFORMED, f"the statement says {approval.verdict}, not {verdict}")
        if approval.expires_at <= now:
            return refusal(Rule.APPROVAL_EXPIRED, "the statement has expired")
        if approval.issued_at > now + limits.CLOCK_SKEW_MAX_S:
            return refusal(Rule.APPROVAL_EARLY, "the statement is from the future")
        if verdict is Verdict.APPROVE and approval.issued_at <= withdrawn_until(given):
            return refusal(Rule.APPROVAL_WITHDRAWN, "approval was withdrawn after this statement was written")
        return None

    def _refuse_if_too_late(self, entry: Entry, verdict: Verdict, given: Collection[SignedApproval]) -> None:
        state = entry.state
        if state in _SETTLED:
            raise ControlError(Code.CONFLICT, f"the request is {state.value}; nothing is left to decide.")
        if verdict is not Verdict.WITHDRAW:
            return
        if state is State.RUNNING:
            what = "its run has begun; an approval can be withdrawn until then"
            raise PolicyError((Refusal(Rule.RUN_BEGUN, self._workshop.own, what, "Wait until the run is over."),))
        if not any(word.verdict is Verdict.APPROVE for word in given):
            raise ControlError(Code.CONFLICT, "this centre has not approved the request; refuse it instead.")

    async def _own_words(self, entry: Entry) -> tuple[SignedApproval, ...]:
        """What this centre has said of a request under the present charter."""
        words = await self._workshop.ledger(Ledger.approvals, entry.request.digest)
        charter = self._workshop.charter.digest
        return tuple(word for word in words if word.centre == self._workshop.own and word.charter == charter)

    async def _keep(self, entry: Entry, approval: SignedApproval, call: Call | None) -> State:
        """Put it on record, keep it, tell all; without a call it is the standing policy's."""
        workshop = self._workshop
        await workshop.audit.record(
            Event.REQUEST_DECIDED,
            uid=None if call is None else call.credentials.uid,
            user=None if call is None else call.user,
            steward=f"{approval.statement.by} {approval.steward}",
            purpose=entry.request.table.purpose,
            request=entry.request.digest,
            approvals=[approval],
        )
        state = await workshop.ledger(Ledger.add_approval, approval, charter=workshop.charter, now=workshop.clock())
        workshop.log.info(
            "request decided",
            request=entry.request.digest.hex(),
            verdict=approval.verdict.value,
            steward=approval.steward,
            by=approval.statement.by,
            user=None if call is None else call.user,
        )
        workshop.events.publish(
            "request.state", request=entry.request.digest.hex(), state=state.value, centre=workshop.own
        )
        await self._notices.publish(entry.request, (approval,))
        return state

    # --- the standing policy --------------------------------------------------------------------------------

    async def drive(self) -> None:
        """Let the standing policy speak on every request that comes, for ever."""
        while self._own_policy is not None:
            changed = self._notices.changed  # taken before looking, so that no change is missed
            try:
                await self.consider()
            except OperatorError as error:  # a full disk passes
                self._workshop.log.error("the standing policy could not speak", reason=str(error))
            await changed.wait()

    async def consider(self) -> None:
        """Let the standing policy speak on what is undecided now."""
        if self._own_policy is None:
            return
        entries = await self._workshop.ledger(Ledger.entries, states=(State.SUBMITTED,))
        for entry in entries:
            await self._consider(entry, self._own_policy)
        undecided = {entry.request.digest for entry in entries}
        self._passed_over = {digest: why for digest, why in self._passed_over.items() if digest in undecided}

    async def _consider(self, entry: Entry, own: OwnPolicy) -> None:
        if await self._own_words(entry):
            return
        workshop, request, now = self._workshop, entry.request, self._workshop.clock()
        outside = await self._outside(entry, own, now)
        why = [*self._held_back(entry), *workshop.refusals(request), *outside]
        if why:
            if self._passed_over.get(request.digest) != why[0]:
                self._passed_over[request.digest] = why[0]
                workshop.log.info("not for the standing policy", request=request.digest.hex(), reasons=why)
            return
        policy = own.policy
        statement = Statement(
            workshop=workshop.charter.workshop,
            centre=workshop.own,
            request=request.digest,
            charter=workshop.charter.digest,
            verdict=Verdict.APPROVE,
            issued_at=now,
            expires_at=min(now + policy.approval_s, policy.ends_at),
            by=f"{POLICY_MARK}{policy.digest.hex()}",
            name=policy.title,
        )
        approval = sign_approval(
            statement.text(), own.signatures, centre=workshop.own, sign=workshop.sign, policy=policy.raw
        )
        try:
            await self._keep(entry, approval, None)
        except RemoteProtocolError as error:  # the month filled up meanwhile, or the policy is not what it was
            workshop.log.warning("not for the standing policy", request=request.digest.hex(), reasons=[error.detail])

    def _held_back(self, entry: Entry) -> list[str]:
        """Why the policy is silent: this centre is absent, or was when the request came (14.6)."""
        attendance = self._workshop.attendance
        if attendance.own is not None:
            refusal = attendance.refusal(attendance.own)
            return [f"{refusal.rule}: {refusal.what}"]
        if entry.received_at <= attendance.resumed_at:
            return [f"{Rule.CENTRE_PAUSED}: it came before this centre resumed; a steward decides on it"]
        return []

    async def _outside(self, entry: Entry, own: OwnPolicy, now: int) -> list[str]:
        workshop, policy = self._workshop, own.policy
        found = review_by_policy(
            policy,
            entry.request.table,
            requester=entry.request.centre,
            centre=workshop.own,
            charter=workshop.charter,
            at=now,
        )
        why = [f"{refusal.rule}: {refusal.what}" for refusal in found]
        count = await workshop.ledger(Ledger.approved_by_policy, workshop.own, policy.digest, now)
        if count >= policy.per_month:
            why.append(f"{Rule.POLICY_MONTH}: the standing policy allows {policy.per_month} requests a month")
        return why


def _after(now: int, verdict: Verdict, given: Collection[SignedApproval]) -> int:
    """A time for a new word, such that it counts after those it answers even if a clock was set back."""
    if verdict is Verdict.APPROVE:
        return max(now, withdrawn_until(given) + 1)
    return max([now, *(word.issued_at for word in given if word.verdict is Verdict.APPROVE)])


def _chosen(centre: Centre, wanted: str | None) -> Steward:
    """The steward meant by a name, a fingerprint or a public key line; the only one if none is named."""
    stewards = centre.stewards
    fits = [
        steward
        for steward in stewards
        if wanted in (None, steward.name, steward.fingerprint)
        or (wanted is not None and wanted.split()[:2] == steward.line.split()[:2])
    ]
    if len(fits) == 1:
        return fits[0]
    names = ", ".join(steward.name for steward in stewards) or "none"
    refusal = Refusal(
        Rule.STEWARD_UNKNOWN,
        wanted or centre.name,
        f"the charter lists no such steward of {centre.name}" if wanted else "it is not said which steward decides",
        f"Stewards of {centre.name} in the charter: {names}.",
    )
    raise PolicyError((refusal,))
