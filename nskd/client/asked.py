"""Requests of the other kinds, and any request from the text of a file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import attrs

from nskd.client.request import Request
from nskd.client.table import Table
from nskd.governance.question import Kind
from nskd.governance.request_text import SHARED, parse_request
from nskd.packs.pack import Pack


@attrs.frozen(repr=False, kw_only=True)
class Asked(Request):
    """A rate, a chart, a cascade …; ``own`` are the keys of its kind.  Made by the methods of ``Client``."""

    kind: Kind
    own: Mapping[str, Any]

    def _kind(self) -> str:
        return self.kind.value

    def _own(self) -> Mapping[str, Any]:
        return self.own


def request_of(text: str, pack: Pack) -> Request:
    """Read a request file's text.  Raises an ``OperatorError``."""
    read = parse_request(text.encode(errors="surrogatepass"))
    shared: dict[str, Any] = {
        "pack": pack,
        "measure": read.measure.value,
        "condition": read.where,
        "title": read.title,
        "purpose": read.purpose,
        "permit": read.permit,
    }
    if read.kind is Kind.TABLE:
        return Table(rows=read.rows, columns=read.columns, totals=read.margins, **shared)
    own = {key: value for key, value in tomllib.loads(text).items() if key not in SHARED}
    return Asked(kind=read.kind, own=own, **shared)
