"""A centre's signed word that it pauses, resumes or leaves (``docs/protocol.md``, section 14).

Bound to workshop and centre, not to a charter: an amendment must not bring back a centre that has paused.  Only
``leave`` names the charter it leaves from; a later version that lists the centre carries its own signature, and so ends
it.  Numbers order a centre's words; no clock does.
"""

from __future__ import annotations

import datetime
import enum
from typing import Annotated, Final, Literal

import attrs
import msgspec

from nskd.errors import OperatorError
from nskd.governance import limits, signing
from nskd.governance.charter import Charter
from protocol.errors import Fault, RemoteProtocolError

_FORMAT: Final = "nskd presence v1"
_SIGN: Final = "nskd presence signature v1"


class PresenceError(OperatorError):
    """Bytes that are no word of presence."""


class Move(enum.StrEnum):
    """What a word says.  The values are signed."""

    PAUSE = "pause"
    RESUME = "resume"
    LEAVE = "leave"


class Presence(enum.StrEnum):
    """What a centre's words come to."""

    PRESENT = "present"
    PAUSED = "paused"
    LEFT = "left"


_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=limits.NAME_CHARS_MAX)]


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    format: Literal["nskd presence v1"]
    workshop: _Name
    centre: _Name
    move: Move
    number: Annotated[int, msgspec.Meta(ge=1, le=limits.PRESENCE_NUMBER_MAX)]
    issued_at: Annotated[int, msgspec.Meta(ge=0, le=limits.MOMENT_MAX)]
    reason: Annotated[str, msgspec.Meta(max_length=limits.PRESENCE_REASON_CHARS_MAX)]
    charter: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)] | None
    version: Annotated[int, msgspec.Meta(ge=1, le=limits.CHARTER_VERSION_MAX)] | None


@attrs.frozen
class Word:
    """As it travels (``body``, ``centre``, ``signature``) and as it reads.

    ``charter`` and ``version`` are those that a ``leave`` leaves from, None for the rest; ``reason`` is one line,
    empty if none was given.
    """

    body: bytes = attrs.field(repr=False)
    centre: str
    signature: bytes = attrs.field(repr=False)
    workshop: str
    move: Move
    number: int
    issued_at: int
    reason: str
    charter: bytes | None = attrs.field(repr=False)
    version: int | None

    def is_signed(self, key: bytes) -> bool:
        """Whether the Ed25519 public key signed it."""
        return signing.is_signed(key, self.signature, signing.framed(_SIGN, self.body))

    @property
    def rank(self) -> tuple[int, bool, bytes]:
        """Of two words of one kind the one of higher rank counts: by number; at the same, a pause before a resume."""
        return self.number, self.move is not Move.RESUME, self.body


def sign_word(
    move: Move,
    *,
    number: int,
    now: int,
    centre: str,
    charter: Charter,
    sign: signing.Signer,
    reason: str = "",
) -> Word:
    """Say something of one's own presence; raises :class:`PresenceError` for a reason that is no line of text."""
    check_reason(reason)
    left = (charter.digest, charter.version) if move is Move.LEAVE else (None, None)
    return _signed(_Body(_FORMAT, charter.workshop, centre, move, number, now, reason, *left), sign)


def signed_anew(word: Word, *, number: int, sign: signing.Signer) -> Word:
    """Say the same once more under a higher number, or another key: since when, and why, stays."""
    fields = msgspec.msgpack.decode(word.body, type=_Body)
    return _signed(msgspec.structs.replace(fields, number=number), sign)


def _signed(fields: _Body, sign: signing.Signer) -> Word:
    body = msgspec.msgpack.encode(fields)
    return read_word(body, fields.centre, sign(signing.framed(_SIGN, body)))


def check_reason(reason: str) -> None:
    """Raise :class:`PresenceError` unless it is a line of text that fits."""
    if len(reason) > limits.PRESENCE_REASON_CHARS_MAX or not reason.isprintable():
        raise PresenceError(
            "the reason is not one line of text that prints",
            where="--reason",
            remedy=f"Write at most {limits.PRESENCE_REASON_CHARS_MAX} characters on one line.",
        )


