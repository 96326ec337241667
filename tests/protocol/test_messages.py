"""Control messages: every field bounded in both directions, nothing unknown accepted."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.limits import CONTROL_MESSAGE_BYTES_MAX
from protocol.messages import (
    CONTROL_SESSION,
    CONTROL_STEP,
    ENVELOPE_BYTES_MAX,
    Abort,
    Accept,
    ApprovalNotice,
    AuditHead,
    AuditProof,
    AuditQuery,
    BegunNotice,
    BegunQuery,
    Bye,
    ControlMessage,
    Ping,
    Pong,
    PresenceNotice,
    Propose,
    Refuse,
    RequestNotice,
    Start,
    decode_control,
    encode_control,
)
from protocol.wire import Decoder, Message, encode

S = b"s" * 16
DOCUMENT_BYTES_MAX = CONTROL_MESSAGE_BYTES_MAX - ENVELOPE_BYTES_MAX
GOOD = [
    RequestNotice(b"request", "ziekenhuis-noord", b"signature"),
    ApprovalNotice(b"approval", "Veilig Thuis", b"s" * 64),
    PresenceNotice(b"word", "zuid", b"s" * 64),
    Propose(b"\x00\xff"),
    Accept(S),
    Refuse(S, "variable “leeftijd” is not in the charter"),
    Start(S),
    Abort(S, "mac-check", ""),
    Ping(0),
    Pong(2**63 - 1),
    AuditHead("noord", 3, b"h" * 32, b"s" * 64),
    AuditQuery(0, 2**48),
    AuditProof(7, b"d" * 64),
    AuditProof(7, b""),
    BegunQuery(),
    BegunNotice(b"r", "noord", b"s" * 64),
    BegunNotice(b"r", "noord", b"s" * 64, b"a", b"t" * 64),
    Bye(""),
]


def wrapped(data: bytes) -> Message:
    return Message(CONTROL_SESSION, CONTROL_STEP, (np.frombuffer(data, np.uint8),))


def malformed(message: Message, fault: Fault = Fault.MALFORMED) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_control(message)
    assert caught.value.fault is fault


@pytest.mark.parametrize("control", GOOD, ids=lambda control: type(control).__name__)
def test_round_trip_over_the_wire(control: ControlMessage) -> None:
    decoder = Decoder(CONTROL_MESSAGE_BYTES_MAX)
    decoder.receive_data(b"".join(encode(encode_control(control))))
    message = decoder.next_event()
    assert message is not None
    assert decode_control(message) == control


def test_the_union_is_complete() -> None:
    assert {type(control) for control in GOOD} == set(ControlMessage.__args__)


@pytest.mark.parametrize(
    ("bad", "good"),
    [
        (Propose(b""), Propose(b"x")),
        (Propose(bytes(DOCUMENT_BYTES_MAX + 1)), Propose(bytes(DOCUMENT_BYTES_MAX))),
        (RequestNotice(b"", "c", b"s"), RequestNotice(b"r", "c", b"s")),
        (RequestNotice(b"r", "", b"s"), RequestNotice(b"r", "c", b"s")),
        (RequestNotice(b"r", "c" * 65, b"s"), RequestNotice(b"r", "c" * 64, b"s")),
        (RequestNotice(b"r", "c", b""), RequestNotice(b"r", "c", b"s")),
        (ApprovalNotice(b"a", "c", bytes(8193)), ApprovalNotice(b"a", "c", bytes(8192))),
        (ApprovalNotice(b"a", "c\u202e", b"s"), ApprovalNotice(b"a", "ç", b"s")),
        (PresenceNotice(b"", "c", b"s"), PresenceNotice(b"w", "c", b"s")),
        (PresenceNotice(b"w", "c\n", b"s"), PresenceNotice(b"w", "c", b"s")),
        (Accept(bytes(15)), Accept(bytes(16))),
        (Start(bytes(17)), Start(bytes(16))),
        (Refuse(S, "\x1b[2J"), Refuse(S, "[2J")),
        (Refuse(S, "two\nlines"), Refuse(S, "one line")),
        (Abort(S, "", "d"), Abort(S, "f", "d")),
        (Abort(S, "f" * 65, "d"), Abort(S, "f" * 64, "d")),
        (Abort(S, "f", "d" * 1025), Abort(S, "f", "d" * 1024)),
        (Ping(-1), Ping(0)),
        (Pong(2**63), Pong(2**63 - 1)),
        (AuditHead("c", -1, bytes(32), b"s"), AuditHead("c", 1, bytes(32), b"s")),
        (AuditHead("c", 1, bytes(31), b"s"), AuditHead("c", 1, bytes(32), b"s")),
        (AuditQuery(0, 2**48 + 1), AuditQuery(0, 2**48)),
        (AuditProof(0, bytes(32 * 4096 + 1)), AuditProof(0, bytes(32 * 4096))),
        (Bye("\x9b"), Bye("é")),
    ],
)
def test_bounds_hold_for_both_sides(bad: ControlMessage, good: ControlMessage) -> None:
    assert decode_control(encode_control(good)) == good
    with pytest.raises(LocalProtocolError):
        encode_control(bad)
    malformed(wrapped(msgspec.msgpack.encode(bad)))


@pytest.mark.parametrize("bad", [Bye("\ud800"), Ping(2**80), Ping("1"), Bye(None), "ping", None])  # type: ignore[arg-type]
def test_what_cannot_even_be_encoded(bad: ControlMessage) -> None:
    with pytest.raises(LocalProtocolError):
        encode_control(bad)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        msgspec.msgpack.encode({"kind": "unknown"}),
        msgspec.msgpack.encode({"nonce": 1}),
        msgspec.msgpack.encode({"kind": "ping"}),
        msgspec.msgpack.encode({"kind": "ping", "nonce": 1, "extra": 1}),
        msgspec.msgpack.encode({"nonce": 1, "kind": "ping"}),  # another order
        b"\x82\xa4kind\xa4ping\xa5nonce\xcc\x01",  # another integer
        b"\x83\xa4kind\xa4ping\xa5nonce\x02\xa5nonce\x01",  # a duplicate key
        msgspec.msgpack.encode(Ping(1)) + b"\0",
        b"\x82\xa4kind\xa3bye\xa6reason\xa1\xff",
        b"\x91" * 100_000,
    ],
)
def test_bytes_that_are_no_control_message(data: bytes) -> None:
    malformed(wrapped(data))


@given(st.binary(max_size=100), st.sampled_from(GOOD), st.data())
def test_fuzz(noise: bytes, control: ControlMessage, data: st.DataObject) -> None:
    mutated = bytearray(encode_control(control).parts[0].tobytes())
    mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    for raw in (noise, bytes(mutated)):
        try:
            decoded = decode_control(wrapped(raw))
        except RemoteProtocolError as error:
            assert error.fault is Fault.MALFORMED
        else:
            assert encode_control(decoded).parts[0].tobytes() == raw


def test_envelope() -> None:
    good = encode_control(Ping(1))
    part = good.parts[0]
    malformed(Message(b"x" * 16, CONTROL_STEP, good.parts))
    malformed(Message(CONTROL_SESSION, "other", good.parts))
    malformed(Message(CONTROL_SESSION, CONTROL_STEP, ()))
    malformed(Message(CONTROL_SESSION, CONTROL_STEP, (part, part)))
    malformed(Message(CONTROL_SESSION, CONTROL_STEP, (part.astype(np.uint64),)))
    malformed(Message(CONTROL_SESSION, CONTROL_STEP, (part.reshape(1, -1),)))
    malformed(wrapped(bytes(CONTROL_MESSAGE_BYTES_MAX + 1)), Fault.OVERSIZED)


def test_the_largest_message_fits_its_lane() -> None:
    largest = RequestNotice(bytes(DOCUMENT_BYTES_MAX), "c" * 64, bytes(8192))
    (part,) = encode_control(largest).parts
    assert part.size <= CONTROL_MESSAGE_BYTES_MAX
