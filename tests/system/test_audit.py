"""What a centre keeps to itself and what it has to answer for: people who object, and the log of it all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from click.testing import CliRunner

from nskd.control.cli import main
from tests.system.workshop import PATIENCE_S, Daemon, Workshop, lay_out, request_text, shown


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    workshop = lay_out(tmp_path_factory.mktemp("a"))
    name_opt_outs(workshop.daemons[1])
    try:
        workshop.start()
        yield workshop
    finally:
        workshop.reap()


def opt_outs(daemon: Daemon) -> Path:
    return daemon.directory / "opt-out.csv"


def name_opt_outs(daemon: Daemon) -> None:
    source = f'source = "{daemon.directory / "visits.csv"}"'
    text = daemon.config.read_text()
    assert source in text
    daemon.config.write_text(text.replace(source, f'{source}\nopt_out = "{opt_outs(daemon)}"'))


def leave_out(extract: dict[str, Any], people: set[str]) -> None:
    keep = np.array([person not in people for person in extract["person_link"]])
    for name in extract:
        extract[name] = np.asarray(extract[name])[keep]


async def test_a_person_added_to_the_list_is_out_of_the_next_run(workshop: Workshop, at_length: bool) -> None:
    """First the list is not there, and no run takes place; then each run has the list of its moment."""
    noord, midden, _ = workshop.daemons
    await workshop.connected()
    status = await midden.call("status")
    assert any("no run takes place with this centre" in note and "opt-out.csv" in note for note in status["notes"])
    first = await workshop.ask(noord, request_text("Before"))
    await noord.until_logged("its list of people who object cannot be read")
    assert str(opt_outs(midden)) not in noord.words()
    assert noord.request_state(first) == "approved"
    assert "run.refused" in [body["event"] for body in await bodies(midden)]

    opt_outs(midden).write_text("person_link\n")
    assert shown(await workshop.all_done(first), "sex") == workshop.expected("sex")

    boys = [
        str(p) for p, sex in zip(*(workshop.extracts[1][k] for k in ("person_link", "sex")), strict=True) if sex == "M"
    ]
    gone = set(boys[:20])
    opt_outs(midden).write_text("person_link\n" + "".join(f"{person}\n" for person in gone))
    before = workshop.expected("sex")
    leave_out(workshop.extracts[1], gone)
    after = workshop.expected("sex")
    assert before["M"] != after["M"]
    second = await workshop.ask(noord, request_text("After"))
    assert shown(await workshop.all_done(second), "sex") == after
    if at_length:  # a few fewer: the difference would tell of them, so the cell stays closed, everywhere
        gone |= set(boys[20:22])
        opt_outs(midden).write_text("person_link\n" + "".join(f"{person}\n" for person in gone))
        leave_out(workshop.extracts[1], gone)
        third = await workshop.ask(noord, request_text("A few fewer"))
        assert shown(await workshop.all_done(third), "sex") == workshop.expected("sex") | {"M": None}
    assert not any(person in midden.words() for person in gone)

    log = (midden.state / "audit.ndjson").read_text()
    assert not any(person in log for person in gone)
    digest = hashlib.sha256(opt_outs(midden).read_bytes()).hexdigest()
    applied = [body for body in await bodies(midden) if body["event"] == "opt-out.applied"][-1]
    assert applied["details"]["sha256"] == digest
    assert applied["details"]["listed"] == applied["details"]["people_left_out"] == len(gone)


async def bodies(daemon: Daemon) -> list[dict[str, Any]]:
    page = await daemon.call("audit.read", limit=1000)
    return [json.loads(line)["entry"] for line in page["lines"]]


async def test_each_centre_can_answer_for_what_happened(workshop: Workshop) -> None:
    """Who asked, who approved, on whose word data entered, what came out: on record at every centre, in order."""
    noord, midden, zuid = workshop.daemons
    if not opt_outs(midden).exists():  # where this test is the first
        opt_outs(midden).write_text("person_link\n")
    await workshop.connected()
    digest = await workshop.ask(noord, request_text("On record", rows="triage"))
    await workshop.all_done(digest)
    released = (await noord.call("result.show", request=digest))["digest"]
    refused = await noord.refusal("request.submit", text=request_text("No such purpose", purpose="curiosity"))
    assert "curiosity" in refused
    for daemon in workshop.daemons:
        found = [body for body in await bodies(daemon) if body.get("request") == digest]
        events = [body["event"] for body in found]
        first = "request.submitted" if daemon is noord else "request.received"
        assert events == [first, "request.decided", "run.begun", "run.released"], daemon.name
        assert {body["purpose"] for body in found} == {"improvement"}
        assert found[-1]["result"] == released
        approvals = found[2]["approvals"]
        assert sorted(each.split()[0] for each in approvals) == sorted(other.name for other in workshop.daemons)
        assert all(" approve SHA256:" in each and " sha256:" in each for each in approvals)
        assert found[1]["uid"] == os.getuid()
        assert all(len(body["charter"]) == 64 for body in found)
    asked = [body for body in await bodies(noord) if body["event"].startswith("control.")]
    assert [(body["event"], body["details"]["method"], body.get("outcome", "ok")) for body in asked[-2:]] == [
        ("control.asked", "request.submit", "ok"),
        ("control.refused", "request.submit", "refused"),
    ]
    assert asked[-1]["details"]["rule"] == "purpose-not-in-charter"
    events = [body["event"] for body in await bodies(zuid)]
    assert events[:3] == ["log.begun", "daemon.started", "data.loaded"]
    assert "epoch.founded" in events
    data = next(body for body in await bodies(zuid) if body["event"] == "data.loaded")
    extract = (zuid.directory / "visits.csv").read_bytes()
    assert data["details"]["sha256"] == hashlib.sha256(extract).hexdigest()

    assert zuid.stop() == 0
    path = zuid.state / "audit.ndjson"
    verified = nskctl("audit", "verify", path, "--charter", workshop.directory / "charter.toml")
    assert "entries" in verified
    lines = path.read_bytes().splitlines(keepends=True)
    assert json.loads(lines[-1])["entry"]["event"] == "daemon.stopped"
    path.write_bytes(b"".join(lines)[:-7])  # as if the machine had died while it wrote the last entry
    zuid.start()
    await workshop.connected()
    repaired = [body["event"] for body in await bodies(zuid)][len(lines) - 1 :]
    assert repaired[:2] == ["log.repaired", "daemon.started"]


async def hears_of_all(daemon: Daemon) -> None:
    """Ask until it holds a head of every other centre: heads come some moments after the links."""
    with trio.fail_after(PATIENCE_S):
        while True:
            heads = (await daemon.call("audit.heads"))["heads"]
            if {row["state"] for row in heads} == {"in order"}:
                return
            await trio.sleep(0.05)


async def test_a_log_cut_off_is_named_by_the_others_and_by_its_own_daemon(workshop: Workshop) -> None:
    noord, _, zuid = workshop.daemons
    await hears_of_all(noord)
    assert zuid.stop() == 0
    path, charter = zuid.state / "audit.ndjson", workshop.directory / "charter.toml"
    check = ("audit", "verify", path, "--charter", charter, "--heads", noord.state / "audit.ndjson")
    assert "heads that others keep agree" in nskctl(*check)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    assert "the log was cut off; noord keeps a head" in nskctl(*check, code=1)
    zuid.start()
    await noord.until_status(lambda status: any("the audit log of zuid is not" in note for note in status["notes"]))
    await zuid.until_status(lambda status: any("this centre's own audit log was cut" in n for n in status["notes"]))
    assert [body["peer"] for body in await bodies(noord) if body["event"] == "head.contradicted"] == ["zuid"]


def nskctl(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.stdout + done.stderr
