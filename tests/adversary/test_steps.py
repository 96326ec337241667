"""One party of three lies in each labelled exchange, in each way that can be made from the message.

The two honest ones end with a named fault, or with what they would have had anyway.  ``make adversary`` runs all of it;
here it is the shorter protocols, and a few lies in each of the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from protocol.errors import Fault, RemoteProtocolError
from protocol.wire import Message
from tests.cluster import Cluster, Outcome

from .labels import covers, labels
from .lies import False_, Lie, lies
from .steps import LIAR, LONG, OWN_WORD, QUICK, Seats, stored

ALL = {**QUICK, **LONG}
EVERYTHING = "NSKD_ADVERSARY" in os.environ
SHARES = {"table": 90, "spread": 15, "inventory": 9, "stored": 9}  # one lie in so many, beside ``make adversary``
NOT_HERE = {
    Lie.LATE: "a protocol awaits its channel, which bounds the wait: tests/nskd/peers/test_channel.py::"
    "test_a_silent_party_is_named_after_the_round_timeout"
}
# Runs of their own stand behind these: what they contain is the digests of what was released, confirmed.
ELSEWHERE = {"epoch": "the same broadcast as `told`: Epochs.agree compares it with its own and founds anew"}


class LeavesError(Exception):
    """The liar goes."""


class Line:
    """Sees every message of the liar; tells the first one of a label as a lie, or only takes note."""

    def __init__(self, label: str | None = None, chosen: int = 0) -> None:
        self.seen: dict[str, int] = {}
        self.told: False_ | None = None
        self.count = 0
        self._label, self._chosen = label, chosen
        self._step: str | None = None
        self._earlier: Message | None = None
        self._false: list[False_] = []

    def __call__(self, receiver: int, message: Message) -> Message | None:
        label = message.step.split(".", 1)[-1]
        first = label not in self.seen
        self.seen[label] = self.seen.get(label, 0) + 1
        if label == self._label and (first or message.step == self._step):
            self._step = message.step
            return self._lie(receiver, message)
        if self._step is None:
            self._earlier = message
        return message

    def _lie(self, receiver: int, message: Message) -> Message | None:
        false = list(lies(message, self._earlier, one=0))
        self.count = len(false)
        self.told = false[self._chosen]
        if self.told.message is None:
            raise LeavesError
        return message if self.told.to not in (None, receiver) else self.told.message


def judge(name: str, label: str, told: False_, honest: list[Outcome], found: list[Outcome]) -> None:
    """What the two honest parties may end with."""
    what = f"{name}: {label}: {told.lie.value} ({told.name})"
    values = []
    for outcome in found[:LIAR]:
        if outcome.error is None:
            values.append(outcome.value)
        else:
            assert isinstance(outcome.error, RemoteProtocolError), f"{what}: {outcome.error!r}"
            assert outcome.error.fault is not Fault.TIMEOUT
    own_word = told.lie in (Lie.FALSE, Lie.REPLAYED) and label in OWN_WORD
    if not own_word:
        assert all(value == honest[0].value for value in values), f"{what}: {values!r}"
    assert len({repr(value) for value in values}) <= 1, f"{what}: the honest ones differ"
    refused = any(outcome.error is not None for outcome in found[:LIAR])
    if told.lie is Lie.MISSING:
        assert refused, f"{what}: nobody noticed"


async def honestly(name: str, seats: Seats, place: Path) -> tuple[list[Outcome], Line]:
    line = Line()
    outcomes = await seats(Cluster(3, seed=5, liar=LIAR, tamper=line), place / "honest")
    for outcome in outcomes:
        assert outcome.error is None, f"{name}: {outcome.error!r}"
    return outcomes, line


async def every_lie(name: str, place: Path, wanted: Callable[[str, int], bool]) -> int:
    """Run them all; the number."""
    seats, runs = ALL[name], 0
    honest, line = await honestly(name, seats, place)
    for label in line.seen:
        chosen, count = 0, 1
        while chosen < count:
            if wanted(label, chosen):
                liar = Line(label, chosen)
                found = await seats(Cluster(3, seed=5, liar=LIAR, tamper=liar), place / f"{runs}")
                assert liar.told is not None, f"{name}: {label} was never sent"
                judge(name, label, liar.told, honest, found)
                count = liar.count
                runs += 1
            elif count == 1:
                count = 14
            chosen += 1
    return runs


def some(text: str, of: int) -> int:
    return sum(text.encode()) % of


@pytest.mark.parametrize("name", QUICK)
async def test_every_lie_in_a_short_protocol(tmp_path: Path, name: str) -> None:
    share = 1 if EVERYTHING else SHARES.get(name, 2)
    runs = await every_lie(name, tmp_path, lambda label, chosen: (some(label, share) + chosen) % share == 0)
    assert runs >= 3


async def test_who_has_stored_another_batch_is_named(tmp_path: Path) -> None:
    """Nothing is unlocked on the word of one that holds something else, and says so to all alike (step 7.8)."""
    for outcome in (await stored(Cluster(3, seed=5), tmp_path, other=LIAR))[:LIAR]:
        assert isinstance(outcome.error, RemoteProtocolError)
        assert (outcome.error.fault, outcome.error.party) == (Fault.EQUIVOCATION, LIAR)
        assert "stored another batch" in outcome.error.detail


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", LONG)
async def test_every_lie_in_a_long_protocol(tmp_path: Path, name: str) -> None:
    if not EVERYTHING:
        pytest.skip("make adversary runs it")
    assert await every_lie(name, tmp_path, lambda label, chosen: True) >= 10


@pytest.mark.timeout(600)
async def test_every_label_of_the_code_has_its_lies(tmp_path: Path) -> None:
    """What the code can send is what the protocols above send: a new exchange has to be added to them."""
    if not EVERYTHING:
        pytest.skip("make adversary runs it")
    seen: set[str] = set()
    for name, seats in ALL.items():
        seen |= set((await honestly(name, seats, tmp_path / name))[1].seen)
    missing = {pattern for pattern in labels() if not any(covers(pattern, label) for label in seen)}
    assert missing == set(ELSEWHERE) & missing
    assert not missing - set(ELSEWHERE), missing


def test_every_lie_is_made_or_its_absence_explained() -> None:
    made = {each.lie for each in _of_a_sample()}
    assert made | set(NOT_HERE) == set(Lie)
    assert not made & set(NOT_HERE)


def _of_a_sample() -> Iterator[False_]:
    import numpy as np

    message = Message(bytes(16), "3.x", (np.arange(4, dtype=np.uint64),))
    return lies(message, attrs.evolve(message, step="2.w"), one=0)
