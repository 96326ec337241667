"""What a handshake refuses, and that refusing changes nothing."""

from __future__ import annotations

import copy
import pickle

import pytest

from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.noise import Handshake, Pattern, StaticKey
from protocol.noise.handshake import KEM_PUBLIC_BYTES
from tests.protocol.noise_pair import INITIATOR, PROLOGUE, RESPONDER, handshakes, talk, transports

BOTH = pytest.mark.parametrize("pattern", list(Pattern))

P = 2**255 - 19
ORDER_8 = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
LOW_ORDER = [
    value.to_bytes(32, "little") for value in (0, 1, P - 1, P, P + 1, *ORDER_8, 2**255 + 0, 2**255 + 1, 2**256 - 1 - 18)
]


def refused(party: Handshake, message: bytes, *, why: str | None = None) -> None:
    with pytest.raises(RemoteProtocolError, match=why) as caught:
        party.read(message)
    assert caught.value.fault is Fault.HANDSHAKE


def before(pattern: Pattern, number: int) -> tuple[Handshake, Handshake, bytes]:
    """The receiver of message `number` (0, 1, 2), its sender, and the message."""
    initiator, responder = handshakes(pattern)
    talk(initiator, responder, number)
    sender, receiver = (initiator, responder) if number % 2 == 0 else (responder, initiator)
    return receiver, sender, sender.write(b"genuine")


@BOTH
def test_handshake_ends_in_two_agreeing_transports(pattern: Pattern) -> None:
    initiator, responder = handshakes(pattern)
    talk(initiator, responder)
    assert initiator.finished
    assert responder.finished
    assert initiator.remote_static == RESPONDER.public
    assert responder.remote_static == INITIATOR.public
    one, two = initiator.transport(), responder.transport()
    assert one.handshake_hash == two.handshake_hash
    assert two.decrypt(one.encrypt(b"there")) == b"there"
    assert one.decrypt(two.encrypt(b"back", b"bound"), b"bound") == b"back"


@BOTH
def test_two_handshakes_never_share_anything(pattern: Pattern) -> None:
    first, second = transports(pattern), transports(pattern)
    assert first[0].handshake_hash != second[0].handshake_hash
    with pytest.raises(RemoteProtocolError):
        second[1].decrypt(first[0].encrypt(b"x"))


def test_patterns_do_not_mix() -> None:
    initiator, _ = handshakes(Pattern.XX_HFS)
    _, responder = handshakes(Pattern.XX)
    responder.read(initiator.write())  # e1 looks like a long payload to the classical side
    refused(initiator, responder.write())


@BOTH
@pytest.mark.parametrize("number", [1, 2])
def test_every_flipped_byte_is_refused_and_changes_nothing(pattern: Pattern, number: int) -> None:
    receiver, _, message = before(pattern, number)
    for index in range(len(message)):
        forged = bytearray(message)
        forged[index] ^= 1 << (index % 8)
        # The top bit of an X25519 coordinate is ignored by the function, but not by the transcript.
        refused(receiver, bytes(forged))
    assert receiver.read(message) == b"genuine"


@BOTH
def test_every_flipped_byte_of_the_open_first_message_surfaces_in_the_second(pattern: Pattern) -> None:
    _, _, message = before(pattern, 0)
    for index in range(0, len(message), 1 if pattern is Pattern.XX else 29):
        initiator, responder = handshakes(pattern)
        forged = bytearray(initiator.write(b"genuine"))
        forged[index] ^= 0x10
        try:
            responder.read(bytes(forged))
        except RemoteProtocolError as error:
            assert error.fault is Fault.HANDSHAKE  # an encapsulation key out of range
        else:
            refused(initiator, responder.write())


@BOTH
@pytest.mark.parametrize("number", [0, 1, 2])
def test_every_truncation_is_refused_and_changes_nothing(pattern: Pattern, number: int) -> None:
    receiver, _, message = before(pattern, number)
    payload = len(b"genuine")
    shortest = len(message) - payload if number == 0 else len(message)  # the first payload is in the clear
    for size in range(0, shortest, 1 if len(message) < 200 else 13):
        refused(receiver, message[:size])
    refused(receiver, message[: shortest - 1])
    if number:
        refused(receiver, message + b"\0")
    refused(receiver, message + bytes(65_536 - len(message)))
    assert receiver.read(message) == b"genuine"


@BOTH
def test_another_prologue_is_noticed_by_both(pattern: Pattern) -> None:
    initiator, responder = handshakes(pattern, prologue_r=PROLOGUE + b"!")
    responder.read(initiator.write())
    refused(initiator, responder.write())


@BOTH
def test_replayed_reordered_and_reflected_messages(pattern: Pattern) -> None:
    initiator, responder = handshakes(pattern)
    first = initiator.write()
    responder.read(first)
    second = responder.write()
    refused(initiator, first)  # our own message back
    initiator.read(second)
    third = initiator.write()
    refused(responder, first)
    refused(responder, second)
    responder.read(third)
    fresh = handshakes(pattern)[1]
    fresh.read(first)
    fresh.write()
    refused(fresh, third)  # a recorded initiator, against a new ephemeral key


