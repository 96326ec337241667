"""SymmetricState: chaining key and transcript hash (Noise revision 34, section 5.2) with SHA-256."""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from cryptography.exceptions import InvalidTag

from ..errors import Fault, RemoteProtocolError
from ..secret import Secret
from .cipherstate import Buffer, CipherState

HASH_BYTES: Final = 32


def _hkdf(chaining_key: bytes, material: bytes) -> tuple[bytes, bytes]:
    """HKDF of section 4.3 with two outputs."""
    seed = hmac.digest(chaining_key, material, "sha256")
    first = hmac.digest(seed, b"\x01", "sha256")
    second = hmac.digest(seed, first + b"\x02", "sha256")
    return first, second


class SymmetricState(Secret):
    """Everything both sides derive alike from what was said so far."""

    __slots__ = ("_chaining_key", "_cipher", "hash")

    def __init__(self, protocol_name: bytes) -> None:
        # Section 5.2, InitializeSymmetric: a name that fits is padded, a longer one hashed.
        if len(protocol_name) <= HASH_BYTES:
            self.hash = protocol_name.ljust(HASH_BYTES, b"\0")
        else:
            self.hash = hashlib.sha256(protocol_name).digest()
        self._chaining_key = self.hash
        self._cipher: CipherState | None = None

    def copy(self) -> SymmetricState:
        """Make an independent twin: work on it, keep it only if the whole message was good."""
        twin = object.__new__(type(self))
        twin.hash = self.hash
        twin._chaining_key = self._chaining_key
        twin._cipher = None if self._cipher is None else self._cipher.copy()
        return twin

    @property
    def has_key(self) -> bool:
        """Whether what is written now is encrypted and carries a tag."""
        return self._cipher is not None

    def mix_key(self, material: bytes) -> None:
        """MixKey: a shared secret enters the chain and makes a fresh cipher."""
        self._chaining_key, key = _hkdf(self._chaining_key, material)
        self._cipher = CipherState(key)

    def mix_hash(self, data: Buffer) -> None:
        """MixHash: ``data`` becomes part of what both sides must agree on."""
        digest = hashlib.sha256(self.hash)
        digest.update(data)
        self.hash = digest.digest()

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """EncryptAndHash: the transcript so far is the associated data."""
        ciphertext = plaintext if self._cipher is None else self._cipher.encrypt(self.hash, plaintext)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        """DecryptAndHash; ``RemoteProtocolError(HANDSHAKE)`` if the two transcripts or keys differ."""
        if self._cipher is None:
            plaintext = ciphertext
        else:
            try:
                plaintext = self._cipher.decrypt(self.hash, ciphertext)
            except InvalidTag:
                raise RemoteProtocolError(
                    Fault.HANDSHAKE,
                    "a handshake message does not authenticate (altered, or another prologue)",
                ) from None
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        """Split: the ciphers from initiator to responder and back."""
        first, second = _hkdf(self._chaining_key, b"")
        return CipherState(first), CipherState(second)
