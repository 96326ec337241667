"""Real daemons of which one pauses, is killed, resumes, pauses in the middle of a run, and one leaves for good."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import trio

from tests.system.workshop import PATIENCE_S, Daemon, Workshop, lay_out, request_text, shown


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    workshop = lay_out(tmp_path_factory.mktemp("p"))
    try:
        workshop.start()
        yield workshop
    finally:
        workshop.reap()


def absent(daemon: Daemon, words: str) -> Any:
    return lambda status: any(note.startswith(f"{daemon.name} {words}") for note in status["notes"])


async def stocked(daemon: Daemon) -> None:
    """Wait until what open requests need is there."""
    with trio.fail_after(PATIENCE_S):
        while True:
            rows = (await daemon.call("stock"))["rows"]
            if any(row["requested"] for row in rows) and all(row["level"] >= row["requested"] for row in rows):
                return
            await trio.sleep(0.05)


async def state_of(daemon: Daemon, digest: str) -> str:
    return str((await daemon.call("request.show", request=digest))["row"]["state"])


async def test_a_pause_survives_a_crash_and_holds_up_a_run_until_it_ends(workshop: Workshop) -> None:
    noord, midden, zuid = workshop.daemons
    await workshop.connected()
    digest = await workshop.submit(noord, request_text("Held up"))
    await workshop.approve(noord, digest)
    await workshop.approve(midden, digest)
    answer = await midden.call("pause", reason="the extract is being corrected")
    assert (answer["state"], answer["waiting"], answer["not_told"]) == ("paused", 1, [])
    for daemon in (noord, zuid):
        await daemon.until_status(absent(midden, "has paused since "))
    await workshop.approve(zuid, digest)
    await stocked(noord)  # preprocessing goes on, with everything there that a run needs
    midden.kill()
    midden.start()
    await workshop.connected()
    assert (await midden.call("status"))["state"] == "paused"
    assert "(the extract is being corrected)" in " ".join((await midden.call("status"))["notes"])
    assert [await state_of(daemon, digest) for daemon in workshop.daemons] == ["approved"] * 3
    assert "rule centre-paused" in await noord.refusal("request.run", request=digest)
    assert "rule centre-paused" in await midden.refusal("request.submit", text=request_text("By a paused centre"))
    detail = await zuid.call("request.show", request=digest)
    assert detail["waits_for"][0].startswith("midden has paused since ")
    assert not any(entry.get("event") == "run" for daemon in workshop.daemons for entry in daemon.entries())
    await midden.call("resume")
    assert shown(await workshop.all_done(digest), "sex") == workshop.expected("sex")
    assert (await midden.call("status"))["state"] == "ready"


async def test_a_pause_during_a_run_stops_it_or_comes_too_late_for_it(workshop: Workshop) -> None:
    noord, midden, _ = workshop.daemons
    await workshop.connected()
    async with midden.events("run") as client:
        digest = await workshop.ask(noord, request_text("Interrupted"))
        with trio.fail_after(PATIENCE_S):
            while (await client.next_event())["kind"] != "run.begin":
                pass
        await midden.call("pause")
        await midden.until_status(lambda status: status["requests"]["running"] == 0)
    state = await state_of(midden, digest)
    if state != "done":
        assert (await midden.call("request.show", request=digest))["fault"] == "centre-paused"
        assert await state_of(noord, digest) != "done"
    await midden.call("resume")
    assert shown(await workshop.all_done(digest), "sex") == workshop.expected("sex")


@pytest.mark.long  # in one process: tests/nskd/daemon/test_presence.py
async def test_who_left_while_another_was_away_has_left_for_that_one_too(workshop: Workshop) -> None:
    noord, midden, zuid = workshop.daemons
    await workshop.connected()
    digest = await workshop.submit(noord, request_text("Never to run"))
    await workshop.approve(midden, digest)
    midden.kill()
    await noord.until_status(lambda status: status["peers_up"] == 1)
    await zuid.until_status(lambda status: status["peers_up"] == 1)
    answer = await zuid.call("leave", reason="merged")
    assert (answer["state"], answer["waiting"], answer["not_told"]) == ("left", 0, ["midden"])
    await noord.until_status(absent(zuid, "left the workshop at "))
    assert zuid.stop() == 0
    midden.start()
    await midden.until_status(absent(zuid, "left the workshop at "))  # noord told it
    for daemon in (noord, midden):
        answer = await daemon.call("result.wait", request=digest, timeout_s=PATIENCE_S - 5)
        assert (answer["state"], answer["fault"]) == ("refused", "centre-left")
        assert "rule centre-left" in await daemon.refusal("request.submit", text=request_text("Once more"))
    zuid.start()
    assert (await zuid.call("status"))["state"] == "left"
    assert "rule centre-left" in await zuid.refusal("resume")
    assert all("Traceback" not in daemon.words() for daemon in workshop.daemons)
