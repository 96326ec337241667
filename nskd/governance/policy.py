"""A centre's own check of a request, by named rules, before anybody is asked to approve it.

Every centre runs it by itself: that the requesting centre found its own request in order proves nothing.
"""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable, Collection

import attrs

from nskd.errors import OperatorError
from nskd.governance.charter import Charter, Role
from nskd.governance.question import Kind, TableRequest
from nskd.governance.toml import closest, shown

VariablePurposes = Callable[[str], Collection[str] | None]
"""The purposes a codebook variable may serve, or ``None`` for a variable the codebook does not have."""


class Rule(enum.StrEnum):
    """The rules, by the names under which a refusal is reported.  The values are stable."""

    REQUESTER_UNKNOWN = "requester-not-in-charter"
    REQUESTER_ROLE = "requester-without-role"
    PURPOSE_UNKNOWN = "purpose-not-in-charter"
    PURPOSE_EXPIRED = "purpose-expired"
    VARIABLE_UNKNOWN = "variable-not-in-codebook"
    VARIABLE_PURPOSE = "variable-not-for-purpose"
    MODEL_FORBIDDEN = "model-not-in-charter"

    # A charter and its signatures (`charter_signatures`, `succession`).
    CHARTER_SIGNATURES = "charter-signatures-malformed"
    CHARTER_TRANSPLANTED = "charter-signatures-of-another"
    CHARTER_SIGNER = "charter-signer-unknown"
    CHARTER_FORGED = "charter-signature-forged"
    CHARTER_UNSIGNED = "charter-unsigned"
    CHARTER_WORKSHOP = "charter-of-another-workshop"
    CHARTER_OLD = "charter-older-than-in-force"
    CHARTER_SUCCESSION = "charter-does-not-follow"
    CHARTER_AMENDED = "charter-amended"

    # An approval, refusal or withdrawal (`approval`).
    APPROVAL_MALFORMED = "approval-malformed"
    APPROVAL_FORGED = "approval-forged"
    APPROVAL_CHARTER = "approval-under-another-charter"
    APPROVAL_REQUEST = "approval-of-another-request"
    APPROVAL_ROLE = "approval-without-role"
    APPROVAL_VALIDITY = "approval-validity"
    APPROVAL_EXPIRED = "approval-expired"
    APPROVAL_EARLY = "approval-from-the-future"
    APPROVAL_WITHDRAWN = "approval-withdrawn"
    STEWARD_UNKNOWN = "steward-not-in-charter"
    STEWARD_SIGNATURE = "steward-signature"
    STEWARD_AGAIN = "steward-signs-twice"
    RUN_BEGUN = "run-has-begun"
    RESTORED = "restored-from-backup"  # this centre was, after the request was submitted
    REQUEST_LAPSED = "request-lapsed"  # it came to nothing for too long

    # What a standing policy covers (`standing_policy`).
    POLICY_MALFORMED = "policy-malformed"
    POLICY_ELSEWHERE = "policy-of-another-centre"
    POLICY_EXPIRED = "policy-expired"
    POLICY_KIND = "policy-kind"
    POLICY_PURPOSE = "policy-purpose"
    POLICY_REQUESTER = "policy-requester"
    POLICY_VARIABLE = "policy-variable"
    POLICY_THRESHOLD = "policy-threshold"
    POLICY_MARGINS = "policy-margins"
    POLICY_WHERE = "policy-where"
    POLICY_MONTH = "policy-month-is-full"

    # What a permit allows (`permit`).
    PERMIT_REQUIRED = "permit-required"
    PERMIT_UNKNOWN = "permit-unknown"
    PERMIT_EARLY = "permit-not-yet-valid"
    PERMIT_EXPIRED = "permit-expired"
    PERMIT_HOLDER = "permit-holder"
    PERMIT_PURPOSE = "permit-purpose"
    PERMIT_CATEGORY = "permit-category"
    PERMIT_PERIOD = "permit-period"

    # Who takes part (`presence`).
    CENTRE_PAUSED = "centre-paused"
    CENTRE_LEFT = "centre-left"


@attrs.frozen
class Refusal:
    """One rule a request breaks; ``subject`` is the centre, purpose or variable concerned."""

    rule: Rule
    subject: str
    what: str
    remedy: str


