"""``nskctl request from-sql``: a request file from SQL.  Needs no daemon."""

from __future__ import annotations

import sys
from typing import Final

import click

from nskd.control.app import App

_CHARACTER_BYTES: Final = 4  # of UTF-8, at most


@click.command("from-sql")
@click.argument("sql")
@click.option("--title", required=True, help="What the stewards read first.")
@click.option("--purpose", required=True, help="The id of the charter's purpose that it serves.")
@click.option("--column", "columns", multiple=True, metavar="VARIABLE", help="Goes across instead of down; repeatable.")
@click.option("--permit", help="The id of the permit that it keeps to.")
@click.option(
    "--pack",
    default="nsk",
    show_default=True,
    metavar="DIR",
    help="The workshop's pack: a directory, or a built-in name.",
)
@click.pass_obj
def from_sql(
    app: App, sql: str, title: str, purpose: str, columns: tuple[str, ...], permit: str | None, pack: str
) -> None:
    """Print the request that SQL asks for, to be submitted like any other.

    SQL is SELECT variables, COUNT(*) or COUNT(DISTINCT child) FROM visits WHERE a condition GROUP BY the variables; -
    for standard input.
    """
    from nskd.client import Client
    from nskd.client.sql_gate import SQL_CHARS_MAX

    if sql == "-":
        sql = sys.stdin.buffer.read(_CHARACTER_BYTES * SQL_CHARS_MAX + 1).decode(errors="replace")
    client = Client(app.socket, pack=pack)
    request = client.sql(sql, title=title, purpose=purpose, columns=columns, permit=permit)
    if app.json:
        app.dump({"text": request.text})
    else:
        click.echo(request.text, nl=False)
