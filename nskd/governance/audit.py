"""The audit log's entries, and the chain they form: each signed, each bound to all before it.

A line of the file is ``{"entry":BODY,"signature":"HEX"}``.  What is hashed is the body's bytes as they stand::

    body digest   D_i = H("nskd audit body v1", body)
    head          h_i = H("nskd audit head v1", i, h_{i-1}, D_i),  h_0 = 32 zero bytes
    signature         = Ed25519 over ("nskd audit signature v1", centre, i, h_i)

A body repeats h_{i-1}, so that a line can be judged without its predecessors.  A *head* – centre, number, hash,
signature – therefore speaks for the whole log up to that entry, and is what other centres keep of it
(``audit_heads``).  No entry holds a secret, a share, a row or a patient's pseudonym.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from typing import Annotated, Final, Literal

import attrs
import msgspec

from nskd.errors import OperatorError
from nskd.governance import limits, signing

GENESIS: Final = bytes(signing.DIGEST_BYTES)

_OPEN: Final = b'{"entry":'
MIDDLE: Final = b',"signature":"'
CLOSE: Final = b'"}\n'
_TAIL_BYTES: Final = len(MIDDLE) + 2 * signing.SIGNATURE_BYTES + len(CLOSE)


class Event(enum.StrEnum):
    """What an entry is about.  The values are stable: auditors' scripts rely on them."""

    LOG_BEGUN = "log.begun"
    LOG_REPAIRED = "log.repaired"  # the daemon died while it wrote an entry, which nothing had relied on yet
    DAEMON_STARTED = "daemon.started"
    DAEMON_STOPPED = "daemon.stopped"
    CHARTER_SIGNED = "charter.signed"  # this centre agrees to the next version
    CHARTER_TAKEN_UP = "charter.taken-up"  # from here on it is in force at this centre
    REQUEST_ENDED = "request.ended"  # before it was decided, by a rule
    DATA_LOADED = "data.loaded"
    OPT_OUT_APPLIED = "opt-out.applied"
    OPT_OUT_UNREADABLE = "opt-out.unreadable"
    CONTROL_ASKED = "control.asked"  # a person asks for a change, which is then made unless the next is there
    CONTROL_REFUSED = "control.refused"
    CONTROL_FORBIDDEN = "control.forbidden"  # asked by somebody without the role for it, or without any
    REQUEST_SUBMITTED = "request.submitted"
    REQUEST_RECEIVED = "request.received"
    REQUEST_DECIDED = "request.decided"  # this centre's own word
    APPROVAL_REJECTED = "approval.rejected"  # forged, expired, for another request
    RUN_REFUSED = "run.refused"
    RUN_BEGUN = "run.begun"
    RUN_FAILED = "run.failed"
    RUN_RELEASED = "run.released"
    PERMIT_ENDED = "permit.ended"  # an open request ends with its permit
    RESULT_ERASED = "result.erased"  # after the retention of its permit; the digest stays
    PRESENCE_SAID = "presence.said"  # this centre pauses, resumes or leaves
    PRESENCE_HEARD = "presence.heard"  # another centre does
    PRESENCE_REJECTED = "presence.rejected"  # a word of presence that was forged, malformed, elsewhere's or old
    EPOCH_FOUNDED = "epoch.founded"
    EPOCH_ENDED = "epoch.ended"
    STORAGE_REKEYED = "storage.rekeyed"  # what is kept on disk was sealed under another storage key
    STATE_RESTORED = "state.restored"  # this log goes on from a backup; what came after the backup is not in it
    HEAD_KEPT = "head.kept"  # another centre's signed head
    HEAD_CONTRADICTED = "head.contradicted"  # another centre's log was cut, edited or forked


SALT_BYTES: Final = 16  # nobody tries them all


class AuditError(OperatorError):
    """The log cannot be read or written, or does not hold together."""


class BadEntryError(AuditError):
    """The first entry that is wrong: ``sequence`` is its number, which is its line."""

    def __init__(self, sequence: int, what: str) -> None:
        self.sequence = sequence
        super().__init__(
            what,
            where=f"audit log, entry {sequence}",
            remedy="What comes before it holds; compare with what other centres keep of this log.",
        )


_Hex = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.STEWARD_CHARS_MAX)]
_Text = Annotated[str, msgspec.Meta(max_length=limits.DETAIL_CHARS_MAX)]
_Details = Annotated[dict[_Word, int | _Text], msgspec.Meta(max_length=limits.AUDIT_DETAILS_MAX)]


class Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One entry: who, what, when, for which purpose, about which documents.

    ``uid`` and ``user`` are the control socket's, ``steward`` a person's name and key where one signed; ``peer`` is the
    other centre concerned.  ``salt`` is random, so that digests of bodies, which other centres see, tell nothing about
    these.  Digests are hexadecimal, ``time`` is in seconds since 1970.
    """

    sequence: Annotated[int, msgspec.Meta(ge=1, le=limits.AUDIT_ENTRIES_MAX)]
    previous: _Hex
    salt: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
    time: Annotated[int, msgspec.Meta(ge=0, le=limits.TIME_MAX)]
    centre: Annotated[str, msgspec.Meta(min_length=1, max_length=limits.NAME_CHARS_MAX)]
    event: Event
    outcome: Literal["ok", "refused", "failed"] = "ok"
    uid: Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)] | None = None
    user: _Word | None = None
    steward: _Word | None = None
    peer: _Word | None = None
    charter: _Hex | None = None
    purpose: _Word | None = None
    request: _Hex | None = None
    result: _Hex | None = None
    approvals: Annotated[list[_Text], msgspec.Meta(max_length=256)] = []
    details: _Details = {}


_DECODER: Final = msgspec.json.Decoder(Body)
_ENCODER: Final = msgspec.json.Encoder()


@attrs.frozen
class Head:
    """What stands for a centre's whole log up to entry ``sequence``; all of it but the signature is public."""

    centre: str
    sequence: int
    hash: bytes = attrs.field(repr=lambda value: value.hex()[:12])
    signature: bytes = attrs.field(repr=False)

    def is_signed(self, keys: Collection[bytes]) -> bool:
        """Whether one of the Ed25519 public keys signed it."""
        message = _signed(self.centre, self.sequence, self.hash)
        return any(signing.is_signed(key, self.signature, message) for key in keys)


@attrs.frozen
class Entry:
    """A line that was read: ``line`` are its bytes, ``digest`` is over its body, ``head`` speaks for it."""

    line: bytes = attrs.field(repr=False)
    body: Body
    digest: bytes = attrs.field(repr=False)
    head: Head


def link(previous: bytes, sequence: int, digest: bytes) -> bytes:
    """The hash of entry ``sequence`` from its predecessor's and the digest of its body."""
    return signing.digest("nskd audit head v1", sequence.to_bytes(8, "big"), previous, digest)


def make_entry(body: Body, sign: signing.Signer) -> Entry:
    """Write and sign an entry; :class:`AuditError` when one of its fields is out of bounds."""
    raw = _ENCODER.encode(body)
    digest = _body_digest(raw)
    previous = bytes.fromhex(body.previous)
    hashed = link(previous, body.sequence, digest)
    signature = sign(_signed(body.centre, body.sequence, hashed))
    line = _OPEN + raw + MIDDLE + signature.hex().encode() + CLOSE
    try:
        return read_entry(line, body.sequence)  # structs check their fields when decoded, not when built
    except BadEntryError as exc:
        raise AuditError(
            f"an entry about {body.event} cannot be written: {exc.what}",
            where="audit log",
            remedy="This is a fault of nskd; please report it.",
        ) from None


def read_entry(line: bytes, sequence: int) -> Entry:
    """Read one line without verifying its signature or its predecessor; :class:`BadEntryError` names ``sequence``."""
    if len(line) > limits.AUDIT_ENTRY_BYTES_MAX:
        raise BadEntryError(sequence, f"it is longer than {limits.AUDIT_ENTRY_BYTES_MAX} bytes")
    if not line.endswith(b"\n"):
        raise BadEntryError(sequence, "it is incomplete: the log was cut off within it, or copied as it was written")
    tail = line[-_TAIL_BYTES:]
    written = tail[len(MIDDLE) : -len(CLOSE)]
    if not (line.startswith(_OPEN) and tail.startswith(MIDDLE) and tail.endswith(CLOSE)):
        raise BadEntryError(sequence, "it is not a line of an audit log")
    raw = line[len(_OPEN) : -_TAIL_BYTES]
    try:
        signature = bytes.fromhex(written.decode("ascii"))
        body = _DECODER.decode(raw)
        if _ENCODER.encode(body) != raw or signature.hex().encode() != written:
            raise ValueError
    except (ValueError, RecursionError):
        raise BadEntryError(sequence, "it is not written as this log writes entries") from None
    if body.sequence != sequence:
        raise BadEntryError(sequence, f"it is numbered {body.sequence}: an entry was taken out, put in or moved")
    digest = _body_digest(raw)
    hashed = link(bytes.fromhex(body.previous), sequence, digest)
    return Entry(line, body, digest, Head(body.centre, sequence, hashed, signature))


class Chain:
    """Follows a log line by line.  ``keys`` are the centre's Ed25519 public keys; without any, signatures are not
    looked at.  A centre has more than one over the years.
    """

    def __init__(self, keys: Collection[bytes] = ()) -> None:
        self._keys = keys
        self.sequence = 0
        self.hash = GENESIS
        self.centre: str | None = None

    def take(self, line: bytes) -> Entry:
        """Check the next line; :class:`BadEntryError` for the first that does not hold."""
        sequence = self.sequence + 1
        entry = read_entry(line, sequence)
        if bytes.fromhex(entry.body.previous) != self.hash:
            raise BadEntryError(sequence, "it does not follow from the entry before: one of the two was changed")
        if self.centre not in (None, entry.body.centre):
            raise BadEntryError(sequence, f"it is of another centre, {entry.body.centre}")
        if self._keys and not entry.head.is_signed(self._keys):
            raise BadEntryError(sequence, "its signature does not fit: it was changed, or another key signed it")
        self.sequence, self.hash, self.centre = sequence, entry.head.hash, entry.body.centre
        return entry


def beginning(chain: Chain) -> bytes:
    """How the next line of a log must begin, whatever it says."""
    return _OPEN + f'{{"sequence":{chain.sequence + 1},"previous":"{chain.hash.hex()}",'.encode()


def _body_digest(raw: bytes) -> bytes:
    return signing.digest("nskd audit body v1", raw)


def _signed(centre: str, sequence: int, hashed: bytes) -> bytes:
    return signing.framed("nskd audit signature v1", centre.encode(), sequence.to_bytes(8, "big"), hashed)
