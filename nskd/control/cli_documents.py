"""``nskctl dpia`` and ``nskctl catalogue``: documents about this centre, from what is in force."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Literal

import click
from rich.console import Console

from nskd.control import answers
from nskd.control.app import App

_config = click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read this configuration and its charter instead of asking the daemon, which need not run.",
)


@click.command()
@_config
@click.pass_obj
def dpia(app: App, config_path: Path | None) -> None:
    """Print a data protection impact assessment of this centre, in Dutch, as Markdown.

    In the 17 points of the Model DPIA Rijksdienst, filled in from charter, codebook and configuration. What people
    have to write or judge is marked OPEN PUNT, and listed at the end.
    """
    answer = _print(app, "dpia", config_path)
    if not app.json:
        click.echo(f"{len(answer.gaps)} open points, listed at the end.", err=True)


@click.command()
@_config
@click.pass_obj
def catalogue(app: App, config_path: Path | None) -> None:
    """Print this centre's data set as a catalogue entry: Health-RI core metadata v2 (HealthDCAT-AP), as Turtle.

    The section [catalogue] of the configuration names the data set, the centre and whom to ask.
    """
    _print(app, "catalogue", config_path)


def _print(app: App, kind: Literal["dpia", "catalogue"], config_path: Path | None) -> answers.DocumentAnswer:
    answer = app.call("document", kind=kind) if config_path is None else _from_files(kind, config_path)

    def view(console: Console, document: answers.DocumentAnswer) -> None:
        click.echo(document.text, nl=False)

    return app.show(answer, answers.DocumentAnswer, view)


def _from_files(kind: Literal["dpia", "catalogue"], config_path: Path) -> dict[str, object]:
    from nskd.documents.catalogue import catalogue as write_catalogue
    from nskd.documents.dpia import dpia as write_dpia
    from nskd.documents.read import read

    facts = read(config_path, today=datetime.datetime.now(datetime.UTC).date())
    if kind == "catalogue":
        return {"kind": kind, "text": write_catalogue(facts), "gaps": []}
    report = write_dpia(facts)
    return {"kind": kind, "text": report.markdown(), "gaps": [f"{number} {what}" for number, what in report.gaps]}
