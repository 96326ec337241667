"""Writes noise_xxhfs.json: vectors for Noise_XXhfs_25519+MLKEM768_AESGCM_SHA256.

A second implementation on purpose: one straight line from the specification's formulas to the figures,
importing nothing of the package under test.  Every input is derived from a label, except the encapsulation:
the library takes no randomness for it, so the one in the existing file is kept (checked by decapsulating
it) and only drawn afresh when there is no file.

    python tests/vectors/make_noise_hybrid.py
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NAME = b"Noise_XXhfs_25519+MLKEM768_AESGCM_SHA256"
FILE = Path(__file__).with_name("noise_xxhfs.json")
PROLOGUE = b"version 1, charter digest " + bytes(range(32))
PAYLOADS = [
    b"",
    b"second payload",
    b"third payload: a hello",
    b"",
    b"to the initiator",
    bytes(200),
    b"z" * 33,
]


def labelled(label: str, size: int) -> bytes:
    return hashlib.shake_256(b"noise hybrid vector / " + label.encode()).digest(size)


def encapsulation(kem: MLKEM768PrivateKey) -> tuple[bytes, bytes]:
    if FILE.exists():
        ciphertext = bytes.fromhex(json.loads(FILE.read_text())["resp_encapsulation"][0])
        return ciphertext, kem.decapsulate(ciphertext)
    secret, ciphertext = kem.public_key().encapsulate()
    return ciphertext, secret


class Transcript:
    def __init__(self) -> None:
        self.h = self.ck = hashlib.sha256(NAME).digest()
        self.k = b""
        self.n = 0

    def hash(self, data: bytes) -> bytes:
        self.h = hashlib.sha256(self.h + data).digest()
        return data

    def key(self, material: bytes) -> None:
        self.ck, self.k = hkdf(self.ck, material)
        self.n = 0

    def seal(self, plaintext: bytes) -> bytes:
        if not self.k:
            return self.hash(plaintext)
        sealed = AESGCM(self.k).encrypt(self.n.to_bytes(12, "big"), plaintext, self.h)
        self.n += 1
        return self.hash(sealed)


def hkdf(salt: bytes, material: bytes) -> tuple[bytes, bytes]:
    temp = hmac.new(salt, material, "sha256").digest()
    one = hmac.new(temp, b"\x01", "sha256").digest()
    return one, hmac.new(temp, one + b"\x02", "sha256").digest()


def dh(private: bytes, public: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(public))


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def main() -> None:
    si, ei, sr, er = (labelled(name, 32) for name in ("si", "ei", "sr", "er"))
    seed = labelled("kem", 64)
    kem = MLKEM768PrivateKey.from_seed_bytes(seed)
    kem_public = kem.public_key().public_bytes_raw()
    ciphertext, secret = encapsulation(kem)

    t = Transcript()
    t.hash(PROLOGUE)
    # -> e, e1
    messages = [t.hash(public(ei)) + t.hash(kem_public) + t.hash(PAYLOADS[0])]
    # <- e, ee, ekem1, s, es
    second = t.hash(public(er))
    t.key(dh(ei, public(er)))
    second += t.seal(ciphertext)
    t.key(secret)
    second += t.seal(public(sr))
    t.key(dh(ei, public(sr)))
    messages.append(second + t.seal(PAYLOADS[1]))
    # -> s, se
    third = t.seal(public(si))
    t.key(dh(si, public(er)))
    messages.append(third + t.seal(PAYLOADS[2]))

    to_responder, to_initiator = hkdf(t.ck, b"")
    for index, payload in enumerate(PAYLOADS[3:]):
        key = to_initiator if index % 2 == 0 else to_responder
        messages.append(AESGCM(key).encrypt((index // 2).to_bytes(12, "big"), payload, b""))
    # the first message to the responder under the key after one REKEY, with the counter going on
    rekeyed = AESGCM(to_responder).encrypt(((1 << 64) - 1).to_bytes(12, "big"), bytes(32), b"")[:32]

    document = {
        "source": "tests/vectors/make_noise_hybrid.py",
        "protocol_name": NAME.decode(),
        "prologue": PROLOGUE.hex(),
        "init_static": si.hex(),
        "init_ephemeral": ei.hex(),
        "init_kem_seed": seed.hex(),
        "resp_static": sr.hex(),
        "resp_ephemeral": er.hex(),
        "resp_encapsulation": [ciphertext.hex(), secret.hex()],
        "messages": [
            {"payload": payload.hex(), "ciphertext": message.hex()}
            for payload, message in zip(PAYLOADS, messages, strict=True)
        ],
        "handshake_hash": t.h.hex(),
        "rekeyed_to_responder": {
            "counter": 2,
            "payload": b"after the rekey".hex(),
            "ciphertext": AESGCM(rekeyed).encrypt((2).to_bytes(12, "big"), b"after the rekey", b"").hex(),
        },
    }
    FILE.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
