"""Products with everybody else's ciphertexts, made and sent in parts (``docs/protocol.md``, steps 7.3, 7.4, 7.9).

A recipe says what is multiplied into what, in two stages; :func:`multiply` has everybody answer, part by part, so
that computing one part and sending the last overlap and memory does not grow with the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from protocol.errors import Fault, RemoteProtocolError
from protocol.lattice import VerifiedCiphertexts, decrypt, reply, reply_scaled
from protocol.offline.keys import Keys
from protocol.offline.slots import Slots, add_slots
from protocol.party import SEED_BYTES, Party
from protocol.secret import Secret

PART: Final = 8  # ciphertexts; an answer to one is 0.4 MB

Octets: TypeAlias = npt.NDArray[np.uint8]
_Answer: TypeAlias = tuple[Octets, Slots]


@attrs.frozen
class Part:
    """Some consecutive ciphertexts of a batch."""

    first: int
    stop: int

    @property
    def count(self) -> int:
        """How many."""
        return self.stop - self.first

    def of(self, slots: Slots) -> Slots:
        """A view of these ciphertexts' slots."""
        return slots[self.first : self.stop]


@attrs.frozen(eq=False, repr=False)
class Multiplication(Secret):
    """Everybody's own x times everybody's encrypted y, for one part.

    ``factor`` is this party's x: slots uint64[count, N], or one number for all slots.  It answers ``asked`` and expects
    answers of ``due``; all peers unless the recipe says otherwise.
    """

    factor: Slots | int
    encrypted: Sequence[VerifiedCiphertexts]
    keys: Keys
    asked: tuple[int, ...]
    due: tuple[int, ...]

    def answer(self, peer: int, part: Part, seed: bytes) -> _Answer:
        """What ``peer`` is sent, and the share −r that is kept (step L.8); fresh randomness in ``seed``."""
        key, ciphertexts = self.keys.public[peer], self.encrypted[peer]
        first = 0 if ciphertexts.constant else part.first
        if isinstance(self.factor, int):
            return reply_scaled(key, ciphertexts, self.factor, seed, first=first, count=part.count)
        return reply(key, ciphertexts, self.factor, seed, first=first)


@attrs.frozen(eq=False, repr=False)
class Crossed(Secret):
    """Both ends of one multiplication: −r kept per peer asked, x·y + r decrypted per peer due."""

    kept: Mapping[int, Slots]
    decrypted: Mapping[int, Slots]

    def shares(self, own: Slots) -> Slots:
        """This party's share of (Σx)·(Σy), given its own x·y."""
        return add_slots(own, *self.kept.values(), *self.decrypted.values())


class Recipe(Protocol):
    """What is multiplied, in two stages.  Both methods run away from the event loop."""

    def first(self, part: Part) -> Sequence[Multiplication]:
        """The first stage."""
        ...

    def second(self, part: Part, crossed: Sequence[Crossed]) -> Sequence[Multiplication]:
        """Take the results of the first stage; what it says is the second, if there is one."""
        ...

    def done(self, part: Part, crossed: Sequence[Crossed]) -> None:
        """Take the results of the second stage."""
        ...


async def multiply(party: Party, label: str, recipe: Recipe, ciphertexts: int) -> None:
    """Carry a recipe out over a batch; part k of the first stage travels with part k − 1 of the second.

    Raises :class:`RemoteProtocolError` (``malformed-message``, ``decryption-anomaly``).
    """
    parts = [Part(first, min(first + PART, ciphertexts)) for first in range(0, ciphertexts, PART)]
    first: _Stage | None = await _begun(party, parts[0], recipe.first)
    second: _Stage | None = None
    for index, upcoming in enumerate([*parts[1:], None, None]):
        stages = [stage for stage in (first, second) if stage is not None]
        if not stages:
            return
        following = None if upcoming is None else _Stage(upcoming, recipe.first(upcoming), party)
        _, received = await party.work.alongside(
            [] if following is None else following.answers(), partial(_exchange, party, f"{label}/{index}", stages)
        )
        results = await _decrypted(party, stages, received)
        if second is not None:
            await party.work(recipe.done, second.part, results[-1])
        second = None if first is None else await _begun(party, first.part, partial(_then, recipe, results[0]))
        first = following


