"""What the parties of an online benchmark do together, on shares, each exercise checked against plain integers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec
import numpy as np

from protocol import field
from protocol.field import Elements
from protocol.material import Cost, Material
from protocol.online.arithmetic import MULTIPLICATION, Evaluator
from protocol.online.comparison import comparison_cost, is_negative
from protocol.prg import Prg
from protocol.shares import MacKey, Shared, constant
from tests.dealer import Dealer

COMPARISON_BITS: Final = 19
PIECE: Final = 1_000_000  # longer vectors go in pieces: a message holds eight million elements
SHOWN: Final = 100  # values opened afterwards and compared with plain integers
ROUND_ELEMENTS: Final = 32

Kind = Literal["round", "multiply", "compare"]


class Exercise(msgspec.Struct, frozen=True):
    """``repeats`` times the same on vectors of ``count``; ``dealt``: with material of the test dealer, not of stock."""

    kind: Kind
    count: int
    repeats: int
    dealt: bool = False

    @property
    def longest(self) -> int:
        """What is computed at once at most."""
        return PIECE if self.kind == "multiply" else self.count

    @property
    def cost(self) -> Cost:
        """What one repeat uses."""
        if self.kind == "multiply":
            return MULTIPLICATION.times(self.count)
        return comparison_cost(COMPARISON_BITS, self.count) if self.kind == "compare" else Cost()

    @property
    def stock(self) -> Cost:
        """What all of it takes from stock."""
        return Cost() if self.dealt else self.cost.times(self.repeats)


class Account(msgspec.Struct, frozen=True):
    """What one party saw: seconds of each repeat, and of the MAC check after the last; rounds and bytes of all that."""

    exercise: int
    seconds: list[float]
    check_s: float
    check_rounds: int
    rounds: int
    bytes_sent: int
    take_s: float = 0.0  # reading and decrypting the stock, before


def dealt(exercise: Exercise, parties: int, index: int) -> tuple[MacKey, Callable[[], Material]]:
    """Keys and material of the test dealer, the same again for each repeat and for each piece of it."""
    dealer = Dealer(parties)
    cost = msgspec.structs.replace(exercise, count=min(exercise.count, exercise.longest)).cost
    columns = dealer.material(triples=cost.triples, bits=cost.bits)[index]
    return dealer.keys[index], lambda: Material(columns._columns)


async def perform(
    exercise: Exercise, evaluator: Evaluator, renew: Callable[[], Material] | None, sent: Callable[[], int]
) -> Account:
    """Do it; ``renew`` gives dealt material for each piece, ``sent`` tells the bytes sent so far."""
    party = evaluator.party
    step = {"round": _round, "multiply": _multiply, "compare": _compare}[exercise.kind](exercise, evaluator, renew)
    await party.to_all("together")
    rounds, sent_before = party.rounds, sent()
    seconds: list[float] = []
    for _ in range(exercise.repeats):
        began = time.perf_counter()
        outcome = await step()
        seconds.append(time.perf_counter() - began)
    check_rounds = -party.rounds
    began = time.perf_counter()
    await evaluator.checker.check()
    check_s = time.perf_counter() - began
    check_rounds += party.rounds
    account = Account(0, seconds, check_s, check_rounds, party.rounds - rounds, sent() - sent_before)
    shared, expected = outcome
    shown = (await evaluator.reveal("shown", {"shown": shared[:SHOWN]}))["shown"]
    if not np.array_equal(shown, expected[:SHOWN]):
        raise AssertionError(f"{exercise.kind} is wrong")
    return account


_Outcome = tuple[Shared, Elements]
_Step = Callable[[], Awaitable[_Outcome]]


def _round(exercise: Exercise, evaluator: Evaluator, renew: object) -> _Step:
    """A small opening; nothing else is a round of its own in what is computed here."""
    values = Prg(bytes(32), "bench round").elements(exercise.count)
    shared = constant(values, evaluator.key)

    async def step() -> _Outcome:
        await evaluator.open_masked("round", shared)
        return shared, values

    return step


def _multiply(exercise: Exercise, evaluator: Evaluator, renew: Callable[[], Material] | None) -> _Step:
    count = min(exercise.count, PIECE)
    pieces = -(-exercise.count // PIECE)
    prg = Prg(bytes(32), "bench factors")
    x, y = prg.elements(count), prg.elements(count)
    first, second = constant(x, evaluator.key), constant(y, evaluator.key)
    expected = field.mul(x[:SHOWN], y[:SHOWN])

    async def step() -> _Outcome:
        for _ in range(pieces):
            if renew is not None:
                evaluator.material = renew()
            product = await evaluator.multiply(first, second)
        return product, expected

    return step


def _compare(exercise: Exercise, evaluator: Evaluator, renew: Callable[[], Material] | None) -> _Step:
    half = 1 << (COMPARISON_BITS - 1)
    signed = np.random.default_rng(COMPARISON_BITS).integers(-half, half, exercise.count)
    shared = constant(field.elements(signed), evaluator.key)
    expected = (signed < 0).astype(np.uint64)

    async def step() -> _Outcome:
        if renew is not None:
            evaluator.material = renew()
        return await is_negative(evaluator, shared, COMPARISON_BITS), expected

    return step
