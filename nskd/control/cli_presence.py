"""``nskctl pause``, ``resume`` and ``leave``: whether this centre takes part."""

from __future__ import annotations

import sys

import click

from nskd.control import answers, render
from nskd.control.app import App

_reason = click.option("--reason", default="", metavar="TEXT", help="One line that all centres are shown; no names.")
_check = click.option("--check", is_flag=True, help="Only say whether it could be done.")


@click.command()
@_reason
@_check
@click.pass_obj
def pause(app: App, reason: str, check: bool) -> None:
    """Let nothing of this centre enter a run, at once and until `nskctl resume`; restarts change nothing about it.

    Approvals that were given stay, and no new ones are given. A run to which this centre's data has been given already
    is seen through; any other stops.
    """
    app.show(app.call("pause", reason=reason, check=check), answers.PresenceAnswer, render.presence)


@click.command()
@_check
@click.pass_obj
def resume(app: App, check: bool) -> None:
    """Take part again after a pause. What came meanwhile is for a steward to decide, not for a standing policy."""
    app.show(app.call("resume", check=check), answers.PresenceAnswer, render.presence)


@click.command()
@_reason
@_check
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def leave(app: App, reason: str, check: bool, yes: bool) -> None:
    """Leave the workshop under its present charter, for good: open requests end at every centre.

    The way back is a later version of the charter, signed by this centre as well.
    """
    if not (yes or check):
        if app.json or not sys.stdin.isatty():
            raise click.UsageError("Nobody is here to be asked; say --yes to leave.")
        click.confirm("Leave the workshop? There is no way back under the present charter.", abort=True)
    app.show(app.call("leave", reason=reason, check=check), answers.PresenceAnswer, render.presence)
