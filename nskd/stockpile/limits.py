"""Every bound of the stock on disk, each with its reason."""

from __future__ import annotations

from typing import Final

from protocol.limits import KIB, MIB

STORAGE_KEY_BYTES: Final = 32
EPOCH_ID_BYTES: Final = 32
BATCH_BYTES: Final = 16  # the id of a batch
SESSION_BYTES: Final = 16
DIGEST_BYTES: Final = 32
SALT_BYTES: Final = 32

# A file is sealed in pieces of so many items of one row, so that a small reservation does not decrypt a whole batch.
# 64 KiB: AES-GCM is at nine tenths of its full speed, and a thousand triples cost six pieces.
PIECE_ITEMS: Final = 1 << 13
TAG_BYTES: Final = 16
NONCE_BYTES: Final = 12

EPOCH_STATE_BYTES_MAX: Final = 64 * MIB  # keys and proved encryptions of sixteen parties are about 30 MiB
BATCH_ROWS_MAX: Final = 8  # a triple has six, nothing has more
BATCH_ITEMS_MAX: Final = 1 << 24  # 768 MiB of triples: thirty times what one offline session makes
KIND_CHARS_MAX: Final = 32
BATCHES_MAX: Final = 1 << 16  # of one epoch, used up ones included: their ids are kept against a second use
REASON_CHARS_MAX: Final = 500

LEDGER_CACHE_KIB: Final = 2 * KIB  # the ledger of a year fits
"""Pages that SQLite keeps in memory."""


def check_length(what: str, value: bytes, length: int) -> None:
    """Raise ``ValueError`` for an id or a digest of another length."""
    if len(value) != length:
        raise ValueError(f"a {what} has {length} bytes, not {len(value)}")
