"""Keys and associated data: what binds a sealed piece to its place.

Every file has a key of its own, HKDF-SHA-256 of the storage key with 32 random bytes of salt; the salt lives
in the ledger only, and a file without it is noise.  A key seals one file, written once, piece k under nonce
k, so no nonce ever repeats.  The associated data names the epoch, the batch, the kind, the shape and the
piece: one moved to another place, another batch or another epoch does not open.
"""

from __future__ import annotations

import attrs
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from nskd.credentials import StorageKey
from nskd.stockpile import limits
from protocol.secret import Secret

EPOCH_STATE = "epoch-state"  # the kind of the one file that is no batch


def _derive(key: StorageKey, label: str, salt: bytes, context: bytes, length: int) -> bytes:
    info = f"nskd/1 stockpile {label}".encode() + b"\0" + context
    return HKDF(SHA256(), length, salt, info).derive(key.expose())


def key_check(key: StorageKey) -> bytes:
    """Return 16 bytes that tell one storage key from another and say nothing about it."""
    return _derive(key, "key check", b"", b"", 16)


@attrs.frozen
class Label:
    """What a file is: bound into its key and into every piece."""

    epoch: bytes
    batch: bytes  # zeros for the state of an epoch
    kind: str
    rows: int
    count: int

    def encoded(self) -> bytes:
        """Write it down; every field is of fixed width but the last."""
        shape = self.rows.to_bytes(8, "little") + self.count.to_bytes(8, "little")
        return b"nskd/1 stockpile piece\0" + self.epoch + self.batch + shape + self.kind.encode()


class Sealer(Secret):
    """The AEAD of one file."""

    __slots__ = ("_aead", "_label")

    def __init__(self, key: StorageKey, salt: bytes, label: Label) -> None:
        self._label = label.encoded()
        self._aead = AESGCM(_derive(key, "file", salt, self._label, 32))

    def seal_into(self, index: int, plain: memoryview, out: memoryview) -> None:
        """Encrypt piece ``index``; ``out`` is longer than ``plain`` by the tag."""
        self._aead.encrypt_into(self._nonce(index), plain, self._associated(index), out)

    def open_into(self, index: int, sealed: memoryview, out: memoryview) -> None:
        """Decrypt piece ``index``; raises ``cryptography.exceptions.InvalidTag``."""
        self._aead.decrypt_into(self._nonce(index), sealed, self._associated(index), out)

    def _nonce(self, index: int) -> bytes:
        return index.to_bytes(limits.NONCE_BYTES, "little")

    def _associated(self, index: int) -> bytes:
        return index.to_bytes(8, "little") + self._label
