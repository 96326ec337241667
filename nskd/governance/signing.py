"""Labelled, length-prefixed messages: what is hashed or signed can be read in one way only.

A label ends in a zero byte and no label is a prefix of another, every field carries its length: two different
tuples of fields, or the same tuple for two different ends, never give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Signer = Callable[[bytes], bytes]
"""Signs a message with this centre's Ed25519 key: 64 bytes.  ``Ed25519PrivateKey.sign`` is one."""

T = TypeVar("T")

SIGNATURE_BYTES = 64
KEY_BYTES = 32
DIGEST_BYTES = 32

_P = 2**255 - 19
# The y coordinates of the eight points of small order, and the two encodings of 0 and 1 beyond p.  Under such
# a key one signature fits many messages, so a charter that lists one is refused.
_SMALL_ORDER_Y = frozenset(
    {
        0,
        1,
        _P - 1,
        _P,
        _P + 1,
        int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
        int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
    }
)


def framed(label: str, *fields: bytes) -> bytes:
    """``label ‖ 0 ‖ (length ‖ field)…`` with 64-bit big-endian lengths."""
    return label.encode() + b"\0" + b"".join(len(field).to_bytes(8, "big") + field for field in fields)


def digest(label: str, *fields: bytes) -> bytes:
    """SHA-256 of :func:`framed`."""
    return hashlib.sha256(framed(label, *fields)).digest()


def is_weak_key(key: bytes) -> bool:
    """Tell an Ed25519 public key of small order."""
    return int.from_bytes(key, "little") & ((1 << 255) - 1) in _SMALL_ORDER_Y


def is_signed(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` over ``message`` verifies under the Ed25519 public ``key``."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def decode_canonical(body: bytes, shape: type[T]) -> T | None:
    """Decode msgpack that is written in its one encoding; None for anything else, however it is malformed."""
    try:
        fields = msgspec.msgpack.decode(body, type=shape)
        return fields if msgspec.msgpack.encode(fields) == body else None
    except (ValueError, RecursionError):
        return None
