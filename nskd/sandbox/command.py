"""``nskd sandbox``: the options, and errors in one sentence."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from nskd.errors import OperatorError
from protocol.limits import PARTIES_MAX, PARTIES_MIN

CENTRES_DEFAULT: Final = 3
REQUEST_DEFAULT: Final = """\
kind = "table"
title = "Positive NSK screens by age band"
purpose = "improvement"
rows = "age_band"
columns = "nsk_positive"
measure = "children"
"""
_File = click.Path(path_type=Path)


@click.command()
@click.option(
    "--centres",
    type=click.IntRange(PARTIES_MIN, PARTIES_MAX),
    help=f"How many centres; as many as --data files, else {CENTRES_DEFAULT}.",
)
@click.option(
    "--data", type=_File, multiple=True, metavar="FILE", help="A centre's CSV or Parquet file; once per centre."
)
@click.option("--pack", default="nsk", show_default=True, metavar="DIR", help="A pack's directory, or a built-in name.")
@click.option("--request", type=_File, metavar="FILE", help="The request; positive rate by age band by default.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="For the synthetic extracts; random and printed by default."
)
@click.option("--json", "json_path", type=_File, metavar="PATH", help="Write cells and phases there as well.")
@click.option("--threshold", type=int, default=10, show_default=True, help="Distinct children a cell needs.")
@click.option("--insider/--no-insider", default=True, show_default=True, help="Also without any one centre's own.")
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
    keep: Path | None,
) -> None:
    """Run a whole workshop on this machine: a process per centre, real channels, real preprocessing.

    Without --data each centre gets a synthetic extract. Nothing is short-circuited, and nothing leaves the
    loopback address.
    """
    if data and centres not in (None, len(data)):
        raise click.UsageError(f"--centres {centres} does not fit {len(data)} --data files; leave it out.")
    if data and not PARTIES_MIN <= len(data) <= PARTIES_MAX:
        raise click.UsageError(f"give {PARTIES_MIN} to {PARTIES_MAX} --data files, not {len(data)}.")
    seed = None if data else (secrets.randbits(32) if seed is None else seed)
    try:
        with _directory(keep) as directory:
            _run(
                directory,
                centres or len(data) or CENTRES_DEFAULT,
                data,
                pack,
                request,
                seed,
                json_path,
                threshold,
                insider,
            )
    except* OperatorError as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        click.echo(f"nskd sandbox: {error}", err=True)
        sys.exit(1)


def _run(
    directory: Path,
    centres: int,
    data: tuple[Path, ...],
    pack_source: str,
    request: Path | None,
    seed: int | None,
    json_path: Path | None,
    threshold: int,
    insider: bool,
) -> None:
    import trio
    from rich.console import Console

    from nskd.control.answers import ResultAnswer
    from nskd.packs.pack import load_pack
    from nskd.sandbox.centres import running
    from nskd.sandbox.drive import ask
    from nskd.sandbox.layout import Rules, lay_out
    from nskd.sandbox.show import Progress, as_json, show_phases, show_result
    from protocol.lattice.selftest import selftest

    console = Console(highlight=False)
    began_s = time.monotonic()
    text = REQUEST_DEFAULT if request is None else _read(request)
    pack = load_pack(pack_source if "/" not in pack_source else Path(pack_source).resolve())
    progress = Progress(console)
    progress.begin("compiling or loading the kernels")
    selftest()
    if seed is not None:
        progress.begin(f"writing {centres} synthetic extracts (--seed {seed})")
    workers = max(1, (os.cpu_count() or 1) // centres)
    source = pack_source if "/" not in pack_source else str(Path(pack_source).resolve())
    files = lay_out(
        directory,
        pack,
        source,
        centres=centres,
        data=data,
        seed=seed or 0,
        rules=Rules(threshold, insider),
        workers=workers,
    )

    async def main() -> ResultAnswer:
        async with running(files) as processes:
            return await ask(processes, text, progress)

    answer = trio.run(main)
    show_result(console, answer, centres)
    show_phases(console, progress.phases)
    console.print(f"total {time.monotonic() - began_s:.1f} s")
    if json_path is not None:
        _write(json_path, json.dumps(as_json(answer, progress.phases, seed), ensure_ascii=False, indent=1) + "\n")


@contextlib.contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="nskd-sandbox-") as name:
            yield Path(name)
        return
    try:
        keep.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise OperatorError(
            f"it cannot be made: {error.strerror}", where=str(keep), remedy="Name a directory that does not exist yet."
        ) from error
    yield keep.resolve()


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise OperatorError(
            f"the request cannot be read: {error}",
            where=str(path),
            remedy="Give a TOML file; see configs/request.toml.",
        ) from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise OperatorError(
            f"the result cannot be written: {error.strerror}", where=str(path), remedy="Choose another --json path."
        ) from error
