"""What a centre keeps to itself and what it has to answer for: people who object, the log of it all, and what it shows
of itself to those who operate it.
"""

from __future__ import annotations

import base64
import contextlib
import getpass
import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from click.testing import CliRunner

from nskd import keyring
from nskd.control.cli import main
from nskd.credentials import load_keys
from nskd.stockpile import accounts
from nskd.stockpile.durability import Durability
from nskd.stockpile.vault import Vault
from protocol.offline.epoch import unseal
from tests.ports import free_ports
from tests.system.workshop import PATIENCE_S, Daemon, Workshop, lay_out, request_text, shown


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    workshop = lay_out(tmp_path_factory.mktemp("a"))
    name_opt_outs(workshop.daemons[1])
    collected = workshop.daemons[1].config
    collected.write_text(f'{collected.read_text()}[metrics]\nlisten = "127.0.0.1:{free_ports(1)[0]}"\n')
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


# --- what it shows of itself --------------------------------------------------------------------------------------


async def test_nothing_that_is_anybodys_is_in_what_a_daemon_shows_of_itself(workshop: Workshop) -> None:
    """Keys, shares, rows, people, their words: all that a daemon tells those who operate it is searched for them."""
    noord, midden, _ = workshop.daemons
    mine = workshop.extracts[1]
    pseudonyms = {str(name) for column in ("person_link", "visit_id") for name in mine[column]}
    opt_outs(midden).write_text("person_link\nOBJECTOR-5701\n")
    await workshop.connected()
    for daemon in workshop.daemons:
        assert (await daemon.call("log.level", level="debug"))["configured"] == "info"
    digest = await workshop.ask(noord, request_text("TITLE-5702", rows="triage", where="sex = 'M'"))
    await workshop.all_done(digest)
    await midden.call("pause", reason="REASON-5703")
    await midden.call("resume")
    refused = await midden.refusal("request.submit", text=request_text("TITLE-5704", where="sex = 'VALUE-5705'"))
    assert "VALUE-5705" in refused  # whoever typed it may see it
    entries = await done_here(midden)

    shown: dict[str, str] = {}
    for daemon in workshop.daemons:
        for method in ("version", "status", "peers", "stock", "metrics", "bugreport"):
            shown[f"{method} of {daemon.name}"] = json.dumps(await daemon.call(method))
        shown[f"log of {daemon.name}"] = daemon.words()
    shown["scrape"] = await scraped(midden)
    assert await done_here(midden) == entries  # looking is no change
    assert "nskd_peer_up" in shown["scrape"]
    report = json.loads(shown["bugreport of midden"])
    assert report["system"]["core dumps"] == "off"
    assert {"session over", "run"} <= {line.get("event") for line in report["log"]}

    secrets = {f"{what} of {each.name}": found for each in workshop.daemons for what, found in secrets_of(each).items()}
    for what, secret in secrets.items():
        for form in forms(secret):
            for where, text in shown.items():
                assert form not in text, f"{what} in {where}"
    people = pseudonyms | {"OBJECTOR-5701"}
    for where, text in shown.items():
        words = set(re.findall(r"[\w.-]+", text))
        assert not words & people, where
        assert "TITLE-5702" not in text and "TITLE-5704" not in text and "VALUE-5705" not in text, where
        if where.startswith(("metrics", "bugreport", "scrape")):
            assert not re.search("REASON-5703|Steward|/tmp|/home|visits.csv", text), where
            assert digest[:12] not in text, where
            assert f'"{getpass.getuser()}"' not in text, where

    stored = [path for daemon in workshop.daemons for path in daemon.state.rglob("*") if path.is_file()]
    for path in stored:
        raw = path.read_bytes()
        for what, secret in secrets.items():
            assert secret not in raw and secret.hex().encode() not in raw, f"{what} in {path}"
        if path.suffix != ".sealed":  # of stock, which is made before there is any data
            assert not any(person.encode() in raw for person in people), path


