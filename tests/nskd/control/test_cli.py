"""``nskctl`` against a fake daemon on a real socket."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
import trio
from click.testing import CliRunner, Result
from rich.console import Console

from nskd.control import answers, app, cli, cli_presence, cli_steward, client, page, render, steward_key
from nskd.control.async_client import open_client
from nskd.control.client import Client, DaemonError, UnreachableError
from nskd.control.codes import Code
from nskd.control.methods import DecideParams
from nskd.errors import OperatorError
from nskd.governance import sshsig
from nskd.governance.statement import NAMESPACE, Statement, Verdict, read_statement
from nskd.packs.errors import PackError
from nskd.packs.pack import Pack, load_pack
from nskd.report.words import percent_interval
from nskd.statistics.association import VERIFICATION_BIAS
from nskd.statistics.binomial import share
from nskd.statistics.rounding import Rounding
from tests.nskd.governance.test_audit import KEY, write
from tests.nskd.report import releases

from .fake import DIGEST, RELEASE, ROLES, Running, serving


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with serving(tmp_path) as server:
        yield server


def invoke(path: Path, *arguments: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(cli.main, ["--socket", str(path), *arguments], input=stdin)


async def nskctl(running: Running, *arguments: str, stdin: str | bytes = "", code: int = 0) -> Result:
    result = await trio.to_thread.run_sync(partial(invoke, running.path, *arguments, stdin=stdin))
    assert result.exit_code == code, (result.output, result.exception)
    return result


async def test_what_people_see(running: Running) -> None:
    status = (await nskctl(running, "status")).output
    assert "noord" in status
    assert "1 d 2 h" in status
    assert "1 of 2 connected" in status
    assert "2 submitted" in status
    assert "portable (as tests have it)" in status
    assert "[bold]differs[/bold]" in status  # text is text
    assert "\x1b" not in status
    peers = (await nskctl(running, "peers")).output
    assert "0.2 ms" in peers
    assert "down" in peers
    stock = (await nskctl(running, "stock")).output
    for shown in ("1,234,567", "524,288", "2,345,678", "10,000,000*", "* raised: past runs", "1,005,000"):
        assert shown in stock
    assert "0.1.0" in (await nskctl(running, "version")).output
    permits = (await nskctl(running, "permits")).output
    for shown in ("HDAB-1", "2024-01 – 2024-12", "2027-12-31", "without a permit is refused"):
        assert shown in permits
    assert "draining" in (await nskctl(running, "drain")).output
    assert "stock.low" in (await nskctl(running, "reload", "--check")).output
    assert running.service.changed == ["drain"]


async def test_requests(running: Running) -> None:
    listed = (await nskctl(running, "request", "list", "--state", "submitted", "--limit", "3")).output
    assert DIGEST[:12] in listed
    assert "1/3" in listed
    assert "older ones are not shown" in listed
    assert running.service.calls[-1][2].states == ["submitted"]
    shown = (await nskctl(running, "request", "show", "abab")).output
    for word in ("Vraag: leeftijd", "Question: age", "lapsed", "dr. N", "variable-not-for-purpose"):
        assert word in shown
    assert "[b]x[/b]" in shown  # text is text
    assert "\x1b" not in shown
    assert "running" in (await nskctl(running, "request", "run", "abab")).output


async def test_a_page_in_one_language(running: Running, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(GOOD)
    for command in (["request", "show", "abab"], ["request", "submit", "--check", str(path)]):
        for language, there, absent in (("nl", "Vraag: leeftijd", "Question"), ("en", "Question: age", "Vraag")):
            shown = (await nskctl(running, *command, "--language", language)).output
            assert there in shown
            assert absent not in shown
            assert "Nederlands" not in shown
    await nskctl(running, "request", "show", "abab", "--language", "fy", code=3)


def test_a_page_on_a_narrow_terminal_hangs_its_bullets() -> None:
    out = StringIO()
    sections = [answers.PageSection(key="asked", title="What is asked", sentences=["one two three four five six"])]
    page.show(Console(file=out, width=20, force_terminal=True, color_system=None), {"en": sections}, "en")
    assert [line.rstrip() for line in out.getvalue().splitlines()][:3] == [
        "What is asked",
        "- one two three four",
        "  five six",
    ]


GOOD = b'kind = "table"\ntitle = "T"\npurpose = "improvement"\nrows = "age_band"\nmeasure = "visits"\n'


async def test_submit(running: Running, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(GOOD)
    assert DIGEST in (await nskctl(running, "request", "submit", str(path))).output
    assert running.service.calls[-1][2].text == GOOD.decode()
    assert "nothing was submitted" in (await nskctl(running, "request", "submit", "--check", str(path))).output
    await nskctl(running, "request", "submit", "-", "--again", stdin=GOOD)
    assert running.service.calls[-1][2].again
    assert running.service.changed == ["request.submit"] * 2
    path.write_bytes(GOOD.replace(b"rows", b"row"))
    wrong = await nskctl(running, "request", "submit", str(path), code=1)
    assert "r.toml: row: unknown key 'row' (did you mean 'rows'?)" in wrong.stderr
    path.write_bytes(b"\xff" * 9000)
    assert "more than the 8192 allowed" in (await nskctl(running, "request", "submit", str(path), code=1)).stderr
    await nskctl(running, "request", "submit", str(tmp_path / "none"), code=3)
    assert len(running.service.changed) == 2


@pytest.fixture
def key(tmp_path: Path) -> Path:
    steward_key.generate(tmp_path / "devries", "A. de Vries")
    return tmp_path / "devries"


def verified(params: DecideParams, key: Path) -> Statement:
    """What was signed, if the signature is of that key."""
    (raw,) = sshsig.unarmoured(params.signature)
    signature = sshsig.read_signature(raw)
    assert signature.key == steward_key.public_key(key)
    assert signature.holds(params.statement.encode(), namespace=NAMESPACE)
    return read_statement(params.statement.encode())


async def test_decisions(running: Running, key: Path) -> None:
    with_key = ("--yes", "--key", str(key))
    done = await nskctl(running, "request", "approve", "abab", *with_key, "--days", "2")
    assert "approved" in done.output
    asked, params = running.service.calls[-2][2], running.service.calls[-1][2]
    assert (asked.verdict, asked.validity_s) == ("approve", 172_800)
    assert asked.steward.split()[1] == key.with_suffix(".pub").read_text().split()[1]
    assert verified(params, key).verdict is Verdict.APPROVE
    assert "refuse" in (await nskctl(running, "request", "refuse", "abab", *with_key)).output
    assert verified(running.service.calls[-1][2], key).verdict is Verdict.REFUSE
    assert "revoke" in (await nskctl(running, "request", "revoke", "abab", *with_key)).output
    assert verified(running.service.calls[-1][2], key).verdict is Verdict.WITHDRAW
    assert "only checked" in (await nskctl(running, "request", "approve", "abab", "--check", *with_key[1:])).output
    assert running.service.changed == ["request.approve", "request.refuse", "request.revoke"]
    unseen = await nskctl(running, "request", "approve", "abab", *with_key[1:], code=3)
    assert "--yes" in unseen.stderr
    await nskctl(running, "request", "approve", "abab", *with_key, "--days", "93", code=3)
    for wrong in ([], [*with_key[1:], "--signature", "x.sig"], [*with_key[1:], "--steward", "A"]):
        await nskctl(running, "request", "approve", "abab", "--yes", *wrong, code=3)


@pytest.mark.parametrize(
    "lie", [{"request": bytes(32)}, {"verdict": Verdict.REFUSE, "expires_at": None}, {"name": "x\ny"}]
)
async def test_a_key_signs_only_what_its_owner_asked_for(running: Running, key: Path, lie: dict[str, object]) -> None:
    running.service.lie = lie
    refused = await nskctl(running, "request", "approve", "abab", "--yes", "--key", str(key), code=1)
    assert "not what was asked for" in refused.stderr
    assert running.service.changed == []


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here")
async def test_signing_elsewhere(running: Running, key: Path, tmp_path: Path) -> None:
    """In three steps, with OpenSSH's own program in the middle, and a key that has a passphrase."""
    text = tmp_path / "word.txt"
    written = await nskctl(running, "request", "approve", "abab", "--write-statement", str(text), "--steward", "A")
    assert f"ssh-keygen -Y sign -n nskd-statement -f KEY {text}" in written.stderr
    assert running.service.changed == []
    await nskctl(running, "request", "approve", "abab", "--yes", "--signature", f"{text}.sig", code=1)
    await trio.run_process(
        ["ssh-keygen", "-Y", "sign", "-n", "nskd-statement", "-f", str(key), str(text)], capture_stderr=True
    )
    await nskctl(running, "request", "approve", "abab", "--yes", "--signature", f"{text}.sig")
    assert verified(running.service.calls[-1][2], key).verdict is Verdict.APPROVE
    await nskctl(running, "request", "approve", "abab", "--yes", "--signature", str(text), code=3)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here")
