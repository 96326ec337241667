"""DuckDB with everything off that an embedded engine does not need. Imported lazily: it is heavy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nskd.errors import OperatorError

if TYPE_CHECKING:
    import duckdb

THREADS = 2  # of one query; the daemon's kernels need the other cores
MEMORY = "2GB"  # an extract of a million visits takes a quarter of this


def connect() -> duckdb.DuckDBPyConnection:
    """Return an in-memory database that may still read files; `lock` it as soon as the file is in."""
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "threads": THREADS,
            "memory_limit": MEMORY,
            "temp_directory": "",  # rows never spill to a disk we did not choose
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "python_enable_replacements": "false",  # a table name never means a Python variable
        },
    )


def lock(connection: duckdb.DuckDBPyConnection) -> None:
    """No file, network or extension from here on, and no way back."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


@contextmanager
def within_memory(source: str) -> Iterator[None]:
    """Raise an `OperatorError` for a query that finds too little memory: that passes, and is nobody's mistake."""
    import duckdb

    try:
        yield
    except duckdb.OutOfMemoryException as error:  # its own words are of buffers and blocks
        raise OperatorError(
            f"a query of this centre's data needs more memory than there is (at most {MEMORY})",
            where=source,
            remedy="See whether memory is short on this machine; it is tried again.",
        ) from error
