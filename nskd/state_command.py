"""``nskd rekey`` and ``nskd restore``: work on a state directory whose daemon is stopped."""

from __future__ import annotations

import datetime
import os
import sys
import time
from pathlib import Path
from typing import BinaryIO, NoReturn

import click

from nskd.config import DEFAULT_PATH
from nskd.errors import OperatorError

_config = click.option(
    "--config", "config_path", type=click.Path(path_type=Path), default=DEFAULT_PATH, show_default=True, metavar="FILE"
)
_credentials = click.option(
    "--credentials",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Directory of the key files in use; $CREDENTIALS_DIRECTORY (set by systemd) by default.",
)


@click.command()
@_config
@_credentials
@click.option(
    "--new",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The new storage key; storage.key.new in the credentials directory by default.",
)
@click.option("--end-epoch", is_flag=True, help="Destroy the stock: the old key may be known to others.")
def rekey(config_path: Path, credentials: Path | None, new: Path | None, end_epoch: bool) -> None:
    """Seal everything on disk under another storage key, while the daemon is stopped.

    Killed at any moment, it leaves everything to one of the two keys, and goes on where it was when it is run again.
    """
    from nskd import rekey as rekeying
    from nskd.config import load_config
    from nskd.credentials import credentials_directory, load_keys, load_storage_key
    from nskd.governance.audit import Event
    from nskd.governance.audit_file import AuditFile
    from nskd.owner import become_owner
    from nskd.state_lock import locked

    try:
        config = load_config(config_path)
        directory = credentials_directory(credentials, os.environ)
        keys = load_keys(directory)
        fresh = load_storage_key(new or directory / "storage.key.new")
        state = config.state.directory
        become_owner(state)
        with (
            locked(state),
            AuditFile.open(
                state / "audit.ndjson",
                centre=config.centre.name,
                sign=keys.signing.signer(),
                now=int(time.time()),
                entropy=os.urandom,
            ) as audit,
        ):
            rekeying.rekey(state, keys, fresh, now=int(time.time()), end_epoch=end_epoch)
            audit.append(
                Event.STORAGE_REKEYED, now=int(time.time()), details={"stock": "ended" if end_epoch else "kept"}
            )
    except OperatorError as error:
        _refuse("rekey", error)
    click.echo(f"{state}: sealed under the new storage key; put it in the place of storage.key, then start the daemon")


@click.command()
@_config
@_credentials
@click.option(
    "--storage-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The storage key of the backup's time, if it has been replaced since.",
)
@click.argument("file", type=click.Path(path_type=Path))
def restore(config_path: Path, credentials: Path | None, storage_key: Path | None, file: Path) -> None:
    """Put the backup in FILE back into an empty state directory.

    The centre is paused afterwards: look at `nskctl status`, then `nskctl resume`.
    """
    from nskd import restore as restoring
    from nskd.config import load_config
    from nskd.credentials import credentials_directory, load_keys, load_storage_key
    from nskd.owner import become_owner
    from nskd.state_lock import locked

    try:
        config = load_config(config_path)
        keys = load_keys(credentials_directory(credentials, os.environ))
        former = None if storage_key is None else load_storage_key(storage_key)
        with _opened(file) as source:  # which only root may be able to read
            become_owner(config.state.directory)
            with locked(config.state.directory):
                manifest = restoring.restore(config, keys, source, now=int(time.time()), former=former)
    except OperatorError as error:
        _refuse("restore", error)
    made = datetime.datetime.fromtimestamp(manifest.made_at, datetime.UTC)
    click.echo(
        f"{manifest.centre} is as it was on {made:%Y-%m-%d %H:%M} UTC, with {manifest.sequence} entries in its audit"
        " log; it is paused, and makes its stock anew"
    )


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise OperatorError(
            f"it cannot be read: {error.strerror}", where=str(file), remedy="Name the file that nskctl backup wrote."
        ) from error


def _refuse(command: str, error: BaseException) -> NoReturn:
    click.echo(f"nskd {command}: {error}", err=True)
    sys.exit(1)