def receive_word(body: bytes, centre: str, signature: bytes, *, charter: Charter) -> Word:
    """Verify a word that a peer told; raises :class:`RemoteProtocolError` and nothing else (step 14.2).

    ``OVERSIZED``; ``SIGNATURE``: not signed by a centre of the charter; ``SESSION``: of another workshop;
    ``MALFORMED``: the rest.
    """
    listed = charter.find(centre)
    if listed is None:
        raise RemoteProtocolError(Fault.SIGNATURE, "a word of presence of a centre not in the charter")
    if len(body) > limits.PRESENCE_WORD_BYTES_MAX:
        what = f"a word of presence of {len(body)} bytes, at most {limits.PRESENCE_WORD_BYTES_MAX}"
        raise RemoteProtocolError(Fault.OVERSIZED, what, party=centre)
    if not signing.is_signed(listed.signing_key, signature, signing.framed(_SIGN, body)):
        what = "a word of presence whose signature does not fit the centre's key"
        raise RemoteProtocolError(Fault.SIGNATURE, what, party=centre)
    try:
        word = read_word(body, centre, signature)
    except PresenceError as exc:
        what = f"a word of presence nobody can read: {exc.what}"
        raise RemoteProtocolError(Fault.MALFORMED, what, party=centre) from None
    if word.workshop != charter.workshop:
        raise RemoteProtocolError(Fault.SESSION, "a word of presence in another workshop", party=centre)
    if word.charter == charter.digest and word.version != charter.version:
        what = "a word of leaving that gives this charter another version than it has"
        raise RemoteProtocolError(Fault.MALFORMED, what, party=centre)
    return word


def read_word(body: bytes, centre: str, signature: bytes) -> Word:
    """Decode *without* verifying, for what was verified before: the ledger's rows.  Raises PresenceError."""

    def error(what: str) -> PresenceError:
        return PresenceError(what, where="word of presence", remedy="Have that centre say it anew.")

    fields = signing.decode_canonical(body, _Body)
    if fields is None:
        raise error("it is malformed")
    if fields.centre != centre:
        raise error("the body names another centre")
    if not fields.reason.isprintable():
        raise error("its reason is not one line of text that prints")
    leaves = fields.move is Move.LEAVE
    if (fields.charter is not None, fields.version is not None) != (leaves, leaves):
        raise error("a charter to leave from goes with leaving, and with nothing else")
    return Word(
        body=body,
        centre=centre,
        signature=signature,
        workshop=fields.workshop,
        move=fields.move,
        number=fields.number,
        issued_at=fields.issued_at,
        reason=fields.reason,
        charter=fields.charter,
        version=fields.version,
    )


@attrs.frozen
class Standing:
    """What counts of all that one centre has said: its latest ``leave``, and the latest of its other words."""

    leave: Word | None = None
    other: Word | None = None

    @property
    def words(self) -> tuple[Word, ...]:
        """Both, as far as there are any."""
        return tuple(word for word in (self.leave, self.other) if word is not None)

    @property
    def number(self) -> int:
        """The highest number used so far."""
        return max((word.number for word in self.words), default=0)

    def held(self, move: Move) -> Word | None:
        """What is kept of that kind."""
        return self.leave if move is Move.LEAVE else self.other

    def after(self, word: Word) -> Standing:
        """With one more word heard; whatever the order in which words come, the outcome is the same (step 14.3)."""
        held = self.held(word.move)
        if held is not None and held.rank >= word.rank:
            return self
        return attrs.evolve(self, leave=word) if word.move is Move.LEAVE else attrs.evolve(self, other=word)

    def contradicts(self, word: Word) -> bool:
        """Whether the centre has said something else under the same number."""
        return any(held.number == word.number and held.body != word.body for held in self.words)

    def in_force(self, version: int) -> Word | None:
        """The word by which the centre is not present under that version of the charter; None if it is (14.4)."""
        if self.leave is not None and self.leave.version is not None and version <= self.leave.version:
            return self.leave
        paused = self.other is not None and self.other.move is Move.PAUSE
        if self.other is not None and paused and self.other.number > (self.leave.number if self.leave else 0):
            return self.other
        return None


@attrs.frozen
class Absence:
    """A centre that does not take part: since when (seconds since 1970), and in its own words why."""

    centre: str
    presence: Presence
    since: int
    reason: str

    @classmethod
    def of(cls, word: Word) -> Absence:
        """From the word in force."""
        presence = Presence.LEFT if word.move is Move.LEAVE else Presence.PAUSED
        return cls(word.centre, presence, word.issued_at, word.reason)

    @property
    def what(self) -> str:
        """One clause for an operator: zuid has paused since 2026-01-02 10:00 UTC (a reason)."""
        at = datetime.datetime.fromtimestamp(self.since, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
        done = f"has paused since {at}" if self.presence is Presence.PAUSED else f"left the workshop at {at}"
        return f"{self.centre} {done}" + (f" ({self.reason})" if self.reason else "")