def test_what_needs_a_passphrase_is_left_to_openssh(key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = tmp_path / "locked"
    shutil.copy(key, locked)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "sesam", "-f", locked], check=True, capture_output=True)
    assert steward_key.public_key(locked) == steward_key.public_key(key)
    answers = tmp_path / "askpass"
    answers.write_text("#!/bin/sh\necho sesam\n")
    answers.chmod(0o700)
    monkeypatch.setenv("SSH_ASKPASS", str(answers))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    text = steward_key.sign(locked, b"m", namespace="nskd-statement")
    (raw,) = sshsig.unarmoured(text)
    assert sshsig.read_signature(raw).holds(b"m", namespace="nskd-statement")
    answers.write_text("#!/bin/sh\necho wrong\n")
    with pytest.raises(OperatorError, match="ssh-keygen did not sign"):
        steward_key.sign(locked, b"m", namespace="nskd-statement")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OperatorError, match="ssh-keygen is not installed here"):
        steward_key.sign(locked, b"m", namespace="nskd-statement")


def test_keys_that_cannot_be_used(key: Path, tmp_path: Path) -> None:
    key.chmod(0o640)
    with pytest.raises(OperatorError, match="others on this machine can read"):
        steward_key.sign(key, b"m", namespace="n")
    with pytest.raises(OperatorError, match="the key cannot be written"):
        steward_key.generate(key, "A. de Vries")
    with pytest.raises(OperatorError, match="cannot be read"):
        steward_key.public_key(tmp_path / "none")
    raw = key.read_bytes()
    for bad in (b"", b"hello", raw[:60], raw[:200], raw.replace(b"b3Blb", b"AAAAA"), b"ssh-rsa AAAA x"):
        (tmp_path / "bad").write_bytes(bad)
        with pytest.raises(OperatorError, match="holds no Ed25519 key"):
            steward_key.public_key(tmp_path / "bad")
    for name in ("", "\u202ex", "x" * 201):
        with pytest.raises(OperatorError, match="--name"):
            steward_key.generate(tmp_path / "new", name)
        assert not (tmp_path / "new").exists()


