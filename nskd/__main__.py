"""The command line of the daemon: ``nskd run`` for systemd, ``nskd sandbox`` for a workshop on one machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from nskd.config import DEFAULT_PATH
from nskd.errors import OperatorError, innermost

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
    from nskd.daemon.daemon import serve
    from nskd.daemon.memory import keep_buffers
    from nskd.notify import Notifier

    logs.configure(level="info", format="auto", stream=sys.stderr)
    try:
        config = load_config(config_path)
        logs.configure(level=config.log.level, format=config.log.format, stream=sys.stderr)
        keys = load_keys(credentials_directory(credentials, os.environ))
        keep_buffers()
        notifier = Notifier.from_environment(os.environ)
    except OperatorError as error:
        _refuse(error)
    try:
        trio.run(serve, config, config_path, keys, notifier)
    except* OperatorError as group:
        _refuse(innermost(group))
    finally:
        notifier.close()


def _refuse(error: BaseException) -> NoReturn:
    """One clear sentence, and the exit status on which a service manager does not try again."""
    click.echo(f"nskd: {error}", err=True)
    sys.exit(EXIT_CONFIGURATION)


def _add_sandbox() -> None:
    from nskd.sandbox.command import sandbox

    main.add_command(sandbox)


_add_sandbox()

if __name__ == "__main__":
    main()
