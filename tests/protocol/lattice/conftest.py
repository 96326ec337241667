from __future__ import annotations

import attrs
import numpy as np
import pytest

from protocol.field import P
from protocol.lattice import (
    PARAMETERS,
    CiphertextBatch,
    Openings,
    ProverState,
    PublicKey,
    SecretKey,
    commit,
    encrypt,
    keygen,
)
from protocol.prg import Prg

EPOCH = b"epoch of the lattice tests".ljust(32, b".")
CONTEXT = b"prover 0 of session 1"


def seed(name: str) -> bytes:
    return Prg(name.encode(), "test seed").bytes(32)


def uniform(name: str, count: int) -> np.ndarray:
    return Prg(name.encode(), "test slots").elements(count * PARAMETERS.slots).reshape(count, PARAMETERS.slots)


@attrs.frozen(eq=False)
class Keys:
    secret: SecretKey
    public: PublicKey


@attrs.frozen(eq=False)
class Batch:
    slots: np.ndarray
    ciphertexts: CiphertextBatch
    openings: Openings


@attrs.frozen(eq=False)
class Proof:
    batch: Batch
    commitment: bytes
    challenge: bytes
    response: np.ndarray


def prove(keys: Keys, batch: Batch, name: str, context: bytes = CONTEXT) -> Proof:
    """An accepted attempt; gives up on the chance of 2^−56 that eight in a row are rejected."""
    for attempt in range(8):
        state, commitment = commit(keys.public, batch.openings, context, seed(f"{name} {attempt}"))
        challenge = seed(f"{name} coin {attempt}")
        response = state.respond(challenge)
        if response is not None:
            return Proof(batch, commitment, challenge, response)
    raise AssertionError("eight attempts in a row were rejected")


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys(*keygen(EPOCH, seed("key")))


@pytest.fixture(scope="session")
def batch(keys: Keys) -> Batch:
    slots = uniform("y", 3)
    slots[0, :4] = [0, 1, P - 1, P // 2]
    return Batch(slots, *encrypt(keys.public, slots, seed("encrypt")))


@pytest.fixture(scope="session")
def constant_batch(keys: Keys) -> Batch:
    slots = np.full((1, PARAMETERS.slots), 0x1234_5678_9ABC_DEF, dtype=np.uint64)
    return Batch(slots, *encrypt(keys.public, slots, seed("delta"), constant=True))


@pytest.fixture(scope="session")
def proof(keys: Keys, batch: Batch) -> Proof:
    return prove(keys, batch, "proof")


@pytest.fixture(scope="session")
def constant_proof(keys: Keys, constant_batch: Batch) -> Proof:
    return prove(keys, constant_batch, "constant proof")


__all__ = ["CONTEXT", "EPOCH", "Batch", "Keys", "Proof", "ProverState", "prove", "seed", "uniform"]
