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

from protocol.limits import LIVENESS_TIMEOUT_S, PING_INTERVAL_S
from tests.chaos.namespaces import MTU_ETHERNET, Network, missing
from tests.chaos.network import CLEAR, Path, Way
from tests.chaos.site import Site, site
from tests.system.workshop import Daemon, Event, Workshop, request_text, shown

NAMES: Final = ("noord", "midden", "zuid")
NOORD, MIDDEN, ZUID = range(3)
SILENCE_S: Final = LIVENESS_TIMEOUT_S + PING_INTERVAL_S + 15.0  # until a silent peer is given up, on a busy machine
SHORT_S: Final = 8.0  # a break that TCP bridges
RUN_S: Final = 60.0  # a run at 200 ms, or with lost packets: seconds; the rest is for a busy machine

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
        async with daemon.events("run") as client, trio.open_nursery() as nursery:
            text = request_text(f"Case {next(self.titles)}")
            digest = await self.workshop.ask(
                self.workshop.daemons[NOORD], text, nursery
            )  # watched while it is approved
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