def _then(recipe: Recipe, crossed: Sequence[Crossed], part: Part) -> Sequence[Multiplication]:
    return recipe.second(part, crossed)


class _Stage(Secret):
    """A stage of one part: what this party answers, and what it is owed."""

    def __init__(self, part: Part, work: Sequence[Multiplication], party: Party) -> None:
        self.part = part
        self.work = work
        self._party = party
        self._answers: dict[tuple[int, int], _Answer] = {}

    def answers(self) -> list[Callable[[], None]]:
        """The calls that make all answers; fresh randomness each, or a repeated mask would open a difference."""
        return [
            partial(self._answer, index, peer, self._party.entropy(SEED_BYTES))
            for index, multiplication in enumerate(self.work)
            for peer in multiplication.asked
        ]

    def _answer(self, index: int, peer: int, seed: bytes) -> None:
        self._answers[index, peer] = self.work[index].answer(peer, self.part, seed)

    def outgoing(self, peer: int) -> list[Octets]:
        """The answers for one peer, in the order of the multiplications."""
        return [self._answers[index, peer][0] for index in range(len(self.work)) if (index, peer) in self._answers]

    def owed(self, peer: int) -> list[int]:
        """The multiplications of which ``peer`` owes an answer."""
        return [index for index, multiplication in enumerate(self.work) if peer in multiplication.due]

    def crossed(self, decrypted: Mapping[tuple[int, int], Slots]) -> list[Crossed]:
        """Both ends of every multiplication."""
        return [
            Crossed(
                {peer: self._answers[index, peer][1] for peer in multiplication.asked},
                {peer: decrypted[index, peer] for peer in multiplication.due},
            )
            for index, multiplication in enumerate(self.work)
        ]


async def _begun(party: Party, part: Part, plan: Callable[[Part], Sequence[Multiplication]]) -> _Stage | None:
    """A stage with its answers made; None if there is nothing to multiply."""
    work = await party.work(plan, part)
    if not work:
        return None
    stage = _Stage(part, work, party)
    await party.work_all(stage.answers())
    return stage


async def _exchange(party: Party, label: str, stages: Sequence[_Stage]) -> dict[int, tuple[Octets, ...]]:
    """Send every peer the answers it is owed, and take those it owes."""
    outgoing = {peer: [answer for stage in stages for answer in stage.outgoing(peer)] for peer in party.peers}
    owed = {peer: sum(len(stage.owed(peer)) for stage in stages) for peer in party.peers}
    received = await party.exchange(
        label,
        {peer: answers for peer, answers in outgoing.items() if answers},
        [peer for peer, count in owed.items() if count],
    )
    for peer, parts in received.items():
        if len(parts) != owed[peer]:
            raise RemoteProtocolError(Fault.MALFORMED, f"{len(parts)} answers where {owed[peer]} are due", party=peer)
    return received


async def _decrypted(
    party: Party, stages: Sequence[_Stage], received: Mapping[int, Sequence[Octets]]
) -> list[list[Crossed]]:
    """The results of each stage."""
    places: list[tuple[int, int, int]] = []
    calls: list[Callable[[], Slots]] = []
    for peer, parts in received.items():
        owed = [(at, index) for at, stage in enumerate(stages) for index in stage.owed(peer)]
        for (at, index), answer in zip(owed, parts, strict=True):
            stage = stages[at]
            places.append((at, index, peer))
            calls.append(partial(decrypt, stage.work[index].keys.secret, answer, stage.part.count, party=peer))
    decrypted = dict(zip(places, await party.work_all(calls), strict=True))
    return [
        stage.crossed({(index, peer): slots for (k, index, peer), slots in decrypted.items() if k == at})
        for at, stage in enumerate(stages)
    ]
