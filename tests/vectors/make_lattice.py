"""Make lattice_good.json and lattice_bad.json: ``python -m tests.vectors.make_lattice``.

Arrays are megabytes, so a vector holds the SHA-256 of each and a few words to look at.  Everything follows from
the seeds in the file; test_vectors.py runs the same steps and compares.  Bad vectors name a message, a place, what
to write there, and the fault that must follow.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from protocol.field import P
from protocol.lattice import (
    PARAMETERS,
    CiphertextBatch,
    PublicKey,
    Question,
    SecretKey,
    commit,
    decrypt,
    encrypt,
    keygen,
    reply,
)
from protocol.lattice.packing import PACKED_BYTES
from protocol.prg import Prg

HERE: Final = Path(__file__).parent
EPOCH: Final = hashlib.sha256(b"lattice vectors: epoch").digest()
CONTEXT: Final = b"lattice vectors: prover 0"
N: Final = PARAMETERS.slots


def seed(name: str) -> bytes:
    return hashlib.sha256(b"lattice vectors: " + name.encode()).digest()


def sha(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


@attrs.frozen(eq=False)
class Case:
    """One run through the layer, of ordinary or of constant plaintexts."""

    secret: SecretKey
    public: PublicKey
    ciphertexts: CiphertextBatch
    commitment: bytes
    challenge: bytes
    response: np.ndarray
    replies: np.ndarray
    kept: np.ndarray
    decrypted: np.ndarray


def run(constant: bool) -> Case:
    name = "constant" if constant else "ordinary"
    secret, public = keygen(EPOCH, seed("key"))
    y = Prg(seed(f"{name} y"), "vectors").elements(N).reshape(1, N)
    if constant:
        y[:] = y[0, 0]
    x = Prg(seed(f"{name} x"), "vectors").elements(N).reshape(1, N)
    ciphertexts, openings = encrypt(public, y, seed(f"{name} encrypt"), constant=constant)
    state, commitment = commit(public, openings, CONTEXT, seed(f"{name} masks"))
    challenge = seed(f"{name} coin")
    response = state.respond(challenge)
    if response is None:
        raise AssertionError("this seed happens to restart: choose another")
    (answer,) = reply([Question(public, ciphertexts.trusted(openings), seed(f"{name} reply"))], x)
    decrypted = decrypt(secret, answer.packed, 1, party=None)
    return Case(secret, public, ciphertexts, commitment, challenge, response, answer.packed, answer.kept, decrypted)


def describe(case: Case) -> dict[str, Any]:
    return {
        "public_key_sha256": sha(case.public.to_array()),
        "public_key_digest": case.public.digest.hex(),
        "secret_key_sha256": hashlib.sha256(case.secret.to_bytes()).hexdigest(),
        "ciphertext_sha256": sha(case.ciphertexts.to_array()),
        "ciphertext_first_bytes": case.ciphertexts.to_array()[:32].tobytes().hex(),
        "commitment": case.commitment.hex(),
        "response_bytes": int(case.response.size),
        "response_sha256": sha(case.response),
        "reply_sha256": sha(case.replies),
        "minus_r_sha256": sha(case.kept),
        "minus_r_first_coefficients": [int(v) for v in case.kept[0, :4]],
        "decrypted_sha256": sha(case.decrypted),
        "decrypted_first_coefficients": [int(v) for v in case.decrypted[0, :4]],
    }


def bad() -> list[dict[str, Any]]:
    row = 32 + 2 * PACKED_BYTES * PARAMETERS.rows  # where the small parts of a response begin
    residue = "ff" * 4

    def case(message: str, offset: int, write: str, fault: str, why: str) -> dict[str, Any]:
        return {"message": message, "offset": offset, "write": write, "fault": fault, "why": why}

    top = PACKED_BYTES - N // 4  # the plane of top bits of a polynomial
    return [
        case("response", 0, "00" * 32, "proof-equation", "another nonce"),
        case("response", 32, "01020304", "proof-equation", "another message digit"),
        case("response", 32 + top, "ff", "malformed-message", "a low digit of 2^49 or more"),
        case("response", row, "00000000", "proof-equation", "another v"),
        case("response", row + top, "ff", "proof-bound", "v far out of range"),
        case("response", row + PACKED_BYTES + top, "ff", "proof-bound", "e0 far out of range"),
        case("response", row + 3 * PACKED_BYTES * PARAMETERS.rows - 1, "c0", "proof-bound", "the last e1 out of range"),
        case("response", -1, "", "malformed-message", "a byte is missing"),
        case("ciphertext", 0, "00000000", "proof-equation", "another residue"),
        case("ciphertext", 0, residue + f"@{4 * N}:ffff@{top}:03", "malformed-message", "residue 2^50 − 1"),
        case("ciphertext", -1, "", "malformed-message", "a byte is missing"),
        case("public_key", 0, residue + f"@{4 * N}:ffff@{top}:03", "malformed-message", "residue 2^50 − 1"),
        case("reply", 0, residue + f"@{4 * N}:ffff@{top}:03", "malformed-message", "residue 2^50 − 1"),
        case("reply", 4 * N, "55aa", "decryption-anomaly", "another evaluation: noise far beyond an honest reply"),
        case("reply", -1, "", "malformed-message", "a byte is missing"),
    ]


def mutate(array: np.ndarray, vector: dict[str, Any]) -> np.ndarray:
    """Apply a bad vector: ``write`` is hex at ``offset``, then any "@offset:hex"; offset −1 drops a byte."""
    if vector["offset"] == -1:
        return array[:-1]
    data = array.copy()
    first, *more = vector["write"].split("@")
    for offset, text in [(vector["offset"], first), *((int(o), t) for o, t in (m.split(":") for m in more))]:
        raw = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)
        data[offset : offset + raw.size] = raw
    return data


def main() -> None:
    provenance = "generated by tests/vectors/make_lattice.py"
    good = {
        "provenance": provenance,
        "parameters": {"p": P, "slots": N, "primes": list(PARAMETERS.primes), "rows": PARAMETERS.rows},
        "epoch": EPOCH.hex(),
        "context": CONTEXT.hex(),
        "ordinary": describe(run(constant=False)),
        "constant": describe(run(constant=True)),
    }
    for name, content in (("good", good), ("bad", {"provenance": provenance, "cases": bad()})):
        path = HERE / f"lattice_{name}.json"
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
