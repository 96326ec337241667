"""``nskctl report``: what was released as files that people and programs read, made here from what is on record.

The page is self-contained: one file, which loads nothing and runs nothing, to be read, printed or sent on.
"""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from nskd.control import answers
from nskd.control.app import App
from nskd.control.arguments import request_name
from nskd.errors import OperatorError
from nskd.governance.charter import Charter, parse_charter
from nskd.governance.explain.page import Language

if TYPE_CHECKING:
    from nskd.client.result import Result
    from nskd.report.context import Context

_FORMATS: Final = ("html", "csv", "json", "parquet")
_FIGURES: Final = "figures"  # beside the counts as CSV, for what is computed from them
_NAME_CHARS: Final = 12  # of the request's digest, as lists show it


@click.command("report")
@request_name
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where to write the files; here by default.",
)
@click.option(
    "--format", "formats", multiple=True, type=click.Choice(_FORMATS), help="Only this kind of file; repeatable."
)
@click.option("--language", type=click.Choice(["nl", "en"]), default="nl", show_default=True, help="Of the page.")
@click.option("--pack", default=None, metavar="DIR", help="The workshop's pack, if it is not a built-in one.")
@click.option("--open", "open_it", is_flag=True, help="Show the page in a browser.")
@click.pass_obj
def report(
    app: App,
    name: str,
    out: Path,
    formats: tuple[str, ...],
    language: Language,
    pack: str | None,
    open_it: bool,
) -> None:
    """Write what was released for REQUEST as a page to read and print, and beside it as CSV, JSON and Parquet.

    The CSV holds the counts as they were released; what a rate, a chart or another kind computes from them is in a
    second one, which ends in .figures.csv.
    """
    if open_it and formats and "html" not in formats:
        raise click.UsageError("--open shows the page: add --format html.")
    answer = app.read(app.call("result.show", request=name), answers.ResultAnswer)
    if answer.release is None:
        raise OperatorError(
            f"nothing was released: it is {answer.state}",
            where=f"request {name}",
            remedy="See nskctl request show.",
        )
    written: list[Path] = []
    for kind in formats or _FORMATS:
        path = out / f"{answer.request[:_NAME_CHARS]}.{kind}"
        _write(path, _content(app, kind, answer, language, pack))
        written.append(path)
        if kind == "csv" and (computed := _figures(app, answer, pack)) is not None:
            beside = path.with_suffix(f".{_FIGURES}.csv")
            _write(beside, _writer(computed))
            written.append(beside)
    if app.json:
        app.dump({"files": [str(path) for path in written]})
    else:
        for path in written:
            click.echo(path)
    if open_it:
        webbrowser.open(next(path for path in written if path.suffix == ".html").resolve().as_uri())


def _content(
    app: App, kind: str, answer: answers.ResultAnswer, language: Language, pack: str | None
) -> Callable[[Path], object]:
    """What writes one file."""
    from nskd.client.result import Result

    found = Result(title=answer.title, release=answer.release or {}, request=answer.request, digest=answer.digest)
    match kind:
        case "html":
            page = _page(app, answer, language, pack)
            return lambda path: path.write_text(page, encoding="utf-8")
        case "csv":
            return lambda path: path.write_text(found.to_csv(), encoding="utf-8")
        case "json":
            return lambda path: path.write_text(found.to_json() + "\n", encoding="utf-8")
        case _:
            return lambda path: _parquet(path, found)


def _page(app: App, answer: answers.ResultAnswer, language: Language, pack: str | None) -> str:
    from nskd.report.kinds import document
    from nskd.report.page import render

    page = document(
        answer.release or {}, _context(app, answer, pack), own=answer.own_point, case_mix=answer.own_case_mix
    )
    return render(page, language)


def _writer(content: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(content, encoding="utf-8")


def _figures(app: App, answer: answers.ResultAnswer, pack: str | None) -> str | None:
    """The figures of a kind beside a table as CSV; None for a table, which has none but its counts."""
    from nskd.report.kinds import figures

    if "kind" not in (answer.release or {}):
        return None
    found = figures(answer.release or {}, _context(app, answer, pack))
    return None if found is None else found.to_csv()


def _context(app: App, answer: answers.ResultAnswer, pack: str | None) -> Context:
    from nskd.packs.pack import load_pack
    from nskd.report.context import Context

    charter = charter_of(app, answer)
    return Context.of(
        charter,
        load_pack(pack or charter.pack).codebook,
        purpose=answer.purpose or "",
        request=answer.request,
        result=answer.digest or "",
        released_at=answer.recorded_at,
    )


def charter_of(app: App, answer: answers.ResultAnswer) -> Charter:
    """The one under which the table was asked: who took part is as it was then."""
    found = app.read(app.call("charter", digest=answer.charter), answers.CharterAnswer)
    return parse_charter(found.text.encode(), where=str(app.socket))


def _parquet(path: Path, found: Result) -> None:
    import duckdb

    columns = found.columns()
    kinds = {name: "BIGINT" if name == found.count_name else "VARCHAR" for name in columns}
    listed = ", ".join(f'"{name}" {kind}' for name, kind in kinds.items())
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE released ({listed})")
        into = f"INSERT INTO released VALUES ({', '.join('?' * len(kinds))})"  # noqa: S608 (question marks alone)
        connection.executemany(into, list(zip(*columns.values(), strict=True)))
        connection.table("released").write_parquet(str(path))


def _write(path: Path, content: Callable[[Path], object]) -> None:
    import duckdb

    try:
        content(path)
    except (OSError, duckdb.IOException) as exc:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise OperatorError(
            f"cannot be written: {why}", where=str(path), remedy="Name a directory that exists, with --out."
        ) from None
