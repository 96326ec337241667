"""What a hospital's data manager asks of an extract before anything is computed from it: ``check`` and ``quality``.

Neither needs a daemon, and nothing of what they read leaves this machine.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs
import click

from nskd.errors import OperatorError

if TYPE_CHECKING:
    from nskd.data.load import Dataset, LeftOut
    from nskd.data.optout import OptOuts
    from nskd.data.quality import Quality
    from nskd.governance.explain.page import Language
    from nskd.packs.pack import Pack

_WIDE: Final = 120  # columns where there is no terminal
_ROWS_TOLD: Final = 50_000
F = TypeVar("F", bound=Callable[..., Any])


@attrs.frozen
class Asked:
    """Which extract: a file with what goes with it, or what a configuration names."""

    file: Path | None
    table: str | None
    config: Path | None
    credentials: Path | None
    pack: str | None
    opt_out: Path | None


@attrs.frozen
class Opened:
    """An extract that is in order, without those who object."""

    dataset: Dataset
    pack: Pack
    listed: OptOuts | None
    left_out: LeftOut | None


def _asking(function: F) -> F:
    """The arguments that say which extract."""
    path = click.Path(path_type=Path)
    for option in (
        click.option("--opt-out", type=path, metavar="LIST", help="The list of people who object."),
        click.option("--pack", metavar="DIR", help="A pack's directory, or a built-in name; nsk by default."),
        click.option(
            "--credentials",
            type=path,
            metavar="DIR",
            help="Where database.password is, if the server asks for one; $CREDENTIALS_DIRECTORY by default.",
        ),
        click.option("--config", type=path, metavar="NSKD.TOML", help="Take all this from [data] of a configuration."),
        click.option("--table", metavar="NAME", help="The table or view, if FILE is a DuckDB database."),
        click.argument("file", type=path, required=False),
    ):
        function = option(function)
    return function


@click.command()
@_asking
def check(**given: Any) -> None:
    """Check the extract in FILE as the daemon would, and say what is wrong by row and column.

    FILE is CSV, Parquet, a DuckDB database (with --table), or FHIR resources one a line, also as a directory. With
    --opt-out, check that list too, and say how many visits it leaves out.

    Needs no daemon, and nothing of it leaves this machine.
    """
    with _opened(Asked(**given)) as opened:
        dataset = opened.dataset
        click.echo(f"{dataset.origin}: in order, {dataset.rows:,} visits")
        for rule, count in dataset.warnings.counts.items():
            said = next(each.text.en for each in dataset.codebook.rules if each.id == rule)
            rows = [str(each.row) for each in dataset.warnings.findings if f"rule {rule}" in each.wrong]
            more = ", …" if count > len(rows) else ""
            one = count == 1
            place = f"{'row' if one else 'rows'} {', '.join(rows)}{more}"
            click.echo(f"  remark {rule}: {count:,} {'visit' if one else 'visits'} ({place}). {said}")
        listed, left_out = opened.listed, opened.left_out
        if listed is not None and left_out is not None:
            click.echo(
                f"{listed.path}: in order, {len(listed.people):,} people object ({listed.void:,} of"
                f" {listed.entries:,} entries are not in force);"
                f" {left_out.visits:,} visits of {left_out.people:,} of them are left out"
            )


@click.command()
@_asking
@click.option("--language", type=click.Choice(["nl", "en"]), default="nl", show_default=True)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), metavar="PAGE", help="Write a page as well.")
def quality(language: Language, html: Path | None, **given: Any) -> None:
    """Report how far each field of an extract is filled, and how well its fields agree.

    The mirror report (spiegelrapport) and the quality report (kwaliteitsrapport), for this centre alone: they show
    small numbers too. FILE is as for check.
    """
    from nskd.data.quality import quality as count
    from nskd.governance.explain.words import moment
    from nskd.report.page import render
    from nskd.report.quality import quality_document

    with _opened(Asked(**given)) as opened:
        found = count(opened.dataset)
        document = quality_document(
            found,
            title=opened.pack.title,
            source=opened.dataset.origin.name,
            digest=opened.dataset.digest.hex(),
            left_out=None if opened.left_out is None else opened.left_out.visits,
            made=moment(int(time.time())),
        )
    _print(found, document.summary, language)
    if html is not None:
        with _complaining():
            _write(html, render(document, language))
        click.echo(html)


@contextmanager
def _opened(asked: Asked) -> Iterator[Opened]:
    """Read it all, and leave out who objects before anything else looks at a row."""
    from nskd.config import load_config
    from nskd.credentials import DIRECTORY_VARIABLE, load_password
    from nskd.data.load import load
    from nskd.data.optout import read_opt_outs
    from nskd.data.origin import OriginError, origin_of
    from nskd.packs.pack import load_pack

    if (asked.file is None) == (asked.config is None):
        raise click.UsageError("Give FILE, or --config with a configuration that says where the data are.")
    if asked.config is not None and (asked.table or asked.pack or asked.opt_out):
        raise click.UsageError("--table, --pack and --opt-out go with FILE; --config has its own.")
    with _complaining():
        pack, opt_out = asked.pack or "nsk", asked.opt_out
        if asked.config is not None:
            config = load_config(asked.config)
            origin, pack, opt_out = config.data.origin, config.data.pack, config.data.opt_out
            if origin is None:
                raise OperatorError(
                    "it names no data", where=str(asked.config), remedy="Add source or url under [data]."
                )
        else:
            try:
                origin = origin_of(source=asked.file, url=None, table=asked.table)
            except OriginError as error:
                raise OperatorError(error.what, where=f"--{error.key}", remedy=error.remedy) from None
            if origin is None:
                raise OperatorError("no data is named", where="FILE", remedy="Name a file, or give --config.")
        directory = asked.credentials or Path(os.environ.get(DIRECTORY_VARIABLE) or "/nonexistent")
        known = load_pack(pack)
        listed = None if opt_out is None else read_opt_outs(opt_out, now=int(time.time()))
        with load(origin, known, password=load_password(directory), progress=_progress()) as dataset:
            left_out = None if listed is None else dataset.leave_out(listed.people)
            yield Opened(dataset, known, listed, left_out)


@contextmanager
def _complaining() -> Iterator[None]:
    """One clear sentence, and exit status 1."""
    try:
        yield
    except OperatorError as error:
        click.echo(f"nskd: {error}", err=True)
        sys.exit(1)


def _progress() -> Callable[[int], None]:
    """Tell whoever sits at a terminal now and then how many rows have come in."""

    def told(rows: int) -> None:
        if rows % _ROWS_TOLD == 0 and sys.stderr.isatty():
            click.echo(f"reading: {rows:,} rows", err=True)

    return told


def _print(found: Quality, summary: tuple[Any, ...], language: Language) -> None:
    from rich.console import Console

    from nskd.control import render
    from nskd.governance.explain.page import say
    from nskd.packs.codebook import Text
    from nskd.report import quality as page
    from nskd.report.words import count

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE

    def table(title: Text, heads: tuple[Text, ...], rows: Any) -> None:
        console.print(f"\n{say(title, language)}\n", markup=False)
        shown = ([say(c, language) if isinstance(c, Text) else count(c) for c in row] for row in rows)
        render.table(console, [say(head, language) for head in heads], shown, right=1)

    console.print(say(page.NOTICE, language), markup=False)
    for sentence in summary:
        console.print(say(sentence, language), markup=False)
    table(page.FILL, page.FILL_HEADS, page.fill_rows(found))
    if found.rules:
        table(page.RULES, page.RULE_HEADS, page.rule_rows(found))


def _write(path: Path, page: str) -> None:
    """Write a file that only its owner can read."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, 0o600)
            file.write(page)
    except OSError as error:
        raise OperatorError(
            f"it cannot be written: {error.strerror}", where=str(path), remedy="Check the directory."
        ) from error
