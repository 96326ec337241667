"""Whether an approval holds: the daemon's signature, the steward's, and what both are about.

The same function for what a peer sends, what our own steward gives, and what the ledger has kept: an approval is
verified when it comes, before data enters, and before values leave (``docs/protocol.md``, 12.7).
"""

from __future__ import annotations

from nskd.governance import limits, signing, sshsig, standing_policy
from nskd.governance.approval import SIGN_LABEL, ApprovalError, SignedApproval, read_approval
from nskd.governance.charter import Centre, Charter, Role
from nskd.governance.policy import Refusal, Rule
from nskd.governance.request import SignedRequest
from nskd.governance.standing_policy import StandingPolicyError, parse_standing_policy, review_by_policy
from nskd.governance.statement import NAMESPACE, POLICY_MARK, Verdict
from nskd.governance.steward import by_key
from protocol.errors import Fault, RemoteProtocolError


def receive_approval(
    body: bytes, centre: str, signature: bytes, *, charter: Charter, now: int, request: SignedRequest | None = None
) -> SignedApproval:
    """Verify an approval a peer sent; raises :class:`RemoteProtocolError` (``APPROVAL``) and nothing else.

    Without ``request``, whether it is of the right one and within its standing policy is left to the ledger.  The
    detail names the rule that it breaks.
    """
    try:
        approval = read_approval(body, centre, signature)
    except ApprovalError as exc:
        raise fault(Rule.APPROVAL_MALFORMED, exc.what, None) from None
    verify(approval, charter=charter, request=request)
    # A refusal or withdrawal is heard however late it comes: not hearing one would be the wrong side to err on.
    if now >= approval.expires_at:
        raise fault(Rule.APPROVAL_EXPIRED, f"it expired {now - approval.expires_at} s ago", centre)
    if approval.issued_at > now + limits.CLOCK_SKEW_MAX_S:
        what = f"it was issued {approval.issued_at - now} s in the future; compare the clocks"
        raise fault(Rule.APPROVAL_EARLY, what, centre)
    return approval


def verify(approval: SignedApproval, *, charter: Charter, request: SignedRequest | None = None) -> None:
    """Check everything but the clock; raises :class:`RemoteProtocolError` (``APPROVAL``)."""
    found = review_approval(approval, charter=charter, request=request)
    if found is not None:
        listed = approval.centre if charter.find(approval.centre) is not None else None
        raise fault(found.rule, found.what, listed)


def review_approval(
    approval: SignedApproval, *, charter: Charter, request: SignedRequest | None = None
) -> Refusal | None:
    """The first rule that an approval breaks, the clock left aside; None when both signatures hold."""
    centre, statement = charter.find(approval.centre), approval.statement

    def refusal(rule: Rule, what: str, remedy: str = "Have it approved anew.") -> Refusal:
        return Refusal(rule, approval.centre, what, remedy)

    if centre is None:
        return refusal(Rule.APPROVAL_FORGED, "the charter lists no such centre")
    if not signing.is_signed(centre.signing_key, approval.signature, signing.framed(SIGN_LABEL, approval.body)):
        return refusal(Rule.APPROVAL_FORGED, "the daemon's signature does not fit the centre's key")
    if statement.centre != approval.centre:
        return refusal(Rule.APPROVAL_FORGED, "the statement names another centre")
    if approval.charter != charter.digest or statement.workshop != charter.workshop:
        return refusal(Rule.APPROVAL_CHARTER, "it was given under another charter")
    if request is not None and approval.request != request.digest:
        what = f"transplanted: it is for request {approval.request.hex()[:12]}, not {request.digest.hex()[:12]}"
        return refusal(Rule.APPROVAL_REQUEST, what)
    if Role.CONTRIBUTE not in centre.roles:
        return refusal(Rule.APPROVAL_ROLE, "it was given by a centre without the role contribute")
    if approval.verdict is Verdict.APPROVE and not (
        0 < approval.expires_at - approval.issued_at <= limits.APPROVAL_VALIDITY_MAX_S
    ):
        what = "its period of validity is empty or too long"
        return refusal(
            Rule.APPROVAL_VALIDITY, what, f"At most {limits.APPROVAL_VALIDITY_MAX_S // limits.DAY_S} days are allowed."
        )
    if statement.of_policy:
        return _review_policy(approval, centre, charter, request)
    return _review_person(approval, centre)


