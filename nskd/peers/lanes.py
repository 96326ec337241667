"""The three lanes between two centres, and the hello that names one.

Each lane is an encrypted connection of its own, so that a batch of ciphertexts never stands in front of an
opening, and neither in front of an abort.
"""

from __future__ import annotations

import enum
import re
from typing import Final

import attrs
import msgspec

from protocol import limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError

PROTOCOL_VERSION: Final = 1
"""Raised with every change of what centres say to each other; those with different ones say so and do not talk."""

_HANDSHAKE_VERSION: Final = 1
"""Raised only when the handshake itself changes: then the two cannot even say which version they are of."""

DIGEST_BYTES: Final = 32
_PROLOGUE_LABEL: Final = b"nskd peer link"
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")


class Lane(enum.StrEnum):
    """What a connection carries; the value travels in the hello."""

    CONTROL = "control"  # small typed messages: notices, proposals, aborts, liveness
    ONLINE = "online"  # the rounds of an analysis
    OFFLINE = "offline"  # bulk: preprocessing in the background

    @property
    def message_bytes_max(self) -> int:
        """The largest message this lane accepts, header included."""
        return _MESSAGE_BYTES_MAX[self]


_MESSAGE_BYTES_MAX: Final = {
    Lane.CONTROL: limits.CONTROL_MESSAGE_BYTES_MAX,
    Lane.ONLINE: limits.ONLINE_MESSAGE_BYTES_MAX,
    Lane.OFFLINE: limits.OFFLINE_MESSAGE_BYTES_MAX,
}


def is_centre_name(name: str) -> bool:
    """Whether a string may stand in a charter as a centre's short name."""
    return len(name) <= limits.CENTRE_NAME_BYTES_MAX and _NAME.fullmatch(name) is not None


@attrs.frozen
class Member:
    """One centre of the workshop as the charter lists it: its short name and its public Noise key."""

    name: str
    noise_key: bytes
    host: str = ""
    port: int = 0


def prologue(charter_digest: bytes) -> bytes:
    """Make what both sides mix into the handshake: those with other charters cannot finish it (step 1.3)."""
    if len(charter_digest) != DIGEST_BYTES:
        raise LocalProtocolError(f"a charter digest has {DIGEST_BYTES} bytes, not {len(charter_digest)}")
    label = len(_PROLOGUE_LABEL).to_bytes(1, "big") + _PROLOGUE_LABEL
    return label + _HANDSHAKE_VERSION.to_bytes(2, "big") + charter_digest


class Hello(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each side's encrypted handshake payload.

    The answering side speaks before it knows which lane is wanted, so its ``lane`` is ``None``.
    """

    version: int
    centre: str
    lane: Lane | None

    def encode(self) -> bytes:
        """Make the bytes of a handshake payload."""
        return _ENCODER.encode(self)


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Hello)


class _Version(msgspec.Struct, frozen=True):
    """What a hello of any version has."""

    version: int


_VERSION_DECODER: Final = msgspec.msgpack.Decoder(_Version)


def check_version(version: int, own: int) -> None:
    """Raise ``RemoteProtocolError(VERSION)`` for a peer of another version; it says which side is behind."""
    if version != own:
        behind = "that centre" if version < own else "this centre"
        what = f"speaks version {version} of the protocol, and this centre version {own}"
        raise RemoteProtocolError(Fault.VERSION, f"{what}: {behind} has to upgrade nskd")


def read_hello(payload: bytes, *, from_dialer: bool, version: int = PROTOCOL_VERSION) -> Hello:
    """Read a peer's hello and check it as far as it can be without knowing who it is.

    Its version comes first (step 1.8): what else a later one has in it is not for us to judge.
    """
    if len(payload) > limits.HELLO_BYTES_MAX:
        raise RemoteProtocolError(Fault.OVERSIZED, f"a hello of {len(payload)} bytes")
    try:
        check_version(_VERSION_DECODER.decode(payload).version, version)
        hello = _DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(Fault.MALFORMED, "a hello that cannot be read") from error
    if not is_centre_name(hello.centre):
        raise RemoteProtocolError(Fault.MALFORMED, "a hello whose centre is not a centre's name")
    if (hello.lane is not None) is not from_dialer:
        raise RemoteProtocolError(Fault.MALFORMED, "a hello without its lane, or with one too many")
    return hello
