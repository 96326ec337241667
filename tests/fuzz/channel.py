"""What comes before anything is authenticated, and what an authenticated peer can put into its frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache

import trio
import trio.testing

from nskd.peers.frames import LENGTH_BYTES, FrameReader, FrameWriter
from nskd.peers.greeting import ATTEMPT_ERRORS, Greeter, welcome_message
from nskd.peers.lanes import PROTOCOL_VERSION, Hello, Lane, Member, prologue, read_hello
from nskd.peers.stream import SecureStream
from protocol.errors import RemoteProtocolError
from protocol.limits import HELLO_BYTES_MAX, NOISE_MESSAGE_BYTES_MAX
from protocol.messages import Bye, encode_control
from protocol.noise import Handshake, Pattern, StaticKey
from protocol.wire import Decoder, Message, encode

from .target import Script, Target

CHARTER = bytes(range(32))
EPHEMERAL = {True: b"\x11" * 32, False: b"\x22" * 32}
KEM_SEED = bytes(64)


@cache
def key_of(name: str) -> StaticKey:
    return StaticKey(hashlib.sha256(name.encode()).digest())


def _pair(pattern: Pattern) -> dict[bool, Handshake]:
    return {
        initiator: Handshake(
            initiator=initiator,
            static=key_of(f"static {initiator}"),
            prologue=prologue(CHARTER),
            pattern=pattern,
            ephemeral=EPHEMERAL[initiator],
            kem_seed=KEM_SEED if pattern is Pattern.XX_HFS and initiator else None,
        )
        for initiator in (True, False)
    }


def _handshake(data: bytes) -> None:
    """One message of three is edited; the reader refuses it and takes the genuine one after it, or both notice."""
    script = Script(data)
    pattern = list(Pattern)[script.number(2)]
    sides, at = _pair(pattern), script.number(3)
    believed = False
    for position in range(3):
        writer, reader = sides[position % 2 == 0], sides[position % 2 == 1]
        try:
            genuine = writer.write(b"payload" if position == 2 else b"")
        except RemoteProtocolError:
            assert believed, "a genuine conversation broke"
            return
        sent = script.edited(genuine) if position == at else genuine
        try:
            reader.read(sent)
        except RemoteProtocolError:
            if believed:
                return
            assert sent != genuine, "a genuine message was refused"
            reader.read(genuine)  # a refusal changes nothing
        else:
            believed = believed or sent != genuine
            assert not believed or position == 0, "a false message was believed"
    assert not believed, "two sides that saw different messages shook hands"
    ends = {initiator: side.transport() for initiator, side in sides.items()}
    assert ends[False].decrypt(ends[True].encrypt(b"x")) == b"x"


def _handshake_seeds() -> Iterable[bytes]:
    for pattern in range(2):
        for at in range(3):
            yield bytes([pattern, at, 0])
            yield bytes([pattern, at, 1, 3, 0, 2, 0x80, 1])
            yield bytes([pattern, at, 2, 31, 0])
            yield bytes([pattern, at, 5, 0, 0, 32, 0]) + bytes(32)  # a point of low order


def _transport(data: bytes) -> None:
    """Frames in any order and number, edited, in any portions: what is opened is a beginning of what was sent."""
    script = Script(data)
    sides = _pair(Pattern.XX)
    for position in range(3):
        sides[position % 2 == 1].read(sides[position % 2 == 0].write())
    writer, reader = FrameWriter(sides[True].transport()), FrameReader(sides[False].transport())
    sent, frames = b"", list[bytes]()
    for _ in range(script.number(5)):
        content = script.blob(200)
        writer.begin([content])
        frame = bytes(writer.next_write())
        if frame:
            sent += content
            frames.append(frame)
    if script.number(2):
        frames.append(bytes(writer.closing_message()))
    line, changed = b"", False
    for number in range(len(frames) + script.number(3)):
        source = frames[script.number(len(frames))] if frames and script.number(2) else b"".join(frames[number:][:1])
        line += script.edited(source)
    changed = line != b"".join(frames)[: len(line)]
    opened, out = b"", memoryview(bytearray(257))
    try:
        while line:
            space = reader.space()
            portion = line[: min(len(space), 1 + script.number(600))]
            space[: len(portion)] = portion
            reader.received(len(portion))
            line = line[len(portion) :]
            while size := reader.open_into(out):
                opened += bytes(out[:size])
            if reader.ended:
                break
    except RemoteProtocolError:
        assert changed, "genuine frames were refused"
    assert sent.startswith(opened), "something was opened that nobody sent"


def _transport_seeds() -> Iterable[bytes]:
    content = b"".join(bytes([size]) + bytes(size) for size in (1, 5, 40))
    yield b"\x03" + content + b"\x01\x00" + b"\x00\x00\x00\x00" * 4 + bytes(8)
    yield b"\x02" + content[:8] + b"\x00\x01" + b"\x01\x01\x00\x00\x00" * 3
    yield b"\x01" + content[:2] + b"\x00\x00" + b"\x00\x01\x05\x00\x04\x80\x80\x80\x80"


@cache
def _members() -> tuple[Member, ...]:
    return tuple(Member(name, key_of(name).public) for name in ("noord", "zuid"))


@cache
def _greeter(own: str) -> Greeter:
    return Greeter(own=own, static=key_of(own), charter_digest=CHARTER, members=_members())


async def _converse(script: Script) -> None:
    """A peer that holds its key, or a stranger that does not, says what it likes when it likes."""
    ours, theirs = trio.testing.memory_stream_pair()
    calls, stranger = script.number(2) == 1, script.number(3) == 0
    greeter = _greeter("noord" if calls else "zuid")
    peer = _members()[1 if calls else 0]

    async def ourselves() -> None:
        try:
            if calls:
                pipe = await greeter.call(ours, peer, Lane.CONTROL)
                await pipe.receive()
            else:
                arrival = await greeter.answer(ours)
                assert arrival.member == peer
                await arrival.pipe.receive()
        except ATTEMPT_ERRORS:
            pass
        finally:
            await trio.aclose_forcefully(ours)

    async def say(frame: bytes) -> None:
        await theirs.send_all(len(frame).to_bytes(LENGTH_BYTES, "big") + frame)

    async def hear() -> bytes:
        head = await theirs.receive_some(LENGTH_BYTES)
        size, found = int.from_bytes(head, "big"), b""
        while len(found) < size:
            found += bytes(await theirs.receive_some(size - len(found)) or b"\0" * size)
        return found

    async def themselves() -> None:
        try:
            if stranger:
                await theirs.send_all(script.rest())
                return
            own = Handshake(
                initiator=not calls, static=key_of(peer.name), prologue=prologue(CHARTER), pattern=Pattern.XX_HFS
            )
            lane = None if calls else Lane.ONLINE
            hello = script.edited(Hello(PROTOCOL_VERSION, peer.name, lane).encode())[:HELLO_BYTES_MAX]
            if calls:
                own.read(await hear())
                await say(own.write())
                own.read(await hear())
                transport = own.transport()
                await say(transport.encrypt(hello))
            else:
                await say(own.write())
                own.read(await hear())
                await say(own.write(hello))
                transport = own.transport()
                await hear()
            stream = SecureStream(theirs, transport)
            await stream.send_all(script.rest() or b"\0")
            if script.number(2):
                await stream.aclose()
        except (*ATTEMPT_ERRORS, trio.ClosedResourceError, AssertionError):
            pass
        finally:
            await trio.aclose_forcefully(theirs)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ourselves)
        nursery.start_soon(themselves)


def _greeting(data: bytes) -> None:
    trio.run(_converse, Script(data))


def _on_the_wire(message: Message) -> bytes:
    return b"".join(bytes(buffer) for buffer in encode(message))


def _greeting_seeds() -> Iterable[bytes]:
    unchanged = b"\x00\x00\x00"
    for calls in range(2):
        yield bytes([calls, 1]) + unchanged + _on_the_wire(welcome_message())
        yield bytes([calls, 1]) + unchanged + _on_the_wire(encode_control(Bye("not today")))
        yield bytes([calls, 2]) + b"\x01\x04\x00\x02\x01\xff" + bytes(12)
        yield bytes([calls, 0, 0, 32]) + bytes(32)


def _hello(data: bytes) -> None:
    for from_dialer in (True, False):
        try:
            hello = read_hello(data, from_dialer=from_dialer)
        except RemoteProtocolError:
            continue
        assert read_hello(hello.encode(), from_dialer=from_dialer) == hello


def _hello_seeds() -> Iterable[bytes]:
    yield Hello(PROTOCOL_VERSION, "noord", None).encode()
    for lane in Lane:
        yield Hello(PROTOCOL_VERSION, "zuid-2", lane).encode()
    yield Hello(2, "zuid", Lane.CONTROL).encode()


WIRE_BYTES_MAX = 1 << 14


def _wire(data: bytes) -> None:
    """Whatever the portions, what comes out is what goes in, and has one encoding."""
    script = Script(data)
    portion, straight = 1 + script.number(64), script.number(2) == 1
    line = script.rest()
    decoder, seen = Decoder(WIRE_BYTES_MAX), b""
    left = line
    try:
        while left:
            space = decoder.payload_space()
            piece = left[:portion]
            if straight and len(space):
                piece = piece[: len(space)]
                space[: len(piece)] = piece
                decoder.payload_received(len(piece))
            else:
                decoder.receive_data(piece)
            left = left[len(piece) :]
            while (message := decoder.next_event()) is not None:
                assert all(part.nbytes <= WIRE_BYTES_MAX for part in message.parts)
                seen += _on_the_wire(message)
    except RemoteProtocolError:
        pass
    assert line.startswith(seen), "a message has two encodings"


def _wire_seeds() -> Iterable[bytes]:
    import numpy as np

    parts = (np.arange(5, dtype=np.uint8), np.zeros((2, 3), np.uint64), np.zeros((1, 0, 2), np.uint32))
    first = _on_the_wire(Message(bytes(16), "1.coin/mac/commit", parts))
    yield b"\x3f\x00" + first
    yield b"\x06\x01" + first + _on_the_wire(Message(bytes(range(16)), "2.x"))
    yield b"\x00\x00" + first[:40]
    yield b"\x3f\x00" + b"\xff" * 12


TARGETS = (
    Target("handshake", lambda: _handshake, _handshake_seeds, bytes_max=2200),
    Target("transport", lambda: _transport, _transport_seeds),
    Target("greeting", lambda: _greeting, _greeting_seeds, bytes_max=NOISE_MESSAGE_BYTES_MAX, mutations=40),
    Target("hello", lambda: _hello, _hello_seeds, bytes_max=700),
    Target("wire", lambda: _wire, _wire_seeds),
)
