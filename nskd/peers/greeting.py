"""From a raw connection to an admitted peer (``docs/protocol.md``, section 1).

The handshake proves keys; the hellos say who claims which name and lane; a last word from the answering
side says whether it let the caller in, and if not, why.  Only after that word is a link up, at both ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

import attrs
import trio

from nskd.peers.lanes import PROTOCOL_VERSION, Hello, Lane, Member, prologue, read_hello
from nskd.peers.stream import MessageStream, SecureStream, handshake
from protocol import limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.messages import CONTROL_SESSION, Bye, decode_control, encode_control
from protocol.noise import StaticKey
from protocol.wire import Message

WELCOME_STEP: Final = "welcome"
ATTEMPT_ERRORS: Final = (RemoteProtocolError, trio.BrokenResourceError, trio.EndOfChannel, OSError)


@attrs.frozen(eq=False)
class Arrival:
    """A peer that has called and is who it says it is, on the lane it wants."""

    member: Member
    lane: Lane
    pipe: MessageStream


class Greeter:
    """Knows the charter's members and their keys, and which of them call and which are called.

    The centre earlier in charter order calls the later one, so that two never call each other at once.
    """

    def __init__(
        self,
        *,
        own: str,
        static: StaticKey,
        charter_digest: bytes,
        members: Sequence[Member],
        version: int = PROTOCOL_VERSION,
    ) -> None:
        names = [member.name for member in members]
        if own not in names or len(set(names)) != len(names):
            raise LocalProtocolError("a charter lists every centre once, this one included")
        if len({member.noise_key for member in members}) != len(members):
            raise LocalProtocolError("two centres of a charter have the same key")
        if members[names.index(own)].noise_key != static.public:
            raise LocalProtocolError("this centre's static key is not the one the charter lists for it")
        self.own = own
        self._version = version
        self.charter_digest = charter_digest
        self.peers = {member.name: member for member in members if member.name != own}
        self.callees = frozenset(names[names.index(own) + 1 :])
        self._static = static
        self._prologue = prologue(charter_digest)
        self._peers_by_key = {member.noise_key: member for member in self.peers.values()}

    async def call(self, stream: trio.abc.Stream, member: Member, lane: Lane) -> MessageStream:
        """Greet the peer at the other end of a connection we made; it must be ``member``.

        Raises one of ``ATTEMPT_ERRORS``.  The caller bounds the time and closes ``stream`` when this raises.
        """
        shaken = await handshake(
            stream,
            initiator=True,
            static=self._static,
            prologue=self._prologue,
            expected={member.noise_key: member},
            hello=Hello(self._version, self.own, lane).encode(),
        )
        _check_name(read_hello(shaken.hello, from_dialer=False, version=self._version), member)
        pipe = MessageStream(shaken.stream, message_bytes_max=lane.message_bytes_max)
        verdict = await pipe.receive()
        if verdict.session == CONTROL_SESSION and verdict.step == WELCOME_STEP:
            return pipe
        match decode_control(verdict):
            case Bye(reason=reason):
                raise RemoteProtocolError(Fault.DISCONNECTED, f"we are turned away: {reason}", party=member.name)
            case _:
                raise RemoteProtocolError(Fault.UNEXPECTED, "does not say whether we are welcome", party=member.name)

    async def answer(self, stream: trio.abc.Stream) -> Arrival:
        """Greet whoever called us.  As :meth:`call` otherwise; the welcome has yet to follow."""
        shaken = await handshake(
            stream,
            initiator=False,
            static=self._static,
            prologue=self._prologue,
            expected=self._peers_by_key,
            hello=Hello(self._version, self.own, None).encode(),
        )
        member = shaken.identity
        try:
            lane = self._check_caller(read_hello(shaken.hello, from_dialer=True, version=self._version), member)
        except RemoteProtocolError as error:
            await _turn_away(shaken.stream, error.detail)
            raise RemoteProtocolError(error.fault, error.detail, party=member.name) from None
        return Arrival(member, lane, MessageStream(shaken.stream, message_bytes_max=lane.message_bytes_max))

    def _check_caller(self, hello: Hello, member: Member) -> Lane:
        _check_name(hello, member)
        if member.name in self.callees:
            raise RemoteProtocolError(Fault.UNEXPECTED, f"{self.own} comes first in the charter and is the one to call")
        if hello.lane is None:
            raise RemoteProtocolError(Fault.MALFORMED, "a hello without its lane")
        return hello.lane


def welcome_message() -> Message:
    """Tell a caller that it is in; the first message on every lane."""
    return Message(CONTROL_SESSION, WELCOME_STEP)


async def _turn_away(stream: SecureStream, reason: str) -> None:
    pipe = MessageStream(stream, message_bytes_max=limits.CONTROL_MESSAGE_BYTES_MAX)
    with contextlib.suppress(*ATTEMPT_ERRORS):  # it did not wait for the answer
        await pipe.send(encode_control(Bye(reason)))


def _check_name(hello: Hello, member: Member) -> None:
    if hello.centre != member.name:
        raise RemoteProtocolError(
            Fault.IDENTITY,
            f"calls itself {hello.centre!r}, but the charter gives its key to {member.name!r}",
            party=member.name,
        )