def _review_person(approval: SignedApproval, centre: Centre) -> Refusal | None:
    def refusal(rule: Rule, what: str) -> Refusal:
        return Refusal(rule, approval.centre, what, "Have a steward whom the charter lists sign it.")

    if approval.policy is not None or len(approval.signatures) != 1:
        return refusal(Rule.APPROVAL_MALFORMED, "a person's word has one signature and no policy")
    (signature,) = approval.signatures
    steward = by_key(centre.stewards, signature.key)
    if steward is None:
        return refusal(Rule.STEWARD_UNKNOWN, f"the charter lists no steward of {centre.name} with that key")
    if (approval.statement.by, approval.statement.name) != (steward.fingerprint, steward.name):
        return refusal(Rule.STEWARD_SIGNATURE, "the statement names another steward than the one who signed")
    if not signature.holds(approval.statement.text(), namespace=NAMESPACE):
        return refusal(Rule.STEWARD_SIGNATURE, "the steward's signature does not fit the statement")
    return None


def _review_policy(
    approval: SignedApproval, centre: Centre, charter: Charter, request: SignedRequest | None
) -> Refusal | None:
    def refusal(rule: Rule, what: str) -> Refusal:
        return Refusal(rule, approval.centre, what, "Have a steward decide on this request.")

    if approval.policy is None or approval.verdict is not Verdict.APPROVE:
        return refusal(Rule.APPROVAL_MALFORMED, "a standing policy comes with its text, and approves")
    # Signatures first: nothing is parsed that no steward has signed.
    broken = review_policy_signatures(approval.signatures, approval.policy, centre)
    if broken is not None:
        return broken
    try:
        policy = parse_standing_policy(approval.policy)
    except StandingPolicyError as exc:
        return refusal(Rule.POLICY_MALFORMED, f"the standing policy cannot be read: {exc}")
    if (approval.statement.by, approval.statement.name) != (f"{POLICY_MARK}{policy.digest.hex()}", policy.title):
        return refusal(Rule.POLICY_MALFORMED, "the statement names another standing policy than comes along")
    if approval.expires_at > policy.ends_at or approval.expires_at - approval.issued_at > policy.approval_s:
        return refusal(Rule.APPROVAL_VALIDITY, "it holds for longer than its standing policy allows")
    if request is None:
        return None
    if approval.issued_at < request.submitted_at - limits.CLOCK_SKEW_MAX_S:
        return refusal(Rule.APPROVAL_VALIDITY, "it is dated before the request was made")
    return next(
        iter(
            review_by_policy(
                policy,
                request.table,
                requester=request.centre,
                centre=centre.name,
                charter=charter,
                at=approval.issued_at,
            )
        ),
        None,
    )


def review_policy_signatures(
    signatures: tuple[sshsig.SshSignature, ...], policy: bytes, centre: Centre
) -> Refusal | None:
    """The first fault of the stewards' signatures under a standing policy; None when each holds."""

    def refusal(rule: Rule, what: str) -> Refusal:
        return Refusal(rule, centre.name, what, "Have a steward whom the charter lists sign the policy as it is.")

    for signature in signatures:
        if by_key(centre.stewards, signature.key) is None:
            return refusal(Rule.STEWARD_UNKNOWN, f"the charter lists no steward of {centre.name} with that key")
        if not signature.holds(policy, namespace=standing_policy.NAMESPACE):
            return refusal(Rule.STEWARD_SIGNATURE, "a steward's signature does not fit the standing policy")
    if len({signature.key for signature in signatures}) != len(signatures):
        return refusal(Rule.STEWARD_AGAIN, "one steward has signed the standing policy twice")
    return None


def fault(rule: Rule, detail: str, party: str | None) -> RemoteProtocolError:
    """Make the error for an approval that breaks a rule; ``party`` only if the charter lists it."""
    return RemoteProtocolError(Fault.APPROVAL, f"an approval breaks the rule {rule}: {detail}", party=party)
