"""A table or view of a database server → `staging`, read once through Ibis.

Only the codebook's columns are asked for, in one statement, and the rows go straight into memory here: what is counted
is then exactly what was checked, however the table changes meanwhile; a run that is repeated finds the same rows; and
the people who object are left out in one way for every source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from nskd.credentials import Password
from nskd.data import validate
from nskd.data.errors import DataError, Finding
from nskd.data.origin import Origin
from nskd.data.stage_table import check_types, staged
from nskd.data.staged import ROWS_MAX, Progress, Staged
from nskd.errors import OperatorError
from nskd.packs.codebook import Codebook
from nskd.packs.conditions import identifier

if TYPE_CHECKING:
    import duckdb

BATCH_ROWS: Final = 10_000
VALUE_CHARS_MAX: Final = 65  # one more than any value has, so what is cut off is refused all the same
CONNECT_TIMEOUT_S: Final = 10
STATEMENT_TIMEOUT_S: Final = 240  # below that of the start of the service

_READABLE: Final = re.compile(r"!?(?:string(?:\(.*\))?|u?int\d+|uuid|decimal\(\d+, 0\))", re.S)
_REASON_CHARS_MAX: Final = 300
_HERE: Final = ("", "localhost", "127.0.0.1", "::1")


def stage_server(
    connection: duckdb.DuckDBPyConnection,
    origin: Origin,
    codebook: Codebook,
    *,
    password: Password | None,
    progress: Progress,
) -> Staged:
    """Stage a table, in order of its visit identifiers. Raises `DataError`, or `OperatorError` without the server."""
    backend = _connect(origin, password)
    try:
        return _stage(connection, backend, origin, codebook, progress)
    finally:
        backend.disconnect()


def _connect(origin: Origin, password: Password | None) -> Any:
    scheme = origin.parts.scheme.replace("postgresql", "postgres")
    try:
        import ibis

        engine = getattr(ibis, scheme)
    except (ImportError, AttributeError):
        # Ibis answers for an engine whose driver is missing as for one that does not exist.
        raise OperatorError(
            f"the packages that read from {scheme} are not installed",
            where=str(origin),
            remedy="Install them: requirements/databases.lock has those for PostgreSQL.",
        ) from None
    given = dict(origin.options)
    if scheme == "postgres":
        given |= _for_postgres(origin, given)
    if password is not None:
        given["password"] = password.expose()
    try:
        return engine._from_url(origin.parts, **given)
    except OperatorError:
        raise
    except ImportError:
        raise OperatorError(
            f"the driver for {scheme} is not installed",
            where=str(origin),
            remedy="Install it: requirements/databases.lock has the one for PostgreSQL.",
        ) from None
    except Exception as error:  # whatever a driver raises, there is no connection
        raise OperatorError(
            f"the server cannot be reached: {_reason(error, password)}",
            where=str(origin),
            remedy="Check its address, and that it knows this user.",
        ) from None


def _for_postgres(origin: Origin, given: dict[str, str]) -> dict[str, str]:
    """What is asked of PostgreSQL besides the URL: nothing is written, nothing waits for ever, nothing is overheard."""
    settings = f"-c default_transaction_read_only=on -c statement_timeout={STATEMENT_TIMEOUT_S}s"
    more = {"options": f"{given.get('options', '')} {settings}".strip()}
    if "connect_timeout" not in given:
        more["connect_timeout"] = str(CONNECT_TIMEOUT_S)
    host = given.get("host", origin.parts.hostname or "")
    if "sslmode" not in given and host not in _HERE and not host.startswith("/"):
        more["sslmode"] = "verify-full"
    return more


def _stage(
    connection: duckdb.DuckDBPyConnection, backend: Any, origin: Origin, codebook: Codebook, progress: Progress
) -> Staged:
    *schema, name = origin.table
    try:
        database = None if not schema else schema[0] if len(schema) == 1 else tuple(schema)
        table = backend.table(name, database=database)
        types = {str(column): str(kind) for column, kind in table.schema().items()}
    except Exception as error:
        wrong = f"there is no table or view {'.'.join(origin.table)} that this user may read ({_kind(error)})"
        raise _refuse(origin, wrong, "correct its name, or grant SELECT on it") from None
    columns = tuple(types)
    validate.check_columns(columns, codebook, origin)
    check_types(types.items(), _READABLE, origin)
    try:
        _read(connection, table, columns, types, progress)
    except Exception as error:
        if isinstance(error, _duckdb_memory()):
            raise
        # The engine's message may quote a row; it stays out of ours.
        raise _refuse(origin, f"it cannot be read ({_kind(error)})", "try SELECT * FROM it as this user") from None
    return staged(connection, columns, codebook, origin)


def _read(
    connection: duckdb.DuckDBPyConnection,
    table: Any,
    columns: Sequence[str],
    types: dict[str, str],
    progress: Progress,
) -> None:
    """Copy the rows, as text, into `incoming`."""
    import pyarrow

    asked = table.select(*(_text(table[name], types[name]).name(name) for name in columns))
    defined = ", ".join(f"{identifier(name)} VARCHAR" for name in columns)
    connection.execute(f"CREATE TABLE incoming ({defined})")
    copied = ", ".join(f"CAST({identifier(name)} AS VARCHAR)" for name in columns)
    rows = 0
    for batch in asked.limit(ROWS_MAX + 1).to_pyarrow_batches(chunk_size=BATCH_ROWS):
        connection.register("batch", pyarrow.Table.from_batches([batch]))
        connection.execute(f"INSERT INTO incoming SELECT {copied} FROM batch")  # noqa: S608
        connection.unregister("batch")
        rows += batch.num_rows
        progress(rows)


def _text(column: Any, kind: str) -> Any:
    """What to ask of a column, where it is not a number."""
    if "string" in kind:
        return column.substr(0, VALUE_CHARS_MAX)
    return column.cast("string") if "uuid" in kind else column


def _duckdb_memory() -> type[Exception]:
    import duckdb

    memory: type[Exception] = duckdb.OutOfMemoryException
    return memory


def _kind(error: Exception) -> str:
    state = getattr(error, "sqlstate", None)
    return f"{type(error).__name__} {state}" if isinstance(state, str) else type(error).__name__


def _reason(error: Exception, password: Password | None) -> str:
    """The driver's own words where there was no row to quote yet, and unless they hold the password."""
    said = " ".join(str(error).split())
    said = "".join(c if c.isprintable() else "?" for c in said[:_REASON_CHARS_MAX]).rstrip(".")
    return _kind(error) if not said or (password is not None and password.expose() in str(error)) else said


def _refuse(origin: Origin, wrong: str, right: str) -> DataError:
    return DataError(origin, [Finding(None, None, wrong, right)])
