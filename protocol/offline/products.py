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
from protocol.lattice import (
    Polynomials,
    Question,
    Reply,
    VerifiedCiphertexts,
    decrypt,
    reply,
    reply_scaled,
    to_slots,
)
from protocol.offline.keys import Keys
from protocol.offline.slots import Slots, add_slots
from protocol.party import SEED_BYTES, Party
from protocol.secret import Secret

PART: Final = 8  # ciphertexts; an answer to one is 0.4 MB
_CALL: Final = 4  # ciphertexts that one call of a worker answers

Octets: TypeAlias = npt.NDArray[np.uint8]


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

    ``factor`` is this party's x: slots uint64[count, N], or one number for all slots; multiplications with the same
    array object transform it once.  This party answers ``asked`` and expects answers of ``due``.
    """

    factor: Slots | int
    encrypted: Sequence[VerifiedCiphertexts]
    keys: Keys
    asked: tuple[int, ...]
    due: tuple[int, ...]

    def question(self, peer: int, first: int, seed: bytes) -> Question:
        """What ``peer`` asks of this party from ciphertext ``first`` on; fresh randomness in ``seed``."""
        ciphertexts = self.encrypted[peer]
        return Question(self.keys.public[peer], ciphertexts, seed, 0 if ciphertexts.constant else first)


@attrs.frozen(eq=False, repr=False)
class Crossed(Secret):
    """Both ends of one multiplication: −r kept per peer asked, x·y + r decrypted per peer due, as polynomials."""

    kept: Mapping[int, Polynomials]
    decrypted: Mapping[int, Polynomials]

    def shares(self, own: Slots) -> Slots:
        """This party's share of (Σx)·(Σy), given its own x·y; consumes both ends."""
        return _summed(own, [*self.kept.values(), *self.decrypted.values()])

    def shares_kept(self, own: Slots) -> Slots:
        """This party's share of x·(Σy) for its own x, which it alone multiplied."""
        return _summed(own, list(self.kept.values()))

    def shares_of(self, peer: int) -> Slots:
        """This party's share of x·(Σy) for the x of ``peer``, which that party alone multiplied."""
        return to_slots(self.decrypted[peer])


def _summed(own: Slots, polynomials: Sequence[Polynomials]) -> Slots:
    """Own + the slots of a sum of polynomials, transformed once."""
    return add_slots(own, to_slots(add_slots(*polynomials))) if polynomials else own


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
        self._answers = {
            (index, peer): Reply.of(part.count)
            for index, multiplication in enumerate(work)
            for peer in multiplication.asked
        }

    def answers(self) -> list[Callable[[], None]]:
        """The calls that make all answers; fresh randomness each, or a repeated mask would open a difference."""
        groups: dict[int, list[int]] = {}
        for index, multiplication in enumerate(self.work):
            groups.setdefault(id(multiplication.factor), []).append(index)
        return [
            partial(self._answer, self.work[group[0]].factor, *self._asked(group, first), first)
            for group in groups.values()
            for first in range(0, self.part.count, _CALL)
        ]

    def _asked(self, group: Sequence[int], first: int) -> tuple[list[Question], list[Reply]]:
        """What one call answers, from ciphertext ``first`` of the part on, and where the answers go."""
        pairs = [(index, peer) for index in group for peer in self.work[index].asked]
        at = self.part.first + first
        questions = [self.work[index].question(peer, at, self._party.entropy(SEED_BYTES)) for index, peer in pairs]
        return questions, [self._answers[pair].part(first, first + _CALL) for pair in pairs]

    def _answer(self, factor: Slots | int, questions: Sequence[Question], out: Sequence[Reply], first: int) -> None:
        if isinstance(factor, int):
            reply_scaled(questions, factor, min(_CALL, self.part.count - first), out)
        else:
            reply(questions, factor[first : first + _CALL], out)

    def outgoing(self, peer: int) -> list[Octets]:
        """The answers for one peer, in the order of the multiplications."""
        return [self._answers[index, peer].packed for index in range(len(self.work)) if (index, peer) in self._answers]

    def owed(self, peer: int) -> list[int]:
        """The multiplications of which ``peer`` owes an answer."""
        return [index for index, multiplication in enumerate(self.work) if peer in multiplication.due]

    def crossed(self, decrypted: Mapping[tuple[int, int], Polynomials]) -> list[Crossed]:
        """Both ends of every multiplication."""
        return [
            Crossed(
                {peer: self._answers[index, peer].kept for peer in multiplication.asked},
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
    calls: list[Callable[[], Polynomials]] = []
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
