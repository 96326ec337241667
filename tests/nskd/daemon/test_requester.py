"""A centre's own request, from its turn to what is proposed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
import trio

from nskd.analysis.populations import joined
from nskd.daemon.epochs import Epochs
from nskd.daemon.history import History
from nskd.daemon.requester import Requester
from nskd.daemon.retry import ATTEMPTS_MAX
from nskd.daemon.runs import Runs
from nskd.daemon.wanted import Wanted
from nskd.governance.ledger import NOT_BEGUN
from nskd.governance.lifecycle import State
from nskd.peers.mesh import Mesh
from nskd.sessions.kinds import SessionRefused
from nskd.sessions.manager import SessionManager
from nskd.sessions.proposal import Proposal
from nskd.stockpile import Level, SharedStockpile
from tests.nskd.daemon.centres import Seat, world
from tests.nskd.daemon.test_queue import approved, begin

PLENTY = 1 << 40


class Stock:
    """As much of everything as anybody wants."""

    levels = SimpleNamespace(get=lambda kind, default: Level(PLENTY))

    async def wait_for(self, need: object) -> None:
        await trio.lowlevel.checkpoint()

    async def __call__(self, function: object, need: object) -> dict[str, list[object]]:
        return {}


class Scene:
    """A requester on a seat, all parts around it so that nothing but the others' requests can hold it up."""

    def __init__(self, seat: Seat) -> None:
        self.begun: list[bytes] = []  # of others, as history has them
        self.refusals = 0  # still to come
        self.refuse: Callable[[], Exception] = lambda: SessionRefused(
            bytes(16), {"zuid": "its data is of another year"}
        )
        self.proposed: list[Proposal] = []
        self.came = trio.Event()
        self.looked = trio.Event()
        self.requester = Requester(
            workshop=seat.workshop,
            mesh=cast(Mesh, SimpleNamespace(connected=lambda: True, wait_connected=trio.lowlevel.checkpoint)),
            sessions=cast(SessionManager, SimpleNamespace(active=lambda: (), propose=self.propose)),
            stock=cast(SharedStockpile, Stock()),
            epochs=cast(Epochs, SimpleNamespace(current_id=lambda: b"e" * 32)),
            notices=seat.notices,
            wanted=Wanted(),
            runs=cast(Runs, SimpleNamespace(draining=False)),
            history=cast(History, SimpleNamespace(listed=self.listed, earlier=self.earlier)),
        )

    async def listed(self, request: bytes) -> tuple[bytes, ...]:
        self.looked.set()
        return tuple(self.begun)

    async def earlier(self, listed: object) -> list[Any]:
        return []

    async def propose(self, proposal: Proposal) -> None:
        self.proposed.append(proposal)
        if self.refusals:
            self.refusals -= 1
            raise self.refuse()
        self.came.set()
        await trio.sleep_forever()


async def test_what_began_while_a_request_waited_its_turn_is_in_its_list(tmp_path: Path) -> None:
    async with world(tmp_path) as here, trio.open_nursery() as nursery:
        first, ours = await approved(here, "zuid", 1), await approved(here, "noord", 2)
        seat = here["noord"]
        scene = Scene(seat)
        nursery.start_soon(scene.requester.drive)
        with trio.fail_after(30):
            await scene.looked.wait()
        begin(seat, first)
        scene.begun.append(first.digest)
        seat.ledger.finish(first.digest, b"{}", now=here.now)
        seat.notices.poke()
        with trio.fail_after(30):
            await scene.came.wait()
        nursery.cancel_scope.cancel()
    (proposal,) = scene.proposed
    assert proposal.request == ours.digest
    assert proposal.extra == joined([first.digest])


async def test_a_request_that_others_go_on_refusing_is_given_up_with_their_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked is told that it failed and why, instead of waiting for ever; asked for again, it is proposed again."""
    monkeypatch.setattr("nskd.daemon.retry.FIRST_PAUSE_S", 0.0)
    async with world(tmp_path) as here, trio.open_nursery() as nursery:
        ours, seat = await approved(here, "noord", 1), here["noord"]
        scene = Scene(seat)
        scene.refusals = ATTEMPTS_MAX
        nursery.start_soon(scene.requester.drive)
        with trio.fail_after(30):
            while seat.entry(ours).state is not State.FAILED:
                await seat.notices.changed.wait()
        entry = seat.entry(ours)
        assert len(scene.proposed) == ATTEMPTS_MAX
        assert entry.fault == NOT_BEGUN
        assert entry.retryable
        assert "zuid: its data is of another year" in (entry.detail or "")
        assert not scene.requester.will_retry(ours)
        scene.requester.forget_failures(ours.digest)  # an operator asks for it
        seat.notices.poke()
        with trio.fail_after(30):
            await scene.came.wait()
        assert seat.entry(ours).state is State.APPROVED
        nursery.cancel_scope.cancel()


async def test_an_error_of_its_own_ends_no_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as a failed attempt; the other sessions of this centre go on."""
    monkeypatch.setattr("nskd.daemon.retry.FIRST_PAUSE_S", 0.0)
    async with world(tmp_path) as here, trio.open_nursery() as nursery:
        ours, seat = await approved(here, "noord", 1), here["noord"]
        scene = Scene(seat)
        scene.refusals, scene.refuse = ATTEMPTS_MAX, lambda: MemoryError("a row of the data")
        with structlog.testing.capture_logs() as logged:
            nursery.start_soon(scene.requester.drive)
            with trio.fail_after(30):
                while seat.entry(ours).state is not State.FAILED:
                    await seat.notices.changed.wait()
        assert sum(bool(entry.get("exc_info")) for entry in logged) == len(scene.proposed) == ATTEMPTS_MAX
        assert seat.entry(ours).detail == "MemoryError, see the log of noord"
        nursery.cancel_scope.cancel()


async def test_a_request_that_becomes_due_goes_before_one_asked_later_that_waits(tmp_path: Path) -> None:
    """The others wait for the one asked first; were its own centre to wait with another, nobody would run."""
    async with world(tmp_path) as here, trio.open_nursery() as nursery:
        first, second = await here.submit(by="noord", number=1), await approved(here, "zuid", 2)
        third = await approved(here, "noord", 3)
        scene = Scene(here["noord"])
        nursery.start_soon(scene.requester.drive)
        with trio.fail_after(30):
            await scene.looked.wait()  # at the third, which waits for the second
        await here.approve_all(first)
        with trio.fail_after(10):  # less than a turn
            await scene.came.wait()
        assert {here["noord"].state(request) for request in (second, third)} == {State.APPROVED}
        nursery.cancel_scope.cancel()
    assert [proposal.request for proposal in scene.proposed] == [first.digest]
