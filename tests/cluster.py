"""All parties of a protocol in one process, over memory, from one seed; and a liar among them.

A :class:`Cluster` runs the same coroutine at every seat.  ``tamper`` sees every message of one party before it
leaves and may replace it, which is how the adversary tests are written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import attrs
import numpy as np
import trio

from protocol.errors import Fault, RemoteProtocolError
from protocol.party import Party
from protocol.wire import Decoder, Message, encode

T = TypeVar("T")
R = TypeVar("R")
Tamper = Callable[[int, Message], Message | None]  # (receiver, message) -> what is sent instead; None: nothing
MESSAGE_BYTES_MAX = 256 << 20


class Inline:
    """The worker of a test: runs everything here and now."""

    async def __call__(self, function: Callable[..., T], /, *args: Any) -> T:
        return function(*args)

    async def alongside(
        self, calls: Sequence[Callable[[], T]], conversation: Callable[[], Awaitable[R]]
    ) -> tuple[list[T], R]:
        results = [call() for call in calls]
        return results, await conversation()


def entropy_from(seed: bytes) -> Callable[[int], bytes]:
    """Deterministic randomness for one party."""
    counter = 0

    def entropy(count: int) -> bytes:
        nonlocal counter
        counter += 1
        return hashlib.shake_256(seed + counter.to_bytes(8, "little")).digest(count)

    return entropy


def through_wire(message: Message) -> Message:
    """Encode and decode, so that a test exercises what really travels."""
    decoder = Decoder(MESSAGE_BYTES_MAX)
    for buffer in encode(message):
        decoder.receive_data(buffer)
    received = decoder.next_event()
    assert isinstance(received, Message)
    return received


@attrs.define(eq=False)
class MemoryChannel:
    """One party's ends of the memory channels to all others."""

    index: int
    senders: dict[int, trio.MemorySendChannel[Message]]
    receivers: dict[int, trio.MemoryReceiveChannel[Message]]
    tamper: Tamper | None = None

    async def exchange(self, outgoing: Mapping[int, Message], expected: Collection[int]) -> dict[int, Message]:
        received: dict[int, Message] = {}

        async def receive(peer: int) -> None:
            try:
                received[peer] = await self.receivers[peer].receive()
            except trio.EndOfChannel:
                raise RemoteProtocolError(Fault.DISCONNECTED, "the peer is gone", party=peer) from None

        for peer, message in outgoing.items():
            sent: Message | None = message
            if self.tamper is not None:
                sent = self.tamper(peer, message)
            if sent is not None:
                with_peer = self.senders[peer]
                try:
                    await with_peer.send(through_wire(sent))
                except trio.BrokenResourceError:
                    raise RemoteProtocolError(Fault.DISCONNECTED, "the peer is gone", party=peer) from None
        try:
            async with trio.open_nursery() as nursery:
                for peer in expected:
                    nursery.start_soon(receive, peer)
        except* RemoteProtocolError as group:
            raise _first(group) from None
        return received

    async def aclose(self) -> None:
        for sender in self.senders.values():
            await sender.aclose()
        for receiver in self.receivers.values():
            await receiver.aclose()


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group


@attrs.define(eq=False)
class Outcome:
    """What one seat ended with."""

    value: Any = None
    error: BaseException | None = None


class Cluster:
    """``parties`` seats that share one session."""

    def __init__(self, parties: int, seed: int = 0, liar: int | None = None, tamper: Tamper | None = None) -> None:
        self.parties = parties
        self.seed = seed
        self.liar = liar
        self.tamper = tamper
        self.session = hashlib.sha256(b"test session %d" % seed).digest()[:16]

    def _seats(self) -> list[Party]:
        pipes: dict[tuple[int, int], Any] = {
            (a, b): trio.open_memory_channel[Message](8)
            for a in range(self.parties)
            for b in range(self.parties)
            if a != b
        }
        seats = []
        for k in range(self.parties):
            others = [j for j in range(self.parties) if j != k]
            channel = MemoryChannel(
                k,
                {j: pipes[k, j][0] for j in others},
                {j: pipes[j, k][1] for j in others},
                self.tamper if k == self.liar else None,
            )
            seed = b"party %d of %d" % (k, self.seed)
            seats.append(
                Party(
                    session=self.session,
                    index=k,
                    parties=self.parties,
                    channel=channel,
                    entropy=entropy_from(seed),
                    work=Inline(),
                )
            )
        return seats

    async def outcomes(self, seat: Callable[[Party], Awaitable[Any]]) -> list[Outcome]:
        """Run ``seat`` everywhere to the end; errors are collected, a party that stops closes its channels."""
        outcomes = [Outcome() for _ in range(self.parties)]

        async def run(party: Party) -> None:
            try:
                outcomes[party.index].value = await seat(party)
            except Exception as error:
                outcomes[party.index].error = error
            finally:
                await party._channel.aclose()  # type: ignore[attr-defined]

        with trio.fail_after(240):
            async with trio.open_nursery() as nursery:
                for party in self._seats():
                    nursery.start_soon(run, party)
        return outcomes

    async def run(self, seat: Callable[[Party], Awaitable[T]]) -> list[T]:
        """Run ``seat`` everywhere; the first error is raised."""
        outcomes = await self.outcomes(seat)
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        return [outcome.value for outcome in outcomes]


def change_part(message: Message, part: int, change: Callable[[np.ndarray], np.ndarray]) -> Message:
    """The message with one of its arrays replaced."""
    parts = list(message.parts)
    parts[part] = np.ascontiguousarray(change(parts[part].copy()))
    return attrs.evolve(message, parts=tuple(parts))


def lie_at(label: str, change: Callable[[np.ndarray], np.ndarray], part: int = 0, to: int | None = None) -> Tamper:
    """A tamper that changes one array of the first message to each receiver whose step ends with ``label``."""
    lied: set[int] = set()

    def tamper(receiver: int, message: Message) -> Message:
        if receiver in lied or (to is not None and receiver != to):
            return message
        if message.step.split(".", 1)[1] != label:
            return message
        lied.add(receiver)
        return change_part(message, part, change)

    return tamper
