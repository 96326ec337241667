"""Messages on the wire: a fixed prefix, a small msgpack header, and arrays as raw bytes.

::

    prefix   u32 LE   bytes of the header, 1 .. HEADER_BYTES_MAX
             u64 LE   bytes of the payload, 0 .. the lane's limit
    header   msgpack  [session, step, [[type, [extent, ...]], ...]]
    payload  the parts in order, C-contiguous and little-endian, each zero-padded to a multiple of 8

The padding keeps every part aligned inside the one buffer the payload is received into, so that the
arrays handed out are views of it.  A message has exactly one encoding; any other is refused.

Without I/O, after the manner of h11: bytes go in, messages come out.
"""

from __future__ import annotations

import math
import struct
from typing import Annotated, Any, Final, Literal, NoReturn, TypeAlias

import attrs
import msgspec
import numpy as np
import numpy.typing as npt

from .errors import Fault, LocalProtocolError, RemoteProtocolError
from .limits import (
    HEADER_BYTES_MAX,
    MESSAGE_DIMENSIONS_MAX,
    MESSAGE_PARTS_MAX,
    SESSION_BYTES,
    STEP_BYTES_MAX,
)

Buffer: TypeAlias = bytes | bytearray | memoryview
Part: TypeAlias = npt.NDArray[Any]  # uint8, uint32 or uint64; C-contiguous; 1..3 dimensions

PREFIX: Final = struct.Struct("<IQ")
ALIGNMENT: Final = 8

_TYPE_OF: Final[dict[np.dtype[Any], str]] = {
    np.dtype(np.uint8): "u1",
    np.dtype(np.uint32): "u4",
    np.dtype(np.uint64): "u8",
}
_DTYPE_OF: Final[dict[str, np.dtype[Any]]] = {
    "u1": np.dtype("u1"),
    "u4": np.dtype("<u4"),
    "u8": np.dtype("<u8"),
}


class _PartHeader(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    type: Literal["u1", "u4", "u8"]
    shape: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=0)], ...],
        msgspec.Meta(min_length=1, max_length=MESSAGE_DIMENSIONS_MAX),
    ]


