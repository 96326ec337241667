"""SIGKILL at every phase: nothing is used twice, nobody is wedged, and the table comes out right in the end.

One workshop goes through all of it, so each test also begins with what the former left on disk.  After every death the
victim's stock ledger is read as the crash left it; at the end nothing in all of them may overlap.
"""

from __future__ import annotations

import resource
from collections.abc import Awaitable, Callable, Iterator

import pytest
import trio

from tests.system.workshop import Daemon, Event, StockBook, Workshop, lay_out, request_text, shown

Moment = Callable[[Event], bool]
ANSWER_S = 10.0  # a daemon whose peers die still answers at once; two busy cores are allowed for
MOMENT_S = 90.0  # from one death to the moment of the next: a restart, a pause, and a batch or an epoch


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    workshop = lay_out(tmp_path_factory.mktemp("k"))
    try:
        workshop.start()
        yield workshop
    finally:
        workshop.reap()


@pytest.fixture(scope="module")
def book() -> StockBook:
    return StockBook()


def in_round(name: str) -> Moment:
    """When the victim enters the round of that label, in generation or a run."""
    return lambda event: str(event.get("step", "")).partition(".")[2] == name


def after_round(name: str) -> Moment:
    """When the victim enters the round after that one."""
    seen = False

    def matches(event: Event) -> bool:
        nonlocal seen
        was, seen = seen, seen or in_round(name)(event)
        return was

    return matches


def in_phase(name: str) -> Moment:
    return lambda event: event["kind"].endswith(".begin") and event["name"] == name


