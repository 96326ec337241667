"""What a centre lets others cause: in bursts, then now and then, whatever its clock does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nskd.daemon.allowance import Allowance
from nskd.daemon.epochs import Epochs
from nskd.daemon.failures import Failures
from nskd.daemon.generation import Generator, Order
from nskd.daemon.wanted import Wanted
from nskd.daemon.workshop import Workshop
from nskd.errors import OperatorError
from nskd.governance import limits
from nskd.sessions.kinds import AgreedSession, Refusal
from nskd.sessions.proposal import Offer
from nskd.stockpile import SharedStockpile
from protocol.offline.epoch import Epoch
from protocol.offline.factory import Product
from tests.nskd.daemon.centres import world
from tests.nskd.daemon.test_presence import judging, taking_part
from tests.nskd.daemon.test_queue import approved


@given(st.integers(1, 5), st.integers(1, 50), st.lists(st.integers(-100, 100), max_size=60))
def test_never_more_than_a_burst_and_one_for_each_span_of_time(burst: int, every_s: int, steps: list[int]) -> None:
    allowance = Allowance(burst, every_s, 0)
    now = passed = taken = 0
    for step in steps:
        now += step
        passed += max(0, step)
        taken += allowance.take(now)
        assert taken <= burst + passed / every_s


def test_after_a_burst_one_comes_back_at_a_time() -> None:
    allowance = Allowance(2, 10, 100)
    assert [allowance.take(at) for at in (100, 100, 100, 109, 110, 110)] == [True, True, False, False, True, False]
    assert allowance.has_left(10_000)
    assert [allowance.take(10_000) for _ in range(3)] == [True, True, False]


async def test_a_centre_whose_runs_fail_one_after_another_is_held_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is several entries in the audit logs of all others, which one approved request could fill for ever."""
    monkeypatch.setattr(limits, "FAILED_RUNS_BURST", 2)
    async with world(tmp_path) as here:
        sent, other = await approved(here, "noord", 1), await approved(here, "midden", 2)
        zuid = here["zuid"]

        def broken_off() -> None:
            raise OperatorError("noord has hung up", where="here", remedy="None.")

        failures = Failures(zuid.workshop, zuid.notices)
        turns = SimpleNamespace(run=broken_off)
        judge = judging(zuid, failures=failures)
        runs = taking_part(zuid, failures=failures, notices=zuid.notices, wanted=Wanted(), turns=turns, judge=judge)

        async def refused(digest: bytes, by: str) -> bool:
            offer = SimpleNamespace(sender=by, proposal=SimpleNamespace(request=digest))
            try:
                await judge.judge(cast(Offer, offer))
            except Refusal as refusal:
                return f"too many runs that {by} began have failed" in refusal.reason
            except AttributeError:  # it went on to what is not there in this test
                pass
            return False

        async def failing() -> None:
            proposal = SimpleNamespace(request=sent.digest, coordinator="noord", lane=1)
            channel = SimpleNamespace(stats=SimpleNamespace(rounds=0, bytes_sent=0), on_round=None)
            session: Any = SimpleNamespace(proposal=proposal, session=bytes(16), channel=channel)
            with pytest.raises(OperatorError, match="hung up"):
                await runs.run(cast(AgreedSession, session))

        for _ in range(2):
            assert not await refused(sent.digest, "noord")
            await failing()
        assert await refused(sent.digest, "noord")
        assert not await refused(other.digest, "midden")
        here.now += limits.FAILED_RUN_EVERY_S
        assert not await refused(sent.digest, "noord")


async def test_who_goes_on_having_epochs_ended_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "EPOCHS_ENDED_BURST", 1)
    now = [0]

    async def done(*_: object, **__: object) -> None: ...

    quiet = SimpleNamespace(error=lambda *_, **__: None, publish=lambda *_, **__: None, note=done)
    workshop = SimpleNamespace(log=quiet, events=quiet, audit=quiet, clock=lambda: now[0])
    epochs = Epochs(workshop=cast(Workshop, workshop), stock=cast(SharedStockpile, done))
    charter = SimpleNamespace(names=("noord", "zuid"))

    async def ample(_: object) -> bool:
        return False

    needs = SimpleNamespace(ample=ample)
    parts = {"mesh": None, "sessions": None, "needs": needs, "stock": None, "turns": None, "workers": None}
    everybody = SimpleNamespace(left=())
    at_zuid = SimpleNamespace(own="zuid", index=1, charter=charter, attendance=everybody)
    generator = Generator(workshop=at_zuid, epochs=epochs, **parts)  # type: ignore[arg-type]
    extra = msgspec.msgpack.encode(Order(Product.TRIPLES, 1, False))
    offer = SimpleNamespace(sender="noord", proposal=SimpleNamespace(parties=charter.names, extra=extra))
    await generator.judge(cast(Offer, offer))
    epochs._epoch = cast(Epoch, SimpleNamespace(epoch_id=bytes(32)))
    await epochs.destroy("noord says that it holds another")
    with pytest.raises(Refusal, match="epochs have ended here too often"):
        await generator.judge(cast(Offer, offer))
    now[0] += limits.EPOCH_ENDED_EVERY_S
    await generator.judge(cast(Offer, offer))
