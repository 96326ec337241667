"""The encrypted channel: Noise revision 34, pattern XX, classical and hybrid, without any I/O.

The modules follow the objects of the specification: :mod:`.cipherstate` (5.1),
:mod:`.symmetricstate` (5.2), :mod:`.handshake` (5.3) and :mod:`.transport`, what is left after Split().
A :class:`Handshake` is consumed into a :class:`Transport`, so that a handshake message cannot be
written under transport keys nor the other way round.
"""

from __future__ import annotations

from .cipherstate import TAG_BYTES
from .handshake import Handshake, Pattern
from .keys import KEY_BYTES, StaticKey
from .transport import PLAINTEXT_BYTES_MAX, Transport

__all__ = ["KEY_BYTES", "PLAINTEXT_BYTES_MAX", "TAG_BYTES", "Handshake", "Pattern", "StaticKey", "Transport"]