async def kill_at(victim: Daemon, moment: Moment, died: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
    """Kill it the moment it says that it is there."""
    async with victim.events("generation", "run") as client:
        task_status.started()
        while not moment(await client.next_event()):
            pass
        victim.kill()
    died.set()


async def survive(workshop: Workshop, victim: Daemon, digest: str) -> None:
    """The others answer, say who is missing, and know where the request stands."""
    for other in workshop.others(victim):
        with trio.fail_after(ANSWER_S):
            await other.until_status(lambda status: any(victim.name in note for note in status["notes"]))
            answer = await other.call("result.wait", request=digest, timeout_s=0.01)
            assert (answer["release"] is not None) == (answer["state"] == "done")


async def deaths(
    workshop: Workshop,
    book: StockBook,
    ask: Callable[[trio.Nursery], Awaitable[str]],
    plan: list[tuple[Daemon, Moment]],
) -> str:
    """One after another: await the moment, kill, look at what is left, restart.  Returns the request asked."""
    async with trio.open_nursery() as nursery:

        async def watch(index: int) -> trio.Event:
            died = trio.Event()
            await nursery.start(kill_at, *plan[index], died)
            return died

        died = await watch(0)
        with trio.fail_after(MOMENT_S):
            digest = await ask(nursery)
        for index, (victim, _) in enumerate(plan):
            with trio.fail_after(MOMENT_S):
                await died.wait()
            book.read(victim)
            await survive(workshop, victim, digest)
            if index + 1 == len(plan):
                victim.start()
            elif plan[index + 1][0] is victim:
                victim.start()
                died = await watch(index + 1)
            else:  # the next is watched before this one is back, as nothing can go on without it
                died = await watch(index + 1)
                victim.start()
    return digest


async def test_killed_while_connecting(workshop: Workshop, at_length: bool) -> None:
    for victim in workshop.daemons if at_length else workshop.daemons[:1]:
        async with victim.client():  # it listens, and is calling or being called
            victim.kill()
        victim.start()
    await workshop.connected()


# Who is killed, by seat, in which round of generation.
FEW = ((2, "delta/0/commit"), (0, "batch/combination"))
MANY = (
    (1, "public-key"),
    (2, "delta/0/commit"),
    (0, "epoch/stored"),
    (1, "square/0/commit"),
    (0, "square/0/response"),
    (2, "square/1"),
    (1, "batch/combination"),
    (0, "stored"),
    (0, "mask/0"),
    (2, "stored"),
)


async def test_killed_while_material_is_made(workshop: Workshop, book: StockBook, at_length: bool) -> None:
    """While an epoch is founded, in check, with a batch stored; at length every centre, and in proof and products."""
    midden = workshop.daemons[1]
    plan = [(workshop.daemons[seat], in_round(name)) for seat, name in (MANY if at_length else FEW)]
    # the last batch: the others may use it, and have no reason to make another
    plan.append((midden, after_round("stored")))
    # midden asks: not the one that coordinates generation.
    digest = await deaths(workshop, book, lambda n: workshop.ask(midden, request_text("made under fire"), n), plan)
    release = await workshop.all_done(digest)
    assert shown(release, "sex") == workshop.expected("sex")
    assert book.check(workshop.daemons) > 0


POINTS = (
    in_phase("local part"),  # reserved, not taken
    in_phase("joint part"),  # taken, nothing opened
    in_round("cells/0"),  # the pattern is known to all
    in_phase("compare releases"),  # the table is known to all, recorded by some at most
)


@pytest.mark.parametrize("asking", [0, pytest.param(2, marks=pytest.mark.long)], ids=["noord", "zuid"])
async def test_killed_while_it_runs(workshop: Workshop, book: StockBook, asking: int, at_length: bool) -> None:
    """At length somebody dies at every point, over the requesters every centre; the requester goes on by itself."""
    await workshop.connected()
    requester = workshop.daemons[asking]
    for first in (0, 2) if at_length else (2,):  # in memory: every point of a crash, in tests/nskd/stockpile
        text = request_text(f"run under fire {asking} {first}")
        plan = [(workshop.daemons[(asking + point) % 3], POINTS[point]) for point in (first, first + 1)]
        digest = await deaths(workshop, book, lambda n, text=text: workshop.ask(requester, text, n), plan)
        release = await workshop.all_done(digest)
        assert shown(release, "sex") == workshop.expected("sex")
    assert book.check(workshop.daemons) > 0


@pytest.mark.parametrize(
    ("asking", "failing"), [(0, 2), pytest.param(2, 0, marks=pytest.mark.long)], ids=["noord-asks", "zuid-asks"]
)
async def test_killed_after_the_others_have_recorded(
    workshop: Workshop, book: StockBook, asking: int, failing: int
) -> None:
    """One centre cannot write down what the others have written down, and dies: it gets the same release later.

    The limit on its files is set from outside while the joint part runs, so that the moment cannot be missed.
    """
    await workshop.connected()
    requester, victim = workshop.daemons[asking], workshop.daemons[failing]
    async with victim.events("run") as client:
        digest = await workshop.ask(requester, request_text(f"recorded by some {asking}"))
        with trio.fail_after(MOMENT_S):
            while not in_round("cells/0")(await client.next_event()):
                pass
            resource.prlimit(victim.running.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            while (event := await client.next_event())["kind"] != "run.failed":
                pass
    assert event["fault"] == "local-error"
    for other in workshop.others(victim):
        answer = await other.call("result.wait", request=digest, timeout_s=30)
        assert answer["state"] == "done"
    assert (await victim.call("status"))["state"] == "ready"  # hurt, but there
    assert victim.request_state(digest) == "running"
    victim.kill()
    book.read(victim)
    await survive(workshop, victim, digest)
    victim.start()
    release = await workshop.all_done(digest)
    assert shown(release, "sex") == workshop.expected("sex")
    assert book.check(workshop.daemons) > 0


async def test_all_end_in_good_order(workshop: Workshop, book: StockBook) -> None:
    """After all this every daemon still stops when told, and nothing on disk was ever used twice."""
    await workshop.connected()
    assert [daemon.stop() for daemon in workshop.daemons] == [0, 0, 0]
    assert book.check(workshop.daemons) > 0
    for daemon in workshop.daemons:
        assert daemon.rows("ledger.sqlite", "SELECT DISTINCT state FROM request") == [[("done",)]]
        assert "Traceback" not in daemon.words()
        assert not [entry for entry in daemon.entries() if "exception" in entry]
