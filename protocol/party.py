"""A party's seat in one session: exchange, broadcast, commit, toss a coin (``docs/protocol.md``, section 5).

Every protocol of this package is an ``async def`` that awaits only its party, and a party awaits only the
:class:`Channel` and :class:`Worker` it was given; so the same code runs over memory in a test, over trio in the
daemon and under a deterministic simulator.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from protocol import field, limits
from protocol.errors import Fault, LocalProtocolError, RemoteProtocolError
from protocol.field import Elements
from protocol.prg import labelled_hash
from protocol.wire import Message

T = TypeVar("T")
R = TypeVar("R")
Bytes: TypeAlias = npt.NDArray[np.uint8]
Part: TypeAlias = npt.NDArray[Any]  # as a message carries it
Entropy: TypeAlias = Callable[[int], bytes]

SEED_BYTES = 32
DIGEST_BYTES = 32


class Channel(Protocol):
    """The message path of one session: first in, first out per peer."""

    async def exchange(self, outgoing: Mapping[int, Message], expected: Collection[int]) -> dict[int, Message]:
        """Send all of ``outgoing`` and wait for one message from each of ``expected``, all at once.

        Concurrency belongs here, so that no order of large messages can deadlock.
        """
        ...


class Worker(Protocol):
    """Runs functions that release the interpreter lock away from the event loop."""

    async def __call__(self, function: Callable[..., T], /, *args: object) -> T:
        """Await ``function(*args)``."""
        ...

    async def alongside(
        self, calls: Sequence[Callable[[], T]], conversation: Callable[[], Awaitable[R]]
    ) -> tuple[list[T], R]:
        """Make all calls, as many at once as there are cores to use, while ``conversation`` is held.

        Returns when both are done; an error of the conversation goes before the first call's that failed.
        """
        ...


def octets(data: bytes) -> Bytes:
    """Bytes as the array a message carries."""
    return np.frombuffer(data, dtype=np.uint8)


class Party:
    """One party in one session.

    ``session`` is agreed beforehand and binds version, charter, request and party order (step 5.1).  Steps are
    numbered as they are executed; a message for another step is the sender's fault (step 5.2).
    """

    def __init__(
        self,
        *,
        session: bytes,
        index: int,
        parties: int,
        channel: Channel,
        entropy: Entropy,
        work: Worker,
    ) -> None:
        if not limits.PARTIES_MIN <= parties <= limits.PARTIES_MAX or not 0 <= index < parties:
            raise LocalProtocolError(f"no seat {index} among {parties} parties")
        if len(session) != limits.SESSION_BYTES:
            raise LocalProtocolError(f"a session id has {limits.SESSION_BYTES} bytes")
        self.session = session
        self.index = index
        self.parties = parties
        self.peers = tuple(k for k in range(parties) if k != index)
        self.entropy = entropy
        self.work = work
        self.rounds = 0
        # Our part of a MAC check is out and the check has not passed: a cheat may know the MAC key by now.  A session
        # that ends so, with whatever fault, ends the epoch (step 5.9).
        self.at_stake = False
        self._channel = channel
        self._transcript = hashlib.sha256(labelled_hash("transcript", session))

    def __repr__(self) -> str:
        return f"<Party {self.index} of {self.parties}>"

    async def work_all(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """Make all calls at once; results in their order, or the first one's error."""
        results, _ = await self.work.alongside(calls, _silence)
        return results

    # --- messages -----------------------------------------------------------------------------------------

    async def exchange(
        self, label: str, outgoing: Mapping[int, Sequence[Part]], expected: Collection[int]
    ) -> dict[int, tuple[Part, ...]]:
        """Send parts to some peers and receive parts from some, as one numbered step (step 5.2)."""
        self.rounds += 1
        step = f"{self.rounds}.{label}"
        messages = {
            peer: Message(session=self.session, step=step, parts=tuple(parts)) for peer, parts in outgoing.items()
        }
        received = await self._channel.exchange(messages, expected)
        for peer in expected:
            if received[peer].step != step:
                raise RemoteProtocolError(
                    Fault.UNEXPECTED, f"sent step {received[peer].step!r} where {step!r} is due", party=peer
                )
        return {peer: received[peer].parts for peer in expected}

    async def to_all(self, label: str, *parts: Part) -> dict[int, tuple[Part, ...]]:
        """The same parts to every peer, and one message from each."""
        return await self.exchange(label, dict.fromkeys(self.peers, parts), self.peers)

    async def broadcast(self, label: str, part: Bytes | Elements) -> list[Part]:
        """Every party tells everybody one array; returns them in party order (step 5.3).

        What was told is recorded, and is relied on only after :meth:`confirm` or :meth:`coin` has compared the
        records of all parties.
        """
        received = await self.to_all(label, part)
        told = [part if k == self.index else single(received[k], k) for k in range(self.parties)]
        self.record(label, *told)
        return told

    def record(self, label: str, *arrays: Part) -> None:
        """Add to the record of what everybody is supposed to have seen alike."""
        # Flat first: a peer may send an array without elements, and a view of its rows cannot be cast.
        flat = (np.ascontiguousarray(a).reshape(-1).data.cast("B") for a in arrays)
        self._transcript.update(labelled_hash(label, *flat))

    def transcript(self) -> bytes:
        """The digest of everything on record."""
        return self._transcript.digest()

    async def confirm(self) -> None:
        """Compare records; raises ``inconsistent-broadcast`` when somebody told two stories (step 5.4)."""
        own = self._transcript.digest()
        received = await self.to_all("confirm", octets(own))
        for peer in self.peers:
            self._same_record(own, fixed(single(received[peer], peer), DIGEST_BYTES, peer), peer)

    # --- commitments and coins ------------------------------------------------------------------------------

    async def commit_then_open(self, label: str, value: bytes, *, staking: bool = False) -> list[bytes]:
        """Everybody commits to a value of one length, then everybody opens (steps 5.5 and 5.6).

        Returns the values in party order.  The records of all broadcasts, commitments included, are compared
        before an opened value is returned.  ``staking`` sets :attr:`at_stake` as soon as ``value`` may be seen.
        """
        nonce = self.entropy(SEED_BYTES)
        commitments = await self.broadcast(f"{label}/commit", octets(self._commitment(label, self.index, nonce, value)))
        for peer in self.peers:
            fixed(commitments[peer], DIGEST_BYTES, peer)
        own = self._transcript.digest()
        self.at_stake = self.at_stake or staking
        received = await self.to_all(f"{label}/open", octets(own + nonce + value))
        values: list[bytes] = []
        for k in range(self.parties):
            if k == self.index:
                values.append(value)
                continue
            opening = fixed(single(received[k], k), DIGEST_BYTES + SEED_BYTES + len(value), k)
            self._same_record(own, opening[:DIGEST_BYTES], k)
            nonce_k, value_k = opening[DIGEST_BYTES:][:SEED_BYTES], opening[DIGEST_BYTES + SEED_BYTES :]
            if not hmac.compare_digest(self._commitment(label, k, nonce_k, value_k), commitments[k].tobytes()):
                raise RemoteProtocolError(Fault.COMMITMENT, f"the opening of {label!r} does not match", party=k)
            values.append(value_k)
        self.record(f"{label}/opened", *(octets(v) for v in values))
        return values

    async def coin(self, label: str) -> bytes:
        """32 bytes nobody could foresee or bias, tossed after everything recorded so far (step 5.6)."""
        seeds = await self.commit_then_open(f"coin/{label}", self.entropy(SEED_BYTES))
        return labelled_hash(f"coin {label}", self.session, *seeds)

    def _commitment(self, label: str, sender: int, nonce: bytes, value: bytes) -> bytes:
        return labelled_hash(f"commit {label}", self.session, sender.to_bytes(2, "little"), nonce, value)

    @staticmethod
    def _same_record(own: bytes, theirs: bytes, peer: int) -> None:
        if not hmac.compare_digest(own, theirs):
            raise RemoteProtocolError(
                Fault.EQUIVOCATION, "our records of what was broadcast differ: somebody told two stories", party=peer
            )


async def _silence() -> None:
    """A conversation of nothing."""


# --- reading a peer's parts --------------------------------------------------------------------------------


def single(parts: tuple[Part, ...], peer: int) -> Part:
    """The only part of a message."""
    if len(parts) != 1:
        raise RemoteProtocolError(Fault.MALFORMED, f"{len(parts)} arrays where one is due", party=peer)
    return parts[0]


def fixed(part: Part, count: int, peer: int) -> bytes:
    """Exactly ``count`` bytes."""
    if part.dtype != np.uint8 or part.shape != (count,):
        raise RemoteProtocolError(Fault.MALFORMED, f"{part.dtype}{part.shape} where {count} bytes are due", party=peer)
    return part.tobytes()


def field_elements(part: Part, count: int, peer: int) -> Elements:
    """Exactly ``count`` canonical field elements."""
    if part.dtype != np.uint64 or part.shape != (count,):
        raise RemoteProtocolError(
            Fault.MALFORMED, f"{part.dtype}{part.shape} where {count} field elements are due", party=peer
        )
    if not field.is_canonical(part):
        raise RemoteProtocolError(Fault.MALFORMED, "a field element is not below p", party=peer)
    return part
