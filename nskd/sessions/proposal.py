"""A proposal: everything the parties of a session must agree on before its first message.

The session id is made from the bytes of the proposal, never from a re-encoding.  A coordinator that shows
different proposals to different centres has created several sessions, none of which has all its parties.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Annotated, Final, Literal

import attrs
import msgspec

from nskd.peers.lanes import DIGEST_BYTES, PROTOCOL_VERSION, Lane, is_centre_name
from protocol import limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError

NONCE_BYTES: Final = 16
BATCH_BYTES: Final = 16
_LABEL: Final = b"nskd session proposal 1\0"

Position = Annotated[int, msgspec.Meta(ge=0, le=limits.STOCK_POSITION_MAX)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.CENTRE_NAME_BYTES_MAX)]
KindName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9/-]{0,31}\Z")]
Digest = Annotated[bytes, msgspec.Meta(min_length=DIGEST_BYTES, max_length=DIGEST_BYTES)]
DigestOrNone = Annotated[bytes, msgspec.Meta(max_length=DIGEST_BYTES)]


class StockRange(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Items ``start`` to ``stop`` (exclusive) of one batch of the stockpile."""

    batch: Annotated[bytes, msgspec.Meta(min_length=BATCH_BYTES, max_length=BATCH_BYTES)]
    start: Position
    stop: Position


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a coordinator proposes.  ``request`` and ``epoch`` are digests, or empty where none applies."""

    format: Literal[1] = 1
    version: int = PROTOCOL_VERSION
    kind: KindName
    coordinator: Name
    nonce: Annotated[bytes, msgspec.Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)]
    charter: Digest
    parties: Annotated[tuple[Name, ...], msgspec.Meta(min_length=limits.PARTIES_MIN, max_length=limits.PARTIES_MAX)]
    lane: Lane
    request: DigestOrNone = b""
    epoch: DigestOrNone = b""
    segments: Annotated[
        Mapping[KindName, tuple[StockRange, ...]], msgspec.Meta(max_length=limits.PROPOSAL_KINDS_MAX)
    ] = msgspec.field(default_factory=dict)
    extra: Annotated[bytes, msgspec.Meta(max_length=limits.PROPOSAL_EXTRA_BYTES_MAX)] = b""


@attrs.frozen
class Offer:
    """A proposal as it was received: the bytes, what they say, and who sent them."""

    body: bytes = attrs.field(repr=False)
    proposal: Proposal
    sender: str

    @property
    def digest(self) -> bytes:
        """Hash of the whole body; the parties compare it before they begin."""
        return hashlib.sha256(_LABEL + self.body).digest()

    @property
    def session(self) -> bytes:
        """The session id."""
        return session_id(self.body)

    @property
    def others(self) -> tuple[str, ...]:
        """All parties but the sender."""
        return tuple(name for name in self.proposal.parties if name != self.sender)


_ENCODER: Final = msgspec.msgpack.Encoder(order="sorted")
_DECODER: Final = msgspec.msgpack.Decoder(Proposal)


def session_id(body: bytes) -> bytes:
    """Name the session that these bytes propose."""
    return hashlib.sha256(_LABEL + body).digest()[: limits.SESSION_BYTES]


def make_offer(proposal: Proposal) -> Offer:
    """Encode a proposal of our own; ``LocalProtocolError`` if no peer would accept it."""
    try:
        body = _ENCODER.encode(proposal)
        return read_offer(body, proposal.coordinator)
    except (msgspec.MsgspecError, TypeError, OverflowError, RemoteProtocolError) as error:
        raise LocalProtocolError(f"not a proposal that can be made: {error}") from error


def read_offer(body: bytes, sender: str) -> Offer:
    """Parse a proposal; ``RemoteProtocolError`` if it is not one."""
    if len(body) > limits.PROPOSAL_BYTES_MAX:
        raise RemoteProtocolError(Fault.OVERSIZED, f"a proposal of {len(body)} bytes", party=sender)
    try:
        proposal = _DECODER.decode(body)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise RemoteProtocolError(Fault.MALFORMED, "a proposal that cannot be read", party=sender) from error
    wrong = _find_wrong(proposal)
    if wrong is not None:
        raise RemoteProtocolError(Fault.MALFORMED, f"a proposal {wrong}", party=sender)
    return Offer(body, proposal, sender)


def _find_wrong(proposal: Proposal) -> str | None:
    """Check what its types do not."""
    if proposal.lane is Lane.CONTROL:
        return "for the control lane"
    if len(set(proposal.parties)) != len(proposal.parties):
        return "that names a party twice"
    if not all(is_centre_name(name) for name in proposal.parties):
        return "whose parties are not names of centres"
    if proposal.coordinator not in proposal.parties:
        return "whose coordinator takes no part"
    if not all(len(digest) in (0, DIGEST_BYTES) for digest in (proposal.request, proposal.epoch)):
        return "with half a digest"
    ranges = [part for parts in proposal.segments.values() for part in parts]
    if len(ranges) > limits.PROPOSAL_SEGMENTS_MAX:
        return f"of more than {limits.PROPOSAL_SEGMENTS_MAX} ranges of stock"
    if any(part.start >= part.stop for part in ranges):
        return "with an empty range of stock"
    # The stockpile refuses to hand out anything twice; this is the same rule where it can be seen earlier.
    ranges.sort(key=lambda part: (part.batch, part.start))
    if any(left.batch == right.batch and right.start < left.stop for left, right in pairwise(ranges)):
        return "that takes the same stock twice"
    return None


def check_offer(offer: Offer, *, own: str, charter_digest: bytes, members: Collection[str]) -> None:
    """Check a proposal against what this centre knows; ``RemoteProtocolError(SESSION)`` if it differs."""
    proposal = offer.proposal
    wrong: str | None = None
    if proposal.coordinator != offer.sender:
        wrong = "names another centre as its coordinator"
    elif proposal.version != PROTOCOL_VERSION:
        wrong = f"is for protocol version {proposal.version}, we speak {PROTOCOL_VERSION}"
    elif proposal.charter != charter_digest:
        wrong = "is for another charter"
    elif own not in proposal.parties:
        wrong = "does not list this centre as a party"
    elif not set(proposal.parties) <= set(members):
        wrong = "lists a party that is not in the charter"
    if wrong is not None:
        raise RemoteProtocolError(Fault.SESSION, f"the proposal {wrong}", party=offer.sender)
