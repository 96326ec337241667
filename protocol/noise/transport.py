"""What remains of a handshake: two ciphers, one for each direction, with rekeying and a hard stop."""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag

from ..errors import Fault, LocalProtocolError, RemoteProtocolError
from ..limits import NOISE_MESSAGE_BYTES_MAX, NOISE_NONCE_MAX, NOISE_REKEY_MESSAGES
from ..secret import Secret
from .cipherstate import TAG_BYTES, Buffer, CipherState

PLAINTEXT_BYTES_MAX: Final = NOISE_MESSAGE_BYTES_MAX - TAG_BYTES


class Transport(Secret):
    """Encrypts and decrypts transport messages, in order, after a :class:`~protocol.noise.Handshake`.

    Each direction counts for itself.  After every ``NOISE_REKEY_MESSAGES`` messages of a direction its
    key is replaced, at both ends alike and without a word on the wire; after ``NOISE_NONCE_MAX`` the
    direction is finished and the peers must shake hands again.

    ``handshake_hash`` names this channel uniquely to both ends (channel binding, section 11.2), and
    ``remote_static`` is the key the peer proved to hold.
    """

    __slots__ = ("_receiving", "_sending", "handshake_hash", "remote_static")

    def __init__(
        self, sending: CipherState, receiving: CipherState, handshake_hash: bytes, remote_static: bytes
    ) -> None:
        self._sending = sending
        self._receiving = receiving
        self.handshake_hash: Final = handshake_hash
        self.remote_static: Final = remote_static

    def encrypt(self, plaintext: Buffer, ad: bytes = b"") -> bytes:
        """Return the next transport message: at most ``PLAINTEXT_BYTES_MAX`` bytes and a tag.

        ``LocalProtocolError`` if the plaintext is too long or this direction is used up.
        """
        self._check_sending(memoryview(plaintext).nbytes)
        ciphertext = self._sending.encrypt(ad, plaintext)
        self._count(self._sending)
        return ciphertext

    def decrypt(self, ciphertext: Buffer, ad: bytes = b"") -> bytes:
        """Return the plaintext; if it is not genuine, ``RemoteProtocolError`` and nothing has changed."""
        self._check_receiving(memoryview(ciphertext).nbytes)
        try:
            plaintext = self._receiving.decrypt(ad, ciphertext)
        except InvalidTag:
            raise _forged() from None
        self._count(self._receiving)
        return plaintext

    def encrypt_into(self, plaintext: Buffer, out: Buffer) -> int:
        """Encrypt into the front of ``out`` (writable bytes); returns how many bytes it took."""
        view = memoryview(out).cast("B")
        size = memoryview(plaintext).nbytes
        self._check_sending(size)
        if view.nbytes < size + TAG_BYTES:
            raise LocalProtocolError(f"{size} bytes do not fit encrypted into {view.nbytes}")
        self._sending.encrypt_into(plaintext, view[: size + TAG_BYTES])
        self._count(self._sending)
        return size + TAG_BYTES

    def decrypt_into(self, ciphertext: Buffer, out: Buffer) -> int:
        """Decrypt into the front of ``out``, which is zeroed there if the message is forged."""
        view = memoryview(out).cast("B")
        size = memoryview(ciphertext).nbytes - TAG_BYTES
        self._check_receiving(size + TAG_BYTES)
        if view.nbytes < size:
            raise LocalProtocolError(f"{size} decrypted bytes do not fit into {view.nbytes}")
        try:
            self._receiving.decrypt_into(ciphertext, view[:size])
        except InvalidTag:
            raise _forged() from None
        self._count(self._receiving)
        return size

    def _check_sending(self, plaintext_bytes: int) -> None:
        if plaintext_bytes > PLAINTEXT_BYTES_MAX:
            raise LocalProtocolError(f"a message carries {PLAINTEXT_BYTES_MAX} bytes, not {plaintext_bytes}")
        if self._sending.nonce >= NOISE_NONCE_MAX:
            raise LocalProtocolError("this channel has sent all it may; a new handshake is due")

    def _check_receiving(self, ciphertext_bytes: int) -> None:
        if not TAG_BYTES <= ciphertext_bytes <= NOISE_MESSAGE_BYTES_MAX:
            raise RemoteProtocolError(Fault.CHANNEL, f"a message of {ciphertext_bytes} bytes cannot be genuine")
        if self._receiving.nonce >= NOISE_NONCE_MAX:
            raise RemoteProtocolError(Fault.EXHAUSTED, "the peer went on past the end of this channel")

    @staticmethod
    def _count(cipher: CipherState) -> None:
        """Rekey as soon as the interval is full, not when the next message comes: an idle key is loot."""
        if cipher.nonce % NOISE_REKEY_MESSAGES == 0:
            cipher.rekey()


def _forged() -> RemoteProtocolError:
    return RemoteProtocolError(Fault.CHANNEL, "a message does not authenticate: altered, replayed, reordered or cut")
