"""The command line of the daemon: ``nskd run`` for systemd, ``nskd rekey`` and ``nskd restore`` while it is stopped,
``nskd sandbox`` for a workshop on one machine, and what a hospital's data manager needs: the codebook, a check of an
extract, a made-up one.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Literal, NoReturn

import click

from nskd.config import DEFAULT_PATH
from nskd.errors import OperatorError, innermost

EXIT_NO = 1
EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h: systemd does not restart on it


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="nskd")
def main() -> None:
    """Joint statistics over hospital data that nobody shows to anyone."""


@main.command()
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, metavar="FILE"
)
@click.option(
    "--credentials",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the key files; $CREDENTIALS_DIRECTORY (set by systemd) by default.",
)
def run(config_path: Path, credentials: Path | None) -> None:
    """Run this centre's daemon until SIGTERM."""
    import trio

    from nskd import logs
    from nskd.config import load_config
    from nskd.credentials import credentials_directory, load_keys
    from nskd.daemon.memory import keep_buffers
    from nskd.daemon.serve import serve
    from nskd.data.errors import DataError
    from nskd.notify import Notifier
    from nskd.secrecy import keep_memory_private

    keep_memory_private()  # before there is anything in it
    logs.configure(level="info", format="auto", stream=sys.stderr)
    try:
        config = load_config(config_path)
        logging = logs.configure(level=config.log.level, format=config.log.format, stream=sys.stderr)
        keys = load_keys(credentials_directory(credentials, os.environ))
        keep_buffers()
        notifier = Notifier.from_environment(os.environ)
    except OperatorError as error:
        _refuse(error)
    try:
        trio.run(serve, config, config_path, keys, notifier, logging)
    except* OperatorError as group:
        found = innermost(group)
        _refuse(found.without_values() if isinstance(found, DataError) else found)  # for the journal
    finally:
        notifier.close()


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--pack", default="nsk", show_default=True, metavar="DIR", help="A pack's directory, or a built-in name.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="The same seed, the same file; random by default.")
@click.option("--visits", type=click.IntRange(1, 1_000_000), default=2000, show_default=True)
def synthetic(file: Path, pack: str, seed: int | None, visits: int) -> None:
    """Write a made-up extract to FILE, to practise with: CSV, no child in it is real."""
    from nskd.packs.pack import load_pack
    from nskd.packs.synthetic import generate, write_visits

    try:
        if file.exists():
            raise OperatorError("it exists already", where=str(file), remedy="Choose a new name.")
        made = generate(load_pack(pack), seed=secrets.randbits(32) if seed is None else seed, centre=0, visits=visits)
        try:
            write_visits(made, file)
        except OSError as error:
            raise OperatorError(
                f"it cannot be written: {error.strerror}", where=str(file), remedy="Check the directory."
            ) from error
    except OperatorError as error:
        _refuse(error, EXIT_NO)
    click.echo(f"{file}: {visits:,} made-up visits")


@main.command()
@click.option("--pack", default="nsk", show_default=True, metavar="DIR", help="A pack's directory, or a built-in name.")
@click.option("--language", type=click.Choice(["en", "nl"]), default="en", show_default=True)
def codebook(pack: str, language: Literal["en", "nl"]) -> None:
    """Print the codebook as Markdown: the columns of an extract and their values."""
    from nskd.packs.document import markdown
    from nskd.packs.pack import load_pack

    try:
        click.echo(markdown(load_pack(pack), language), nl=False)
    except OperatorError as error:
        _refuse(error, EXIT_NO)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
def acro(file: Path) -> None:
    """Turn an ACRO file of thresholds (YAML) into the [disclosure] table of a charter."""
    from nskd.governance.acro import load_acro

    try:
        thresholds = load_acro(file)
    except OperatorError as error:
        _refuse(error, EXIT_NO)
    for note in thresholds.notes:
        click.echo(f"nskd: no counterpart for {note}", err=True)
    click.echo(thresholds.toml, nl=False)


def _refuse(error: BaseException, status: int = EXIT_CONFIGURATION) -> NoReturn:
    """One clear sentence; by default with the exit status on which a service manager does not try again."""
    click.echo(f"nskd: {error}", err=True)
    sys.exit(status)


def _add_commands() -> None:
    from nskd.extract_command import check, quality
    from nskd.sandbox.command import sandbox
    from nskd.state_command import rekey, restore

    for command in (check, quality, sandbox, rekey, restore):
        main.add_command(command)


_add_commands()

if __name__ == "__main__":
    main()
