"""What runs within sessions, at small sizes: each a coroutine for every seat of a cluster, with a liar at the last."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Final

import attrs
import numpy as np
import pytest
import trio
import trio.testing

from nskd.credentials import StorageKey
from nskd.daemon.generation import Generator
from nskd.daemon.modelling import settled
from nskd.daemon.turns import Turns
from nskd.sessions.attempt import Attempt
from nskd.stockpile import Stockpile
from protocol import opening
from protocol.offline.epoch import Epoch, found
from protocol.offline.factory import Batch, Made, Product, make
from protocol.online.arithmetic import Evaluator
from protocol.online.differences import Differences
from protocol.online.disclosure import disclosure_cost, release
from protocol.online.regression import Sizes
from protocol.online.rules import Dominance, Rules
from protocol.party import Party, octets
from tests.cluster import Cluster, Outcome
from tests.dealer import Dealer
from tests.nskd.daemon.test_modelling import MODEL
from tests.nskd.stockpile import world
from tests.protocol import test_hospitals, test_regression

PARTIES: Final = 3
LIAR: Final = PARTIES - 1
CHARTER: Final = b"c" * 32
Seats = Callable[[Cluster, Path], Awaitable[list[Outcome]]]

# What a party says of itself, and nobody can hold against it: its inputs, its keys, its stock, what it is busy with.
OWN_WORD: Final = frozenset({"input", "told", "model", "turn", "turn/again", "inventory", "public-key", "batch-key"})


async def _coins(cluster: Cluster, place: Path) -> list[Outcome]:
    async def seat(party: Party) -> list[bytes]:
        told = await party.broadcast("told", octets(bytes([party.index] * 5)))
        await party.confirm()
        return [*(part.tobytes() for part in told), await party.coin("x")]

    return await cluster.outcomes(seat)


RULES: Final = Rules(3, True, centres=2, show_zeros=True, rounding=5, dominance=Dominance(share=90, pair=95, rest=5))


async def _table(cluster: Cluster, place: Path) -> list[Outcome]:
    """Every rule, and earlier tables: all that can be opened of a table."""
    cells, pairs = 2, np.array([0, 1])
    dealer = Dealer(PARTIES, seed=1)
    cost = disclosure_cost(RULES, PARTIES, cells, pairs.size)
    material = dealer.material(**attrs.asdict(cost))

    async def seat(party: Party) -> tuple[list[bool], list[int]]:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        values, children = np.array([40, 7], np.uint64), np.array([9, 4], np.uint64)
        differences = Differences(pairs, np.array([0, 5], np.uint64))
        result = await release(evaluator, values, children, RULES, lambda p: p, differences=differences)
        return result.shown.tolist(), result.values.tolist()

    return await cluster.outcomes(seat)


async def _spread(cluster: Cluster, place: Path) -> list[Outcome]:
    """Long openings go by segments, products of squares and of pairs by openings."""
    dealer = Dealer(PARTIES, seed=2)
    material = dealer.material(triples=6, squares=6, masks=6)

    async def seat(party: Party) -> list[int]:
        evaluator = Evaluator(party, dealer.keys[party.index], material[party.index])
        x, y, _ = await evaluator.inputs(np.arange(6, dtype=np.uint64), [6] * PARTIES)
        found = await evaluator.multiply(x, y) + await evaluator.square(x)
        return (await evaluator.reveal("result", {"all": found}))["all"].tolist()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "SPREAD_MIN", 6)
        return await cluster.outcomes(seat)


async def _hospitals(cluster: Cluster, place: Path) -> list[Outcome]:
    case = test_hospitals.Case.of([[20, 80, 100], [30, 70, 100], [25, 60, 85]])
    rules = Rules(3, True, centres=2, rounding=5)
    return await test_hospitals.outcomes(case, test_hospitals.both(PARTIES), rules, cluster=cluster)


async def _regression(cluster: Cluster, place: Path) -> list[Outcome]:
    pooled = test_regression.rows(600, 2, seed=3)
    model = test_regression.Public.of(pooled)
    own = test_regression.parts(pooled, PARTIES)
    return await test_regression.outcomes(own, model, Sizes(2, 1, None), cluster)


async def _turn(cluster: Cluster, place: Path) -> list[Outcome]:
    """A check of a batch begins; at first one centre has a run under way."""
    turns = [Turns() for _ in range(PARTIES)]

    async def seat(party: Party) -> str:
        async with turns[party.index].check(party):
            await party.confirm()
        return "checked"

    async with trio.open_nursery() as nursery:
        await nursery.start(_run_for_a_while, turns[0])
        return await cluster.outcomes(seat)


async def _run_for_a_while(turns: Turns, *, task_status: trio.TaskStatus[None]) -> None:
    """Until the batch has been put off and waits for it."""
    async with turns.run():
        task_status.started()
        await trio.testing.wait_all_tasks_blocked()


@asynccontextmanager
async def _stocks(place: Path) -> AsyncIterator[list[Stockpile]]:
    with contextlib.ExitStack() as stack:
        opened = []
        for index in range(PARTIES):
            stock = stack.enter_context(Stockpile.open(place / str(index), StorageKey(bytes([index]) * 32)))
            stock.begin_epoch(world.EPOCH, b"keys")
            world.add(stock, 1, "bit", 8, unlocked=index > 0)
            opened.append(stock)
        yield opened


def _generator(stock: Stockpile) -> Any:
    async def call(method: Callable[..., Any], *arguments: object) -> Any:
        await trio.lowlevel.checkpoint()
        return method(stock, *arguments)

    async def add(new: Any) -> None:
        await trio.lowlevel.checkpoint()
        world.store(stock, *new)

    call.add = add  # type: ignore[attr-defined]
    quiet = SimpleNamespace(info=lambda *_, **__: None)
    return SimpleNamespace(_stock=call, _workshop=SimpleNamespace(log=quiet))


async def _inventory(cluster: Cluster, place: Path) -> list[Outcome]:
    async with _stocks(place) as stocks:

        async def seat(party: Party) -> list[Any]:
            await Generator._reconcile(_generator(stocks[party.index]), party)
            return [(info.batch, info.state) for info in stocks[party.index].inventory()]

        return await cluster.outcomes(seat)


async def stored(cluster: Cluster, place: Path, other: int | None = None) -> list[Outcome]:
    """A batch is on disk everywhere; ``other`` has another one."""
    async with _stocks(place) as stocks:

        async def seat(party: Party) -> list[Any]:
            made = Made(bytes(32 * [party.index == other]), (Batch("bit", world.columns(2, "bit", 9)),))
            await Generator._keep(_generator(stocks[party.index]), party, party.session, made)
            return [(info.batch, info.state) for info in stocks[party.index].inventory() if info.count == 9]

        return await cluster.outcomes(seat)


async def _model(cluster: Cluster, place: Path) -> list[Outcome]:
    async def seat(party: Party) -> dict[str, Any]:
        recorded = json.dumps({"model": MODEL}).encode() if party.index else None
        model = await settled(party, MODEL, recorded)
        await party.confirm()
        return model

    return await cluster.outcomes(seat)


async def _proposal(cluster: Cluster, place: Path) -> list[Outcome]:
    """The first step of every session: all parties were shown the same proposal."""

    async def seat(party: Party) -> str:
        offer = SimpleNamespace(digest=bytes(range(32)))
        own: Any = SimpleNamespace(offer=offer, session=party.session, parties="abc", _index=party.index)
        await Attempt._confirm(own, party._channel)  # type: ignore[arg-type]
        return "confirmed"

    return await cluster.outcomes(seat)


async def _founded(cluster: Cluster, place: Path) -> list[Outcome]:
    async def seat(party: Party) -> bytes:
        epoch = await found(party, CHARTER)
        await party.broadcast("epoch/stored", octets(epoch.epoch_id))
        await party.confirm()
        return epoch.epoch_id

    return await cluster.outcomes(seat)


_epochs: list[Epoch] = []


def _batch(product: Product) -> Seats:
    async def run(cluster: Cluster, place: Path) -> list[Outcome]:
        if not _epochs:
            _epochs.extend(await Cluster(PARTIES, seed=PARTIES).run(lambda party: found(party, CHARTER)))

        async def seat(party: Party) -> bytes:
            return (await (await make(product, party, _epochs[party.index], 1)).checked()).digest

        return await cluster.outcomes(seat)

    return run


QUICK: Final = MappingProxyType(
    {
        "coins": _coins,
        "table": _table,
        "spread": _spread,
        "turn": _turn,
        "inventory": _inventory,
        "stored": stored,
        "model": _model,
        "proposal": _proposal,
    }
)
LONG: Final = MappingProxyType(
    {
        "hospitals": _hospitals,
        "regression": _regression,
        "epoch": _founded,
        **{product.value: _batch(product) for product in Product},
    }
)
