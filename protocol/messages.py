"""Control messages: what centres say to each other about sessions rather than inside them.

A tagged union of msgspec structs, each field bounded, carried as the one uint8 part of a
:class:`~protocol.wire.Message` with step ``"control"`` and the all-zero session.

Documents (requests, approvals, proposals) are opaque bytes here: they are signed and hashed as received
and parsed by those who know them.  Text is printable, because it ends up on an operator's terminal.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import msgspec
import numpy as np

from .errors import Fault, LocalProtocolError, RemoteProtocolError
from .limits import (
    AUDIT_DIGESTS_MAX,
    AUDIT_SEQUENCE_MAX,
    CENTRE_NAME_BYTES_MAX,
    CONTROL_MESSAGE_BYTES_MAX,
    KIB,
    SESSION_BYTES,
)
from .wire import Message

CONTROL_STEP: Final = "control"
CONTROL_SESSION: Final = bytes(SESSION_BYTES)

ENVELOPE_BYTES_MAX: Final = 16 * KIB  # everything in a control message but its document
SIGNATURE_BYTES_MAX: Final = 8 * KIB  # the largest signature in the standards we may move to is under 5 KiB
DIGEST_BYTES: Final = 32
TEXT_CHARACTERS_MAX: Final = 1 * KIB  # a sentence for an operator

Document = Annotated[bytes, msgspec.Meta(min_length=1, max_length=CONTROL_MESSAGE_BYTES_MAX - ENVELOPE_BYTES_MAX)]
Signature = Annotated[bytes, msgspec.Meta(min_length=1, max_length=SIGNATURE_BYTES_MAX)]
Session = Annotated[bytes, msgspec.Meta(min_length=SESSION_BYTES, max_length=SESSION_BYTES)]
CentreName = Annotated[str, msgspec.Meta(min_length=1, max_length=CENTRE_NAME_BYTES_MAX)]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARACTERS_MAX)]
FaultName = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Sequence = Annotated[int, msgspec.Meta(ge=0, le=AUDIT_SEQUENCE_MAX)]
Digest = Annotated[bytes, msgspec.Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
Digests = Annotated[bytes, msgspec.Meta(max_length=DIGEST_BYTES * AUDIT_DIGESTS_MAX)]
Nonce = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Control(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """Common options: immutable, tagged by ``kind``, and nothing unknown is let through."""


class RequestNotice(_Control, tag="request", frozen=True):
    """A signed request, on its way to every centre."""

    request: Document
    centre: CentreName
    signature: Signature


class ApprovalNotice(_Control, tag="approval", frozen=True):
    """A steward's signed verdict on a request."""

    approval: Document
    centre: CentreName
    signature: Signature


class PresenceNotice(_Control, tag="presence", frozen=True):
    """A centre's signed word that it pauses, resumes or leaves; anybody may pass it on (step 14.1)."""

    word: Document
    centre: CentreName
    signature: Signature


class Propose(_Control, tag="propose", frozen=True):
    """The coordinator proposes a session; ``body`` says everything that must be agreed first."""

    body: Document


class Accept(_Control, tag="accept", frozen=True):
    """The sender agrees to the proposed session and has reserved what it needs."""

    session: Session


class Refuse(_Control, tag="refuse", frozen=True):
    """The sender will not take part, for a reason an operator can read."""

    session: Session
    reason: Text


class Start(_Control, tag="start", frozen=True):
    """All have accepted: begin."""

    session: Session


class Abort(_Control, tag="abort", frozen=True):
    """The sender has stopped the session; ``fault`` is the value of a :class:`Fault` or another word."""

    session: Session
    fault: FaultName
    detail: Text


class AuditHead(_Control, tag="audit-head", frozen=True):
    """A centre's signed word on its audit log up to entry ``sequence``; anybody may pass it on (step 13.2)."""

    centre: CentreName
    sequence: Sequence
    hash: Digest
    signature: Signature


class AuditQuery(_Control, tag="audit-query", frozen=True):
    """Asks a centre for the digests of entries ``after`` + 1 … ``until`` of its own log (step 13.3)."""

    after: Sequence
    until: Sequence


class AuditProof(_Control, tag="audit-proof", frozen=True):
    """Answers an :class:`AuditQuery`: 32 bytes an entry, from ``after`` + 1 on; none when it has none."""

    after: Sequence
    digests: Digests


class BegunQuery(_Control, tag="begun-query", frozen=True):
    """Asks, of a centre that was restored from a backup, which requests began (step 12.13)."""


class BegunNotice(_Control, tag="begun", frozen=True):
    """Answers a :class:`BegunQuery`: a signed request of which a run began at the sender.

    With it an approval by the centre that asked, without which it cannot have begun; none if that one brings no data.
    """

    request: Document
    centre: CentreName
    signature: Signature
    approval: Document | None = None
    approval_signature: Signature | None = None


class Ping(_Control, tag="ping", frozen=True):
    """Asks for a :class:`Pong` with the same nonce."""

    nonce: Nonce


class Pong(_Control, tag="pong", frozen=True):
    """Answers a :class:`Ping`."""

    nonce: Nonce


class Bye(_Control, tag="bye", frozen=True):
    """The sender goes away in good order."""

    reason: Text


ControlMessage: TypeAlias = (
    RequestNotice
    | ApprovalNotice
    | PresenceNotice
    | Propose
    | Accept
    | Refuse
    | Start
    | Abort
    | AuditHead
    | AuditQuery
    | AuditProof
    | BegunQuery
    | BegunNotice
    | Ping
    | Pong
    | Bye
)

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final[msgspec.msgpack.Decoder[Any]] = msgspec.msgpack.Decoder(ControlMessage)


def encode_control(control: ControlMessage) -> Message:
    """Wrap a control message; ``LocalProtocolError`` if a field is out of its bounds."""
    try:
        data = _ENCODER.encode(control)
        _DECODER.decode(data)  # structs check their fields when decoded, not when built
        _check_text(control)
    except (msgspec.MsgspecError, TypeError, ValueError, OverflowError) as error:
        raise LocalProtocolError(f"not a control message that can be sent: {error}") from None
    return Message(CONTROL_SESSION, CONTROL_STEP, (np.frombuffer(data, np.uint8),))


def decode_control(message: Message) -> ControlMessage:
    """Unwrap a control message; ``RemoteProtocolError(MALFORMED)`` whatever is wrong with it."""
    if message.step != CONTROL_STEP or message.session != CONTROL_SESSION or len(message.parts) != 1:
        raise RemoteProtocolError(Fault.MALFORMED, "not the envelope of a control message")
    part = message.parts[0]
    if part.dtype != np.uint8 or part.ndim != 1:
        raise RemoteProtocolError(Fault.MALFORMED, "not the envelope of a control message")
    if part.size > CONTROL_MESSAGE_BYTES_MAX:
        raise RemoteProtocolError(Fault.OVERSIZED, f"a control message of {part.size} bytes")
    data = part.tobytes()
    try:
        control: ControlMessage = _DECODER.decode(data)
        canonical = _ENCODER.encode(control)
        _check_text(control)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        raise RemoteProtocolError(Fault.MALFORMED, "not a control message") from None
    if canonical != data:
        raise RemoteProtocolError(Fault.MALFORMED, "a control message that is not in its one encoding")
    return control


def _check_text(control: ControlMessage) -> None:
    for name in control.__struct_fields__:
        value = getattr(control, name)
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"`{name}` has characters that do not print")
