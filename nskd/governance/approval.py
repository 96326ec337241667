"""A centre's signed word on one request: approve, refuse, or withdraw what was approved.

Two signatures stand behind it.  A steward of the centre, a person, has signed a :mod:`~nskd.governance.statement`
with a key that no daemon has – or, in advance, a :mod:`~nskd.governance.standing_policy` that covers the request –
and the centre's daemon has signed the whole.  Every centre verifies both, whenever it counts
(:mod:`~nskd.governance.tally`).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import attrs
import msgspec

from nskd.errors import OperatorError
from nskd.governance import limits, signing, sshsig
from nskd.governance.statement import Statement, StatementError, Verdict, read_statement

_FORMAT: Final = "nskd approval v2"
SIGN_LABEL: Final = "nskd approval signature v2"


class ApprovalError(OperatorError):
    """Bytes that are no approval."""


_Signature = Annotated[bytes, msgspec.Meta(max_length=limits.SSH_SIGNATURE_BYTES_MAX)]


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    format: Literal["nskd approval v2"]
    centre: Annotated[str, msgspec.Meta(max_length=limits.NAME_CHARS_MAX)]
    statement: Annotated[bytes, msgspec.Meta(max_length=limits.STATEMENT_BYTES_MAX)]
    policy: Annotated[bytes, msgspec.Meta(max_length=limits.STANDING_POLICY_BYTES_MAX)] | None
    signatures: Annotated[tuple[_Signature, ...], msgspec.Meta(min_length=1, max_length=limits.SIGNATURES_MAX)]


@attrs.frozen
class SignedApproval:
    """As it travels (``body``, ``centre``, ``signature``) and as it reads.

    ``signatures`` are over the statement, or over the text of ``policy`` where the statement rests on one.
    """

    body: bytes = attrs.field(repr=False)
    centre: str
    signature: bytes = attrs.field(repr=False)
    statement: Statement
    policy: bytes | None = attrs.field(repr=False)
    signatures: tuple[sshsig.SshSignature, ...] = attrs.field(repr=False)

    @property
    def request(self) -> bytes:
        """The digest of the request it is about."""
        return self.statement.request

    @property
    def charter(self) -> bytes:
        """The digest of the charter it was given under."""
        return self.statement.charter

    @property
    def verdict(self) -> Verdict:
        """What it says."""
        return self.statement.verdict

    @property
    def issued_at(self) -> int:
        """When it was said, in seconds since 1970; between approvals and withdrawals this order counts."""
        return self.statement.issued_at

    @property
    def expires_at(self) -> int:
        """An approval holds up to, not including, this; the rest for good."""
        return limits.TIME_MAX if self.statement.expires_at is None else self.statement.expires_at

    @property
    def steward(self) -> str:
        """Who says it: a person, or the title of a standing policy."""
        return self.statement.name

    @property
    def keys(self) -> frozenset[bytes]:
        """Whose signatures it carries; to be believed once :mod:`verified`."""
        return frozenset(signature.key for signature in self.signatures)


def sign_approval(
    statement: bytes,
    signatures: tuple[bytes, ...],
    *,
    centre: str,
    sign: signing.Signer,
    policy: bytes | None = None,
) -> SignedApproval:
    """Put the daemon's signature under what a steward signed; the result is still to be reviewed, like a peer's."""
    body = msgspec.msgpack.encode(_Body(_FORMAT, centre, statement, policy, signatures))
    return read_approval(body, centre, sign(signing.framed(SIGN_LABEL, body)))


def read_approval(body: bytes, centre: str, signature: bytes) -> SignedApproval:
    """Decode *without* verifying, for what was verified before.  Raises ApprovalError."""
    try:
        if len(body) > limits.APPROVAL_BODY_BYTES_MAX:
            raise StatementError("it is too long")
        fields = signing.decode_canonical(body, _Body)
        if fields is None:
            raise StatementError("it cannot be read, or is not in its one encoding")
        statement = read_statement(fields.statement)
        signatures = tuple(sshsig.read_signature(raw) for raw in fields.signatures)
    except (StatementError, sshsig.SshFormatError) as exc:
        raise ApprovalError(f"malformed: {exc}", where="approval", remedy="Approve it anew.") from None
    except (ValueError, RecursionError):
        raise ApprovalError("malformed", where="approval", remedy="Approve it anew.") from None
    if fields.centre != centre:
        raise ApprovalError("the body names another centre", where="approval", remedy="Approve it anew.")
    return SignedApproval(
        body=body,
        centre=centre,
        signature=signature,
        statement=statement,
        policy=fields.policy,
        signatures=signatures,
    )
