"""Seeds to uniform bytes and field elements: AES-256-CTR (``docs/protocol.md``, step 3.4).

Each seed is used with one label for one purpose; the label enters the key through SHA-256, so two purposes
never share a key stream.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from protocol._jit import kernel
from protocol.field import BITS, ELEMENT_BYTES, Elements, P

_ZEROS = bytes(1 << 20)  # the key stream runs at full speed in calls of about a megabyte
_WORDS: Final = 1 << 15  # cut while they are in the processor's cache
_SPARE_BITS = np.uint64(64 - BITS)


@kernel
def _cut(words: Elements) -> np.uint64:
    """Keep the upper 61 bits of every word, in place; returns the largest."""
    largest = np.uint64(0)
    for i in range(words.size):
        word = words[i] >> _SPARE_BITS
        words[i] = word
        largest = max(largest, word)
    return largest


def labelled_hash(label: str, *parts: bytes | memoryview) -> bytes:
    """SHA-256 over a label and length-prefixed parts: the one way this package hashes anything."""
    digest = hashlib.sha256(f"nskd/1 {label}".encode() + b"\0")
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


class Prg:
    """A key stream from one seed.  Stateful: successive calls give successive parts of the stream."""

    def __init__(self, seed: bytes, label: str) -> None:
        key = labelled_hash(f"prg {label}", seed)
        self._stream = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()

    def __repr__(self) -> str:
        return "<Prg>"

    def __reduce__(self) -> str:
        raise TypeError("a key stream cannot be pickled")

    def fill(self, out: npt.NDArray[np.uint8]) -> None:
        """Overwrite a contiguous byte array with key stream."""
        view = out.data.cast("B")
        for start in range(0, len(view), len(_ZEROS)):
            piece = view[start : start + len(_ZEROS)]
            self._stream.update_into(_ZEROS[: len(piece)], piece)

    def bytes(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        return self._stream.update(bytes(count))

    def elements(self, count: int) -> Elements:
        """``count`` uniform field elements, by rejection: a 61-bit word is ≥ p with probability 2^−40."""
        words = np.empty(count, dtype=np.uint64)
        largest = 0
        for start in range(0, count, _WORDS):
            piece = words[start : start + _WORDS]
            self.fill(piece.view(np.uint8))
            largest = max(largest, int(_cut(piece)))
        if largest >= P:
            self._draw_again(words)
        return words

    def _draw_again(self, words: Elements) -> None:
        while (bad := np.flatnonzero(words >= np.uint64(P))).size:
            fresh = np.frombuffer(self.bytes(ELEMENT_BYTES * bad.size), dtype="<u8")
            words[bad] = fresh >> _SPARE_BITS
