"""Sealing small things on disk under keys that may change: the first key seals, any of them opens.

AES-256-GCM under a key derived for one label, a random nonce of 12 bytes in front.  A centre seals some thousand things
under one key in its life, far from the 2^32 at which random nonces would begin to matter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.secret import Secret

Derive = Callable[[bytes], bytes]
"""A secret that gives 32 bytes for each label, and nothing about itself."""

_NONCE_BYTES: Final = 12


class Seal(Secret):
    """What is sealed names its context, which is authenticated with it: one thing never passes for another."""

    __slots__ = ("_ciphers", "_label")

    def __init__(self, label: bytes, keys: Sequence[Derive]) -> None:
        self._label = label
        self._ciphers = [AESGCM(key(label)) for key in keys]

    def close(self, plain: bytes, context: bytes) -> bytes:
        """Seal under the first key."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._ciphers[0].encrypt(nonce, plain, self._label + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Open what any of the keys sealed; raises ``cryptography.exceptions.InvalidTag``."""
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._label + context)
            except (InvalidTag, ValueError):
                continue
        raise InvalidTag

    def renewed(self, sealed: bytes, context: bytes) -> bytes | None:
        """The same under the first key; None if it is already.  Raises ``InvalidTag``."""
        try:
            self._ciphers[0].decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], self._label + context)
        except (InvalidTag, ValueError):
            return self.close(self.open(sealed, context), context)
        return None
