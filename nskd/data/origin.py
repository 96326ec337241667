"""Where a centre's data are: a file, a table of a DuckDB file, FHIR lines, or a table of a database server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

import attrs

SERVERS: Final = (
    "postgres", "postgresql", "mysql", "mssql", "oracle", "trino", "clickhouse", "snowflake", "bigquery", "databricks",
    "athena", "exasol", "impala", "druid", "singlestoredb", "risingwave", "materialize",
)  # fmt: skip
"""Schemes of the engines that Ibis reaches by a URL; nskd's own tests run against PostgreSQL."""

_PART: Final = re.compile(r"[^\W\d][\w$-]{0,62}")
_PARTS_MAX: Final = 3  # catalogue, schema, table
_SECRET: Final = re.compile(r"pass|pwd|secret|token|key|credential")
_FILES: Final = frozenset({"passfile", "sslkey"})  # where a secret is, not the secret
_REMEDY: Final = "Leave it out: let the server know the user nskd (peer), or keep it in a credential (docs/data.md)."


class OriginError(ValueError):
    """Keys that name no data: which key, what is wrong with it, and what to write.  Never repeats a URL."""

    def __init__(self, key: str, what: str, remedy: str) -> None:
        self.key, self.what, self.remedy = key, what, remedy
        super().__init__(f"{key}: {what}. {remedy}")


@attrs.frozen
class Origin:
    """A `path`, or a `url` without any secret in it; `table` names a table or view, from its schema down."""

    path: Path | None = None
    url: str | None = attrs.field(default=None, repr=False)
    table: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """A few words for it: the name of a file or table, without where it is."""
        return ".".join(self.table) or (self.path.name if self.path is not None else "")

    def __str__(self) -> str:
        """Where it is; of a URL the server and the database."""
        if self.path is not None:
            return f"{self.path}, {'.'.join(self.table)}" if self.table else str(self.path)
        parts = urlsplit(self.url or "")
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}, {'.'.join(self.table)}"

    @property
    def parts(self) -> SplitResult:
        """The URL, split."""
        return urlsplit(self.url or "")

    @property
    def options(self) -> Mapping[str, str]:
        """What follows the question mark of the URL."""
        return MappingProxyType(dict(parse_qsl(self.parts.query, keep_blank_values=True)))


def origin_of(*, source: Path | None, url: str | None, table: str | None) -> Origin | None:
    """Put the keys of `[data]` together; None if they name no data.  Raises `OriginError`."""
    parts = () if table is None else tuple(table.split("."))
    if not all(map(_PART.fullmatch, parts)) or len(parts) > _PARTS_MAX:
        raise OriginError(
            "table",
            "it is not the name of a table",
            'Write for example table = "visits", or "nsk.visits" with its schema.',
        )
    if source is not None and url is not None:
        raise OriginError("url", "there is a source besides it", "Keep one of the two.")
    if source is not None:
        return Origin(path=source, table=parts)
    if url is not None:
        _check_url(url)
        if not parts:
            raise OriginError("table", "this key is missing", "Name the table or view that url leads to.")
        return Origin(url=url, table=parts)
    if parts:
        raise OriginError("table", "it is a table of nothing", "Name the database too, with source (a file) or url.")
    return None


def _check_url(url: str) -> None:
    example = 'Write for example url = "postgres:///hospital?host=/run/postgresql".'
    try:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        secret = parts.password is not None
        _ = parts.port
    except ValueError:
        raise OriginError("url", "it is not an address of a database", example) from None
    if secret or any(_SECRET.search(name.lower()) and name.lower() not in _FILES for name, _ in options):
        raise OriginError("url", "no password belongs into this file", _REMEDY)
    if parts.scheme not in SERVERS:
        raise OriginError("url", f"it begins with none of {', '.join(SERVERS)}", f"{example} A file goes under source.")
    # A "#" or "@" too many is most likely part of a password, and what follows it would be taken for the host.
    if parts.fragment or "#" in url or "@" in parts.path + parts.query or parts.netloc.count("@") > 1:
        raise OriginError("url", "it has a # or @ where none belongs", example)
    if len({name for name, _ in options}) != len(options):
        raise OriginError("url", "an option occurs twice", "Keep one.")
