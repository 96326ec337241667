"""A centre loses its disk and comes back from a backup made while it was at work: nothing is used twice, and nothing is
forgotten that others know.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from nskd import keyring
from nskd.analysis.populations import Populations
from nskd.credentials import load_keys
from tests.system.workshop import Daemon, StockBook, Workshop, lay_out, request_text, shown


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    workshop = lay_out(tmp_path)
    try:
        workshop.start()
        yield workshop
    finally:
        workshop.reap()


def restore(daemon: Daemon, backup: Path) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "nskd",
            "restore",
            "--config",
            daemon.config,
            "--credentials",
            daemon.credentials,
            backup,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr


def compared_with(daemon: Daemon, request: str) -> tuple[bytes, ...]:
    """The earlier tables that a centre had a request compared with."""
    ring = keyring.load(daemon.state, load_keys(daemon.credentials).storage)
    assert ring is not None
    record = Populations(daemon.state / "populations", ring.digests, ring.seals).find(bytes.fromhex(request))
    assert record is not None
    return record.earlier


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_centre_comes_back_from_a_backup(workshop: Workshop, tmp_path: Path) -> None:
    noord, midden, zuid = workshop.daemons
    book = StockBook()
    await workshop.connected()
    before = await workshop.ask(noord, request_text("before the backup"))
    await workshop.all_done(before)

    # A backup while the next request is under way: what came of that, and all that follows, is not in it.
    async with midden.events("run") as client:
        under_way = await workshop.ask(noord, request_text("under way"))
        while (await client.next_event())["kind"] != "run.begin":
            pass
        made = await midden.call("backup")
    await workshop.all_done(under_way)
    forgotten = await workshop.ask(noord, request_text("forgotten"))
    await workshop.all_done(forgotten)
    async with noord.client() as client:  # within a minute all are told how far a log has come
        for _ in range(900):
            rows = (await client.call("audit.heads"))["heads"]
            if next(row["sequence"] or 0 for row in rows if row["centre"] == "midden") > made["audit_entries"] + 3:
                break
            await trio.sleep(0.1)
    waiting = await workshop.submit(zuid, request_text("still to be decided"))
    await workshop.approve(midden, waiting)
    book.read(midden)

    # The disk is lost.
    midden.kill()
    path = tmp_path / "elsewhere.backup"
    shutil.copyfile(made["path"], path)
    assert "not empty" in restore(midden, path)  # what is there is worth more
    midden.state.rename(tmp_path / "lost")
    midden.state.mkdir(mode=0o700)
    assert "as it was on" in restore(midden, path)
    midden.start()
    await workshop.connected()

    status = await midden.call("status")
    assert status["state"] == "paused" and status["epoch"] is None
    assert (await midden.call("result.show", request=before))["state"] == "done"
    await midden.until_logged("learnt that a request had begun")
    for digest in (under_way, forgotten, waiting):  # either could be one that ran here on other rows
        answer = await midden.call("result.wait", request=digest, timeout_s=80)
        assert answer["state"] == "expired"
    await noord.until_status(lambda status: any("audit log of midden is not what it was" in n for n in status["notes"]))
    await midden.until_status(lambda status: any("own audit log was cut off" in note for note in status["notes"]))

    # Whoever asks now is compared with all that came before, the forgotten one included.
    await midden.call("resume")
    after = await workshop.ask(midden, request_text("after the restore"))
    release = await workshop.all_done(after)
    assert shown(release, "sex") == workshop.expected("sex")
    assert book.check(workshop.daemons) > 0
    for daemon in workshop.daemons:
        assert daemon.stop() == 0
        assert {before, under_way, forgotten} <= {digest.hex() for digest in compared_with(daemon, after)}
        assert "Traceback" not in daemon.words()
