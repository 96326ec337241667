"""CipherState: one key, one counter (Noise revision 34, section 5.1) over AES-256-GCM.

Authentication failures leave here as ``InvalidTag`` and nothing else; the two callers, handshake and
transport, each give them the name that fits.  A failed call never moves the counter.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..secret import Secret
from .keys import KEY_BYTES

Buffer: TypeAlias = bytes | bytearray | memoryview

TAG_BYTES: Final = 16
NONCE_REKEY: Final = (1 << 64) - 1  # reserved by the specification for REKEY


def _gcm_nonce(counter: int) -> bytes:
    """Noise section 12.4: 32 zero bits, then the counter in big-endian order."""
    return counter.to_bytes(12, "big")


class CipherState(Secret):
    """A key with the number of messages it has handled."""

    __slots__ = ("_aead", "nonce")

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)
        self.nonce = 0

    def copy(self) -> CipherState:
        """Make an independent counter over the same key, for a read that may yet fail."""
        twin = object.__new__(type(self))
        twin._aead = self._aead
        twin.nonce = self.nonce
        return twin

    def encrypt(self, ad: Buffer, plaintext: Buffer) -> bytes:
        """Seal ``plaintext`` under the next nonce; the tag comes last."""
        ciphertext = self._aead.encrypt(_gcm_nonce(self.nonce), plaintext, ad)
        self.nonce += 1
        return ciphertext

    def decrypt(self, ad: Buffer, ciphertext: Buffer) -> bytes:
        """Return the plaintext or raise ``InvalidTag``, also for input shorter than a tag."""
        plaintext = self._aead.decrypt(_gcm_nonce(self.nonce), ciphertext, ad)
        self.nonce += 1
        return plaintext

    def encrypt_into(self, plaintext: Buffer, out: memoryview) -> None:
        """Do as :meth:`encrypt` without associated data; ``out`` has exactly the ciphertext's length."""
        self._aead.encrypt_into(_gcm_nonce(self.nonce), plaintext, None, out)
        self.nonce += 1

    def decrypt_into(self, ciphertext: Buffer, out: memoryview) -> None:
        """Do as :meth:`decrypt` without associated data; ``out`` has exactly the plaintext's length."""
        try:
            self._aead.decrypt_into(_gcm_nonce(self.nonce), ciphertext, None, out)
        except InvalidTag:
            # GCM deciphers while it authenticates: what lies in `out` now is what a forger chose.
            out[:] = bytes(len(out))
            raise
        self.nonce += 1

    def rekey(self) -> None:
        """REKEY(k) of section 4.2: a one-way step, so that an old key is not found from a new one.

        The counter goes on: section 11.3 leaves that to the application, and a counter that only ever
        rises is the simpler promise.
        """
        block = self._aead.encrypt(_gcm_nonce(NONCE_REKEY), bytes(KEY_BYTES), None)
        self._aead = AESGCM(block[:KEY_BYTES])
