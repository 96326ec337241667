"""Committed vectors: the bytes of this layer do not change by accident, and every bad message has its fault."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol.errors import RemoteProtocolError
from protocol.lattice import PARAMETERS, CiphertextBatch, PublicKey, decrypt, verify
from tests.vectors import make_lattice
from tests.vectors.make_lattice import CONTEXT, EPOCH, HERE, Case, describe, mutate, run

GOOD = json.loads((HERE / "lattice_good.json").read_text(encoding="utf-8"))
BAD = json.loads((HERE / "lattice_bad.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def ordinary() -> Case:
    return run(constant=False)


def accept(case: Case, *, constant: bool = False, **changed: Any) -> None:
    """Everything a party does with a peer's messages."""
    public = PublicKey.from_array(EPOCH, changed.get("public_key", case.public.to_array()), party=1)
    ciphertexts = CiphertextBatch.from_array(changed.get("ciphertext", case.ciphertexts.to_array()), 1, party=1)
    response = changed.get("response", case.response)
    verify(public, ciphertexts, case.commitment, CONTEXT, case.challenge, response, constant=constant, party=1)
    decrypt(case.secret, changed.get("reply", case.replies), 1, party=1)


def test_parameters() -> None:
    assert GOOD["parameters"]["primes"] == list(PARAMETERS.primes)
    assert GOOD["epoch"] == EPOCH.hex()


def test_ordinary(ordinary: Case) -> None:
    assert describe(ordinary) == GOOD["ordinary"]
    accept(ordinary)


def test_constant() -> None:
    case = run(constant=True)
    assert describe(case) == GOOD["constant"]
    accept(case, constant=True)


def test_the_bad_vectors_are_those_of_the_generator() -> None:
    assert BAD["cases"] == make_lattice.bad()


@pytest.mark.parametrize("vector", BAD["cases"], ids=lambda v: f"{v['message']}: {v['why']}")
def test_bad(ordinary: Case, vector: dict[str, Any]) -> None:
    messages = {
        "response": ordinary.response,
        "ciphertext": ordinary.ciphertexts.to_array(),
        "public_key": ordinary.public.to_array(),
        "reply": ordinary.replies,
    }
    changed = {vector["message"]: mutate(messages[vector["message"]], vector)}
    with pytest.raises(RemoteProtocolError) as error:
        accept(ordinary, **changed)
    assert (error.value.fault, error.value.party) == (vector["fault"], 1)
