"""``nskctl epoch end`` and ``nskctl backup``: what this centre keeps on its disk."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from nskd.control import answers, render
from nskd.control.app import App

_check = click.option("--check", is_flag=True, help="Only say what would happen.")


@click.group()
def epoch() -> None:
    """Look after the keys under which stock is made."""


@epoch.command("end")
@click.option("--reason", default="", metavar="TEXT", help="One line for log and audit log.")
@_check
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def epoch_end(app: App, reason: str, check: bool, yes: bool) -> None:
    """Destroy this centre's keys of the epoch, and all its stock; the centres then found a new epoch by themselves.

    For when somebody else may have read this machine's disk or memory. A run under way is stopped; it is tried again.
    """
    if not (yes or check):
        if app.json or not sys.stdin.isatty():
            raise click.UsageError("Nobody is here to be asked; say --yes to end the epoch.")
        click.confirm("End the epoch? All stock is made anew, at every centre.", abort=True)

    def view(console: Console, answer: answers.EpochEndAnswer) -> None:
        ended = answer.epoch or "there was none"
        render.pairs(console, [("would end" if answer.checked else "ended", ended)])

    app.show(app.call("epoch.end", reason=reason, check=check), answers.EpochEndAnswer, view)


@click.command()
@_check
@click.pass_obj
def backup(app: App, check: bool) -> None:
    """Write a sealed backup of requests, results, audit log, charters and contributions, and say where it is.

    The stock is not in it, on purpose. It is sealed under storage.key: keep a copy of the three key files elsewhere.
    The daemon keeps the latest one only; copy it to another machine.
    """

    def view(console: Console, answer: answers.BackupAnswer) -> None:
        if answer.path is None:
            render.pairs(console, [("entries of the audit log", answer.audit_entries)])
        else:
            render.pairs(
                console,
                [
                    ("backup", answer.path),
                    ("bytes", answer.size or 0),
                    ("entries of the audit log", answer.audit_entries),
                ],
            )

    app.show(app.call("backup", check=check), answers.BackupAnswer, view)
