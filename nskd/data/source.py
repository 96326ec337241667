"""A file of visits, opened once and looked at before an engine reads it.

The engine later reads through the descriptor held here (`/proc/self/fd/N`): the bytes inspected are the bytes
loaded, whatever happens to the path meanwhile, and no character of a file name can act as a pattern.
"""

from __future__ import annotations

import csv
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import IO

import attrs

from nskd.data.errors import DataError, Finding
from nskd.packs.codebook import Codebook

FILE_BYTES_MAX = 1 << 30  # several million visits as text
LINE_BYTES_MAX = 1 << 16  # a line of every variable takes a kilobyte
COLUMNS_MAX = 2000
DELIMITERS = (",", ";", "\t", "|")  # a Dutch spreadsheet saves "comma-separated" with semicolons

_PARQUET_MAGIC = b"PAR1"
_DUCKDB_MAGIC, _DUCKDB_MAGIC_AT = b"DUCK", 8
HEAD_BYTES = 12
UTF8_BOM = b"\xef\xbb\xbf"


@attrs.frozen
class CsvForm:
    """How a text file is written."""

    delimiter: str
    header: tuple[str, ...]


@attrs.frozen
class Source:
    """An open file: `readable` is the path to give to an engine, `csv` is None for Parquet or `duckdb`."""

    path: Path
    readable: str
    digest: bytes  # SHA-256 of the bytes
    csv: CsvForm | None
    duckdb: bool = False


@contextmanager
def open_source(path: Path, codebook: Codebook) -> Iterator[Source]:
    """Open and inspect a CSV or Parquet file. Raises `DataError`."""
    with open_regular(path, "give a readable CSV or Parquet file") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise _refuse(path, "the file is empty", "give a CSV file with a header, or a Parquet file")
        if size > FILE_BYTES_MAX:
            right = f"at most {FILE_BYTES_MAX} are read; split it by year"
            raise _refuse(path, f"the file has {size} bytes", right)
        digest = hashlib.file_digest(file, "sha256").digest()
        file.seek(0)
        head = file.read(HEAD_BYTES)
        file.seek(0)
        duckdb = is_duckdb(head)
        form = None if duckdb or head.startswith(_PARQUET_MAGIC) else _inspect_csv(path, file, codebook)
        yield Source(path, f"/proc/self/fd/{file.fileno()}", digest, form, duckdb)


def is_duckdb(head: bytes) -> bool:
    """Whether a file that begins so is a DuckDB database."""
    return head[_DUCKDB_MAGIC_AT:].startswith(_DUCKDB_MAGIC)


def open_regular(path: Path, right: str) -> BufferedReader:
    """Open a file, not a pipe or directory; `right` says what to give instead. Raises `DataError`."""
    try:
        # Non-blocking, so that a named pipe is refused below instead of waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a usable path"
        raise _refuse(path, f"cannot be opened: {reason}", right) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _refuse(path, "is not a regular file", right)
    return open(descriptor, "rb")  # noqa: PTH123  (a descriptor has no path)


def _refuse(path: Path, wrong: str, right: str, row: int | None = None) -> DataError:
    return DataError(path, [Finding(row, None, wrong, right)])


def _inspect_csv(path: Path, file: BufferedReader, codebook: Codebook) -> CsvForm:
    first, blank, rows = b"", None, 0
    for number, line in lines_of(path, file, "one visit"):
        if number == 1:
            first = line.removeprefix(UTF8_BOM)
        elif not line.strip(b"\r\n"):
            blank = blank or number
            continue
        elif blank:
            # The engine skips blank lines silently, and every row number after one would be wrong.
            raise _refuse(path, "the line is blank", "remove it", row=blank)
        else:
            rows += 1
    if not first.strip():
        raise _refuse(path, "the first line is blank", "start with a line of column names", row=1)
    form = _header(path, first.decode().rstrip("\r\n"), codebook)
    if rows == 0:
        raise _refuse(path, "there is a header and no visit", "give at least one line of data")
    return form


def lines_of(path: Path, file: IO[bytes], unit: str, *, bytes_max: int = LINE_BYTES_MAX) -> Iterator[tuple[int, bytes]]:
    """Every line with its number, known to be text and of bounded length; `unit` is what one holds."""
    number = 0
    while line := file.readline(bytes_max + 1):
        number += 1
        if len(line) > bytes_max:
            wrong = f"the line is longer than {bytes_max} bytes"
            raise _refuse(path, wrong, f"give {unit} a line", row=number)
        try:
            line.decode()
        except UnicodeDecodeError as error:
            wrong = f"byte {error.start + 1} of the line is not UTF-8 text"
            right = "save the file as UTF-8 (in a spreadsheet: “CSV UTF-8”)"
            raise _refuse(path, wrong, right, row=number) from error
        if b"\0" in line:
            raise _refuse(path, "the line holds a zero byte", "give a text file", row=number)
        yield number, line


def _header(path: Path, line: str, codebook: Codebook) -> CsvForm:
    """Return the separator under which most column names are known, and the names."""

    def split(delimiter: str) -> tuple[str, ...]:
        try:
            return tuple(next(csv.reader([line], delimiter=delimiter, strict=True)))
        except (csv.Error, StopIteration):
            return ()

    forms = [CsvForm(delimiter, split(delimiter)) for delimiter in DELIMITERS]
    best = max(forms, key=lambda form: len(codebook.variables.keys() & set(form.header)))
    if not codebook.variables.keys() & set(best.header):
        names = ", ".join(v.name for v in codebook.recorded[:6])
        wrong = "no column name of the codebook is in the first line"
        raise _refuse(path, wrong, f"it reads like {names}, …", row=1)
    if len(best.header) > COLUMNS_MAX:
        raise _refuse(path, f"there are {len(best.header)} columns", f"at most {COLUMNS_MAX} are read", row=1)
    return best
