"""The first centre orders batches: the next while one is stored, ever later after failures, a comparison at rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import structlog
import trio
import trio.testing

from nskd.daemon.demand import Shortage
from nskd.daemon.generation import COMPARE_AFTER_S, LONGEST_PAUSE_S, PAUSE_AFTER_FAILURE_S, Generator, Order
from nskd.daemon.turns import BATCH_PATIENCE_S, OutOfTurnError
from nskd.errors import OperatorError
from nskd.sessions.kinds import Refusal, SessionRefused
from nskd.sessions.proposal import Proposal
from protocol.offline.factory import Batch, Made, Product

Clock = trio.testing.MockClock
MADE = Made(bytes(32), (Batch("triple", np.zeros((6, 100), np.uint64)),))
REFUSED = SessionRefused(bytes(16), {"zuid": "there are far more triples in stock here than can be used"})
FULL_DISK = OperatorError("no space left", where="stock", remedy="Make room.")


@pytest.mark.parametrize("extra", [b"", b"\x90", b"\x93\xa1\xff\x01\xc2", b"\x91" * 3000, b"\x93\xa1x\x01\xc2"])
def test_an_order_that_cannot_be_read_is_refused(extra: bytes) -> None:
    """One that is no UTF-8 was taken for an error of our own."""
    with pytest.raises(Refusal, match="cannot be read"):
        Generator._read_order(SimpleNamespace(extra=extra))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("product", "kinds"),
    [
        (Product.TRIPLES, ["triple"]),
        (Product.SQUARES, ["square"]),
        (Product.BITS, ["bit"]),
        (Product.MASKS, ["mask/0", "mask/1"]),
    ],
)
async def test_a_first_centre_fills_no_disk(product: Product, kinds: list[str]) -> None:
    """Nobody else looks at levels before it orders; comparing makes nothing, and goes on."""
    here = Centre(0)

    def offered(ciphertexts: int) -> Any:
        extra = msgspec.msgpack.encode(Order(product, ciphertexts, True))
        return SimpleNamespace(sender="noord", proposal=SimpleNamespace(parties=("noord", "zuid"), extra=extra))

    await here.generator.judge(offered(1))
    here.plenty = True
    with pytest.raises(Refusal, match=f"far more {product.value} in stock here than can be used"):
        await here.generator.judge(offered(1))
    assert here.looked_at == [kinds, kinds]
    await here.generator.judge(offered(0))


class Centre:
    """A generator whose sessions are what ``session`` does; ``lacking`` items are made a hundred at a time."""

    def __init__(self, lacking: int) -> None:
        self.lacking = lacking
        self.plenty = False
        self.looked_at: list[Collection[str]] = []
        self.orders: list[tuple[float, Order]] = []
        self.session: Callable[[Order], Awaitable[None]] = self.make
        names = ("noord", "zuid")
        charter = SimpleNamespace(names=names, digest=bytes(32))
        everybody = SimpleNamespace(left=())
        named = {"index": 0, "own": "noord", "charter": charter, "attendance": everybody}
        workshop = SimpleNamespace(**named, log=structlog.get_logger())
        connected = SimpleNamespace(wait_connected=trio.lowlevel.checkpoint)
        epochs = SimpleNamespace(current_id=lambda: b"an epoch", may_end=lambda: True)
        here: dict[str, Any] = {"workshop": workshop, "mesh": connected, "sessions": self, "needs": self}
        rest: dict[str, Any] = {"stock": None, "epochs": epochs, "turns": None, "workers": None}
        self.generator = Generator(**here, **rest)

    async def shortage(self, coming: Mapping[str, int]) -> Shortage | None:
        await trio.lowlevel.checkpoint()
        lacking = self.lacking - coming.get("triple", 0)
        return Shortage("triple", lacking) if lacking > 0 else None

    async def ample(self, kinds: Collection[str]) -> bool:
        self.looked_at.append(kinds)
        return self.plenty

    async def propose(self, proposal: Proposal) -> None:
        order = msgspec.msgpack.decode(proposal.extra, type=Order)
        self.orders.append((trio.current_time(), order))
        await self.session(order)

    async def make(self, order: Order) -> None:
        await trio.sleep(1)
        if order.ciphertexts:
            await self.store(1)

    async def store(self, seconds: float) -> None:
        async with self.generator._storing_turn():
            with self.generator._on_its_way(MADE):
                await trio.sleep(seconds)
        self.lacking -= 100

    async def drive(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self.generator.drive()

    def times(self) -> list[float]:
        return [at - self.orders[0][0] for at, _ in self.orders]

    def compared(self) -> list[bool]:
        return [order.compare for _, order in self.orders]


async def test_a_batch_is_ordered_while_the_one_before_is_stored(autojump_clock: Clock) -> None:
    """What is being stored counts as there: three hundred items are three batches, not four."""
    centre = Centre(300)
    await centre.drive(COMPARE_AFTER_S)
    assert centre.times() == pytest.approx([0, 1, 2])
    assert centre.compared() == [True, False, False]


async def test_all_compare_once_after_anything_was_made(autojump_clock: Clock) -> None:
    """A centre that failed to unlock the last batch cannot say so to the first, which has finished."""
    centre = Centre(100)
    await centre.drive(5 * COMPARE_AFTER_S)
    assert [(order.ciphertexts > 0, order.compare) for _, order in centre.orders] == [(True, True), (False, True)]
    assert centre.times()[1] >= COMPARE_AFTER_S


@pytest.mark.parametrize("failure", [FULL_DISK, REFUSED, MemoryError()], ids=["disk", "refused", "of-our-own"])
async def test_a_batch_that_cannot_be_stored_is_made_again_ever_later(
    autojump_clock: Clock, failure: Exception
) -> None:
    """And the daemon stays up, whatever it is: others depend on its sessions."""
    centre = Centre(100)

    async def full(order: Order) -> None:
        with centre.generator._on_its_way(MADE):
            await trio.sleep(1)
        raise failure

    centre.session = full
    await centre.drive(1000)
    gaps = np.diff(centre.times()).tolist()
    pauses = [min(PAUSE_AFTER_FAILURE_S * 2**k, LONGEST_PAUSE_S) for k in range(len(gaps))]
    assert gaps == pytest.approx([1 + pause for pause in pauses])
    assert len(gaps) > 10
    assert all(centre.compared())
    assert centre.generator.findings()
    centre.session = centre.make
    await centre.drive(2 * LONGEST_PAUSE_S)
    assert centre.lacking == 0
    assert not centre.generator.findings()


async def test_a_refused_order_holds_up_no_comparison(autojump_clock: Clock) -> None:
    """Nor the next epoch: who has plenty of one kind may have lost its place in another.  Orders get ever rarer."""
    centre = Centre(100)

    async def refuse(order: Order) -> None:
        if order.ciphertexts:
            raise REFUSED

    centre.session = refuse
    await centre.drive(1000)
    orders = [(order.ciphertexts > 0, order.compare) for _, order in centre.orders]
    assert orders[:5] == [(True, True), (False, True), (True, False), (False, True), (True, False)]
    refused = [at for at, order in centre.orders if order.ciphertexts]
    pauses = np.diff(refused).tolist()
    assert pauses == pytest.approx([min(PAUSE_AFTER_FAILURE_S * 2**k, LONGEST_PAUSE_S) for k in range(len(pauses))])
    assert len(pauses) > 10
    assert centre.generator.findings()


async def test_stock_is_compared_when_none_is_on_its_way(autojump_clock: Clock) -> None:
    centre = Centre(300)
    storing = 0.0

    async def doubtful(order: Order) -> None:
        nonlocal storing
        if len(centre.orders) == 1:
            centre.generator.doubt()
            await centre.store(7)
            storing = trio.current_time()
        else:
            await centre.make(order)

    centre.session = doubtful
    await centre.drive(12)
    at, second = centre.orders[1]
    assert second.compare
    assert at >= storing > 0


async def test_nobody_waits_for_another_batch_longer_than_others_wait_for_us(autojump_clock: Clock) -> None:
    generator = Centre(0).generator

    async def enter() -> None:
        with pytest.raises(OutOfTurnError, match="still being stored"):
            async with generator._storing_turn():
                raise AssertionError("stored beside another batch")

    async with generator._storing_turn():
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(enter)
        assert trio.current_time() - began == pytest.approx(BATCH_PATIENCE_S)
    async with generator._storing_turn():
        pass
