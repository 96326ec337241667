"""Random lives against a model of a few lines, with crashes and power cuts in the middle of anything."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nskd.stockpile import (
    NotReservedError,
    Segment,
    SegmentRefusedError,
    ShortOfStockError,
    State,
    StockError,
    Stockpile,
)
from tests.examples import examples
from tests.nskd.stockpile.world import (
    KEY,
    STATE,
    Crash,
    ScriptedDisk,
    add,
    batch_id,
    digest,
    expected,
    fail_at,
    session_id,
)

KINDS = ("triple", "bit", "mask/0")


@attrs.define
class Batch:
    kind: str
    count: int
    cursor: int = 0
    unlocked: bool = False


@attrs.define
class Model:
    """What a stock is, without files."""

    epoch: int = 0
    batches: dict[int, Batch] = attrs.Factory(dict)
    used_ids: set[int] = attrs.Factory(set)
    reserved: dict[int, dict[str, list[Segment]]] = attrs.Factory(dict)
    sessions: set[int] = attrs.Factory(set)

    def retire(self) -> None:
        held = {segment.batch for plan in self.reserved.values() for parts in plan.values() for segment in parts}
        for number, batch in list(self.batches.items()):
            if batch.unlocked and batch.cursor == batch.count and batch_id(number) not in held:
                del self.batches[number]

    def reopen(self) -> None:
        self.reserved.clear()
        self.retire()

    def begin(self) -> None:
        self.epoch += 1
        self.batches, self.used_ids, self.reserved, self.sessions = {}, set(), {}, set()


class Life(RuleBasedStateMachine):
    """Every rule applies to the stock and to the model; a crash leaves one of two states, never a third."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.disk = ScriptedDisk()
        self.model = Model()
        self.handed: set[tuple[int, str, int]] = set()
        self.stock = Stockpile.open(self.directory, KEY, disk=self.disk)
        self.crash_in = 0

    @initialize()
    def begin(self) -> None:
        self.apply(lambda stock: stock.begin_epoch(self.epoch_id(1), STATE), Model.begin)

    def epoch_id(self, number: int) -> bytes:
        return number.to_bytes(32, "big")

    def teardown(self) -> None:
        self.stock.close()
        shutil.rmtree(self.directory)

    def apply(
        self,
        call: Callable[[Stockpile], Any],
        change: Callable[[Model], None],
        refused: type[Exception] | None = None,
    ) -> Any:
        """Do it to both.  ``refused``: the stock must raise that, and nothing changes."""
        if self.crash_in:
            self.disk.before = fail_at(self.disk.steps + self.crash_in, Crash)
            self.crash_in = 0
        before = copy.deepcopy(self.model)
        try:
            result = call(self.stock)
        except Crash:
            after = copy.deepcopy(before)
            if refused is None:
                change(after)
            self.recover([before, after])
            return None
        except Exception as error:
            assert refused is not None, error
            assert isinstance(error, refused)
            return None
        finally:
            self.disk.before = lambda _number, _name: None
        assert refused is None
        change(self.model)
        return result

    def recover(self, candidates: list[Model]) -> None:
        self.stock.close()
        self.disk.lose_power()
        self.disk.before = lambda _number, _name: None
        self.stock = Stockpile.open(self.directory, KEY, disk=self.disk)
        for model in candidates:
            model.reopen()
        matching = [model for model in candidates if self.matches(model)]
        assert matching, (candidates, self.stock.inventory())
        self.model = matching[-1]

    def matches(self, model: Model) -> bool:
        stored = self.stock.epoch()
        if (stored is None) != (model.epoch == 0) or (stored and stored.epoch_id != self.epoch_id(model.epoch)):
            return False
        return [
            (info.batch, info.kind, info.count, info.cursor, info.state is State.UNLOCKED, info.digest)
            for info in self.stock.inventory()
        ] == [(batch_id(k), b.kind, b.count, b.cursor, b.unlocked, digest(k)) for k, b in model.batches.items()]

    @rule(steps=st.integers(1, 14))
    def crash_soon(self, steps: int) -> None:
        self.crash_in = steps

    @rule()
    def reopen(self) -> None:
        self.recover([self.model])

    @rule(number=st.integers(1, 12), kind=st.sampled_from(KINDS), count=st.integers(1, 30))
    def add(self, number: int, kind: str, count: int) -> None:
        def change(model: Model) -> None:
            model.batches[number] = Batch(kind, count)
            model.used_ids.add(number)

        refused = StockError if number in self.model.used_ids else None
        self.apply(lambda stock: add(stock, number, kind, count, unlocked=False), change, refused)

    @rule(number=st.integers(1, 12))
    def unlock(self, number: int) -> None:
        def change(model: Model) -> None:
            model.batches[number].unlocked = True

        refused = None if number in self.model.batches else SegmentRefusedError
        self.apply(lambda stock: stock.unlock(batch_id(number)), change, refused)

    @rule(number=st.integers(1, 12))
    def drop(self, number: int) -> None:
        def change(model: Model) -> None:
            model.batches.pop(number, None)

        self.apply(lambda stock: stock.drop(batch_id(number)), change)

    @rule(kept=st.sets(st.integers(1, 12), min_size=6), ahead=st.integers(0, 20))
    def reconcile(self, kept: set[int], ahead: int) -> None:
        def change(model: Model) -> None:
            for number, batch in list(model.batches.items()):
                if number not in kept:
                    del model.batches[number]
                else:
                    batch.unlocked = True
                    batch.cursor = max(batch.cursor, min(batch.count, ahead))
            model.retire()

        common = {batch_id(number): digest(number) for number in kept}
        cursors = {batch_id(number): ahead for number in kept}
        self.apply(lambda stock: stock.reconcile(common, cursors), change)

    @rule(number=st.integers(1, 20), need=st.dictionaries(st.sampled_from(KINDS), st.integers(1, 40)))
    def reserve_plan(self, number: int, need: dict[str, int]) -> None:
        try:
            plan = self.stock.plan(need)
        except ShortOfStockError as short:
            for kind, missing in short.missing.items():
                assert self.stock.level(kind) + missing == need[kind]
            return
        self.reserve(number, plan)

    @precondition(lambda self: self.model.batches)
    @rule(number=st.integers(1, 20), data=st.data())
    def reserve_anything(self, number: int, data: st.DataObject) -> None:
        """What a peer might propose."""
        which = data.draw(st.sampled_from(sorted(self.model.batches)))
        start, stop = data.draw(st.integers(-1, 31)), data.draw(st.integers(-1, 31))
        kind = data.draw(st.sampled_from((self.model.batches[which].kind, "bit")))
        self.reserve(number, {kind: [Segment(batch_id(which), start, stop)]})

    def reserve(self, number: int, plan: dict[str, list[Segment]]) -> None:
        fits = number not in self.model.sessions
        for kind, parts in plan.items():
            for part in parts:
                batch = self.model.batches[int.from_bytes(part.batch, "big")]
                fits &= batch.unlocked and batch.kind == kind
                fits &= batch.cursor <= part.start < part.stop <= batch.count

        def change(model: Model) -> None:
            model.sessions.add(number)
            model.reserved[number] = plan
            for parts in plan.values():
                for part in parts:
                    model.batches[int.from_bytes(part.batch, "big")].cursor = part.stop

        refused = None if fits else SegmentRefusedError
        self.apply(lambda stock: stock.reserve(session_id(number), plan), change, refused)

    @rule(number=st.integers(1, 20))
    def take(self, number: int) -> None:
        plan = self.model.reserved.get(number)
        lost = plan is not None and any(
            int.from_bytes(part.batch, "big") not in self.model.batches for parts in plan.values() for part in parts
        )

        def change(model: Model) -> None:
            model.reserved.pop(number, None)
            model.retire()

        epoch = self.model.epoch
        taken = self.apply(
            lambda stock: stock.take(session_id(number)),
            change,
            NotReservedError if plan is None or lost else None,
        )
        if lost and number in self.model.reserved:
            change(self.model)  # spent all the same
        if taken is None or plan is None:
            return
        assert list(taken) == list(plan)
        for kind, parts in plan.items():
            np.testing.assert_array_equal(taken[kind], expected(kind, parts))
            items = {(epoch, kind, int(item)) for item in taken[kind][0]}
            assert not items & self.handed
            self.handed |= items

    @rule(number=st.integers(1, 20))
    def burn(self, number: int) -> None:
        def change(model: Model) -> None:
            if model.reserved.pop(number, None) is not None:
                model.retire()

        self.apply(lambda stock: stock.burn(session_id(number)), change)

    @rule(wanted=st.integers(0, 4))
    def next_epoch(self, wanted: int) -> None:
        if wanted == 0:
            number = self.model.epoch + 1
            self.apply(lambda stock: stock.begin_epoch(self.epoch_id(number), STATE), Model.begin)

    @invariant()
    def agree(self) -> None:
        assert self.matches(self.model), (self.model, self.stock.inventory())
        for kind in KINDS:
            ready = sum(b.count - b.cursor for b in self.model.batches.values() if b.unlocked and b.kind == kind)
            assert self.stock.level(kind) == ready
        files = {path.name for path in (self.directory / "sealed").iterdir()}
        assert {f"{batch_id(k).hex()}.sealed" for k in self.model.batches} <= files


TestLife = Life.TestCase
TestLife.settings = examples(
    20, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
