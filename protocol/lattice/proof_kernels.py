"""Compiled inner loops of proofs: sums that a public matrix selects, and their place in a recomputed ciphertext
(``docs/protocol-lattice.md``, step L.7).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from protocol._jit import kernel
from protocol.lattice.arithmetic import canonical, to_float
from protocol.lattice.kernels import N, encrypt_limb, split
from protocol.lattice.lanes import LANES, load, store
from protocol.lattice.packing import Bytes, Words, pack
from protocol.lattice.transform import Q_INVERSE, TWO_49, Floats, Q

_BLOCK: Final = 64
_GROUP: Final = 4

Flags = npt.NDArray[np.uint8]


@kernel
def combine(selection: Flags, words: Words, out: Words) -> None:
    """out[k] = Σ of the words[i] that row k of a public 0/1 matrix selects: uint64[V, N] from uint64[U, N]."""
    rows, count = selection.shape
    groups = (count + _GROUP - 1) // _GROUP
    which = np.zeros((groups, rows), dtype=np.int64)
    for i in range(count):
        for k in range(rows):
            which[i // _GROUP, k] |= np.int64(selection[k, i]) << (i % _GROUP)
    subsets = np.zeros((1 << _GROUP, _BLOCK), dtype=np.uint64)  # all sums within a group (four Russians)
    sums = np.empty((rows, _BLOCK), dtype=np.uint64)
    for start in range(0, words.shape[1], _BLOCK):
        for k in range(rows):
            target = sums[k]
            for j in range(_BLOCK):
                target[j] = np.uint64(0)
        for group in range(groups):
            for bit in range(_GROUP):
                i = min(group * _GROUP + bit, count - 1)  # a short last group repeats a word that no row selects
                source = words[i, start : start + _BLOCK]
                for subset in range(1 << bit):
                    former, target = subsets[subset], subsets[(1 << bit) + subset]
                    for j in range(_BLOCK):
                        target[j] = former[j] + source[j]
            for k in range(rows):
                target, source = sums[k], subsets[which[group, k]]
                for j in range(_BLOCK):
                    target[j] += source[j]
        for k in range(rows):
            source, target = sums[k], out[k, start : start + _BLOCK]
            for j in range(_BLOCK):
                target[j] = source[j]


@kernel
def subtract(c: Words, sums: Words, limb: Floats) -> None:
    """Replace c by c − sums mod q, for c in [0, q) and sums below 2^58."""
    q, qi, two_49 = limb[Q], limb[Q_INVERSE], limb[TWO_49]
    for i in range(0, N, LANES):
        t = split(load(sums, i), two_49, q, qi)
        store(c, i, canonical(to_float(load(c, i)) - t, q, qi))


@kernel
def subtract_from_encryption(
    words: Words,
    offsets: Floats,
    b: Floats,
    a: Floats,
    limb: Floats,
    table: Floats,
    work: Floats,
    c: Words,
    sums0: Words,
    sums1: Words,
    packed: Bytes,
) -> None:
    """One limb of Enc(words) less sums uint64[N] of either half: packed, uint8[2, 102400]; scratch c uint64[2, N]."""
    encrypt_limb(words, offsets, b, a, limb, table, work, c[0], c[1])
    subtract(c[0], sums0, limb)
    subtract(c[1], sums1, limb)
    for part in range(2):
        pack(c[part], packed[part])
