"""Requests of several centres take turns, and nobody waits for one that does not use its own."""

from __future__ import annotations

from pathlib import Path

import trio

from nskd.daemon.queue import Queue
from nskd.daemon.retry import ATTEMPTS_MAX, FIRST_PAUSE_S, POSTPONED_MAX, Attempts
from nskd.governance.request import SignedRequest
from tests.nskd.daemon.centres import Seat, World, world
from tests.nskd.governance.workshop import NOW

SESSION = b"s" * 16
LONG_S, SHORT_S = 600.0, 0.01


async def approved(here: World, by: str, number: int) -> SignedRequest:
    here.now = NOW + number
    sent = await here.submit(by=by, number=number)
    await here.approve_all(sent)
    return sent


def begin(seat: Seat, request: SignedRequest) -> None:
    seat.ledger.start(request.digest, SESSION, charter=seat.workshop.charter, now=seat.workshop.clock())
    seat.notices.poke()


def fail(seat: Seat, request: SignedRequest, *, retryable: bool) -> None:
    seat.ledger.fail(
        request.digest,
        fault="disconnected",
        detail="west is gone",
        retryable=retryable,
        charter=seat.workshop.charter,
        now=seat.workshop.clock(),
    )
    seat.notices.poke()


class Waiter:
    """One centre's turn for one request; :meth:`waits` is whether it is still to come when all has been looked at."""

    def __init__(self, seat: Seat, request: SignedRequest, turn_s: float) -> None:
        self.under_way: set[bytes] = set()
        self.queue = Queue(seat.workshop, seat.notices, lambda: self.under_way, turn_s=turn_s)
        self.request = request
        self.came = trio.Event()

    async def __call__(self) -> None:
        await self.queue.turn(self.request)
        self.came.set()

    async def waits(self) -> bool:
        with trio.move_on_after(0.2):
            await self.came.wait()
        return not self.came.is_set()


async def test_the_request_asked_first_goes_first_at_every_centre(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        first, second = await approved(here, "zuid", 1), await approved(here, "noord", 2)
        with trio.fail_after(30):
            await Queue(here["zuid"].workshop, here["zuid"].notices, set, turn_s=LONG_S).turn(first)
        waiter = Waiter(here["noord"], second, LONG_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiter)
            assert await waiter.waits()
            begin(here["noord"], first)
            assert await waiter.waits()
            here["noord"].ledger.finish(first.digest, b"{}", now=here.now)
            here["noord"].notices.poke()
            with trio.fail_after(30):
                await waiter.came.wait()


async def test_a_request_that_failed_keeps_its_turn_while_it_will_be_tried_again(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        first, second = await approved(here, "zuid", 1), await approved(here, "noord", 2)
        begin(here["noord"], first)
        waiter = Waiter(here["noord"], second, LONG_S)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiter)
            fail(here["noord"], first, retryable=True)
            assert await waiter.waits()
            here["noord"].ledger.retry(first.digest, charter=here.charter, now=here.now)
            begin(here["noord"], first)
            fail(here["noord"], first, retryable=False)
            with trio.fail_after(30):
                await waiter.came.wait()


async def test_who_does_not_use_its_turn_is_passed_over_and_who_runs_is_not(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        idle, agreeing, runs, ours = [
            await approved(here, by, k) for k, by in enumerate(("zuid", "west", "oost", "noord"), 1)
        ]
        waiter = Waiter(here["noord"], ours, SHORT_S)
        waiter.under_way.add(agreeing.digest)
        begin(here["noord"], runs)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiter)
            assert await waiter.waits()  # for west, however long its session takes to be agreed on
            waiter.under_way.clear()
            assert await waiter.waits()  # for oost, however long it takes; not for west, and not for zuid
            here["noord"].ledger.finish(runs.digest, b"{}", now=here.now)
            here["noord"].notices.poke()
            with trio.fail_after(30):
                await waiter.came.wait()
        assert here["noord"].entry(idle).state == here["noord"].entry(agreeing).state == "approved"


async def test_what_was_asked_later_or_here_is_not_waited_for(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        own, ours, later = [await approved(here, by, k) for k, by in enumerate(("noord", "noord", "zuid"), 1)]
        undecided = await here.submit(by="west", number=0)
        assert here["noord"].entry(undecided).state == "submitted"
        queue = Queue(here["noord"].workshop, here["noord"].notices, set, turn_s=LONG_S)
        with trio.fail_after(30):
            await queue.turn(ours)
            await queue.turn(own)
        assert here["noord"].entry(later).state == "approved"


def test_meeting_others_is_no_failure_unless_it_never_ends() -> None:
    attempts, request = Attempts(), b"r"
    for _ in range(POSTPONED_MAX - 1):
        attempts.postponed(request)
        assert attempts.left(request) and attempts.pause_s(request) == FIRST_PAUSE_S
    attempts.postponed(request)
    assert not attempts.left(request)
    attempts.forget(request)
    assert attempts.left(request) and attempts.pause_s(request) == 0.0
    for _ in range(ATTEMPTS_MAX):
        assert attempts.left(request)
        attempts.failed(request)
    assert not attempts.left(request)
