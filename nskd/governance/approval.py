"""A centre's signed word on one request: approve or refuse, until when, by whom.

A refusal beats every approval of the same centre whatever the order in which they arrive, and does not lapse:
all centres come to the same view without agreeing on an order first.  A centre that refused in error asks for
the request to be submitted again.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Annotated, Final, Literal

import attrs
import msgspec

from nskd.errors import OperatorError
from nskd.governance import limits, signing
from nskd.governance.charter import Charter, Role
from nskd.governance.toml import is_plain, shown
from protocol.errors import Fault, RemoteProtocolError

_FORMAT: Final = "nskd approval v1"
_SIGN: Final = "nskd approval signature v1"


class ApprovalError(OperatorError):
    """An approval this centre's own operator cannot give."""


class Verdict(enum.StrEnum):
    """What a steward decided."""

    APPROVE = "approve"
    REFUSE = "refuse"


_Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_Time = Annotated[int, msgspec.Meta(ge=0, le=limits.TIME_MAX)]


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    format: Literal["nskd approval v1"]
    centre: Annotated[str, msgspec.Meta(max_length=limits.NAME_CHARS_MAX)]
    request: _Digest
    charter: _Digest
    verdict: Verdict
    issued_at: _Time
    expires_at: _Time
    steward: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.STEWARD_CHARS_MAX)]


@attrs.frozen
class SignedApproval:
    """As it travels (``body``, ``centre``, ``signature``) and as it reads.

    ``request`` and ``charter`` are digests.  Valid from ``issued_at`` up to, not including, ``expires_at``.
    """

    body: bytes = attrs.field(repr=False)
    centre: str
    signature: bytes = attrs.field(repr=False)
    request: bytes = attrs.field(repr=lambda value: value.hex()[:12])
    charter: bytes = attrs.field(repr=False)
    verdict: Verdict
    issued_at: int
    expires_at: int
    steward: str


def sign_approval(
    *,
    request: bytes,
    charter: Charter,
    centre: str,
    verdict: Verdict,
    steward: str,
    sign: signing.Signer,
    now: int,
    validity_s: int = limits.APPROVAL_VALIDITY_DEFAULT_S,
) -> SignedApproval:
    """Sign this centre's verdict on the request digest; :class:`ApprovalError` when its terms are off."""
    if not 1 <= validity_s <= limits.APPROVAL_VALIDITY_MAX_S:
        raise ApprovalError(
            f"{validity_s} seconds is no validity an approval can have",
            where="approval",
            remedy=f"Choose at most {limits.APPROVAL_VALIDITY_MAX_S // limits.DAY_S} days.",
        )
    if not (steward.strip() and len(steward) <= limits.STEWARD_CHARS_MAX and is_plain(steward)):
        raise ApprovalError(
            f"{shown(steward)} cannot stand as the steward's name",
            where="approval",
            remedy=f"Give a name of 1 to {limits.STEWARD_CHARS_MAX} printable characters.",
        )
    body = msgspec.msgpack.encode(
        _Body(_FORMAT, centre, request, charter.digest, verdict, now, now + validity_s, steward)
    )
    return read_approval(body, centre, sign(signing.framed(_SIGN, body)))


def receive_approval(
    body: bytes,
    centre: str,
    signature: bytes,
    *,
    charter: Charter,
    now: int,
    request: bytes | None = None,
) -> SignedApproval:
    """Verify an approval a peer sent; raises :class:`RemoteProtocolError` (``APPROVAL``) and nothing else.

    With ``request`` it must also be for that request digest.  The detail says whether it is malformed,
    forged, for another request, under another charter, not yet valid or expired.
    """
    try:
        approval = read_approval(body, centre, signature)
    except ApprovalError as exc:
        raise _fault(exc.what, None) from None
    verify(approval, charter=charter, request=request)
    # A refusal is heard however late it comes: not hearing one would be the wrong side to err on.
    if approval.verdict is Verdict.APPROVE and now >= approval.expires_at:
        raise _fault(f"expired {now - approval.expires_at} s ago", centre)
    if approval.issued_at > now + limits.CLOCK_SKEW_MAX_S:
        raise _fault(f"issued {approval.issued_at - now} s in the future; compare the clocks", centre)
    return approval


