"""What is wanted of the stock, read from a real ledger and a real stock."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import structlog
import trio

from nskd.analysis.pairs import NO_PAIRS
from nskd.analysis.populations import Populations
from nskd.control.events import EventBus
from nskd.daemon import demand
from nskd.daemon.auditor import Auditor
from nskd.daemon.demand import HALF_LIFE_S, Policy, Shortage, Watermarks
from nskd.daemon.history import History
from nskd.daemon.needs import Needs
from nskd.daemon.wanted import Wanted
from nskd.daemon.workshop import Workshop
from nskd.governance.audit_file import AuditFile
from nskd.governance.ledger import Ledger
from nskd.governance.request import SignedRequest
from nskd.governance.threaded import LedgerThread
from nskd.packs.pack import load_pack
from nskd.stockpile import SharedStockpile, Stockpile
from tests.nskd.governance.workshop import CHARTER, NAMES, NOW, approval, request, signing_key
from tests.nskd.stockpile.world import EPOCH, KEY, STATE, incoming

SMALL = b'kind = "table"\ntitle = "Age"\npurpose = "improvement"\nrows = "age_band"\nmeasure = "children"\n'
LARGE = SMALL.replace(b'rows = "age_band"', b'rows = "age_band"\ncolumns = ["nsk_positive", "sex"]')
UNKNOWN = SMALL.replace(b"age_band", b"shoe_size")


@attrs.define
class Scene:
    """A centre at a time that the test sets."""

    workshop: Workshop
    ledger: Ledger
    stock: SharedStockpile
    history: History
    now: int = NOW

    def add(self, text: bytes, number: int, *, approved: bool = False, done: bool = False) -> SignedRequest:
        """Put a request on record, as far as it has come."""
        sent = request(text, nonce=bytes([number]) * 16)
        self.ledger.add_request(sent, now=self.now)
        if approved or done:
            for name in NAMES:
                self.ledger.add_approval(approval(sent.digest, name, now=self.now), charter=CHARTER, now=self.now)
        if done:
            self.finish(sent)
        return sent

    def finish(self, sent: SignedRequest) -> None:
        """Have it approved, run and released."""
        for name in NAMES:
            self.ledger.add_approval(approval(sent.digest, name, now=self.now), charter=CHARTER, now=self.now)
        self.ledger.start(sent.digest, bytes(16), charter=CHARTER, now=self.now)
        self.ledger.finish(sent.digest, b'{"cells":[]}', now=self.now)

    def cost(self, text: bytes) -> dict[str, int]:
        """What a run of such a request uses."""
        return self.workshop.need(self.workshop.plan(request(text).table))

    def needs(self, policy: Policy, wanted: Wanted | None = None) -> Needs:
        return Needs(
            workshop=self.workshop, stock=self.stock, wanted=wanted or Wanted(), policy=policy, history=self.history
        )

    async def put(self, number: int, kind: str, count: int) -> None:
        """Put unlocked items into stock."""
        batch = incoming(number, kind, count)
        await self.stock.add([batch])
        await self.stock(Stockpile.unlock, batch.batch)


@asynccontextmanager
async def scene(directory: Path, back: int = 0, **rules: object) -> AsyncIterator[Scene]:
    """A new centre; tables are compared with ``back`` earlier ones, and the charter's other ``rules`` as given."""
    with Ledger.open(directory / "ledger.sqlite", now=NOW) as ledger:
        stock = await SharedStockpile.open(directory / "stock", KEY)
        await stock(Stockpile.begin_epoch, EPOCH, STATE)
        sign = signing_key("noord").sign
        audit = AuditFile.open(directory / "audit.ndjson", centre="noord", sign=sign, now=NOW, entropy=bytes)
        log = structlog.get_logger()
        workshop = Workshop(
            own="noord",
            charter=attrs.evolve(CHARTER, disclosure=attrs.evolve(CHARTER.disclosure, differencing=back, **rules)),
            pack=await trio.to_thread.run_sync(load_pack, "nsk"),
            sign=sign,
            clock=lambda: here.now,
            ledger=LedgerThread(ledger),
            audit=Auditor(audit, charter=CHARTER.digest, clock=lambda: here.now, log=log),
            events=EventBus(),
            log=log,
        )
        here = Scene(workshop, ledger, stock, History(workshop, Populations(directory / "populations", derived)))
        yield here
        await stock.aclose()
        audit.close()


def derived(label: bytes) -> bytes:
    return hashlib.sha256(label).digest()


NOTHING = Policy({"triple": Watermarks(0, 0)})


