"""Any source → a `Dataset`: validated, derived variables computed, locked away in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import attrs

from nskd.credentials import Password
from nskd.data import engine, validate
from nskd.data.errors import DataError, Finding
from nskd.data.fhir import holds_fhir, stage_fhir
from nskd.data.origin import Origin
from nskd.data.stage_file import stage_file
from nskd.data.stage_table import stage_table
from nskd.data.staged import Numbering, Progress, Staged
from nskd.packs.codebook import Codebook
from nskd.packs.conditions import identifier
from nskd.packs.pack import Pack

if TYPE_CHECKING:
    import duckdb


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
    origin: Origin
    rows: int  # of the extract, those of people who object included
    digest: bytes  # SHA-256 of the file, or of a table's contents
    warnings: Warnings
    _connection: duckdb.DuckDBPyConnection

    def __repr__(self) -> str:
        return f"<Dataset {self.origin.name}, {self.rows} visits>"

    def fetch(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query over `visits`: every variable of the codebook, nobody who was left out.

        Raises `OperatorError` when memory is short.
        """
        with engine.within_memory(self.origin.name):
            rows: list[tuple[Any, ...]] = self._connection.execute(sql).fetchall()
        return rows

    def leave_out(self, people: Collection[str]) -> LeftOut:
        """Take these people, and nobody else, out of `visits` from now on; say what that left out.

        Raises `OperatorError`, as `fetch` does, when memory is short.
        """
        with engine.within_memory(self.origin.name):
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
    return _loaded(Origin(path=path), codebook, lambda connection: stage_file(connection, path, codebook))


def load(
    origin: Origin, pack: Pack, *, password: Password | None = None, progress: Progress = lambda _: None
) -> Dataset:
    """Read whatever `origin` is and check every value. Raises `OperatorError`, as `DataError` with findings.

    `password` is for a database server that asks for one.
    """
    codebook, path = pack.codebook, origin.path

    def stage(connection: duckdb.DuckDBPyConnection) -> Staged:
        if path is None:
            from nskd.data.stage_server import stage_server  # its libraries are heavy, and need not be there

            return stage_server(connection, origin, codebook, password=password, progress=progress)
        if origin.table:
            return stage_table(connection, path, origin.table, codebook)
        if holds_fhir(path):
            return stage_fhir(connection, path, pack, progress)
        return stage_file(connection, path, codebook)

    return _loaded(origin, codebook, stage)


def _loaded(origin: Origin, codebook: Codebook, stage: Callable[[duckdb.DuckDBPyConnection], Staged]) -> Dataset:
    import duckdb

    connection = engine.connect()
    try:
        return _checked(connection, origin, codebook, stage(connection))
    except duckdb.OutOfMemoryException:
        connection.close()
        right = f"give fewer visits; an extract may take {engine.MEMORY} of memory"
        raise DataError(origin, [Finding(None, None, "there are more visits than fit", right)]) from None
    except BaseException:
        connection.close()
        raise


def _checked(connection: duckdb.DuckDBPyConnection, origin: Origin, codebook: Codebook, staged: Staged) -> Dataset:
    engine.lock(connection)
    report, numbering = validate.Report(), staged.numbering
    validate.check_values(connection, codebook, numbering, report)
    report.raise_if_any(origin)
    _compute(connection, codebook)
    for variable in codebook.derived:
        if variable.name in staged.columns:
            validate.check_derived(connection, variable, numbering, report)
    warnings = _apply_rules(connection, codebook, numbering, report)
    report.raise_if_any(origin)

    names = ", ".join(identifier(name) for name in codebook.variables)
    connection.execute(f"CREATE TABLE loaded AS SELECT {names} FROM computed ORDER BY _row")  # noqa: S608
    connection.execute("DROP TABLE computed; DROP TABLE staging; CREATE TABLE objections (person VARCHAR)")
    person = identifier(codebook.person_link)
    connection.execute(
        f"CREATE VIEW visits AS SELECT loaded.* FROM loaded ANTI JOIN objections ON loaded.{person} = objections.person"  # noqa: S608
    )
    ((rows,),) = connection.execute("SELECT count(*) FROM loaded").fetchall()
    return Dataset(codebook, origin, rows, staged.digest, warnings, connection)


def _compute(connection: duckdb.DuckDBPyConnection, codebook: Codebook) -> None:
    """Make `computed`: the recorded values as stored and every derived one, layer by layer."""
    recorded = ", ".join(validate.normalised(variable) for variable in codebook.recorded)
    query = f"SELECT _row, {recorded} FROM staging"  # noqa: S608
    for variable in codebook.derived:
        if variable.derivation is not None:
            query = f"SELECT *, {variable.derivation.sql()} AS {identifier(variable.name)} FROM ({query})"  # noqa: S608
    connection.execute(f"CREATE TABLE computed AS {query}")


def _apply_rules(
    connection: duckdb.DuckDBPyConnection, codebook: Codebook, numbering: Numbering, report: validate.Report
) -> Warnings:
    findings: list[Finding] = []
    counts: dict[str, int] = {}
    for rule in codebook.rules:
        found, count = validate.check_rule(connection, rule, numbering)
        if rule.fatal:
            for index, finding in enumerate(found):
                report.add(finding, count - len(found) + 1 if index == 0 else 1)
        elif count:
            findings += found
            counts[rule.id] = count
    return Warnings(tuple(findings), counts)
