"""``nskctl``: how this centre is, in words and numbers, and what an administrator does about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from nskd.control import answers, render
from nskd.control.app import EXIT_NO, App
from nskd.errors import OperatorError

_check = click.option("--check", is_flag=True, help="Only say what would happen.")
_LEVELS = ("debug", "info", "warning", "error")


@click.command()
@click.option("--strict", is_flag=True, help="Exit with 1 also when something only needs attention.")
@click.pass_obj
def status(app: App, strict: bool) -> None:
    """Say whether this centre is healthy and, where it is not, what to do.

    Exits with 0 when it works, 1 when it does not: no analysis can take place, or what happens is not on record.
    Each finding has an entry of its name in docs/operations.md.
    """
    shown = app.show(app.call("status"), answers.StatusAnswer, render.status)
    if shown.health == "not working" or (strict and shown.health != "ok"):
        click.get_current_context().exit(EXIT_NO)


@click.command()
@click.pass_obj
def metrics(app: App) -> None:
    """Print the numbers of this daemon, as Prometheus reads them."""

    def view(console: Console, answer: answers.MetricsAnswer) -> None:
        click.echo(answer.text, nl=False)

    app.show(app.call("metrics"), answers.MetricsAnswer, view)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.pass_obj
def bugreport(app: App, file: Path | None) -> None:
    """Write into FILE, or print, what helps others to help: versions, configuration, state, numbers, last log lines.

    It is text to be read before it is sent on. No key, share or row is in it, no name of a person, and no words that
    somebody typed.
    """
    answer = app.call("bugreport")
    app.read(answer, answers.BugReport)
    if file is None:
        app.dump(answer)
        return
    try:
        # Never over an older one, and for this user alone.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n")
    except OSError as exc:
        raise OperatorError(
            f"cannot be written: {exc.strerror}", where=str(file), remedy="Choose a new name in a directory of yours."
        ) from None
    if app.json:
        app.dump({"file": str(file)})
    else:
        click.echo(f"{file}: read it before you send it on")


@click.command()
@_check
@click.option("--exit", "ends", is_flag=True, help="Then end the daemon.")
@click.pass_obj
def drain(app: App, check: bool, ends: bool) -> None:
    """Let running sessions finish and take on nothing new, until the daemon is stopped or restarted."""

    def view(console: Console, answer: answers.DrainAnswer) -> None:
        rows = [("state", answer.state), ("sessions under way", str(answer.running))]
        render.pairs(console, [*rows, *((("daemon", "ends now"),) if answer.ends else ())])

    params: dict[str, Any] = {"check": check} | ({"exit": True} if ends else {})
    app.show(app.call("drain", **params), answers.DrainAnswer, view)


@click.command()
@_check
@click.pass_obj
def reload(app: App, check: bool) -> None:
    """Have the daemon read its configuration anew: roles and stock; the rest takes a restart."""
    app.show(
        app.call("reload", check=check),
        answers.ReloadAnswer,
        lambda console, answer: render.pairs(
            console,
            [
                ("changed", ", ".join(answer.changed) or "nothing"),
                ("after a restart", ", ".join(answer.restart_needed) or "nothing"),
            ],
        ),
    )


@click.group("log")
def log_group() -> None:
    """Look after the daemon's log; `journalctl -u nskd` shows it."""


@log_group.command("level")
@click.argument("level", type=click.Choice(_LEVELS), required=False)
@_check
@click.pass_obj
def log_level(app: App, level: str | None, check: bool) -> None:
    """Log from LEVEL on, until the daemon is restarted; without LEVEL, as nskd.toml says again.

    `nskctl status` shows it while it differs.
    """
    app.show(
        app.call("log.level", level=level, check=check),
        answers.LogLevelAnswer,
        lambda console, answer: render.pairs(
            console, [("logged from", answer.level), ("after a restart", answer.configured)]
        ),
    )