async def test_decisions_are_on_what_was_read(running: Running, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        cli_steward,
        "sys",
        SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True), stdout=sys.stdout, exit=sys.exit),
    )
    done = await nskctl(running, "request", "approve", "abab", "--key", str(key), stdin="y\n")
    assert "Question: age" in done.output
    assert running.service.calls[-1][2].request == DIGEST
    await nskctl(running, "request", "refuse", "abab", "--key", str(key), stdin="n\n", code=130)
    assert running.service.changed == ["request.approve"]


async def test_presence(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    paused = (await nskctl(running, "pause", "--reason", "[b]why[/b]")).output
    for word in ("paused", "[b]why[/b]", "told on return", "zuid", "is seen through; any other stops"):
        assert word in paused
    assert running.service.calls[-1][2].reason == "[b]why[/b]"
    resumed = (await nskctl(running, "resume")).output
    assert "present" in resumed and "is seen through" not in resumed
    assert "only checked" in (await nskctl(running, "leave", "--check")).output
    assert running.service.changed == ["pause", "resume"]
    nobody = await nskctl(running, "leave", code=3)  # nobody is here to be asked
    assert "--yes" in nobody.stderr
    await nskctl(running, "--json", "leave", code=3)
    assert running.service.changed == ["pause", "resume"]
    assert "left" in (await nskctl(running, "leave", "--yes", "--reason", "merged")).output
    monkeypatch.setattr(cli_presence, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    assert "no way back" in (await nskctl(running, "leave", stdin="n\n", code=130)).output
    assert running.service.changed == ["pause", "resume", "leave"]
    await nskctl(running, "leave", stdin="y\n")
    assert running.service.changed == ["pause", "resume", "leave", "leave"]
    shown = (await nskctl(running, "request", "show", "abab")).output
    assert "nothing runs: zuid has paused since 2026-05-28 20:26 UTC [b]x[/b]" in shown


async def test_results(running: Running) -> None:
    shown = (await nskctl(running, "result", "show", "abab")).output.splitlines()
    assert shown[0] == "Positive by age"
    assert shown[1] == "Number of children by result of the NSK: positive"
    assert " ".join(shown[2].split()) == "Age band in years positive negative positive / (positive + negative)"
    assert [line.split() for line in shown if line.startswith(("0–3", "4–8"))] == [
        ["0–3", "years", ".", "410", "."],
        ["4–8", "years", "23", "987", "2.3", "%"],
    ]
    dutch = (await nskctl(running, "result", "show", "abab", "--language", "nl")).output
    assert "Leeftijdsgroep in jaren  positief  negatief" in dutch and "4–8 jaar" in dutch and "2,3 %" in dutch
    waited = await nskctl(running, "result", "show", "abab", "--wait", "--timeout", "0.01")
    assert "triples" in waited.stderr
    assert "410" in waited.stdout
    await nskctl(running, "result", "show", "abab", "--timeout", "1", code=3)
    assert "hospitals" not in waited.stdout
    running.service.release = {**RELEASE, "phi": 2.375, "points": [[5, 20], [10, 15]]}
    running.service.own_point = (7, 19)
    told = (await nskctl(running, "result", "show", "abab")).output.splitlines()
    assert [line.split() for line in told if line.startswith("overdispersion")] == [["overdispersion", "φ", "2.375"]]
    assert any(line.startswith("hospitals") and line.rstrip().endswith("5 of 20, 10 of 15") for line in told)
    assert any(line.startswith("this centre") and "7 of 19, exactly; known here only" in line for line in told)
    running.service.release = {**RELEASE, "phi": None, "points": None}
    assert "none shown" in (await nskctl(running, "result", "show", "abab")).output
    running.service.release = None
    assert "timeout" in (await nskctl(running, "result", "show", "abab", code=1)).output


async def test_a_rate_is_shown_with_its_shares_and_their_intervals(running: Running) -> None:
    release = releases.rate(hidden=lambda cell: cell["age_band"] == "9-11")
    running.service.release = release
    shown = [" ".join(line.split()) for line in (await nskctl(running, "result", "show", "abab")).output.splitlines()]
    assert "Age band in years meets it does not total" in shown
    assert "Age band in years share 95 % interval counts" in shown
    counts = {cell["@of"]: cell["value"] for cell in release["cells"] if cell["age_band"] == "0-3"}
    found = share(counts["yes"], counts["no"], rounding=Rounding(5))
    interval = found.share.interval
    assert found.share.value is not None and interval is not None
    within = percent_interval(interval, "en").replace("\u00a0", " ")
    line = f"0–3 years {100 * found.share.value:.1f} % {within} {counts['yes']} / {counts['yes'] + counts['no']}"
    assert line in shown
    assert "not computable from what is shown: 1 of the 5" in shown
    assert not any("@of" in each or "nsk_status" in each for each in shown)


async def test_sensitivity_is_not_shown_without_what_biases_it(running: Running) -> None:
    running.service.release = releases.association()
    for language, note in (("nl", VERIFICATION_BIAS.nl), ("en", VERIFICATION_BIAS.en)):
        shown = (await nskctl(running, "result", "show", "abab", "--language", language)).output
        assert "sensitivity" in shown and note in shown
    running.service.release = releases.association(screening=False)
    assert VERIFICATION_BIAS.en not in (await nskctl(running, "result", "show", "abab")).output


async def test_a_pack_that_is_not_at_hand_leaves_the_numbers_under_their_keys(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(source: str) -> Pack:
        if source == "nsk":
            raise PackError("it is not there", file=source, remedy="Name it.")
        return load_pack("nsk")

    monkeypatch.setattr("nskd.packs.pack.load_pack", elsewhere)
    shown = (await nskctl(running, "result", "show", "abab")).output
    assert "nsk_positive=ja" in shown and "give its directory with --pack" in shown
    assert "4–8 years" in (await nskctl(running, "result", "show", "abab", "--pack", "/srv/pack")).output


async def test_documents_are_printed_as_they_come(running: Running) -> None:
    assessment = await nskctl(running, "dpia")
    assert assessment.stdout == "# dpia [b]\n"  # text is text
    assert assessment.stderr == "1 open points, listed at the end.\n"
    entry = await nskctl(running, "catalogue")
    assert (entry.stdout, entry.stderr) == ("# catalogue [b]\n", "")
    assert [params.kind for name, _, params in running.service.calls if name == "document"] == ["dpia", "catalogue"]
    assert msgspec.json.decode((await nskctl(running, "--json", "dpia")).stdout)["gaps"] == ["1.1 Wie besloot?"]


async def test_json_is_one_stable_line(running: Running) -> None:
    for arguments in (
        ["status"],
        ["peers"],
        ["stock"],
        ["request", "list"],
        ["request", "show", "abab"],
        ["drain"],
    ):
        output = (await nskctl(running, "--json", *arguments)).stdout
        assert output.count("\n") == 1
        assert isinstance(msgspec.json.decode(output), dict)
    result = msgspec.json.decode(
        (await nskctl(running, "--json", "result", "show", "abab", "--wait", "--timeout", "0.01")).stdout
    )
    assert result["release"] == RELEASE
    error = msgspec.json.decode((await nskctl(running, "--json", "request", "show", "dead", code=1)).stdout)
    assert error["error"]["code"] == Code.NOT_FOUND
    assert error["error"]["data"]["remedy"] == "List them."


async def test_the_audit_log_page_by_page(running: Running, tmp_path: Path) -> None:
    lines = running.service.log_lines = write(tmp_path / "log")
    running.service.log_key = KEY
    listed = (await nskctl(running, "audit", "list", "--last", "3")).stdout
    assert "request.decided" in listed and "A. de Vries" in listed and "log.begun" not in listed
    assert f"{len(lines)} entries" in (await nskctl(running, "audit", "verify")).stdout
    heads = (await nskctl(running, "audit", "heads")).stdout
    assert "in order" in heads and "contradicted" in heads and "cut" in heads
    exported = await nskctl(running, "audit", "export")
    assert exported.stdout_bytes == b"".join(lines)
    first = (await nskctl(running, "audit", "export", "--format", "fhir")).stdout.splitlines()[0]
    assert msgspec.json.decode(first)["resourceType"] == "AuditEvent"
    running.service.log_lines = [*lines[:2], lines[2].replace(b"anna", b"jans"), *lines[3:]]
    assert "entry 3:" in (await nskctl(running, "audit", "verify", code=1)).stderr


async def test_the_daemon_says_no(running: Running, key: Path) -> None:
    for name in ("dead", "c0ff", "f00d", "1111", "2222", "bad0"):
        result = await nskctl(running, "request", "approve", name, "--yes", "--key", str(key), code=1)
        assert result.stderr.startswith("nskctl: ")
        assert result.stderr.count("\n") == 1
    assert (
        "parameters:" in (await nskctl(running, "result", "show", "--wait", "--timeout", "1e9", "dead", code=1)).stderr
    )


async def test_a_stranger_is_told_why(tmp_path: Path) -> None:
    async with serving(tmp_path, uid=999, roles=ROLES) as running:
        assert "has no role at this daemon" in (await nskctl(running, "status", code=1)).stderr


def test_unreachable(tmp_path: Path) -> None:
    result = invoke(tmp_path / "none.sock", "status")
    assert result.exit_code == 2
    assert "cannot be reached: No such file or directory. Is it running" in result.stderr
    result = invoke(tmp_path / "none.sock", "--json", "status")
    assert result.exit_code == 2
    assert "cannot be reached" in msgspec.json.decode(result.stdout)["error"]["message"]
    environment = CliRunner().invoke(cli.main, ["status"], env={"NSKD_SOCKET": str(tmp_path / "env.sock")})
    assert "env.sock" in environment.stderr


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400\r\n\r\n", b"", b"x" * 3_000_000, b'{"id":1,"result":{"nskd":1}}\n', b"[]\n"]
)
def test_something_else_answers(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "x.sock"

    def answer_once(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65_536)
            with contextlib.suppress(OSError):
                connection.sendall(answer)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=answer_once, args=(listener,))
        thread.start()
        assert invoke(path, "version").exit_code == 2
        thread.join()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["status", "--nonsense"],
        ["request"],
        ["request", "show"],
        ["request", "list", "--limit", "0"],
    ],
)
def test_usage(tmp_path: Path, arguments: list[str]) -> None:
    assert invoke(tmp_path / "none", *arguments).exit_code == 3


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["request", "--help"], ["keygen", "--help"]])
def test_help(tmp_path: Path, arguments: list[str]) -> None:
    result = invoke(tmp_path / "none", *arguments)
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


