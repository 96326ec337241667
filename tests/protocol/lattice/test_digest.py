"""Sixteen streams of SHA-256 side by side, against the standard library's."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from protocol.lattice.digest import DIGEST_BYTES, digests
from protocol.lattice.packing import PACKED_BYTES
from protocol.lattice.sha256 import STREAMS
from protocol.prg import Prg


@pytest.mark.parametrize("kind", ["random", "zeros", "ones", "one bit"])
def test_every_lane_is_sha256_of_its_words(kind: str) -> None:
    packed = np.frombuffer(Prg(b"digest", "test").bytes(PACKED_BYTES), dtype=np.uint8).copy()
    if kind != "random":
        packed[:] = 0xFF if kind == "ones" else 0
    if kind == "one bit":
        packed[-1] = 0x80
    words = packed.view("<u4").reshape(-1, STREAMS)
    expected = [hashlib.sha256(lane.astype(">u4").tobytes()).digest() for lane in words.T]
    assert digests(packed[np.newaxis]) == b"".join(expected)
    assert len(digests(packed[np.newaxis])) == DIGEST_BYTES
    assert digests(np.stack([packed, packed[::-1], packed]))[:: 2 * DIGEST_BYTES] == expected[0][:1] * 2


def test_every_byte_counts() -> None:
    packed = np.zeros(PACKED_BYTES, dtype=np.uint8)
    seen = {digests(packed[np.newaxis])}
    for at in (0, 1, 63, 64, PACKED_BYTES // 2, PACKED_BYTES - 1):
        packed[at] = 1
        seen.add(digests(packed[np.newaxis]))
        packed[at] = 0
    assert len(seen) == 7