@BOTH
@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda point: point.hex()[:8])
def test_low_order_ephemeral_keys(pattern: Pattern, point: bytes) -> None:
    initiator, responder = handshakes(pattern)
    first = initiator.write()
    second = before(pattern, 1)[2]
    refused(initiator, point + second[32:], why="low order")
    responder.read(point + first[32:])
    # The responder meets the point when it answers: the fault is still the peer's.
    with pytest.raises(RemoteProtocolError, match="low order") as caught:
        responder.write()
    assert caught.value.fault is Fault.HANDSHAKE


@BOTH
def test_low_order_static_key_of_an_authentic_liar(pattern: Pattern) -> None:
    liar = StaticKey(b"l" * 32)
    object.__setattr__(liar, "public", bytes(32))
    initiator = handshakes(pattern)[0]
    responder = Handshake(initiator=False, static=liar, prologue=PROLOGUE, pattern=pattern)
    responder.read(initiator.write())
    refused(initiator, responder.write(), why="low order")


def test_encapsulation_key_out_of_range() -> None:
    initiator, responder = handshakes(Pattern.XX_HFS)
    message = initiator.write(b"genuine")
    refused(responder, message[:32] + b"\xff" * KEM_PUBLIC_BYTES + b"genuine", why="encapsulation key")
    assert responder.read(message) == b"genuine"


def test_an_altered_kem_ciphertext_under_a_genuine_tag_still_fails() -> None:
    # ML-KEM rejects implicitly: decapsulation succeeds with an unrelated secret, and what follows must not.
    initiator = handshakes(Pattern.XX_HFS)[0]
    responder = Handshake(
        initiator=False,
        static=RESPONDER,
        prologue=PROLOGUE,
        pattern=Pattern.XX_HFS,
        encapsulation=(bytes(1088), bytes(32)),
    )
    responder.read(initiator.write())
    refused(initiator, responder.write())


@BOTH
def test_turns_and_endings_are_kept(pattern: Pattern) -> None:
    initiator, responder = handshakes(pattern)
    assert initiator.may_write
    assert not responder.may_write
    with pytest.raises(LocalProtocolError):
        initiator.read(b"")
    with pytest.raises(LocalProtocolError):
        responder.write()
    with pytest.raises(LocalProtocolError):
        initiator.transport()
    with pytest.raises(LocalProtocolError):
        _ = initiator.remote_static
    talk(initiator, responder)
    assert not initiator.may_write
    for misuse in (initiator.write, lambda: initiator.read(b"")):
        with pytest.raises(LocalProtocolError):
            misuse()
    initiator.transport()
    for misuse in (initiator.transport, initiator.write, lambda: initiator.remote_static):
        with pytest.raises(LocalProtocolError):
            misuse()


@BOTH
def test_a_payload_too_long_changes_nothing(pattern: Pattern) -> None:
    initiator, responder = handshakes(pattern)
    overhead = len(initiator.write())
    initiator, responder = handshakes(pattern)
    with pytest.raises(LocalProtocolError):
        initiator.write(bytes(65_536 - overhead))
    responder.read(initiator.write(bytes(65_535 - overhead)))
    initiator.read(responder.write())


@pytest.mark.parametrize(
    "injected",
    [{"ephemeral": b"short"}, {"kem_seed": bytes(32)}, {"encapsulation": (bytes(1087), bytes(32))}],
)
def test_injected_material_of_the_wrong_size(injected: dict[str, bytes]) -> None:
    with pytest.raises(LocalProtocolError):
        Handshake(initiator=True, static=INITIATOR, prologue=b"", pattern=Pattern.XX_HFS, **injected)  # type: ignore[arg-type]


def test_static_keys() -> None:
    assert StaticKey(b"i" * 32) == INITIATOR != RESPONDER
    assert hash(StaticKey(b"i" * 32)) == hash(INITIATOR)
    assert INITIATOR != b"i" * 32
    with pytest.raises(LocalProtocolError):
        StaticKey(b"short")
    assert INITIATOR.exchange(RESPONDER.public) == RESPONDER.exchange(INITIATOR.public)


def test_secrets_neither_print_nor_pickle() -> None:
    initiator, responder = handshakes(Pattern.XX_HFS)
    talk(initiator, responder, 2)
    state = initiator._state
    assert state is not None
    secrets = [INITIATOR, initiator, state, state.symmetric, state.symmetric._cipher, *transports()]
    for secret in secrets:
        assert repr(secret) == str(secret) == f"<{type(secret).__name__}: redacted>"
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="neither pickled nor copied"):
                pickle.dumps(secret, protocol)
        for duplicate in (copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="neither pickled nor copied"):
                duplicate(secret)
        with pytest.raises(AttributeError):  # slots throughout: vars() shows nothing
            _ = secret.__dict__