def test_as_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from nskd.control.cli import main; main()",
            "--socket",
            str(tmp_path / "none"),
            "status",
        ],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


async def test_progress_of_what_takes_longer_than_a_second(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_TICK_S", 0.01)
    out = StringIO()
    monkeypatch.setattr(app, "Console", lambda **_: Console(file=out, force_terminal=True, width=80))
    waiting = app.Waiting("result.wait")
    ticked = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def tick() -> None:
        waiting.tick()
        token.run_sync_soon(ticked.set)

    def call() -> object:
        with Client(running.path, tick_s=0.01, on_tick=tick) as reached:
            return reached.call("result.wait", {"request": "abab"}, waiting.progress)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, call)
        await ticked.wait()
        running.service.finished.set()
    waiting.stop()
    assert "…" in out.getvalue()


def test_render_odd_tables() -> None:
    def shown(content: dict[str, object]) -> list[list[str]]:
        out = StringIO()
        render.release(Console(file=out, width=200), content)
        return [line.split() for line in out.getvalue().splitlines() if line.strip()]

    assert shown({"cells": [{"a": "x", "value": 1}, {"a": "y", "value": None}], "measure": "visits"}) == [
        ["a", "visits"],
        ["x", "1"],
        ["y", "."],
    ]
    assert shown(
        {"rows": ["a"], "columns": ["b"], "cells": [{"a": "x", "b": "u", "value": 0}, {"a": "x", "value": 3}]}
    ) == [
        ["a", "b=u", "b=total"],
        ["x", "0", "3"],
    ]
    assert shown({"cells": []}) == [["value"]] or shown({"cells": []}) == []


