"""Runs of bytes through frames, in any portions, and what an attacker's frame spoils."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.peers.frames import FRAME_BYTES_MAX, FRAMES_PER_WRITE, LENGTH_BYTES, FrameReader, FrameWriter
from protocol.errors import Fault, RemoteProtocolError
from protocol.noise import PLAINTEXT_BYTES_MAX, TAG_BYTES
from tests.examples import examples
from tests.protocol.noise_pair import transports

OVERHEAD = LENGTH_BYTES + TAG_BYTES


def pair() -> tuple[FrameWriter, FrameReader]:
    sending, receiving = transports()
    return FrameWriter(sending), FrameReader(receiving)


def sealed(writer: FrameWriter, *buffers: bytes) -> bytes:
    writer.begin(buffers)
    writes = []
    while len(write := writer.next_write()):
        assert len(write) <= FRAMES_PER_WRITE * FRAME_BYTES_MAX
        writes.append(bytes(write))
    assert writer.done
    return b"".join(writes)


def receive(reader: FrameReader, data: bytes, out: memoryview) -> bytes:
    """Put ``data`` in as a connection would, and take out what there is through ``out``."""
    opened = bytearray()
    while data:
        space = reader.space()
        count = min(len(space), len(data))
        space[:count] = data[:count]
        reader.received(count)
        data = data[count:]
        while size := reader.open_into(out):
            opened += out[:size]
    return bytes(opened)


@examples(20)
@given(st.integers(0, 1 << 32), st.data())
def test_any_run_in_any_portions_into_any_room(seed: int, data: st.DataObject) -> None:
    generator = random.Random(seed)
    sizes = st.one_of(st.integers(0, 300), st.integers(PLAINTEXT_BYTES_MAX - 2, 3 * PLAINTEXT_BYTES_MAX))
    buffers = [generator.randbytes(size) for size in data.draw(st.lists(sizes, max_size=5))]
    writer, reader = pair()
    wire = sealed(writer, *buffers)
    room = memoryview(bytearray(data.draw(st.sampled_from([1000, PLAINTEXT_BYTES_MAX, 200_000]))))
    opened = bytearray()
    while wire:
        count = data.draw(st.integers(1, 1 + len(wire)))
        opened += receive(reader, wire[:count], room)
        wire = wire[count:]
    assert opened == b"".join(buffers)


def test_a_large_buffer_begins_a_frame_and_small_ones_share_one() -> None:
    writer, reader = pair()
    wire = sealed(writer, b"header", bytes(8), bytes(2 * PLAINTEXT_BYTES_MAX), b"tail", b"end")
    bodies = [14, PLAINTEXT_BYTES_MAX, PLAINTEXT_BYTES_MAX, 7]
    assert len(wire) == sum(bodies) + OVERHEAD * len(bodies)
    at = 0
    for body in bodies:
        assert int.from_bytes(wire[at : at + LENGTH_BYTES], "big") == body + TAG_BYTES
        at += body + OVERHEAD
    room = memoryview(bytearray(PLAINTEXT_BYTES_MAX * 4))
    space = reader.space()
    space[: len(wire)] = wire
    reader.received(len(wire))
    assert reader.open_into(room[:14]) == 14
    assert reader.open_into(room[: 2 * PLAINTEXT_BYTES_MAX]) == 2 * PLAINTEXT_BYTES_MAX  # in place, both at once
    assert reader.open_into(room[:5]) == 5
    assert reader.open_into(room[:5]) == 2
    assert reader.open_into(room) == 0


def test_what_came_before_a_forged_frame_counts_and_nothing_after() -> None:
    writer, reader = pair()
    first, second, third = (sealed(writer, bytes([n]) * 100) for n in (1, 2, 3))
    forged = bytearray(second)
    forged[50] ^= 1
    space = reader.space()
    wire = first + bytes(forged) + third
    space[: len(wire)] = wire
    reader.received(len(wire))
    room = memoryview(bytearray(b"?" * 400))
    assert reader.open_into(room) == 100
    assert room[:100] == b"\1" * 100
    for _ in range(2):
        with pytest.raises(RemoteProtocolError) as caught:
            reader.open_into(room)
        assert caught.value.fault is Fault.CHANNEL
    assert not any(byte not in b"\0?\1" for byte in room)  # nothing a forger chose


@pytest.mark.parametrize("frame", [b"\0\0", b"\0\x0f" + bytes(15), b"\0\x10" + bytes(16), b"\xff\xff" + bytes(65535)])
def test_forged_lengths(frame: bytes) -> None:
    _, reader = pair()
    with pytest.raises(RemoteProtocolError):
        receive(reader, frame, memoryview(bytearray(100)))
    assert not reader.ended


def test_nothing_is_opened_past_the_closing_message() -> None:
    writer, reader = pair()
    wire = sealed(writer, b"last") + bytes(writer.closing_message()) + sealed(writer, b"more")
    assert receive(reader, wire, memoryview(bytearray(100))) == b"last"
    assert reader.ended
