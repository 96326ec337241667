"""A table or view of a DuckDB database file → `staging`; the file is opened read-only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nskd.data import validate
from nskd.data.errors import DataError, Finding
from nskd.data.source import HEAD_BYTES, is_duckdb, open_regular
from nskd.data.staged import ROWS_MAX, Numbering, Staged, table_digest
from nskd.packs.codebook import Codebook
from nskd.packs.conditions import identifier, text

if TYPE_CHECKING:
    import duckdb

_READABLE: Final = re.compile(r"VARCHAR|ENUM\(.*\)|U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?|UUID|DECIMAL\(\d+,0\)", re.S)


def stage_table(connection: duckdb.DuckDBPyConnection, path: Path, table: Sequence[str], codebook: Codebook) -> Staged:
    """Stage a table, in order of its visit identifiers. Raises `DataError`."""
    import duckdb

    where = f"{path}, {'.'.join(table)}"
    with open_regular(path, "give a readable DuckDB database file") as file:
        if not is_duckdb(file.read(HEAD_BYTES)):
            raise _refuse(path, "is not a DuckDB database file", 'leave "table" out for a file of another kind')
    try:
        # By its path: recent changes may lie beside it, in a log that is found by its name.
        connection.execute(f"ATTACH {text(str(path.absolute()))} AS origin (READ_ONLY)")
    except duckdb.Error as error:
        if "Could not set lock" in str(error):
            raise _refuse(path, "another program has it open", "close it there, or give a copy of the file") from None
        raise _refuse(path, "cannot be opened as a DuckDB database", "was it written by a newer DuckDB?") from None
    # A view reads what is in this file, and nothing that it may name elsewhere.
    connection.execute("SET enable_external_access = false")
    name = ".".join(map(identifier, ("origin", *table) if len(table) > 1 else ("origin", "main", *table)))
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {name}").fetchall()  # noqa: S608
        columns = tuple(str(row[0]) for row in described)
        validate.check_columns(columns, codebook, where)
        check_types(((str(row[0]), str(row[1])) for row in described), _READABLE, where)
        selected = ", ".join(f"CAST({identifier(n)} AS VARCHAR) AS {identifier(n)}" for n in columns)
        connection.execute(f"CREATE TABLE incoming AS SELECT {selected} FROM {name} LIMIT {ROWS_MAX + 1}")  # noqa: S608
    except duckdb.CatalogException:
        raise _refuse(path, f"there is no table or view {'.'.join(table)} in it", "correct its name") from None
    except duckdb.OutOfMemoryException:
        raise
    except duckdb.Error as error:
        # The engine's message may quote a row; it stays out of ours.
        wrong = f"the table cannot be read ({type(error).__name__})"
        raise _refuse(where, wrong, "try SELECT * FROM it with duckdb; a view may read this file alone") from None
    connection.execute("DETACH origin")
    return staged(connection, columns, codebook, where)


def staged(
    connection: duckdb.DuckDBPyConnection, columns: tuple[str, ...], codebook: Codebook, where: object
) -> Staged:
    """Make `staging` of `incoming`, numbered in the order of the visits' identifiers: a table has none of its own."""
    ((rows,),) = connection.execute("SELECT count(*) FROM incoming").fetchall()
    if rows == 0:
        raise _refuse(where, "there is no visit", "give at least one row")
    if rows > ROWS_MAX:
        raise _refuse(where, f"there are more than {ROWS_MAX:,} visits", "give a view of fewer years")
    selected = ", ".join(f"nullif({identifier(n)}, '') AS {identifier(n)}" for n in columns)
    connection.execute(
        f"CREATE TABLE staging AS SELECT row_number() OVER (ORDER BY {identifier(codebook.visit_id)}) AS _row,"  # noqa: S608
        f" {selected} FROM incoming"
    )
    connection.execute("DROP TABLE incoming")
    return Staged(columns, Numbering(), table_digest(connection, columns))


def check_types(columns: Iterable[tuple[str, str]], readable: re.Pattern[str], where: object) -> None:
    """Refuse types that hold more than a key or a whole number, times above all, before a value is read."""
    report = validate.Report()
    for column, kind in columns:
        if not readable.fullmatch(kind):
            right = "give text or whole numbers, as by CAST in a view"
            report.add(Finding(None, column, f"the column has the type {kind[:40]}", right))
    report.raise_if_any(where)


def _refuse(where: object, wrong: str, right: str) -> DataError:
    return DataError(where, [Finding(None, None, wrong, right)])
