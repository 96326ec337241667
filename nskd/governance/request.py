"""A request as it is signed and sent: data, never code.

The analyst writes a small TOML text.  The requesting centre's daemon wraps it as a *body* – format, centre,
charter digest, time, nonce, text, as one msgpack array – and signs the body.  The digest over the same bytes
is the request's name everywhere: approvals, sessions and results refer to it.

Two submissions of one text are two requests (the nonce differs).  A steward approves one run over the data of
about that day; the same words next month are a new question, because the answer can be compared with the
first.  Receiving one *body* twice changes nothing.  Against a double click the ledger offers
:meth:`~nskd.governance.ledger.Ledger.twin`.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import attrs
import msgspec

from nskd.governance import limits, signing
from nskd.governance.charter import Charter, Role
from nskd.governance.question import TableRequest
from nskd.governance.request_text import RequestError, parse_request
from protocol.errors import Fault, RemoteProtocolError

_FORMAT: Final = "nskd request v1"
_SIGN: Final = "nskd request signature v1"
_DIGEST: Final = "nskd request digest v1"


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    format: Literal["nskd request v1"]
    centre: Annotated[str, msgspec.Meta(max_length=limits.NAME_CHARS_MAX)]
    charter: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    submitted_at: Annotated[int, msgspec.Meta(ge=0, le=limits.TIME_MAX)]
    nonce: Annotated[bytes, msgspec.Meta(min_length=limits.NONCE_BYTES, max_length=limits.NONCE_BYTES)]
    text: Annotated[bytes, msgspec.Meta(max_length=limits.REQUEST_TEXT_BYTES_MAX)]


@attrs.frozen
class SignedRequest:
    """A request as it travels (``body``, ``centre``, ``signature``) and as it reads (the rest).

    Made by :func:`sign_request` or :func:`receive_request` only, so one in hand has been verified.
    """

    body: bytes = attrs.field(repr=False)
    centre: str
    signature: bytes = attrs.field(repr=False)
    charter_digest: bytes = attrs.field(repr=False)
    submitted_at: int
    text: bytes = attrs.field(repr=False)
    table: TableRequest
    digest: bytes = attrs.field(repr=lambda value: value.hex()[:12])

    @property
    def text_digest(self) -> bytes:
        """Names the words alone: equal for two submissions of one text."""
        return signing.digest("nskd request text v1", self.text)


class OutOfTimeError(RemoteProtocolError):
    """A request from the future, or too old to be open, by the clock here."""


def sign_request(
    text: bytes, *, centre: str, charter: Charter, sign: signing.Signer, now: int, nonce: bytes
) -> SignedRequest:
    """Wrap and sign a text at the requesting centre; ``nonce`` is 16 fresh bytes.  Raises RequestError."""
    if len(nonce) != limits.NONCE_BYTES:
        raise ValueError(f"a nonce has {limits.NONCE_BYTES} bytes")
    parse_request(text)
    body = msgspec.msgpack.encode(_Body(_FORMAT, centre, charter.digest, now, nonce, text))
    message = signing.framed(_SIGN, centre.encode(), charter.digest, body)
    return read_request(body, centre, sign(message))


def receive_request(body: bytes, centre: str, signature: bytes, *, charter: Charter, now: int) -> SignedRequest:
    """Verify a request that a peer sent; raises :class:`RemoteProtocolError` and nothing else.

    ``SIGNATURE``: unknown centre, or signed by another key.  ``SESSION``: for another charter.
    :class:`OutOfTimeError` (``UNEXPECTED``): from the future, or too old to be open.  ``MALFORMED`` or ``OVERSIZED``:
    the rest.
    """
    signed = receive_begun(body, centre, signature, charter=charter, now=now)
    oldest = now - limits.REQUEST_OPEN_MAX_S - limits.CLOCK_SKEW_MAX_S  # an honest centre may still be about to end it
    if signed.submitted_at < oldest:
        raise _out_of_time(signed, now)
    return signed


def charter_named(body: bytes) -> bytes | None:
    """The digest of the charter that a body says it was made under; not verified, and None if it cannot be read."""
    fields = signing.decode_canonical(body, _Body) if len(body) <= limits.REQUEST_BODY_BYTES_MAX else None
    return None if fields is None else fields.charter


def receive_begun(body: bytes, centre: str, signature: bytes, *, charter: Charter, now: int) -> SignedRequest:
    """Verify a request that may have run long ago; as :func:`receive_request`, but for its age."""
    listed = charter.find(centre)
    if listed is None:
        raise RemoteProtocolError(Fault.SIGNATURE, "a request in the name of a centre not in the charter")
    if len(body) > limits.REQUEST_BODY_BYTES_MAX:
        raise RemoteProtocolError(
            Fault.OVERSIZED,
            f"a request of {len(body)} bytes, at most {limits.REQUEST_BODY_BYTES_MAX}",
            party=centre,
        )
    message = signing.framed(_SIGN, centre.encode(), charter.digest, body)
    if not signing.is_signed(listed.signing_key, signature, message):
        raise RemoteProtocolError(
            Fault.SIGNATURE,
            "a request whose signature does not fit the centre and this charter",
            party=centre,
        )
    try:
        signed = read_request(body, centre, signature)
    except RequestError as exc:
        raise RemoteProtocolError(Fault.MALFORMED, f"a request nobody can read: {exc}", party=centre) from None
    if signed.charter_digest != charter.digest:
        raise RemoteProtocolError(Fault.SESSION, "a request made under another charter", party=centre)
    if Role.REQUEST not in listed.roles:
        raise RemoteProtocolError(Fault.UNEXPECTED, "a request by a centre without the role request", party=centre)
    if signed.submitted_at > now + limits.CLOCK_SKEW_MAX_S:
        raise _out_of_time(signed, now)
    return signed


def _out_of_time(signed: SignedRequest, now: int) -> OutOfTimeError:
    what = f"a request submitted {signed.submitted_at - now:+d} s from now"
    return OutOfTimeError(Fault.UNEXPECTED, what, party=signed.centre)


def read_request(body: bytes, centre: str, signature: bytes) -> SignedRequest:
    """Decode *without* verifying, for what was verified before: the ledger's rows.  Raises RequestError."""
    fields = signing.decode_canonical(body, _Body)
    if fields is None:
        raise RequestError("the body is malformed", where="request", remedy="Submit it anew.")
    if fields.centre != centre:
        raise RequestError("the body names another centre", where="request", remedy="Submit it anew.")
    return SignedRequest(
        body=body,
        centre=centre,
        signature=signature,
        charter_digest=fields.charter,
        submitted_at=fields.submitted_at,
        text=fields.text,
        table=parse_request(fields.text),
        digest=signing.digest(_DIGEST, centre.encode(), fields.charter, body),
    )
