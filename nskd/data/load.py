"""A file → a `Dataset`: validated, derived variables computed, locked away in memory."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import attrs

from nskd.data import engine, validate
from nskd.data.errors import DataError, Finding
from nskd.data.source import CsvForm, Source, open_source
from nskd.packs.codebook import Codebook
from nskd.packs.conditions import identifier, text

if TYPE_CHECKING:
    import duckdb

_READABLE_TYPES = "give a CSV file with a header, or a Parquet file"


@attrs.frozen
class Warnings:
    """Quality rules that rows break without making the file unusable: examples, and the count by rule."""

    findings: tuple[Finding, ...]
    counts: dict[str, int]


@attrs.frozen
class LeftOut:
    """What objections took out of an extract: `visits`, and the `people` they were of."""

    visits: int
    people: int


@attrs.frozen(eq=False, repr=False)
class Dataset:
    """The visits of one centre, in memory. Not for use by two threads at once; a context manager."""

    codebook: Codebook
    path: Path
    rows: int  # of the file, those of people who object included
    digest: bytes  # SHA-256 of the file
    warnings: Warnings
    _connection: duckdb.DuckDBPyConnection

    def __repr__(self) -> str:
        return f"<Dataset {self.path.name}, {self.rows} visits>"

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query over `visits`: every variable of the codebook, nobody who was left out."""
        rows: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        return rows

    def leave_out(self, people: Collection[str]) -> LeftOut:
        """Take these people, and nobody else, out of `visits` from now on; say what that left out."""
        self._connection.execute(
            "CREATE OR REPLACE TABLE objections AS SELECT unnest(?::VARCHAR[]) AS person", [list(people)]
        )
        ((visits, found),) = self.fetch(
            f"SELECT count(*), count(DISTINCT person) FROM loaded"  # noqa: S608
            f" JOIN objections ON loaded.{identifier(self.codebook.person_link)} = objections.person"
        )
        return LeftOut(visits, found)

    def close(self) -> None:
        """Forget the data."""
        self._connection.close()

    def __enter__(self) -> Dataset:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def load_visits(path: Path, codebook: Codebook) -> Dataset:
    """Read a CSV or Parquet file and check every value. Raises `DataError` with findings.

    Comma, semicolon, tab and bar are recognised as separators, a byte-order mark is ignored, and derived
    variables may be absent or present.
    """
    with open_source(path, codebook) as source:
        connection = engine.connect()
        try:
            return _load(connection, source, codebook)
        except BaseException:
            connection.close()
            raise


def _load(connection: duckdb.DuckDBPyConnection, source: Source, codebook: Codebook) -> Dataset:
    if source.csv is not None:
        columns, first_row = _stage_csv(connection, source, source.csv, codebook), 2
    else:
        columns, first_row = _stage_parquet(connection, source, codebook), 1
    engine.lock(connection)

    report = validate.Report()
    validate.check_values(connection, codebook, first_row, report)
    report.raise_if_any(source.path)
    _compute(connection, codebook)
    for variable in codebook.derived:
        if variable.name in columns:
            validate.check_derived(connection, variable, first_row, report)
    warnings = _apply_rules(connection, codebook, first_row, report)
    report.raise_if_any(source.path)

    names = ", ".join(identifier(name) for name in codebook.variables)
    connection.execute(f"CREATE TABLE loaded AS SELECT {names} FROM computed ORDER BY _row")  # noqa: S608
    connection.execute("DROP TABLE computed; DROP TABLE staging; CREATE TABLE objections (person VARCHAR)")
    person = identifier(codebook.person_link)
    connection.execute(
        f"CREATE VIEW visits AS SELECT loaded.* FROM loaded ANTI JOIN objections ON loaded.{person} = objections.person"  # noqa: S608
    )
    ((rows,),) = connection.execute("SELECT count(*) FROM loaded").fetchall()
    return Dataset(codebook, source.path, rows, source.digest, warnings, connection)


def _stage_csv(
    connection: duckdb.DuckDBPyConnection, source: Source, form: CsvForm, codebook: Codebook
) -> tuple[str, ...]:
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


def _stage_parquet(connection: duckdb.DuckDBPyConnection, source: Source, codebook: Codebook) -> tuple[str, ...]:
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


def _compute(connection: duckdb.DuckDBPyConnection, codebook: Codebook) -> None:
    """Make `computed`: the recorded values as stored and every derived one, layer by layer."""
    recorded = ", ".join(validate.normalised(variable) for variable in codebook.recorded)
    query = f"SELECT _row, {recorded} FROM staging"  # noqa: S608
    for variable in codebook.derived:
        if variable.derivation is not None:
            query = f"SELECT *, {variable.derivation.sql()} AS {identifier(variable.name)} FROM ({query})"  # noqa: S608
    connection.execute(f"CREATE TABLE computed AS {query}")


def _apply_rules(
    connection: duckdb.DuckDBPyConnection, codebook: Codebook, first_row: int, report: validate.Report
) -> Warnings:
    findings: list[Finding] = []
    counts: dict[str, int] = {}
    for rule in codebook.rules:
        found, count = validate.check_rule(connection, rule, first_row)
        if rule.fatal:
            for index, finding in enumerate(found):
                report.add(finding, count - len(found) + 1 if index == 0 else 1)
        elif count:
            findings += found
            counts[rule.id] = count
    return Warnings(tuple(findings), counts)
