"""Byte-exact vectors, ours and others', and interoperation with another implementation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from noise.connection import Keypair, NoiseConnection

from protocol.noise import Handshake, Pattern, StaticKey, cipherstate, handshake, symmetricstate

VECTORS = Path(__file__).parents[1] / "vectors"


def load(name: str) -> dict[str, Any]:
    return json.loads((VECTORS / name).read_text())


def unhex(vector: dict[str, Any], name: str) -> bytes | None:
    return bytes.fromhex(vector[name]) if name in vector else None


def parties(vector: dict[str, Any]) -> tuple[Handshake, Handshake]:
    pattern = Pattern(vector["protocol_name"])
    prologue = bytes.fromhex(vector["prologue"])
    encapsulation = vector.get("resp_encapsulation")
    return (
        Handshake(
            initiator=True,
            static=StaticKey(bytes.fromhex(vector["init_static"])),
            prologue=prologue,
            pattern=pattern,
            ephemeral=unhex(vector, "init_ephemeral"),
            kem_seed=unhex(vector, "init_kem_seed"),
        ),
        Handshake(
            initiator=False,
            static=StaticKey(bytes.fromhex(vector["resp_static"])),
            prologue=prologue,
            pattern=pattern,
            ephemeral=unhex(vector, "resp_ephemeral"),
            encapsulation=None if encapsulation is None else tuple(map(bytes.fromhex, encapsulation)),
        ),
    )


@pytest.mark.parametrize("name", ["noise_xx.json", "noise_xxhfs.json"])
@pytest.mark.parametrize("role", [0, 1], ids=["initiator", "responder"])
def test_one_role_against_the_vector(name: str, role: int) -> None:
    # The other role is played by the file alone, so that two errors cannot cancel.
    vector = load(name)
    party = parties(vector)[role]
    state: Any = party
    for index, message in enumerate(vector["messages"]):
        if index == 3:
            assert party.finished
            state = party.transport()
        payload, ciphertext = bytes.fromhex(message["payload"]), bytes.fromhex(message["ciphertext"])
        if index % 2 == role:
            send = state.write if index < 3 else state.encrypt
            assert send(payload) == ciphertext, index
        else:
            receive = state.read if index < 3 else state.decrypt
            assert receive(ciphertext) == payload, index
    assert len(vector["messages"]) > 5
    assert state.remote_static == StaticKey(bytes.fromhex(vector[("resp", "init")[role] + "_static"])).public
    if "handshake_hash" in vector:
        assert state.handshake_hash.hex() == vector["handshake_hash"]


def test_rekey_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.noise.transport.NOISE_REKEY_MESSAGES", 2)
    vector = load("noise_xxhfs.json")
    _, responder = parties(vector)
    messages = [bytes.fromhex(message["ciphertext"]) for message in vector["messages"]]
    responder.read(messages[0])
    responder.write(bytes.fromhex(vector["messages"][1]["payload"]))
    responder.read(messages[2])
    transport = responder.transport()
    transport.decrypt(messages[4])
    transport.decrypt(messages[6])
    after = vector["rekeyed_to_responder"]
    assert after["counter"] == 2
    assert transport.decrypt(bytes.fromhex(after["ciphertext"])).hex() == after["payload"]


def test_hybrid_against_figures_of_the_libp2p_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    vector = load("noise_xxhfs_libp2p.json")
    name = vector["protocol_name"].encode()
    monkeypatch.setattr(cipherstate, "AESGCM", ChaCha20Poly1305)
    monkeypatch.setattr(cipherstate, "_gcm_nonce", lambda n: bytes(4) + n.to_bytes(8, "little"))
    monkeypatch.setattr(handshake, "SymmetricState", lambda _: symmetricstate.SymmetricState(name))
    initiator, _ = parties(vector | {"protocol_name": Pattern.XX_HFS.value})
    initiator.write()
    assert initiator.read(bytes.fromhex(vector["message_2"])) == b""
    assert initiator.write().hex() == vector["message_3"]
    transport = initiator.transport()
    assert transport.handshake_hash.hex() == vector["handshake_hash"]
    there = ChaCha20Poly1305(bytes.fromhex(vector["key_to_responder"]))
    back = ChaCha20Poly1305(bytes.fromhex(vector["key_to_initiator"]))
    assert there.decrypt(bytes(12), transport.encrypt(b"out"), b"") == b"out"
    assert transport.decrypt(back.encrypt(bytes(12), b"in", b"")) == b"in"


def other(*, initiator: bool, static: bytes, prologue: bytes) -> NoiseConnection:
    connection = NoiseConnection.from_name(b"Noise_XX_25519_AESGCM_SHA256")
    (connection.set_as_initiator if initiator else connection.set_as_responder)()
    connection.set_keypair_from_private_bytes(Keypair.STATIC, static)
    connection.set_prologue(prologue)
    connection.start_handshake()
    return connection


@pytest.mark.parametrize("initiator", [True, False])
def test_interoperates_with_noiseprotocol(initiator: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.noise.transport.NOISE_REKEY_MESSAGES", 3)
    ours = Handshake(initiator=initiator, static=StaticKey(b"o" * 32), prologue=b"same", pattern=Pattern.XX)
    theirs = other(initiator=not initiator, static=b"t" * 32, prologue=b"same")
    for index in range(3):
        payload = b"handshake %d" % index
        if (index % 2 == 0) == initiator:
            assert theirs.read_message(ours.write(payload)) == payload
        else:
            assert ours.read(bytes(theirs.write_message(payload))) == payload
    transport = ours.transport()
    assert theirs.get_handshake_hash() == transport.handshake_hash
    assert transport.remote_static == StaticKey(b"t" * 32).public
    for count in range(1, 8):
        payload = bytes([count]) * count * 1000
        assert theirs.decrypt(transport.encrypt(payload)) == payload
        assert transport.decrypt(bytes(theirs.encrypt(payload))) == payload
        if count % 3 == 0:  # we rekey by ourselves, the other library when told
            theirs.rekey_inbound_cipher()
            theirs.rekey_outbound_cipher()


def test_noiseprotocol_notices_another_prologue() -> None:
    ours = Handshake(initiator=True, static=StaticKey(b"o" * 32), prologue=b"one", pattern=Pattern.XX)
    theirs = other(initiator=False, static=b"t" * 32, prologue=b"two")
    theirs.read_message(ours.write())
    with pytest.raises(Exception, match="handshake message does not authenticate"):
        ours.read(bytes(theirs.write_message()))
