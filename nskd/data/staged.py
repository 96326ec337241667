"""An extract as it lies in `staging`, whatever it came from: every column as text, plus `_row` from 1."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from nskd.data.errors import Finding
from nskd.packs.conditions import identifier

if TYPE_CHECKING:
    import duckdb

ROWS_MAX: Final = 2_000_000  # of a table: a century of a large department; half of the engine's memory
TABLE_LABEL: Final = b"nskd table 1\0"

Progress = Callable[[int], None]
"""Told now and then how many rows have been read."""


@attrs.frozen
class Numbering:
    """What people call a row: the number of the first one, or of each its line in one of several files."""

    first: int = 1
    files: tuple[str, ...] = ()
    lines: Sequence[tuple[int, int]] = ()  # the index of a file and a line of it, for each row

    def finding(self, row: int, column: str | None, wrong: str, right: str) -> Finding:
        """Return a fault at `_row`."""
        if not self.files:
            return Finding(row + self.first - 1, column, wrong, right)
        file, line = self.lines[row - 1]
        return Finding(line, column, wrong, right, self.files[file] if len(self.files) > 1 else None)


@attrs.frozen
class Staged:
    """What was staged: the columns there were, where its rows stand, and the SHA-256 that identifies it."""

    columns: tuple[str, ...]
    numbering: Numbering
    digest: bytes


def table_digest(connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> bytes:
    """SHA-256 of a table's contents: the label, the sorted names, then the SHA-256 of each row in order of `_row`.

    Names and values are preceded by their length, so no two tables have one encoding; an empty value is `-`.  The order
    of the columns, and which system holds the table, make no difference.
    """
    names = sorted(columns)
    state = hashlib.sha256(TABLE_LABEL + "".join(f"{len(name.encode())}:{name}" for name in names).encode())
    parts = ", ".join(f"coalesce(concat(strlen({name}), ':', {name}), '-')" for name in map(identifier, names))
    rows = connection.execute(f"SELECT sha256(concat({parts})) FROM staging ORDER BY _row")  # noqa: S608
    while some := rows.fetchmany(10_000):
        state.update("".join(row[0] for row in some).encode())
    return state.digest()
