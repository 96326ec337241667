"""Messages survive the wire in any portions; nothing but RemoteProtocolError answers to bad bytes."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterable

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.limits import (
    HEADER_BYTES_MAX,
    MESSAGE_DIMENSIONS_MAX,
    MESSAGE_PARTS_MAX,
    SESSION_BYTES,
    STEP_BYTES_MAX,
)
from protocol.wire import ALIGNMENT, PREFIX, Decoder, Message, encode, payload_bytes

SESSION = bytes(range(SESSION_BYTES))
LIMIT = 4096

parts = hnp.arrays(
    dtype=st.sampled_from([np.uint8, np.uint32, np.uint64]),
    shape=hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5),
)
messages = st.builds(
    Message,
    st.binary(min_size=SESSION_BYTES, max_size=SESSION_BYTES),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=STEP_BYTES_MAX),
    st.lists(parts, max_size=4).map(tuple),
)


def to_bytes(message: Message) -> bytes:
    return b"".join(encode(message))


def framed(header: object, payload: bytes = b"") -> bytes:
    raw = header if isinstance(header, bytes) else msgspec.msgpack.encode(header)
    return PREFIX.pack(len(raw), len(payload)) + raw + payload


def drain(decoder: Decoder) -> list[Message]:
    events = []
    while (event := decoder.next_event()) is not None:
        events.append(event)
    return events


def feed(decoder: Decoder, portions: Iterable[bytes]) -> list[Message]:
    events = []
    for portion in portions:
        decoder.receive_data(portion)
        events += drain(decoder)
    return events


def feed_direct(decoder: Decoder, data: bytes, portion: int) -> list[Message]:
    """As a stream does that can put bytes straight where they belong."""
    events = []
    while data:
        space = decoder.payload_space()
        if len(space):
            count = min(len(space), portion, len(data))
            space[:count] = data[:count]
            decoder.payload_received(count)
        else:
            count = min(portion, len(data))
            decoder.receive_data(data[:count])
        data = data[count:]
        events += drain(decoder)
    return events


def same(one: Message, two: Message) -> bool:
    return (
        one.session == two.session
        and one.step == two.step
        and len(one.parts) == len(two.parts)
        and all(
            a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
            for a, b in zip(one.parts, two.parts, strict=True)
        )
    )


def fails(data: bytes, fault: Fault, limit: int = LIMIT) -> None:
    """Refused whole and byte by byte, and for good."""
    for portions in ([data], [data[i : i + 1] for i in range(len(data))]):
        decoder = Decoder(limit)
        with pytest.raises(RemoteProtocolError) as caught:
            feed(decoder, portions)
        assert caught.value.fault is fault
        for again in (decoder.next_event, lambda d=decoder: d.receive_data(to_bytes(Message(SESSION, "ok")))):
            with pytest.raises(RemoteProtocolError) as repeated:
                again()
            assert str(repeated.value) == str(caught.value)
            assert repeated.value is not caught.value


@given(st.lists(messages, max_size=3), st.integers(1, 64))
def test_round_trip_in_any_portions(sent: list[Message], portion: int) -> None:
    data = b"".join(map(to_bytes, sent))
    for size in (1, portion, len(data) + 1):
        decoder = Decoder(LIMIT)
        received = feed(decoder, [data[i : i + size] for i in range(0, len(data), size)])
        assert len(received) == len(sent)
        assert all(map(same, sent, received))
        assert decoder.idle
        direct = feed_direct(Decoder(LIMIT), data, size)
        assert len(direct) == len(sent)
        assert all(map(same, sent, direct))
    for message, copy in zip(sent, received, strict=True):
        assert to_bytes(copy) == to_bytes(message)  # one encoding
        assert payload_bytes(message) == sum(map(len, encode(message)[1:]))


@given(st.binary(max_size=300), st.integers(1, 7))
def test_noise_raises_nothing_else(data: bytes, portion: int) -> None:
    for prefix in (b"", PREFIX.pack(len(data), 0), PREFIX.pack(len(data) // 2, len(data) - len(data) // 2)):
        outcomes = []
        for size in (portion, 1000):
            whole = prefix + data
            decoder = Decoder(LIMIT)
            try:
                outcomes.append(len(feed(decoder, [whole[i : i + size] for i in range(0, len(whole), size)])))
            except RemoteProtocolError as error:
                assert error.fault in (Fault.MALFORMED, Fault.OVERSIZED)
                outcomes.append(error.detail)
        assert outcomes[0] == outcomes[1]


@given(messages, st.data())
def test_mutations_raise_nothing_else(message: Message, data: st.DataObject) -> None:
    raw = bytearray(to_bytes(message))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        received = feed(Decoder(LIMIT), [bytes(raw)])
    except RemoteProtocolError as error:
        assert error.fault in (Fault.MALFORMED, Fault.OVERSIZED)
    else:
        for event in received:
            assert to_bytes(event) == raw[: len(to_bytes(event))]


def test_arrays_are_not_copied_on_the_way_out_nor_in() -> None:
    array = np.arange(1000, dtype=np.uint64).reshape(10, 100)
    odd = np.arange(3, dtype=np.uint8)
    buffers = encode(Message(SESSION, "s", (odd, array)))
    views = [buffer for buffer in buffers if isinstance(buffer, memoryview)]
    assert [view.nbytes for view in views] == [3, 8000]
    assert np.shares_memory(np.frombuffer(views[1], np.uint64), array)
    decoder = Decoder(10_000)
    decoder.receive_data(buffers[0])
    assert decoder.next_event() is None
    space = np.frombuffer(decoder.payload_space(), np.uint8)
    for buffer in buffers[1:]:
        decoder.receive_data(buffer)
    (message,) = drain(decoder)
    assert all(np.shares_memory(part, space) for part in message.parts)
    assert all(part.flags.aligned and part.flags.writeable for part in message.parts)
    assert message.parts[1].ctypes.data % ALIGNMENT == 0


def test_repr_shows_shapes_and_no_content() -> None:
    share = np.array([[1234567890123456789, 987654321]], np.uint64)
    text = repr(Message(SESSION, "open", (share,)))
    assert text == f"<Message {SESSION.hex()} 'open' (uint64[1, 2])>"


def test_limits_are_inclusive() -> None:
    largest = Message(SESSION, "x" * STEP_BYTES_MAX, (np.zeros(LIMIT, np.uint8),))
    assert len(feed(Decoder(LIMIT), [to_bytes(largest)])) == 1
    fails(to_bytes(largest), Fault.OVERSIZED, LIMIT - 1)
    most = Message(SESSION, "s", (np.zeros((1, 1, 1), np.uint8),) * MESSAGE_PARTS_MAX)
    assert len(feed(Decoder(LIMIT), [to_bytes(most)])[0].parts) == MESSAGE_PARTS_MAX


def test_the_largest_header_fits() -> None:
    part = ["u8", [2**64 - 1] * MESSAGE_DIMENSIONS_MAX]
    header = msgspec.msgpack.encode([SESSION, "x" * STEP_BYTES_MAX, [part] * MESSAGE_PARTS_MAX])
    assert len(header) <= HEADER_BYTES_MAX


def test_nothing_is_allocated_before_the_header_is_judged() -> None:
    huge = 1 << 40
    claims = [
        PREFIX.pack(100, huge),
        PREFIX.pack(2**32 - 1, 0),
        framed([SESSION, "s", [["u8", [2**20, 2**20, 2**20]]]]),
        framed([SESSION, "s", [["u1", [0, 2**62, 2**62]]]]),
    ]
    tracemalloc.start()
    try:
        for claim in claims:
            with pytest.raises(RemoteProtocolError) as caught:
                feed(Decoder(1 << 28), [claim])
            assert caught.value.fault is Fault.OVERSIZED
        # and a payload that is announced within the limit, but with a header that does not match it
        with pytest.raises(RemoteProtocolError):
            raw = msgspec.msgpack.encode([SESSION, "s", []])
            feed(Decoder(1 << 28), [PREFIX.pack(len(raw), 1 << 28) + raw])
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_decoder_does_not_hoard() -> None:
    decoder = Decoder(100)
    one = to_bytes(Message(SESSION, "s"))
    with pytest.raises(LocalProtocolError, match="drain"):
        for _ in range(1000):
            decoder.receive_data(one)
    assert len(drain(decoder)) == (PREFIX.size + HEADER_BYTES_MAX + 100) // len(one)


@pytest.mark.parametrize(
    "header",
    [
        b"",  # a header has at least one byte
        b"\xc1",
        b"\x93",
        [],
        {},
        None,
        {"session": SESSION, "step": "s", "parts": []},
        [SESSION, "s"],
        [SESSION, "s", [], 0],
        [SESSION[:-1], "s", []],
        [SESSION + b"\0", "s", []],
        ["0123456789abcdef", "s", []],
        [SESSION, b"s", []],
        [SESSION, "", []],
        [SESSION, "s" * (STEP_BYTES_MAX + 1), []],
        [SESSION, "line\n", []],
        [SESSION, "\x7f", []],
        [SESSION, "é", []],
        [SESSION, "s", None],
        [SESSION, "s", [["u8", [0]]] * (MESSAGE_PARTS_MAX + 1)],
        [SESSION, "s", [["u2", [0]]]],
        [SESSION, "s", [["i8", [0]]]],
        [SESSION, "s", [["f8", [0]]]],
        [SESSION, "s", [["O", [0]]]],
        [SESSION, "s", [[1, [0]]]],
        [SESSION, "s", [["u8", []]]],
        [SESSION, "s", [["u8", [0, 0, 0, 0]]]],
        [SESSION, "s", [["u8", 0]]],
        [SESSION, "s", [["u8", [-1]]]],
        [SESSION, "s", [["u8", [0.0]]]],
        [SESSION, "s", [["u8", [True]]]],
        [SESSION, "s", [["u8", ["0"]]]],
        [SESSION, "s", [["u8", [None]]]],
        [SESSION, "s", [["u8", [0], 0]]],
        [SESSION, "s", [["u8"]]],
        [SESSION, "s", [["u8", [1]]]],  # no payload
        msgspec.msgpack.encode([SESSION, "s", []]) + b"\0",
        b"\x93\xc4\x10" + SESSION + b"\xa1\xff\x90",  # not UTF-8
        b"\x93\xc4\x10" + SESSION + b"\xd9\x01s\x90",  # a longer form of the same string
        b"\x93\xc4\x10" + SESSION + b"\xa1s\x91\x92\xa2u1\x91\xcc\x00",  # and of the same integer
        b"\xdc\x00\x03\xc4\x10" + SESSION + b"\xa1s\x90",  # and of the same array
        b"\x91" * 1000,  # nesting
    ],
)
def test_headers_that_are_not(header: object) -> None:
    fails(framed(header), Fault.OVERSIZED if header == b"" else Fault.MALFORMED)


@pytest.mark.parametrize("size", [0, 7, 9, 16])
def test_payload_and_parts_must_agree(size: int) -> None:
    header = [SESSION, "s", [["u8", [1]]]]
    assert len(feed(Decoder(LIMIT), [framed(header, bytes(8))])) == 1
    fails(framed(header, bytes(size)), Fault.MALFORMED)


@pytest.mark.parametrize("index", range(3, 8))
def test_padding_is_zero(index: int) -> None:
    payload = bytearray(b"abc" + bytes(5))
    payload[index] = 1
    fails(framed([SESSION, "s", [["u1", [3]]]], bytes(payload)), Fault.MALFORMED)


def test_products_do_not_overflow() -> None:
    # 2^32 * 2^32 * 8 is zero modulo 2^64; so is the padded size.
    fails(framed([SESSION, "s", [["u8", [2**32, 2**32]]]]), Fault.OVERSIZED)
    fails(framed([SESSION, "s", [["u8", [2**61]]]]), Fault.OVERSIZED)
    fails(framed([SESSION, "s", [["u1", [2**64 - 1]]]]), Fault.OVERSIZED)
    fails(framed([SESSION, "s", [["u1", [0, 2**64 - 1]]]]), Fault.OVERSIZED)
    many = [["u8", [LIMIT // 8]]] * 2
    fails(framed([SESSION, "s", many], bytes(LIMIT)), Fault.MALFORMED)


def test_oversized_prefixes() -> None:
    fails(struct.pack("<IQ", HEADER_BYTES_MAX + 1, 0), Fault.OVERSIZED)
    fails(struct.pack("<IQ", 1, LIMIT + 1), Fault.OVERSIZED)
    fails(struct.pack("<IQ", 1, 2**64 - 1), Fault.OVERSIZED)


def test_good_messages_before_a_bad_one_are_delivered() -> None:
    decoder = Decoder(LIMIT)
    decoder.receive_data(to_bytes(Message(SESSION, "good")) + framed(None))
    event = decoder.next_event()
    assert event is not None
    assert event.step == "good"
    with pytest.raises(RemoteProtocolError):
        decoder.next_event()


def test_idle_knows_where_messages_end() -> None:
    data = to_bytes(Message(SESSION, "s", (np.zeros(2, np.uint64),)))
    decoder = Decoder(LIMIT)
    for index in range(len(data)):
        assert decoder.idle == (index == 0)
        feed(decoder, [data[index : index + 1]])
    assert decoder.idle


@pytest.mark.parametrize(
    "message",
    [
        Message(SESSION[:-1], "s"),
        Message(SESSION, ""),
        Message(SESSION, "é"),
        Message(SESSION, "s" * (STEP_BYTES_MAX + 1)),
        Message("0123456789abcdef", "s"),  # type: ignore[arg-type]
        Message(SESSION, b"s"),  # type: ignore[arg-type]
        Message(SESSION, "s", (np.zeros(1, np.int64),)),
        Message(SESSION, "s", (np.zeros(1, np.dtype(">u8")),)),
        Message(SESSION, "s", (np.zeros(1, np.float64),)),
        Message(SESSION, "s", (np.array(1, np.uint64),)),
        Message(SESSION, "s", (np.zeros((1, 1, 1, 1), np.uint8),)),
        Message(SESSION, "s", (np.zeros((4, 4), np.uint64).T[1:],)),
        Message(SESSION, "s", (b"bytes",)),  # type: ignore[arg-type]
        Message(SESSION, "s", (np.zeros(1, np.uint8),) * (MESSAGE_PARTS_MAX + 1)),
    ],
    ids=lambda message: repr(message.step)[:8],
)
def test_what_cannot_be_sent(message: Message) -> None:
    with pytest.raises(LocalProtocolError):
        encode(message)


def test_payload_received_is_checked() -> None:
    decoder = Decoder(LIMIT)
    for count in (1, -1):
        with pytest.raises(LocalProtocolError):
            decoder.payload_received(count)
    decoder.payload_received(0)
