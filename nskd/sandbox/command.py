"""``nskd sandbox``: the options, and errors in one sentence."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Final

import click

from nskd.errors import OperatorError, innermost
from nskd.governance.limits import THRESHOLD_DEFAULT, THRESHOLD_MAX, THRESHOLD_MIN
from nskd.sandbox.options import Language, Options, Rules
from protocol.limits import PARTIES_MAX, PARTIES_MIN

CENTRES_DEFAULT: Final = 3
EXIT_INTERRUPTED: Final = 130  # as a shell reports SIGINT
_WIDE: Final = 240  # columns of a file or pipe, where nothing needs folding
_File = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--centres",
    type=click.IntRange(PARTIES_MIN, PARTIES_MAX),
    help=f"How many centres; as many as --data files, else {CENTRES_DEFAULT}.",
)
@click.option(
    "--data", type=_File, multiple=True, metavar="FILE", help="A centre's CSV or Parquet file; once per centre."
)
@click.option("--pack", default="nsk", show_default=True, metavar="DIR", help="A pack's directory, or a built-in name.")
@click.option("--request", type=_File, metavar="FILE", help="The request; positive screens by age band by default.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="For the synthetic extracts; random and printed by default."
)
@click.option("--json", "json_path", type=_File, metavar="PATH", help="Write cells and phases there as well.")
@click.option(
    "--threshold",
    type=click.IntRange(THRESHOLD_MIN, THRESHOLD_MAX),
    default=THRESHOLD_DEFAULT,
    show_default=True,
    help="Distinct children a cell needs.",
)
@click.option("--insider/--no-insider", default=True, show_default=True, help="Also without any one centre's own.")
@click.option(
    "--language", type=click.Choice(["en", "nl"]), default="en", show_default=True, help="Of the labels in the table."
)
@click.option(
    "--keep", type=_File, metavar="DIR", help="Work in this new directory and keep it, logs and keys included."
)
def sandbox(
    centres: int | None,
    data: tuple[Path, ...],
    pack: str,
    request: Path | None,
    seed: int | None,
    json_path: Path | None,
    threshold: int,
    insider: bool,
    language: Language,
    keep: Path | None,
) -> None:
    """Run a whole workshop on this machine: a process per centre, real channels, real preprocessing.

    Without --data each centre gets a synthetic extract. Nothing is short-circuited, and nothing leaves the
    loopback address. The table goes to standard output, progress to standard error.
    """
    if data and not PARTIES_MIN <= len(data) <= PARTIES_MAX:
        raise click.UsageError(f"Give {PARTIES_MIN} to {PARTIES_MAX} --data files, not {len(data)}.")
    if data and centres not in (None, len(data)):
        raise click.UsageError(f"--centres {centres} does not fit {len(data)} --data files; leave it out.")
    if data and seed is not None:
        raise click.UsageError("--seed is for synthetic extracts; leave it out with --data.")
    if seed is None and not data:
        seed = secrets.randbits(32)
    _run(
        Options(
            centres=centres or len(data) or CENTRES_DEFAULT,
            data=data,
            pack=pack,
            request=request,
            seed=seed,
            json_path=json_path,
            rules=Rules(threshold, insider),
            language=language,
            keep=keep,
        )
    )


def _run(options: Options) -> None:
    from rich.console import Console

    from nskd.sandbox.workshop import StoppedError, run

    out, err = (Console(stderr=stderr, highlight=False) for stderr in (False, True))
    for console in (out, err):
        if not console.is_terminal:
            console.width = _WIDE
    problem: BaseException | None = None
    stopped = False
    try:
        run(options, out, err)
    except* OperatorError as group:
        problem = innermost(group)
    except* (KeyboardInterrupt, StoppedError):
        stopped = True
    if stopped:
        click.echo("nskd sandbox: stopped", err=True)
        sys.exit(EXIT_INTERRUPTED)
    if problem is not None:
        click.echo(f"nskd sandbox: {problem}", err=True)
        sys.exit(1)
