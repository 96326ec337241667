"""Single faults of a real network, one by one, among three real daemons in namespaces of their own.

What the centres do in each is written in ``docs/architecture.md``, "When the network fails".  ``make chaos`` runs them:
each takes as long as the patience that it tests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

import attrs
import pytest
import trio

from protocol.limits import LIVENESS_TIMEOUT_S, PING_INTERVAL_S, ROUND_TIMEOUT_S
from tests.chaos.namespaces import MTU_ETHERNET, Network, missing
from tests.chaos.network import CLEAR, Path, Way
from tests.chaos.site import Site, site
from tests.system.workshop import Daemon, Event, StockBook, Workshop, request_text, shown

NAMES: Final = ("noord", "midden", "zuid")
NOORD, MIDDEN, ZUID = range(3)
SILENCE_S: Final = LIVENESS_TIMEOUT_S + PING_INTERVAL_S + 15.0  # until a silent peer is given up, on a busy machine
BACK_S: Final = 45.0  # until all are connected again over a network that is whole
SHORT_S: Final = 8.0  # a break that TCP bridges
RUN_S: Final = 60.0  # a run at 200 ms, or with lost packets: seconds; the rest is for a busy machine
BATCH_S: Final = 150.0  # a batch over such a network
SLOW: Final = Path(delay_s=0.1)  # a run then takes seconds, so that what goes wrong in it does so before it is over

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    without = missing()
    if without:
        pytest.skip(without)
    with site(tmp_path_factory.mktemp("n"), 1, NAMES, visits=300, mtu=MTU_ETHERNET) as made:
        made.workshop.start()
        yield made


@attrs.define(eq=False)
class Scene:
    """The workshop and its network, whole at the beginning, with stock for some small tables."""

    workshop: Workshop
    network: Network
    titles: Iterator[int]

    def set(self, path: Path, *ways: Way) -> None:
        self.network.router.set(ways, path)

    def around(self, place: int) -> list[Way]:
        """All ways to and from a centre."""
        others = [other for other in range(len(NAMES)) if other != place]
        return [way for other in others for way in ((place, other), (other, place))]

    def everywhere(self) -> list[Way]:
        return [way for place in range(len(NAMES)) for way in self.around(place)]

    async def ask(self, asking: int = NOORD, rows: str = "sex", **more: str) -> str:
        return await self.workshop.ask(
            self.workshop.daemons[asking], request_text(f"Case {next(self.titles)}", rows, **more)
        )

    async def done(self, digest: str) -> None:
        """Every centre has the release, the same, and it is right."""
        release = await self.workshop.all_done(digest)
        if release["rows"] == ["sex"] and not release["columns"]:
            assert shown(release, "sex") == self.workshop.expected("sex")

    @asynccontextmanager
    async def in_run(self, daemon: Daemon) -> AsyncIterator[tuple[str, list[Event]]]:
        """From the moment that the joint part of a run begins there; gives its request, and what is said afterwards."""
        heard: list[Event] = []
        self.set(SLOW, *self.everywhere())
        async with daemon.events("run") as client, trio.open_nursery() as nursery:
            text = request_text(f"Case {next(self.titles)}")
            asking = self.workshop.daemons[NOORD]
            digest = await self.workshop.ask(asking, text, nursery)  # watched while it is approved
            await until(client, lambda event: event["kind"] == "run.begin" and event["name"] == "joint part", RUN_S)

            async def listen() -> None:
                while True:
                    heard.append(await client.next_event())

            nursery.start_soon(listen)
            yield digest, heard
            nursery.cancel_scope.cancel()


async def until(client: Any, holds: Callable[[Event], bool], seconds: float) -> Event:
    with trio.fail_after(seconds):
        while True:
            event: Event = await client.next_event()
            if holds(event):
                return event


def failures(heard: list[Event]) -> list[Event]:
    return [event for event in heard if event["kind"] == "run.failed"]


numbers = count(1)


@pytest.fixture
async def scene(made: Site) -> AsyncIterator[Scene]:
    assert made.network is not None
    scene = Scene(made.workshop, made.network, numbers)
    await made.workshop.connected()
    await scene.done(await scene.ask())
    yield scene
    made.network.router.clear()
    with trio.fail_after(2 * SILENCE_S):
        await made.workshop.connected()


async def test_a_short_partition_in_a_run_is_bridged(scene: Scene) -> None:
    """Packets are lost for some seconds, the connections are not: the very run goes on."""
    zuid = scene.workshop["zuid"]
    async with scene.in_run(zuid) as (digest, heard):
        scene.set(Path(up=False), *scene.around(ZUID))
        await trio.sleep(SHORT_S)
        assert zuid.request_state(digest) in ("running", "done")
        scene.set(CLEAR, *scene.around(ZUID))
        await scene.done(digest)
        assert not failures(heard)


async def test_a_long_partition_ends_the_run_and_it_is_repeated(scene: Scene) -> None:
    """Both sides give each other up, say so, and answer meanwhile; the run is repeated when all are back."""
    noord, midden, zuid = scene.workshop.daemons
    async with scene.in_run(noord) as (digest, heard):
        scene.set(Path(up=False), *scene.around(ZUID))
        with trio.fail_after(SILENCE_S):
            await noord.until_status(lambda status: any("zuid is not connected" in note for note in status["notes"]))
            await midden.until_status(lambda status: any("zuid is not connected" in note for note in status["notes"]))
            await zuid.until_status(lambda status: status["peers_up"] == 0)
        assert (await noord.call("status"))["peers_up"] == 1  # noord and midden go on seeing each other
        assert noord.request_state(digest) != "done"
        assert zuid.request_state(digest) != "done"
        scene.set(CLEAR, *scene.around(ZUID))
        await scene.done(digest)
        assert "disconnected" in [event.get("fault") for event in failures(heard)], heard


async def test_loss_in_one_direction(scene: Scene) -> None:
    """A third of what zuid sends is lost, nothing of what it is sent: slower, and no more."""
    scene.set(Path(loss=0.3), (ZUID, NOORD), (ZUID, MIDDEN))
    with trio.fail_after(RUN_S):
        await scene.done(await scene.ask())


async def test_silence_in_one_direction(scene: Scene) -> None:
    """What zuid sends never comes, and it hears all: both ends are given up, as neither is answered."""
    noord, _, zuid = scene.workshop.daemons
    scene.set(Path(up=False), (ZUID, NOORD), (ZUID, MIDDEN))
    with trio.fail_after(2 * SILENCE_S):
        await noord.until_status(lambda status: any("zuid is not connected" in note for note in status["notes"]))
    scene.set(CLEAR, *scene.around(ZUID))
    with trio.fail_after(SILENCE_S + BACK_S):
        await zuid.connected()
    await scene.done(await scene.ask())


async def test_200_ms_latency(scene: Scene) -> None:
    """Each way between any two: a run takes as many times that as it has rounds."""
    with trio.fail_after(RUN_S):
        async with scene.in_run(scene.workshop["noord"]) as (digest, heard):
            scene.set(Path(delay_s=0.2), *scene.everywhere())
            await scene.done(digest)
            assert not failures(heard)


async def test_stock_is_made_over_lossy_links(scene: Scene) -> None:
    """1 % of all packets is lost everywhere, and a table is asked for which stock has to be made first."""
    scene.set(Path(loss=0.01), *scene.everywhere())
    with trio.fail_after(BATCH_S):
        await scene.done(await scene.ask(rows="visit_month", columns="sex"))


async def test_bandwidth_collapses(scene: Scene) -> None:
    """A run gets through with the stock there is; a batch is given up after a round's patience.

    Once there is room again the batch is made, and what waited for it runs, without anybody asking.
    """
    noord = scene.workshop["noord"]
    narrow = Path(bytes_per_s=20_000)
    scene.set(narrow, *scene.around(ZUID))
    with trio.fail_after(RUN_S):
        await scene.done(await scene.ask())
    scene.set(CLEAR, *scene.around(ZUID))
    async with noord.events("generation") as client:
        digest = await scene.ask(rows="visit_month", columns="triage")
        await until(client, lambda event: event["kind"] == "generation.begin", BATCH_S)
        scene.set(narrow, *scene.around(ZUID))
        ended = await until(
            client,
            lambda event: event["kind"] == "generation.end" and event["outcome"] not in ("made", "compared"),
            2 * ROUND_TIMEOUT_S,
        )
    assert ended["outcome"] in ("timeout", "disconnected"), ended
    assert noord.request_state(digest) != "done"
    scene.set(CLEAR, *scene.around(ZUID))
    with trio.fail_after(BATCH_S):
        await scene.done(digest)


@pytest.mark.parametrize("moving", [NOORD, ZUID], ids=["calls-the-others", "is-called"])
async def test_the_address_of_a_centre_changes(scene: Scene, moving: int) -> None:
    """In the middle of a run, without a word: its name leads to the new one.  Others find it there by themselves."""
    daemons = scene.workshop.daemons
    watching = daemons[NOORD if moving == ZUID else ZUID]
    async with scene.in_run(watching) as (digest, _):
        scene.network.move(moving, names=True)
        with trio.fail_after(SILENCE_S + BACK_S):
            await scene.done(digest)
    await scene.workshop.connected()
    await scene.done(await scene.ask(asking=moving))


async def test_all_end_in_good_order(scene: Scene) -> None:
    """After all this every daemon stops when told, nothing is open, nothing was used twice."""
    daemons = scene.workshop.daemons
    assert [daemon.stop() for daemon in daemons] == [0, 0, 0]
    assert StockBook().check(daemons) > 0
    for daemon in daemons:
        assert daemon.rows("ledger.sqlite", "SELECT DISTINCT state FROM request") == [[("done",)]]
        assert "Traceback" not in daemon.words()
        assert not [entry for entry in daemon.entries() if "exception" in entry]
        daemon.start()  # for the end of the last test