def test_render_units() -> None:
    assert [render.duration(s) for s in (0, 59, 3_600, 86_461)] == ["0 s", "59 s", "1 h 0 min", "1 d 0 h"]
    assert [render.amount(n) for n in (0, 999, 1_000, 10**13)] == ["0 B", "999 B", "1.0 kB", "10000.0 GB"]
    assert render.time(None) is None
    assert render.time(1 << 60) == f"{1 << 60} s"


# --- commands that need no daemon ---------------------------------------------------


def test_keygen_prints_public_keys_only(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    shown = invoke(tmp_path, "keygen", str(directory), "--name", "zuid", "--address", "zuid.example:7443")
    assert shown.exit_code == 0
    assert 'name = "zuid"' in shown.output
    secrets = [line for file in directory.iterdir() for line in file.read_text().split()]
    assert len(secrets) >= 3
    assert not any(secret in shown.output for secret in secrets)
    again = invoke(tmp_path, "--json", "keygen", str(directory))
    assert again.exit_code == 1
    assert "error" in msgspec.json.decode(again.stdout)
    made = invoke(tmp_path, "steward", "keygen", str(tmp_path / "devries"), "--name", "A. de Vries")
    assert made.exit_code == 0 and made.output == (tmp_path / "devries.pub").read_text()
    assert (tmp_path / "devries").stat().st_mode & 0o777 == 0o600
    listed = invoke(tmp_path, "keygen", str(tmp_path / "listed"), "--steward", str(tmp_path / "devries.pub"))
    assert f'stewards = ["{made.output.strip()}"]' in listed.output
    for wrong in ("devries", "none"):
        assert invoke(tmp_path, "keygen", str(tmp_path / "no"), "--steward", str(tmp_path / wrong)).exit_code == 1
        assert not (tmp_path / "no").exists()
    as_json = msgspec.json.decode(invoke(tmp_path, "--json", "keygen", str(tmp_path / "more")).stdout)
    assert len(bytes.fromhex(as_json["noise_key"])) == len(bytes.fromhex(as_json["signing_key"])) == 32


def test_config_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_config(path: Path) -> SimpleNamespace:
        if path.name == "bad.toml":
            raise OperatorError("unknown key 'x'", where=str(path), remedy="Remove it.")
        principals = {"read": ["@no-such-group-here"] if path.name == "group.toml" else []}
        return SimpleNamespace(control=SimpleNamespace(roles=SimpleNamespace(principals=lambda: principals)))

    fake = SimpleNamespace(load_config=load_config)
    monkeypatch.setitem(sys.modules, "nskd.config", fake)
    monkeypatch.setattr("nskd.config", fake, raising=False)
    assert invoke(tmp_path, "config", "check", "good.toml").exit_code == 0
    assert msgspec.json.decode(invoke(tmp_path, "--json", "config", "check", "good.toml").stdout)["ok"] is True
    bad = invoke(tmp_path, "config", "check", "bad.toml")
    assert bad.exit_code == 1
    assert "bad.toml: unknown key 'x'. Remove it." in bad.stderr
    group = invoke(tmp_path, "config", "check", "group.toml")
    assert group.exit_code == 1
    assert "this machine has no group 'no-such-group-here'" in group.stderr


def test_keygen_refuses_a_name_before_there_are_keys(tmp_path: Path) -> None:
    refused = invoke(tmp_path, "keygen", str(tmp_path / "keys"), "--name", "Zuid 1")
    assert refused.exit_code == 3
    assert not (tmp_path / "keys").exists()


def test_what_cannot_name_a_request_is_said_in_words(tmp_path: Path) -> None:
    wrong = invoke(tmp_path, "request", "show", "zzz")
    assert wrong.exit_code == 3
    assert "4 or more of the digits" in wrong.stderr


# --- clients ------------------------------------------------------------------------


async def test_async_client(running: Running, tmp_path: Path) -> None:
    phases: list[object] = []
    async with open_client(running.path) as reached:
        assert (await reached.call("version"))["protocol"] == "1"
        with pytest.raises(DaemonError) as caught:
            await reached.call("request.show", {"request": "dead"})
        assert caught.value.code == Code.NOT_FOUND
        running.service.finished.set()
        await reached.call("result.wait", {"request": "abab"}, lambda fields: phases.append(fields["phase"]))
        assert phases == ["triples", "opening"]
    async with open_client(running.path) as reached, trio.open_nursery() as nursery:

        async def publish() -> None:
            while not len(running.events):
                await trio.lowlevel.checkpoint()
            running.events.publish("peer.up", name="zuid")

        nursery.start_soon(publish)
        await reached.subscribe(("peer",))
        assert await reached.next_event() == {"kind": "peer.up", "name": "zuid"}
    with pytest.raises(UnreachableError):
        async with open_client(tmp_path / "none"):
            pass


async def test_events_in_a_thread(running: Running) -> None:
    def first() -> dict[str, object]:
        with Client(running.path) as reached:
            return next(reached.events(("run",)))

    async with trio.open_nursery() as nursery:

        async def publish() -> None:
            while not len(running.events):
                await trio.lowlevel.checkpoint()
            running.events.publish("run.phase", phase="sum")

        nursery.start_soon(publish)
        assert await trio.to_thread.run_sync(first) == {"kind": "run.phase", "phase": "sum"}


def test_the_default_socket() -> None:
    assert Path("/run/nskd/control.sock") == client.DEFAULT_SOCKET
