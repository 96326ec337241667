"""Transport messages: authenticity, order, bounds, rekeying, the end of a channel."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.noise import PLAINTEXT_BYTES_MAX, TAG_BYTES, Transport
from protocol.noise.cipherstate import CipherState
from tests.protocol.noise_pair import transports

Open = Callable[[Transport, bytes], bytes]


def open_whole(transport: Transport, message: bytes) -> bytes:
    return transport.decrypt(message)


def open_into(transport: Transport, message: bytes) -> bytes:
    out = bytearray(b"?" * 100)
    try:
        size = transport.decrypt_into(message, out)
    except RemoteProtocolError:
        # What a forger chose must not lie about in a buffer; one untouched is fine.
        assert not any(byte not in b"?\0" for byte in out)
        raise
    return bytes(out[:size])


BOTH_WAYS = pytest.mark.parametrize("open_", [open_whole, open_into])


def refused(transport: Transport, message: bytes, fault: Fault = Fault.CHANNEL, open_: Open = open_whole) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        open_(transport, message)
    assert caught.value.fault is fault


@BOTH_WAYS
def test_every_flipped_bit_and_every_length_is_refused_and_changes_nothing(open_: Open) -> None:
    sender, receiver = transports()
    message = sender.encrypt(b"a plaintext of some length")
    for index in range(8 * len(message)):
        forged = bytearray(message)
        forged[index // 8] ^= 1 << (index % 8)
        refused(receiver, bytes(forged), open_=open_)
    for size in range(len(message)):
        refused(receiver, message[:size], open_=open_)
    refused(receiver, message + b"\0", open_=open_)
    assert open_(receiver, message) == b"a plaintext of some length"


@BOTH_WAYS
def test_order_replay_and_reflection(open_: Open) -> None:
    sender, receiver = transports()
    first, second, third = (sender.encrypt(bytes([n])) for n in range(3))
    refused(receiver, second, open_=open_)
    assert open_(receiver, first) == b"\0"
    refused(receiver, first, open_=open_)
    refused(receiver, third, open_=open_)
    assert open_(receiver, second) == b"\1"
    refused(sender, third, open_=open_)  # our own back at us
    assert open_(receiver, third) == b"\2"


def test_associated_data_binds() -> None:
    sender, receiver = transports()
    message = sender.encrypt(b"x", b"lane 1")
    with pytest.raises(RemoteProtocolError):
        receiver.decrypt(message, b"lane 2")
    assert receiver.decrypt(message, b"lane 1") == b"x"


def test_sizes() -> None:
    sender, receiver = transports()
    largest = sender.encrypt(bytes(PLAINTEXT_BYTES_MAX))
    assert len(largest) == 65_535
    assert receiver.decrypt(largest) == bytes(PLAINTEXT_BYTES_MAX)
    with pytest.raises(LocalProtocolError):
        sender.encrypt(bytes(PLAINTEXT_BYTES_MAX + 1))
    with pytest.raises(LocalProtocolError):
        sender.encrypt_into(bytes(PLAINTEXT_BYTES_MAX + 1), bytearray(70_000))
    refused(receiver, bytes(65_536))
    refused(receiver, b"")
    assert receiver.decrypt(sender.encrypt(b"")) == b""  # and none of that used up a nonce


def test_into_reuses_buffers_and_equals_the_other_form() -> None:
    sender, receiver = transports()
    mirror = CipherState.copy(sender._sending)
    out, back = bytearray(200), bytearray(200)
    for plaintext in (b"", b"one", memoryview(b"two!"), bytearray(100)):
        size = sender.encrypt_into(plaintext, out)
        assert bytes(out[:size]) == mirror.encrypt(b"", plaintext)
        assert receiver.decrypt_into(memoryview(out)[:size], back) == len(plaintext)
        assert back[: len(plaintext)] == plaintext
    with pytest.raises(LocalProtocolError):
        sender.encrypt_into(b"123", bytearray(2 + TAG_BYTES))
    message = sender.encrypt(b"123")
    with pytest.raises(LocalProtocolError):
        receiver.decrypt_into(message, bytearray(2))
    assert receiver.decrypt_into(message, bytearray(3)) == 3


def test_directions_rekey_by_themselves_and_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.noise.transport.NOISE_REKEY_MESSAGES", 5)
    one, two = transports()
    old_key = one._sending.copy()
    for number in range(17):
        message = one.encrypt(b"%d" % number)
        expected = old_key.encrypt(b"", b"%d" % number)
        assert (message == expected) == (number < 5), "the key must change exactly after the interval"
        assert two.decrypt(message) == b"%d" % number
        if number % 3 == 0:  # the other direction is somewhere else entirely
            assert one.decrypt(two.encrypt(b"back")) == b"back"
    assert one._sending.nonce == 17
    assert one._receiving.nonce == 6


def test_forgeries_do_not_move_a_rekey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.noise.transport.NOISE_REKEY_MESSAGES", 2)
    sender, receiver = transports()
    for number in range(6):
        message = sender.encrypt(bytes([number]))
        for _ in range(3):
            refused(receiver, bytes(30))
        assert receiver.decrypt(message) == bytes([number])


def test_the_channel_ends_before_its_nonces_do(monkeypatch: pytest.MonkeyPatch) -> None:
    sender, receiver = transports()
    monkeypatch.setattr("protocol.noise.transport.NOISE_NONCE_MAX", 2)
    receiver.decrypt(sender.encrypt(b"1"))
    receiver.decrypt(sender.encrypt(b"2"))
    for attempt in (sender.encrypt, lambda data: sender.encrypt_into(data, bytearray(50))):
        with pytest.raises(LocalProtocolError, match="new handshake"):
            attempt(b"3")
    third = sender._sending.encrypt(b"", b"3")  # a peer that does not stop
    refused(receiver, third, Fault.EXHAUSTED)
    with pytest.raises(RemoteProtocolError) as caught:
        receiver.decrypt_into(third, bytearray(50))
    assert caught.value.fault is Fault.EXHAUSTED
    assert sender.decrypt(receiver.encrypt(b"the other direction lives")) == b"the other direction lives"


def test_the_hard_stop_lies_far_below_the_reserved_nonce() -> None:
    from protocol.limits import NOISE_NONCE_MAX, NOISE_REKEY_MESSAGES
    from protocol.noise.cipherstate import NONCE_REKEY

    assert NOISE_NONCE_MAX < NONCE_REKEY >> 20
    assert NOISE_NONCE_MAX % NOISE_REKEY_MESSAGES == 0
    sender, _ = transports()
    sender._sending.nonce = NOISE_NONCE_MAX - 1
    sender.encrypt(b"the last")
    with pytest.raises(LocalProtocolError):
        sender.encrypt(b"one too many")