async def test_approved_requests_go_first(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        needs = here.needs(NOTHING)
        assert await needs.shortage() is None
        small, large = here.cost(SMALL), here.cost(LARGE)
        here.add(LARGE, 1)
        here.add(UNKNOWN, 2, approved=True)  # never runs, and needs nothing
        here.add(SMALL, 3, approved=True)
        await here.put(1, "bit", small["bit"])
        await here.put(2, "mask/0", small["mask/0"])
        # Of what the small one lacks the first by name; and as much as both need.
        assert await needs.shortage() == Shortage("mask/1", small["mask/1"] + large["mask/1"])


async def test_a_repeat_for_another_centre_needs_material_too(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        done = here.add(SMALL, 1, done=True)
        wanted = Wanted()
        needs = here.needs(NOTHING, wanted)
        assert await needs.shortage() is None
        wanted.note(done.digest, {"zuid"})
        assert await needs.shortage() == Shortage("bit", here.cost(SMALL)["bit"])


async def test_history_is_what_finished_runs_used(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        policy = Policy({"triple": Watermarks(1, 2)}, history_max=10**9)
        needs = here.needs(policy)
        assert await needs.shortage() == Shortage("triple", 2)
        large = here.cost(LARGE)["triple"]
        here.add(LARGE, 1, done=True)
        assert await needs.shortage() == Shortage("triple", large)
        here.add(UNKNOWN, 2, done=True)
        here.add(LARGE, 3, done=True)
        assert await needs.shortage() == Shortage("triple", 2 * large)
        here.now += HALF_LIFE_S
        assert await needs.shortage() == Shortage("triple", large)
        needs.use_policy(Policy(policy.marks))
        assert await needs.shortage() == Shortage("triple", 2)


async def test_filling_goes_on_to_the_high_mark(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        needs = here.needs(Policy({"triple": Watermarks(10, 100)}))
        assert await needs.shortage() == Shortage("triple", 100)
        await here.put(1, "triple", 60)
        assert await needs.shortage() == Shortage("triple", 40)
        await here.put(2, "triple", 40)
        assert await needs.shortage() is None
        await here.stock(Stockpile.drop, incoming(1).batch)
        assert await needs.shortage() is None  # 40 are above the low mark


async def test_what_nobody_in_good_order_would_add_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Locked material takes room as well; what open requests need is on top; of masks the fewest count."""
    monkeypatch.setattr(demand, "AMPLE_LEAST", 10)
    async with scene(tmp_path) as here:
        needs = here.needs(Policy({"triple": Watermarks(10, 20)}))
        await here.put(1, "triple", 79)
        assert not await needs.ample(["triple"])
        await here.stock.add([incoming(2, "triple", 1)])
        assert await needs.ample(["triple"])
        here.add(SMALL, 1)
        asked = here.cost(SMALL)["triple"]
        assert not await needs.ample(["triple"])
        await here.put(3, "triple", 4 * asked - 1)
        assert not await needs.ample(["triple"])
        await here.put(4, "triple", 1)
        assert await needs.ample(["triple"])
        here.add(UNKNOWN, 2)  # never runs, and needs nothing
        assert await needs.ample(["triple"])
        needs.use_policy(Policy({"triple": Watermarks(10, 20)}, history_max=21))
        assert not await needs.ample(["triple"])
        needs.use_policy(Policy({"triple": Watermarks(10, 20)}))
        enough = 4 * (20 + here.cost(SMALL)["mask/0"])
        await here.put(5, "mask/0", 10 * enough)
        await here.put(6, "mask/1", enough - 1)
        assert not await needs.ample(["mask/0", "mask/1"])
        await here.put(7, "mask/1", 1)
        assert await needs.ample(["mask/0", "mask/1"])


async def test_rows(tmp_path: Path) -> None:
    async with scene(tmp_path) as here:
        needs = here.needs(Policy({"triple": Watermarks(1, 2), "bit": Watermarks(0, 0)}, history_max=1000))
        small = here.cost(SMALL)
        here.add(SMALL, 1, done=True)
        here.add(SMALL, 2)
        await here.put(1, "bit", 7)
        rows = {row.kind: row for row in await needs.rows({"bit": 5.0})}
        assert list(rows) == ["triple", "bit", "mask/0", "mask/1", "mask/2"]
        triple = rows["triple"]
        assert (triple.level, triple.requested, triple.marks) == (0, small["triple"], "history")
        assert (triple.low, triple.high) == (small["triple"] // 2, small["triple"])
        bit = rows["bit"]
        assert (bit.level, bit.low, bit.high, bit.marks, bit.per_second) == (7, 0, 0, "configured", 5.0)
        assert (rows["mask/0"].requested, rows["mask/0"].low, rows["mask/0"].marks) == (small["mask/0"], None, None)


async def test_earlier_tables_cost_comparisons(tmp_path: Path) -> None:
    async with scene(tmp_path, back=2) as here:
        needs = here.needs(NOTHING)
        plan = here.workshop.plan(request(SMALL).table)
        for number, pairs in enumerate((0, 4, 8, 8)):  # four cells with their like, two tables back
            sent = here.add(SMALL, number)
            (row,) = [row for row in await needs.rows({}) if row.kind == "triple"]
            assert row.requested == here.workshop.need(plan, attrs.evolve(NO_PAIRS, count=pairs))["triple"]
            here.finish(sent)
