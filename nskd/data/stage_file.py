"""A CSV or Parquet file → `staging`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nskd.data import validate
from nskd.data.errors import DataError, Finding
from nskd.data.source import CsvForm, Source, open_source
from nskd.data.staged import Numbering, Staged
from nskd.packs.codebook import Codebook
from nskd.packs.conditions import identifier, text

if TYPE_CHECKING:
    import duckdb

_READABLE_TYPES = "give a CSV file with a header, or a Parquet file"


def stage_file(connection: duckdb.DuckDBPyConnection, path: Path, codebook: Codebook) -> Staged:
    """Stage all of a file; its digest is that of its bytes. Raises `DataError`."""
    with open_source(path, codebook) as source:
        if source.duckdb:
            wrong, right = "the file is a DuckDB database", 'name one of its tables with "table"'
            raise DataError(path, [Finding(None, None, wrong, right)])
        if source.csv is not None:
            return Staged(_csv(connection, source, source.csv, codebook), Numbering(first=2), source.digest)
        return Staged(_parquet(connection, source, codebook), Numbering(), source.digest)


def _csv(connection: duckdb.DuckDBPyConnection, source: Source, form: CsvForm, codebook: Codebook) -> tuple[str, ...]:
    import duckdb

    validate.check_columns(form.header, codebook, source.path)
    # Columns are read by position under names of ours; the header's own words never become SQL.
    types = ", ".join(f"c{index}: 'VARCHAR'" for index in range(len(form.header)))
    selected = ", ".join(f"nullif(c{i}, '') AS {identifier(name)}" for i, name in enumerate(form.header))
    try:
        connection.execute(
            f"CREATE TABLE staging AS SELECT row_number() OVER () AS _row, {selected} FROM read_csv("  # noqa: S608
            f"{text(source.readable)}, columns = {{{types}}}, delim = {text(form.delimiter)}, header = true,"
            " auto_detect = false, quote = '\"', escape = '\"', store_rejects = true)"
        )
        rejected = connection.execute(
            "SELECT line, error_type, count(*) OVER () FROM reject_errors ORDER BY line LIMIT 20"
        ).fetchall()
    except duckdb.Error as error:
        # The engine's message may quote a row; it stays out of ours.
        raise DataError(source.path, [Finding(None, None, "cannot be read as CSV", _READABLE_TYPES)]) from error
    if rejected:
        width = f"each row has {len(form.header)} values, as the header"
        findings = [Finding(int(line), None, str(kind).lower(), width) for line, kind, _ in rejected]
        raise DataError(source.path, findings, total=rejected[0][2])
    return form.header


def _parquet(connection: duckdb.DuckDBPyConnection, source: Source, codebook: Codebook) -> tuple[str, ...]:
    import duckdb

    try:
        file = f"read_parquet({text(source.readable)})"
        described = connection.execute(f"DESCRIBE SELECT * FROM {file}").fetchall()  # noqa: S608
        columns = tuple(str(row[0]) for row in described)
        validate.check_columns(columns, codebook, source.path)
        selected = ", ".join(f"nullif(CAST({identifier(n)} AS VARCHAR), '') AS {identifier(n)}" for n in columns)
        connection.execute(
            f"CREATE TABLE staging AS SELECT row_number() OVER () AS _row, {selected} FROM {file}"  # noqa: S608
        )
    except duckdb.Error as error:
        raise DataError(source.path, [Finding(None, None, "cannot be read as Parquet", _READABLE_TYPES)]) from error
    ((rows,),) = connection.execute("SELECT count(*) FROM staging").fetchall()
    if rows == 0:
        raise DataError(source.path, [Finding(None, None, "there is no visit", "give at least one row")])
    return columns
