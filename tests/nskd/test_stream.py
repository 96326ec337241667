"""The encrypted stream keeps trio's rules for streams, and the channel's rules for what comes in."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import numpy as np
import pytest
import trio
import trio.testing
from trio.testing import MemoryReceiveStream, MemorySendStream

from nskd.peers.frames import FRAME_BYTES_MAX, FRAMES_PER_WRITE
from nskd.peers.stream import (
    HANDSHAKE_BYTES_MAX,
    MESSAGES_PER_PASS,
    Established,
    MessageStream,
    SecureStream,
    handshake,
)
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.limits import HELLO_BYTES_MAX, LINK_FLUSH_S
from protocol.noise import PLAINTEXT_BYTES_MAX, Handshake, Pattern, StaticKey
from protocol.wire import PREFIX, Message, encode

CALLER, ANSWERER, STRANGER = (StaticKey(bytes([n]) * 32) for n in (1, 2, 3))
SESSION = b"s" * 16

MemoryStream = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


async def shake(
    left: trio.abc.Stream, right: trio.abc.Stream, pattern: Pattern = Pattern.XX
) -> tuple[Established[str], Established[str]]:
    ends: dict[str, Established[str]] = {}

    async def call() -> None:
        ends["left"] = await handshake(
            left,
            initiator=True,
            static=CALLER,
            prologue=b"p",
            expected={ANSWERER.public: "answerer"},
            hello=b"I call",
            pattern=pattern,
        )

    async def answer() -> None:
        ends["right"] = await handshake(
            right,
            initiator=False,
            static=ANSWERER,
            prologue=b"p",
            expected={STRANGER.public: "stranger", CALLER.public: "caller"},
            hello=b"I answer",
            pattern=pattern,
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        nursery.start_soon(answer)
    return ends["left"], ends["right"]


async def secure_pair() -> tuple[SecureStream, SecureStream]:
    left, right = await shake(*trio.testing.memory_stream_pair())
    return left.stream, right.stream


async def lockstep_pair() -> tuple[SecureStream, SecureStream]:
    left, right = await shake(*trio.testing.lockstep_stream_pair())
    return left.stream, right.stream


async def tapped_pair() -> tuple[SecureStream, SecureStream, MemorySendStream, MemoryReceiveStream]:
    """The third is the left side's raw sender; the fourth the right side's raw receiver."""
    left, right = await secure_pair()
    assert isinstance(left.transport_stream, trio.StapledStream)
    assert isinstance(right.transport_stream, trio.StapledStream)
    return left, right, left.transport_stream.send_stream, right.transport_stream.receive_stream


async def refuses(call: Callable[[], Awaitable[object]], fault: Fault) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        await call()
    assert caught.value.fault is fault


# --- trio's contract ----------------------------------------------------------------------------------------


async def test_keeps_trios_contract() -> None:
    await trio.testing.check_half_closeable_stream(secure_pair, lockstep_pair)


async def test_keeps_trios_contract_over_sockets(nursery: trio.Nursery) -> None:
    async def maker() -> tuple[SecureStream, SecureStream]:
        one, two = trio.socket.socketpair()
        left, right = await shake(trio.SocketStream(one), trio.SocketStream(two), Pattern.XX_HFS)
        return left.stream, right.stream

    await trio.testing.check_two_way_stream(maker, None)


# --- handshake ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", list(Pattern))
async def test_handshake_tells_who_and_what(pattern: Pattern) -> None:
    left, right = await shake(*trio.testing.memory_stream_pair(), pattern)
    assert (left.identity, left.hello) == ("answerer", b"I answer")
    assert (right.identity, right.hello) == ("caller", b"I call")
    assert left.stream.remote_static == ANSWERER.public
    assert right.stream.remote_static == CALLER.public
    assert left.stream.handshake_hash == right.stream.handshake_hash


async def test_handshake_over_single_bytes() -> None:
    left, right = trio.testing.memory_stream_pair()
    for stapled in (left, right):
        receiver = stapled.receive_stream
        whole = receiver.receive_some

        async def one_byte(max_bytes: int | None = None, whole: object = whole) -> bytearray:
            return await whole(1)  # type: ignore[operator]

        receiver.receive_some = one_byte  # type: ignore[method-assign]
    established, _ = await shake(left, right)
    assert established.hello == b"I answer"


async def one_side(
    stream: trio.abc.Stream,
    *,
    initiator: bool,
    static: StaticKey,
    expected: StaticKey,
    prologue: bytes = b"p",
) -> RemoteProtocolError | Established[str]:
    """One side that hangs up when it is dissatisfied, as a daemon does."""
    try:
        return await handshake(
            stream,
            initiator=initiator,
            static=static,
            prologue=prologue,
            expected={expected.public: "peer"},
            hello=b"hello",
        )
    except RemoteProtocolError as error:
        await stream.aclose()
        return error


async def quarrel(**responder: object) -> list[RemoteProtocolError | Established[str]]:
    left, right = trio.testing.memory_stream_pair()
    sides: list[RemoteProtocolError | Established[str]] = [None, None]  # type: ignore[list-item]

    async def run(index: int, stream: trio.abc.Stream, **options: object) -> None:
        sides[index] = await one_side(stream, **options)  # type: ignore[arg-type]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: run(0, left, initiator=True, static=CALLER, expected=ANSWERER))
        options = {"initiator": False, "static": ANSWERER, "expected": CALLER} | responder
        nursery.start_soon(lambda: run(1, right, **options))
    return sides


@pytest.mark.parametrize(
    ("responder", "faults"),
    [
        ({"static": STRANGER}, [Fault.IDENTITY, Fault.DISCONNECTED]),
        ({"expected": STRANGER}, [Fault.DISCONNECTED, Fault.IDENTITY]),
        ({"prologue": b"another charter"}, [Fault.HANDSHAKE, Fault.DISCONNECTED]),
    ],
)
async def test_disagreements_are_named(responder: dict[str, object], faults: list[Fault]) -> None:
    sides = await quarrel(**responder)
    assert [side.fault for side in sides if isinstance(side, RemoteProtocolError)] == faults


async def test_agreement_with_the_same_helper() -> None:
    assert all(isinstance(side, Established) for side in await quarrel())


async def test_the_caller_is_not_revealed_to_a_stranger() -> None:
    left, right = trio.testing.memory_stream_pair()
    noise = Handshake(initiator=False, static=STRANGER, prologue=b"p", pattern=Pattern.XX)

    async def call() -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            await handshake(
                left,
                initiator=True,
                static=CALLER,
                prologue=b"p",
                expected={ANSWERER.public: "answerer"},
                hello=b"secret",
                pattern=Pattern.XX,
            )
        assert caught.value.fault is Fault.IDENTITY
        await left.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        first = await right.receive_some()
        noise.read(bytes(first[2:]))
        second = noise.write()
        await right.send_all(len(second).to_bytes(2, "big") + second)
        assert await right.receive_some() == b""  # not a third message


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", Fault.DISCONNECTED),
        (b"\0", Fault.DISCONNECTED),
        (b"\0\x20" + bytes(31), Fault.DISCONNECTED),
        (b"\0\0", Fault.HANDSHAKE),
        (b"\0\x1f" + bytes(31), Fault.HANDSHAKE),
        (b"\0\x20" + bytes(32), Fault.HANDSHAKE),  # a low-order point
        ((HANDSHAKE_BYTES_MAX + 1).to_bytes(2, "big"), Fault.HANDSHAKE),
        (b"GET / HTTP/1.1\r\n\r\n", Fault.HANDSHAKE),
    ],
)
async def test_nonsense_on_the_port(data: bytes, fault: Fault) -> None:
    left, right = trio.testing.memory_stream_pair()
    await left.send_all(data)
    await left.send_eof()
    options = {"static": ANSWERER, "prologue": b"p", "expected": {CALLER.public: 1}, "hello": b""}
    await refuses(lambda: handshake(right, initiator=False, pattern=Pattern.XX, **options), fault)


async def test_hello_is_bounded_on_both_sides() -> None:
    left, right = trio.testing.memory_stream_pair()
    options = {"static": CALLER, "prologue": b"p", "expected": {ANSWERER.public: 1}}
    with pytest.raises(LocalProtocolError):
        await handshake(left, initiator=True, hello=bytes(HELLO_BYTES_MAX + 1), **options)
    noise = Handshake(initiator=False, static=ANSWERER, prologue=b"p", pattern=Pattern.XX)

    async def answer() -> None:
        noise.read(bytes((await right.receive_some())[2:]))
        second = noise.write()
        await right.send_all(len(second).to_bytes(2, "big") + second)
        noise.read(bytes((await right.receive_some())[2:]))
        hello = noise.transport().encrypt(bytes(HELLO_BYTES_MAX + 1))
        await right.send_all(len(hello).to_bytes(2, "big") + hello)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        call = handshake(left, initiator=True, hello=b"", pattern=Pattern.XX, **options)
        await refuses(lambda: call, Fault.OVERSIZED)


# --- what an attacker on the line can do --------------------------------------------------------------------


async def test_truncation_differs_from_closing() -> None:
    left, right, raw, _ = await tapped_pair()
    await left.send_all(b"all of it")
    raw.close()
    assert await right.receive_some() == b"all of it"
    for _ in range(2):
        with pytest.raises(trio.BrokenResourceError):
            await right.receive_some()

    left, right = await secure_pair()
    await left.send_all(b"all of it")
    await left.aclose()
    assert await right.receive_some() == b"all of it"
    for _ in range(2):
        assert await right.receive_some() == b""
    assert await right.receive_into(memoryview(bytearray(PLAINTEXT_BYTES_MAX))) == 0


@pytest.mark.parametrize("cut", [1, 2, 3, 17, 19])
async def test_truncation_inside_a_message(cut: int) -> None:
    left, right, _, receiver = await tapped_pair()
    await left.send_all(b"x")
    data = await receiver.receive_some()
    receiver.put_data(data[:-cut])
    receiver.put_eof()
    with pytest.raises(trio.BrokenResourceError):
        await right.receive_some()


async def test_tampering_is_named_and_final() -> None:
    left, right, _, receiver = await tapped_pair()
    await left.send_all(b"one")
    data = bytearray(await receiver.receive_some())
    data[-1] ^= 1
    receiver.put_data(data)
    await refuses(right.receive_some, Fault.CHANNEL)
    await left.send_all(b"two")
    await refuses(right.receive_some, Fault.CHANNEL)
    scratch = memoryview(bytearray(PLAINTEXT_BYTES_MAX))
    await refuses(lambda: right.receive_into(scratch), Fault.CHANNEL)
    await right.send_all(b"the other way is unharmed")
    assert await left.receive_some() == b"the other way is unharmed"


@pytest.mark.parametrize("frame", [b"\0\0", b"\0\x0f" + bytes(15), b"\0\x10" + bytes(16)])
async def test_forged_ends_are_no_ends(frame: bytes) -> None:
    _, right, _, receiver = await tapped_pair()
    receiver.put_data(frame)
    await refuses(right.receive_some, Fault.CHANNEL)


async def test_replayed_frames() -> None:
    left, right, _, receiver = await tapped_pair()
    await left.send_all(b"once")
    data = await receiver.receive_some()
    receiver.put_data(data)
    receiver.put_data(data)
    assert await right.receive_some() == b"once"
    await refuses(right.receive_some, Fault.CHANNEL)


async def test_plaintext_never_crosses() -> None:
    left, _, _, receiver = await tapped_pair()
    await left.send_all(b"patient data" * 100)
    assert b"patient" not in bytes(await receiver.receive_some())


# --- buffers, cancellation, closing -------------------------------------------------------------------------


SIZES = [
    1,
    PLAINTEXT_BYTES_MAX - 1,
    PLAINTEXT_BYTES_MAX,
    PLAINTEXT_BYTES_MAX + 1,
    5 * PLAINTEXT_BYTES_MAX + 7,
]


@pytest.mark.parametrize("sizes", [[size] for size in SIZES] + [[3, *SIZES, 0, 5], [100] * 50])
async def test_buffers_of_any_sizes_arrive_as_one_run(sizes: list[int]) -> None:
    left, right, raw, _ = await tapped_pair()
    writes: list[int] = []
    whole = raw.send_all

    async def counted(data: memoryview) -> None:
        writes.append(len(data))
        await whole(data)

    raw.send_all = counted  # type: ignore[method-assign]
    generator = np.random.default_rng(1)
    buffers = [generator.bytes(size) for size in sizes]
    await left.send_buffers(buffers)
    await left.aclose()
    received = bytearray()
    while data := await right.receive_some():
        received += data
    assert received == b"".join(buffers)
    # Small buffers share messages and each large one has its own; one more write for the closing message.
    large = [size for size in sizes if size >= PLAINTEXT_BYTES_MAX]
    frames, overhead = divmod(sum(writes[:-1]) - sum(sizes), 18)
    assert overhead == 0
    least = math.ceil((sum(sizes) - sum(large)) / PLAINTEXT_BYTES_MAX)
    least += sum(math.ceil(size / PLAINTEXT_BYTES_MAX) for size in large)
    assert least <= frames <= least + len(large)
    assert len(writes) <= math.ceil(frames / (FRAMES_PER_WRITE - 1)) + 1
    assert max(writes) <= FRAMES_PER_WRITE * FRAME_BYTES_MAX


async def test_receive_some_and_receive_into_share_one_order() -> None:
    left, right = await secure_pair()
    scratch = memoryview(bytearray(PLAINTEXT_BYTES_MAX))
    await left.send_all(b"abcdef")
    await left.send_all(b"ghi")
    assert await right.receive_some(2) == b"ab"
    assert await right.receive_into(scratch) == 4
    assert scratch[:4] == b"cdef"
    assert await right.receive_into(scratch) == 3
    assert scratch[:3] == b"ghi"
    await left.send_all(b"jklmno")
    await left.send_all(b"pq")
    await left.send_all(b"rst")
    assert await right.receive_into(scratch[:4]) == 4  # too short for the whole message
    assert scratch[:4] == b"jklm"
    assert await right.receive_into(scratch[:4]) == 2  # only the rest of it
    assert scratch[:2] == b"no"
    assert await right.receive_into(scratch[:5]) == 5  # two messages that fit exactly
    assert scratch[:5] == b"pqrst"


async def test_a_cancelled_receive_loses_nothing() -> None:
    left, right, _, receiver = await tapped_pair()
    await left.send_all(b"whole")
    data = await receiver.receive_some()
    receiver.put_data(data[:7])
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(right.receive_some)
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    receiver.put_data(data[7:])
    assert await right.receive_some() == b"whole"


async def test_a_cancelled_send_breaks_the_stream_and_says_so() -> None:
    left, right = await lockstep_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(left.send_all, b"never")
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    with pytest.raises(trio.BrokenResourceError):
        await left.send_all(b"more")
    await left.aclose()
    with pytest.raises((trio.BrokenResourceError, RemoteProtocolError)):  # no clean end after half a message
        while await right.receive_some():
            pass


async def test_closing_does_not_wait_for_a_peer_that_never_reads(
    autojump_clock: trio.testing.MockClock,
) -> None:
    left, _ = await lockstep_pair()
    started = trio.current_time()
    await left.aclose()
    assert trio.current_time() - started == LINK_FLUSH_S
    with pytest.raises(trio.ClosedResourceError):
        await left.receive_some()


async def test_nothing_is_sent_after_eof() -> None:
    left, right = await secure_pair()
    await left.send_eof()
    await left.send_eof()
    with pytest.raises(trio.ClosedResourceError):
        await left.send_all(b"late")
    assert await right.receive_some() == b""
    await right.send_all(b"still")
    assert await left.receive_some() == b"still"
    await left.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await left.send_eof()


async def test_rekeying_and_exhaustion_on_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("protocol.noise.transport.NOISE_REKEY_MESSAGES", 3)
    monkeypatch.setattr("protocol.noise.transport.NOISE_NONCE_MAX", 10)
    left, right = await secure_pair()
    for number in range(10):
        await left.send_all(bytes([number]))
        assert await right.receive_some() == bytes([number])
    with pytest.raises(LocalProtocolError, match="new handshake"):
        await left.send_all(b"too many")
    await left.aclose()  # without a closing message, which it may not encrypt any more
    with pytest.raises(trio.BrokenResourceError):
        await right.receive_some()


# --- whole messages -----------------------------------------------------------------------------------------


async def message_pair(limit: int = 1 << 20) -> tuple[MessageStream, MessageStream]:
    left, right = await secure_pair()
    return MessageStream(left, limit), MessageStream(right, limit)


async def test_messages_arrive_in_order_and_end() -> None:
    left, right = await message_pair()
    sent = [
        Message(SESSION, "empty"),
        Message(SESSION, "small", (np.arange(5, dtype=np.uint8), np.arange(3, dtype=np.uint64))),
        Message(SESSION, "large", (np.arange(100_001, dtype=np.uint64).reshape(1, -1),)),
        Message(SESSION, "last", (np.arange(7, dtype=np.uint32),)),
    ]
    for message in sent:
        await left.send(message)
    await left.aclose()
    received = [message async for message in right.read_messages()]
    assert [message.step for message in received] == ["empty", "small", "large", "last"]
    for one, two in zip(sent, received, strict=True):
        for a, b in zip(one.parts, two.parts, strict=True):
            assert np.array_equal(a, b)
            assert a.dtype == b.dtype
    with pytest.raises(trio.EndOfChannel):
        await right.receive()


async def test_a_small_message_is_one_write_and_large_ones_skip_the_scratch_buffer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left, right = await message_pair()
    writes: list[int] = []
    whole = left.stream.transport_stream.send_all

    async def counted(data: memoryview) -> None:
        writes.append(len(data))
        await whole(data)

    monkeypatch.setattr(left.stream.transport_stream, "send_all", counted)
    small = Message(SESSION, "s", (np.zeros(3, np.uint8), np.zeros(9, np.uint64), np.zeros(1, np.uint32)))
    await left.send(small)
    assert len(writes) == 1
    await left.send(Message(SESSION, "l", (np.arange(100_000, dtype=np.uint64),)))
    direct = 0
    opened_into = right.stream._reader.open_into

    def watched(out: memoryview) -> int:
        nonlocal direct
        size = opened_into(out)
        if out.obj is not right._scratch.obj:
            direct += size
        return size

    monkeypatch.setattr(right.stream._reader, "open_into", watched)
    assert (await right.receive()).step == "s"
    (array,) = (await right.receive()).parts
    assert array.sum() == 100_000 * 99_999 // 2
    assert direct >= 800_000 - PLAINTEXT_BYTES_MAX  # all but what came in one frame with the header


async def test_a_flood_of_small_messages_leaves_others_their_turn() -> None:
    left, right = await message_pair()
    count = 5 * MESSAGES_PER_PASS
    await left.stream.send_buffers([buffer for _ in range(count) for buffer in encode(Message(SESSION, "s"))])
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        for _ in range(count):
            await right.receive()
        nursery.cancel_scope.cancel()
    assert turns >= count // MESSAGES_PER_PASS - 1


async def test_the_lane_bounds_both_directions() -> None:
    left, right = await message_pair(limit=800)
    await left.send(Message(SESSION, "s", (np.zeros(100, np.uint64),)))
    assert (await right.receive()).step == "s"
    larger = Message(SESSION, "s", (np.zeros(101, np.uint64),))
    with pytest.raises(LocalProtocolError, match="808"):
        await left.send(larger)
    await left.send(Message(SESSION, "after"))  # our mistake cost nothing
    assert (await right.receive()).step == "after"
    await left.stream.send_buffers(encode(larger))
    await refuses(right.receive, Fault.OVERSIZED)
    await refuses(right.receive, Fault.OVERSIZED)


async def test_an_unsendable_message_leaves_the_stream_whole() -> None:
    left, right = await message_pair()
    with pytest.raises(LocalProtocolError):
        await left.send(Message(b"short", "s"))
    await left.send(Message(SESSION, "fine"))
    assert (await right.receive()).step == "fine"


async def test_bad_framing_from_an_authenticated_peer() -> None:
    left, right = await message_pair()
    await left.stream.send_all(PREFIX.pack(1, 0) + b"\xc0")
    await refuses(right.receive, Fault.MALFORMED)


async def test_endings_in_the_middle_of_a_message() -> None:
    data = b"".join(encode(Message(SESSION, "s", (np.zeros(100, np.uint64),))))
    for size in (1, 20, len(data) - 1):
        left, right = await message_pair()
        await left.stream.send_all(data[:size])
        await left.aclose()  # an authentic end, but not of a message
        await refuses(right.receive, Fault.DISCONNECTED)


async def test_broken_connections_are_remote_faults() -> None:
    left, right = await message_pair()
    await trio.aclose_forcefully(left.stream.transport_stream)
    await refuses(right.receive, Fault.DISCONNECTED)
    await refuses(lambda: right.send(Message(SESSION, "s")), Fault.DISCONNECTED)
    with pytest.raises(trio.ClosedResourceError):
        await left.send(Message(SESSION, "s"))


async def test_a_closed_message_stream_says_so() -> None:
    left, _ = await message_pair()
    await left.aclose()
    with pytest.raises(trio.ClosedResourceError):
        await left.receive()


async def test_large_messages_cross_in_both_directions_at_once() -> None:
    left, right = trio.testing.lockstep_stream_pair()
    one, two = await shake(left, right)
    big = Message(SESSION, "big", (np.arange(200_000, dtype=np.uint64),))
    ends = MessageStream(one.stream, 1 << 21), MessageStream(two.stream, 1 << 21)
    received: list[Message] = []

    async def receive(stream: MessageStream) -> None:
        received.append(await stream.receive())

    async with trio.open_nursery() as nursery:
        for stream in ends:
            nursery.start_soon(stream.send, big)
            nursery.start_soon(receive, stream)
    assert all(np.array_equal(message.parts[0], big.parts[0]) for message in received)
    assert len(received) == 2
