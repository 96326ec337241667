"""X25519, and the static key that is a centre's identity on the network."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ..errors import Fault, LocalProtocolError, RemoteProtocolError
from ..secret import Secret

KEY_BYTES: Final = 32  # X25519: private, public and shared alike


class StaticKey(Secret):
    """An X25519 key pair that lasts; ``private`` is 32 uniform bytes.

    Two keys are equal when their public halves are, so that no comparison touches the private one.
    """

    __slots__ = ("_private", "public")

    def __init__(self, private: bytes) -> None:
        if len(private) != KEY_BYTES:
            raise LocalProtocolError(f"a static key has {KEY_BYTES} bytes, not {len(private)}")
        self._private = X25519PrivateKey.from_private_bytes(private)
        self.public: Final = self._private.public_key().public_bytes_raw()

    def exchange(self, public: bytes) -> bytes:
        """Agree on a secret with a remote ``public`` key, see :func:`diffie_hellman`."""
        return diffie_hellman(self._private, public)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StaticKey):
            return NotImplemented
        return self.public == other.public

    def __hash__(self) -> int:
        return hash(self.public)


def diffie_hellman(private: X25519PrivateKey, public: bytes) -> bytes:
    """X25519 of a private key and a peer's 32 bytes.

    A point of low order makes the result zero whatever the private key is, and lets a peer fix the
    transcript's keys; OpenSSL reports it and the vectors under ``tests`` hold it to that.
    """
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise RemoteProtocolError(
            Fault.HANDSHAKE, "the peer sent a public key of low order, which fixes the shared secret"
        ) from None
