"""Plaintext vectors as the lattice layer takes them: uint64[U, N], U ciphertexts of N slots."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from protocol import field
from protocol.lattice import PARAMETERS
from protocol.party import SEED_BYTES, Party
from protocol.prg import Prg

Slots: TypeAlias = npt.NDArray[np.uint64]

SLOTS_PER_CIPHERTEXT = PARAMETERS.slots


def uniform_slots(party: Party, ciphertexts: int, label: str) -> Slots:
    """Fresh uniform elements from this party's own randomness."""
    count = ciphertexts * SLOTS_PER_CIPHERTEXT
    return Prg(party.entropy(SEED_BYTES), label).elements(count).reshape(ciphertexts, SLOTS_PER_CIPHERTEXT)


def add_slots(first: Slots, *others: Slots) -> Slots:
    """Elementwise sum."""
    return field.total([first.reshape(-1), *(other.reshape(-1) for other in others)]).reshape(first.shape)


def multiply_slots(x: Slots, y: Slots) -> Slots:
    """Elementwise product."""
    return field.mul(x.reshape(-1), y.reshape(-1)).reshape(x.shape)


def scale_slots(x: Slots, factor: int) -> Slots:
    """Every element times one number."""
    return field.scale(x.reshape(-1), factor).reshape(x.shape)
