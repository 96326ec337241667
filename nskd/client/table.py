"""A request for a table, built step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import attrs

from nskd.client.request import Request, one_or_more
from nskd.governance.question import Kind, Measure


@attrs.frozen(repr=False, kw_only=True)
class Table(Request):
    """Counts by ``rows`` × ``columns``; made by ``Client.table``."""

    rows: tuple[str, ...]
    columns: tuple[str, ...] = ()
    totals: bool = False

    def with_totals(self) -> Self:
        """With totals of rows and columns."""
        return attrs.evolve(self, totals=True)

    @property
    def sql(self) -> str:
        """The same as SQL, for the ``visits`` of an extract; ``Client.sql`` makes this request of it again."""
        from nskd.client.table_sql import TableQuery, write_table

        query = TableQuery(self.rows, self.columns, Measure(self.measure), self.condition, self.totals)
        return write_table(query, self.pack.codebook)

    def _kind(self) -> str:
        return Kind.TABLE.value

    def _own(self) -> Mapping[str, Any]:
        return {
            "rows": one_or_more(self.rows),
            "columns": one_or_more(self.columns),
            "margins": True if self.totals else None,
        }