def verify(approval: SignedApproval, *, charter: Charter, request: bytes | None = None) -> None:
    """Check everything but the clock; raises :class:`RemoteProtocolError` (``APPROVAL``)."""
    centre = charter.find(approval.centre)
    if centre is None:
        raise _fault("forged: the charter lists no such centre", None)
    if not signing.is_signed(centre.signing_key, approval.signature, signing.framed(_SIGN, approval.body)):
        raise _fault("forged: the signature does not fit the centre's key", approval.centre)
    if approval.charter != charter.digest:
        raise _fault("given under another charter", approval.centre)
    if request is not None and approval.request != request:
        raise _fault(
            f"transplanted: it is for request {approval.request.hex()[:12]}, not {request.hex()[:12]}",
            approval.centre,
        )
    if Role.CONTRIBUTE not in centre.roles:
        raise _fault("given by a centre without the role contribute", approval.centre)
    if not 0 < approval.expires_at - approval.issued_at <= limits.APPROVAL_VALIDITY_MAX_S:
        raise _fault("malformed: its period of validity is empty or too long", approval.centre)


def read_approval(body: bytes, centre: str, signature: bytes) -> SignedApproval:
    """Decode *without* verifying, for what was verified before.  Raises ApprovalError."""
    try:
        if len(body) > limits.APPROVAL_BODY_BYTES_MAX:
            raise ValueError
        fields = msgspec.msgpack.decode(body, type=_Body)
        if msgspec.msgpack.encode(fields) != body or not is_plain(fields.steward):
            raise ValueError
    except (ValueError, RecursionError):
        raise ApprovalError("malformed", where="approval", remedy="Approve it anew.") from None
    if fields.centre != centre:
        raise ApprovalError("forged: the body names another centre", where="approval", remedy="Approve it anew.")
    return SignedApproval(
        body=body,
        centre=centre,
        signature=signature,
        request=fields.request,
        charter=fields.charter,
        verdict=fields.verdict,
        issued_at=fields.issued_at,
        expires_at=fields.expires_at,
        steward=fields.steward,
    )


@attrs.frozen
class Standing:
    """Where a request stands: centres in party order, ``lapsed`` those whose approval has expired."""

    approved: tuple[str, ...]
    refused: tuple[str, ...]
    lapsed: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Every contributing centre approves, none refuses."""
        return not (self.refused or self.lapsed or self.missing)


def standing(request: bytes, approvals: Iterable[SignedApproval], *, charter: Charter, now: int) -> Standing:
    """Verify every approval anew and count them; one that does not verify raises ``RemoteProtocolError``.

    One given under another charter, or not yet valid by more than the clock skew, counts for nothing.
    """
    approved: set[str] = set()
    refused: set[str] = set()
    lapsed: set[str] = set()
    for approval in approvals:
        if approval.charter != charter.digest:
            continue
        verify(approval, charter=charter, request=request)
        if approval.verdict is Verdict.REFUSE:
            refused.add(approval.centre)
        elif now >= approval.expires_at:
            lapsed.add(approval.centre)
        elif approval.issued_at <= now + limits.CLOCK_SKEW_MAX_S:
            approved.add(approval.centre)
    approved -= refused
    lapsed -= approved | refused
    needed = charter.contributors
    return Standing(
        approved=tuple(name for name in needed if name in approved),
        refused=tuple(name for name in needed if name in refused),
        lapsed=tuple(name for name in needed if name in lapsed),
        missing=tuple(name for name in needed if name not in approved | refused | lapsed),
    )


def approvals_complete(request: bytes, approvals: Iterable[SignedApproval], charter: Charter, now: int) -> bool:
    """Whether this centre's data may enter: each centre asks this by itself, immediately before they do."""
    return standing(request, approvals, charter=charter, now=now).complete


def _fault(detail: str, party: str | None) -> RemoteProtocolError:
    return RemoteProtocolError(Fault.APPROVAL, f"an approval is {detail}", party=party)
