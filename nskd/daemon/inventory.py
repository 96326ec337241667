"""What parties tell each other about their stock: batches, digests, and how far each is used (step 12.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np

from protocol.errors import Fault, RemoteProtocolError
from protocol.party import Bytes

_BATCH_BYTES: Final = 16
_DIGEST_BYTES: Final = 32
_CURSOR_BYTES: Final = 8
_ROW_BYTES: Final = _BATCH_BYTES + _DIGEST_BYTES + _CURSOR_BYTES
ROWS_MAX: Final = 1 << 16  # batches in stock; 3.5 MiB on the wire


@attrs.frozen
class Held:
    """One batch as a party holds it; items before ``cursor`` are used or reserved there."""

    batch: bytes
    digest: bytes
    cursor: int


def encode_inventory(held: Sequence[Held]) -> Bytes:
    """Rows of fixed size, uint8[count·56]."""
    rows = (row.batch + row.digest + row.cursor.to_bytes(_CURSOR_BYTES, "little") for row in held)
    return np.frombuffer(b"".join(rows), dtype=np.uint8)


def decode_inventory(part: np.ndarray, peer: int) -> list[Held]:
    """The inverse of :func:`encode_inventory`; raises ``malformed-message``."""
    if part.dtype != np.uint8 or part.ndim != 1 or part.size % _ROW_BYTES or part.size > ROWS_MAX * _ROW_BYTES:
        raise RemoteProtocolError(Fault.MALFORMED, "an inventory that is no list of batches", party=peer)
    data = part.tobytes()
    held = []
    for start in range(0, len(data), _ROW_BYTES):
        row = data[start : start + _ROW_BYTES]
        held.append(
            Held(
                row[:_BATCH_BYTES],
                row[_BATCH_BYTES : _BATCH_BYTES + _DIGEST_BYTES],
                int.from_bytes(row[_BATCH_BYTES + _DIGEST_BYTES :], "little"),
            )
        )
    return held