class _Header(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    session: Annotated[bytes, msgspec.Meta(min_length=SESSION_BYTES, max_length=SESSION_BYTES)]
    step: Annotated[str, msgspec.Meta(pattern=rf"\A[ -~]{{1,{STEP_BYTES_MAX}}}\Z")]
    parts: Annotated[tuple[_PartHeader, ...], msgspec.Meta(max_length=MESSAGE_PARTS_MAX)]


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(_Header)


@attrs.frozen(eq=False, repr=False)
class Message:
    """One message of a protocol session.

    ``session`` has exactly ``SESSION_BYTES``; ``step`` is 1..``STEP_BYTES_MAX`` printable ASCII
    characters; ``parts`` are at most ``MESSAGE_PARTS_MAX`` arrays of dtype uint8, uint32 or uint64 with
    1..3 dimensions (bytes travel as uint8).  :func:`encode` checks all this; what a :class:`Decoder`
    returns satisfies it.
    """

    session: bytes
    step: str
    parts: tuple[Part, ...] = ()

    def __repr__(self) -> str:
        # Parts carry shares: their shape may be logged, their content never.
        shapes = ", ".join(f"{part.dtype}{list(part.shape)}" for part in self.parts)
        return f"<Message {self.session.hex()} {self.step!r} ({shapes})>"


def encode(message: Message) -> list[bytes | memoryview]:
    """Return the buffers to write, in order; those of the parts are views, not copies.

    ``LocalProtocolError`` if the message breaks the contract of :class:`Message`.
    """
    parts = []
    buffers: list[bytes | memoryview] = []
    payload = 0
    for array in message.parts:
        parts.append(_describe(array))
        padding = -array.nbytes % ALIGNMENT
        payload += array.nbytes + padding
        if array.nbytes:
            buffers.append(array.data.cast("B"))
        if padding:
            buffers.append(bytes(padding))
    try:
        header = _ENCODER.encode(_Header(message.session, message.step, tuple(parts)))
        _DECODER.decode(header)
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise LocalProtocolError(f"not a message that can be sent: {error}") from None
    buffers.insert(0, PREFIX.pack(len(header), payload) + header)
    return buffers


def payload_bytes(message: Message) -> int:
    """Count the bytes of the payload of ``message`` on the wire, which a lane's limit applies to."""
    return sum(array.nbytes + -array.nbytes % ALIGNMENT for array in message.parts)


def _describe(array: Part) -> _PartHeader:
    if not isinstance(array, np.ndarray):
        raise LocalProtocolError(f"a part is a numpy array, not {type(array).__name__}")
    code = _TYPE_OF.get(array.dtype)
    if code is None:
        raise LocalProtocolError(f"arrays of {array.dtype} do not travel")
    if not array.flags.c_contiguous:
        raise LocalProtocolError("a part must be C-contiguous")
    return _PartHeader(code, array.shape)  # type: ignore[arg-type]


class Decoder:
    """Bytes in, messages out: ``receive_data`` any number of bytes, then ``next_event`` until ``None``.

    The lengths of a message are checked before anything is allocated for it, and ``message_bytes_max``
    bounds its payload.  A decoder that raised ``RemoteProtocolError`` is dead and raises the same again.

    A caller that can decrypt straight to where the bytes belong asks ``payload_space`` for the part of
    the payload still missing, fills it from the front and reports with ``payload_received``.
    """

    def __init__(self, message_bytes_max: int) -> None:
        self._message_bytes_max = message_bytes_max
        self._staged = bytearray()  # prefix and header, and what came after a payload's end
        self._header: _Header | None = None
        self._payload = np.empty(0, np.uint8)
        self._space = memoryview(b"")
        self._error: tuple[Fault, str] | None = None

    @property
    def idle(self) -> bool:
        """Whether the bytes so far end exactly where a message ends."""
        return self._header is None and not self._staged

    def receive_data(self, data: Buffer) -> None:
        """Take the next bytes of the stream, copying them once.

        ``LocalProtocolError`` if more than one message's worth is waiting to be drained.
        """
        self._raise_if_dead()
        view = memoryview(data).cast("B")
        if len(self._space):  # then nothing is staged: next_event has moved it here
            count = min(len(self._space), len(view))
            self._space[:count] = view[:count]
            self._space = self._space[count:]
            view = view[count:]
        if len(self._staged) + len(view) > PREFIX.size + HEADER_BYTES_MAX + self._message_bytes_max:
            raise LocalProtocolError("drain the decoder's events before feeding it more")
        self._staged += view

    def payload_space(self) -> memoryview:
        """Return the writable rest of the payload being received; empty between payloads."""
        return self._space

    def payload_received(self, count: int) -> None:
        """Note that ``count`` bytes were written at the front of ``payload_space``."""
        if not 0 <= count <= len(self.payload_space()):
            raise LocalProtocolError(f"{count} bytes cannot have been written to the payload")
        self._space = self._space[count:]

    def next_event(self) -> Message | None:
        """Return the next complete message, or ``None`` if more bytes are needed."""
        self._raise_if_dead()
        if self._header is None and not self._start_message():
            return None
        if len(self._space):
            self._fill_from_staged()
            if len(self._space):
                return None
        return self._finish_message()

    # --- the three phases of a message ------------------------------------------------------------------

    def _start_message(self) -> bool:
        """Parse prefix and header, check them against each other and the limits, only then allocate."""
        if len(self._staged) < PREFIX.size:
            return False
        header_bytes, payload_bytes = PREFIX.unpack_from(self._staged)
        if not 1 <= header_bytes <= HEADER_BYTES_MAX:
            self._die(Fault.OVERSIZED, f"a header of {header_bytes} bytes")
        if payload_bytes > self._message_bytes_max:
            self._die(Fault.OVERSIZED, f"{payload_bytes} bytes where {self._message_bytes_max} are allowed")
        end = PREFIX.size + header_bytes
        if len(self._staged) < end:
            return False
        header = self._parse_header(bytes(self._staged[PREFIX.size : end]))
        if sum(self._padded_bytes(part) for part in header.parts) != payload_bytes:
            self._die(Fault.MALFORMED, "the parts do not add up to the payload")
        del self._staged[:end]
        self._header = header
        self._payload = np.empty(payload_bytes, np.uint8)
        self._space = self._payload.data
        return True

    def _fill_from_staged(self) -> None:
        count = min(len(self._space), len(self._staged))
        if count:
            with memoryview(self._staged) as staged:
                self._space[:count] = staged[:count]
            del self._staged[:count]
            self._space = self._space[count:]

    def _finish_message(self) -> Message:
        header, payload = self._header, self._payload
        if header is None:
            raise LocalProtocolError("no message has been started")
        self._header = None
        self._payload = np.empty(0, np.uint8)
        self._space = memoryview(b"")
        parts = []
        offset = 0
        for part in header.parts:
            array: Part = np.ndarray(part.shape, _DTYPE_OF[part.type], payload, offset)
            parts.append(array)
            end = offset + array.nbytes
            offset = end + -end % ALIGNMENT
            if end < offset and payload[end:offset].any():
                self._die(Fault.MALFORMED, "the padding of a part is not zero")
        return Message(header.session, header.step, tuple(parts))

    # --- checks -----------------------------------------------------------------------------------------

    def _parse_header(self, data: bytes) -> _Header:
        try:
            header = _DECODER.decode(data)
            canonical = _ENCODER.encode(header)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):  # UnicodeDecodeError too
            self._die(Fault.MALFORMED, "the header is not one")
        # msgpack can say the same thing in several ways; one of them is enough.
        if canonical != data:
            self._die(Fault.MALFORMED, "the header is not in its one encoding")
        return header

    def _padded_bytes(self, part: _PartHeader) -> int:
        """Size a part on the wire, with Python's integers, which do not overflow.

        An empty part makes no bytes however long its other dimensions are, so these are bounded apart.
        """
        if math.prod(max(extent, 1) for extent in part.shape) > self._message_bytes_max:
            self._die(Fault.OVERSIZED, "a part larger than a whole message")
        size = math.prod(part.shape) * _DTYPE_OF[part.type].itemsize
        return size + -size % ALIGNMENT

    def _die(self, fault: Fault, detail: str) -> NoReturn:
        self._error = (fault, detail)
        self._staged = bytearray()
        self._header = None
        self._payload = np.empty(0, np.uint8)
        self._space = memoryview(b"")
        raise RemoteProtocolError(fault, detail)

    def _raise_if_dead(self) -> None:
        if self._error is not None:
            raise RemoteProtocolError(*self._error)
