"""How this centre is, told by ``nskctl``; what shells and terminals know of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import click
import pytest
import trio
from click.testing import CliRunner, Result

from nskd.__main__ import main as nskd
from nskd.control import cli, manual
from nskd.control.methods import METHODS

from .fake import Running, serving

# Methods that change something, by the command that calls them.
CHANGING = {
    "charter sign": "charter.sign",
    "request submit": "request.submit",
    "request run": "request.run",
    "request approve": "request.approve",
    "request refuse": "request.refuse",
    "request revoke": "request.revoke",
    "pause": "pause",
    "resume": "resume",
    "leave": "leave",
    "log level": "log.level",
    "epoch end": "epoch.end",
    "backup": "backup",
    "reload": "reload",
    "drain": "drain",
}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with serving(tmp_path) as server:
        yield server


async def nskctl(running: Running, *arguments: str, code: int = 0) -> Result:
    invoke = partial(CliRunner().invoke, cli.main, ["--socket", str(running.path), *arguments])
    result = await trio.to_thread.run_sync(invoke)
    assert result.exit_code == code, (result.output, result.exception)
    return result


async def test_the_exit_code_says_whether_it_works(running: Running) -> None:
    for health, code, strict in (("ok", 0, 0), ("attention", 0, 1), ("not working", 1, 1)):
        running.service.health = health
        shown = (await nskctl(running, "status", code=code)).output
        assert re.search(rf"health\s+{health}", shown)
        await nskctl(running, "status", "--strict", code=strict)
    assert json.loads((await nskctl(running, "--json", "status", code=1)).output)["health"] == "not working"


async def test_a_finding_says_what_since_when_and_what_to_do(running: Running) -> None:
    shown = (await nskctl(running, "status")).output
    for said in ("attention: clock", "since", "2026-", "Call them.", "docs/operations.md#peer-down"):
        assert said in shown
    (finding,) = json.loads((await nskctl(running, "--json", "status")).output)["findings"]
    assert finding.keys() == {"name", "health", "what", "remedy", "since", "subject", "runbook"}


async def test_the_log_level_is_shown_while_it_is_changed(running: Running) -> None:
    assert "log level" not in (await nskctl(running, "status")).output
    await nskctl(running, "log", "level", "debug", "--check")
    assert running.service.level == "info"
    assert "debug" in (await nskctl(running, "log", "level", "debug")).output
    assert "debug, until a restart; configured is info" in (await nskctl(running, "status")).output
    await nskctl(running, "log", "level")
    assert "log level" not in (await nskctl(running, "status")).output
    await nskctl(running, "log", "level", "loud", code=3)


async def test_numbers_and_a_report(running: Running, tmp_path: Path) -> None:
    assert (await nskctl(running, "metrics")).output.splitlines()[-1] == "nskd_health 1"
    file = tmp_path / "report.json"
    await nskctl(running, "bugreport", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text())["schemas"] == {"ledger": 4}
    assert "File exists" in (await nskctl(running, "bugreport", str(file), code=1)).output
    assert json.loads((await nskctl(running, "bugreport")).output)["libraries"] == {"trio": "1"}


async def test_draining_to_the_end(running: Running) -> None:
    await nskctl(running, "drain", "--exit", "--check")
    assert not running.service.ended.is_set()
    assert "ends now" in (await nskctl(running, "drain", "--exit")).output
    assert running.service.ended.is_set()


async def test_waiting_for_a_request(running: Running) -> None:
    waited = await nskctl(running, "request", "wait", "abab", "--timeout", "0.01")
    assert "done" in waited.output
    running.service.release = None
    assert "failed" in (await nskctl(running, "request", "wait", "abab", "--timeout", "0.01", code=1)).output


def test_every_command_that_changes_something_takes_check() -> None:
    assert set(CHANGING.values()) == {method.name for method in METHODS.values() if method.changes}
    for words in CHANGING:
        command: click.Command = cli.main
        for word in words.split():
            assert isinstance(command, click.Group)
            command = command.commands[word]
        assert "check" in [parameter.name for parameter in command.params], words


# --- manual pages and completion --------------------------------------------------------------------------------


def commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from commands(each)


def test_a_manual_page_for_each_command(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli.main, ["man", str(tmp_path)])
    assert done.exit_code == 0, done.output
    pages = sorted(tmp_path.glob("man*/*"))
    assert len(pages) == len([*commands(cli.main)]) + len([*commands(nskd)])
    page = (tmp_path / "man1" / "nskctl-request-approve.1").read_text()
    for said in (".SH NAME", r"\-\-write\-statement", "nskctl\\-request(1)", ".SH EXIT STATUS"):
        assert said in page
    assert (tmp_path / "man8" / "nskd.8").exists()
    for path in pages:
        lines = path.read_text().splitlines()
        headings = [line for line in lines if line.startswith(".SH ")]
        assert headings[:2] == [".SH NAME", ".SH SYNOPSIS"]
        # Every line is a macro that there is, or text.
        assert all(re.match(r"\.(TH|SH|TP|PP|B|I) |\.(TP|PP)$", line) for line in lines if line[:1] in ".'"), path


def test_no_text_is_a_macro() -> None:
    described = click.Command("odd", help=".SH not a heading\n\n'nor this \\fB one\x2d")
    root = click.Group("nskctl", commands=[described], help=".so /etc/passwd")
    for _, text in manual.pages(root, "nskctl", "1"):
        assert not re.search(r"^\.(so|SH not)|^'|\\fB", text, flags=re.MULTILINE)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed here")
def test_groff_has_nothing_to_say_of_them(tmp_path: Path) -> None:
    assert CliRunner().invoke(cli.main, ["man", str(tmp_path)]).exit_code == 0
    pages = [str(path) for path in sorted(tmp_path.glob("man*/*"))]
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-k", "-ww", *pages], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", done.stdout)
    assert "NAME" in plain
    assert "Let nothing of this centre enter a run" in " ".join(plain.split())


@pytest.mark.parametrize("shell", manual.SHELLS)
def test_completion_scripts(shell: str) -> None:
    done = CliRunner().invoke(cli.main, ["completion", shell])
    assert done.exit_code == 0, done.output
    assert "_NSKCTL_COMPLETE" in done.output


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed here")
def test_bash_completes(tmp_path: Path) -> None:
    """The script, read by a real bash that asks the real program."""
    nskctl = Path(sys.executable).with_name("nskctl")
    if not nskctl.exists():
        pytest.skip("nskctl is not installed beside this Python")
    script = CliRunner().invoke(cli.main, ["completion", "bash"]).output
    (tmp_path / "complete").write_text(script)
    ask = (
        f"source {tmp_path}/complete; COMP_WORDS=(nskctl request re); COMP_CWORD=2; _nskctl_completion nskctl;"
        ' printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = {**os.environ, "PATH": f"{nskctl.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", ask], capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert done.stdout.split() == ["refuse", "revoke"], done.stderr