def secrets_of(daemon: Daemon) -> dict[str, bytes]:
    """Its keys as they are in its credentials, and its share of the MAC key as it is under seal."""
    keys = load_keys(daemon.credentials)
    found = {
        path.name: bytes.fromhex(path.read_text().split()[-1])
        for path in daemon.credentials.iterdir()
        if path.suffix == ".key"
    }
    assert len(found) == 3
    stock = daemon.state / "stock"
    with tempfile.TemporaryDirectory() as name, daemon.frozen():
        for suffix in ("", "-wal"):
            if Path(f"{stock}/ledger.sqlite{suffix}").exists():
                shutil.copyfile(f"{stock}/ledger.sqlite{suffix}", f"{name}/copy.sqlite{suffix}")
        with contextlib.closing(sqlite3.connect(f"{name}/copy.sqlite")) as copy:
            row = accounts.epoch(copy)
        assert row is not None
        words = np.empty((1, row.label.count), dtype=np.uint64)
        (directory,) = {path.parent for path in stock.rglob(f"{row.epoch.hex()}*")}
        ring = keyring.load(daemon.state, keys.storage)
        assert ring is not None
        Vault(directory, ring.sealing, Durability()).read(row.epoch, row.label, row.salt, 0, words)
    share = unseal(words.tobytes()[: row.state_bytes]).mac_key
    found["share of the MAC key"] = share.delta.to_bytes(8, "little")
    found["sealing key"], found["digest key"] = ring.sealing[0].expose(), ring._digests.expose()
    return found


def forms(secret: bytes) -> list[str]:
    """How bytes may show in a text."""
    shown = [secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1]]
    return [*shown, str(int.from_bytes(secret, "little")), str(int.from_bytes(secret, "big"))]


async def scraped(daemon: Daemon) -> str:
    """What a collector on this machine is given."""
    address = tomllib.loads(daemon.config.read_text())["metrics"]["listen"]
    host, port = address.split(":")
    with trio.fail_after(PATIENCE_S):
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(f"GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
            answer = b"".join([bytes(piece) async for piece in stream])
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    return answer.split(b"\r\n\r\n", 1)[1].decode()


async def done_here(daemon: Daemon) -> list[str]:
    """What is on record there, but for what it notes of the others' logs, as these grow."""
    return [body["event"] for body in await bodies(daemon) if not body["event"].startswith("head.")]


async def test_a_dry_run_changes_nothing(workshop: Workshop) -> None:
    """Every method that changes something, with ``check``: no state, no event and no entry of the audit log."""
    noord = workshop.daemons[0]
    await workshop.connected()
    before = (await noord.call("status"), await done_here(noord))
    tried = {
        "request.submit": {"text": request_text("Only tried", rows="triage")},
        "pause": {},
        "leave": {},
        "reload": {},
        "epoch.end": {},
        "backup": {},
        "drain": {"exit": True},
        "log.level": {"level": "error"},
    }
    async with noord.events("request", "presence", "run") as client:
        for method, params in tried.items():
            assert (await noord.call(method, check=True, **params))["checked"], method
        await noord.refusal("resume", check=True)
        after = (await noord.call("status"), await done_here(noord))
        await noord.call("pause")
        assert (await client.next_event())["move"] == "pause"  # nothing had happened before
        await noord.call("resume")
    for status in (before[0], after[0]):
        del status["uptime_s"]
    assert after == before


async def test_a_daemon_that_is_drained_ends_in_good_order(workshop: Workshop) -> None:
    """Its answer comes, it tells its end, and the level of its log is the configured one when it is back."""
    zuid = workshop.daemons[2]
    await workshop.connected()
    await zuid.call("log.level", level="error")
    assert (await zuid.call("status"))["log_level"] == "error"
    answer = await zuid.call("drain", exit=True)
    assert (answer["state"], answer["ends"]) == ("draining", True)
    assert await zuid.ended() == 0
    zuid.start()
    await zuid.connected()
    status = await zuid.call("status")
    assert (status["state"], status["log_level"], status["log_configured"]) == ("ready", "info", "info")
    sessions = [entry["session"] for entry in zuid.entries() if entry.get("event") == "session over"]
    assert len(sessions) == len(set(sessions))  # one line each
    assert all("ended" in entry for entry in zuid.entries() if entry.get("event") == "session over")
    runs = [entry["session"] for entry in zuid.entries() if entry.get("event") == "run"]
    batches = [entry["session"] for entry in zuid.entries() if entry.get("event") == "generation"]
    assert len(runs) == len(set(runs)) and len(batches) == len(set(batches))
    assert {session[:8] for session in runs + batches} <= set(sessions)


def nskctl(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.stdout + done.stderr