class PolicyError(OperatorError):
    """A request that this centre's own check refuses; ``refusals`` are all the rules it breaks."""

    def __init__(self, refusals: tuple[Refusal, ...]) -> None:
        self.refusals = refusals
        first = refusals[0]
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        super().__init__(f"{first.what}{more}", where=f"rule {first.rule}", remedy=first.remedy)

    @property
    def rule(self) -> Rule:
        """The first rule broken."""
        return self.refusals[0].rule


def review(
    table: TableRequest,
    *,
    requester: str,
    charter: Charter,
    purposes: VariablePurposes,
    where_variables: Collection[str],
    today: datetime.date,
) -> tuple[Refusal, ...]:
    """Every rule the request breaks, in a stable order; empty when it may be put to a steward.

    ``where_variables`` are the variables the filter reads: filtering by a variable uses it as much as showing
    it.
    """
    found = list(_review_requester(requester, charter))
    found.extend(_review_purpose(table.purpose, charter, today))
    found.extend(_review_kind(table, charter))
    for name in dict.fromkeys((*table.variables, *sorted(where_variables))):
        allowed = purposes(name)
        if allowed is None:
            found.append(
                Refusal(
                    Rule.VARIABLE_UNKNOWN,
                    name,
                    f"{shown(name)} is not a variable of pack {charter.pack}",
                    "Look the names up in the codebook.",
                )
            )
        elif table.purpose not in allowed:
            listed = ", ".join(sorted(allowed)) or "none"
            found.append(
                Refusal(
                    Rule.VARIABLE_PURPOSE,
                    name,
                    f"variable {name} may not be used for purpose {table.purpose}",
                    f"Purposes it may serve: {listed}.",
                )
            )
    return tuple(found)


def check_request(
    table: TableRequest,
    *,
    requester: str,
    charter: Charter,
    purposes: VariablePurposes,
    where_variables: Collection[str],
    today: datetime.date,
) -> None:
    """Raise :class:`PolicyError` when :func:`review` finds anything."""
    refusals = review(
        table,
        requester=requester,
        charter=charter,
        purposes=purposes,
        where_variables=where_variables,
        today=today,
    )
    if refusals:
        raise PolicyError(refusals)


def _review_requester(requester: str, charter: Charter) -> tuple[Refusal, ...]:
    centre = charter.find(requester)
    if centre is None:
        what = f"{shown(requester)} is not a centre of this workshop"
        return (Refusal(Rule.REQUESTER_UNKNOWN, requester, what, "Have it join the charter first."),)
    if Role.REQUEST not in centre.roles:
        what = f"centre {requester} may not ask for results"
        return (Refusal(Rule.REQUESTER_ROLE, requester, what, "The charter gives that role: request."),)
    return ()


def _review_kind(table: TableRequest, charter: Charter) -> tuple[Refusal, ...]:
    if table.kind is not Kind.REGRESSION or charter.disclosure.models:
        return ()
    what = "the charter does not allow models: a centre that lies in one can learn more than the model tells"
    remedy = "Ask for a table, an association or a rate; or amend the charter: models = true in [disclosure]."
    return (Refusal(Rule.MODEL_FORBIDDEN, table.kind.value, what, remedy),)


def day_of(now: int) -> datetime.date:
    """The day, in UTC, of a moment in seconds since 1970."""
    return datetime.datetime.fromtimestamp(now, datetime.UTC).date()


def _review_purpose(purpose_id: str, charter: Charter, today: datetime.date) -> tuple[Refusal, ...]:
    purpose = charter.purpose(purpose_id)
    if purpose is None:
        ids = [listed.id for listed in charter.purposes]
        what = f"the charter has no purpose {shown(purpose_id)}{closest(purpose_id, ids)}"
        return (Refusal(Rule.PURPOSE_UNKNOWN, purpose_id, what, f"Purposes: {', '.join(ids)}."),)
    if purpose.valid_until is not None and today > purpose.valid_until:
        what = f"purpose {purpose_id} ended on {purpose.valid_until}"
        return (Refusal(Rule.PURPOSE_EXPIRED, purpose_id, what, "Renew it in the charter."),)
    return ()
