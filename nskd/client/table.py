"""A request for a table, built step by step, and the text that is signed.

Each step gives a new request and checks what is known so far against the pack's codebook, so that a slip of the
keyboard shows where it is made.  The daemon checks it all again, with what only it knows: charter, permits, earlier
tables.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import attrs

from nskd.errors import OperatorError
from nskd.governance.request import RequestError, TableRequest, parse_request
from nskd.packs.codebook import closest
from nskd.packs.pack import Pack

_UNNAMED: Final = "…"  # stands in for a title until there is one
_UNKNOWN: Final = "x"


def names_of(given: str | Iterable[str]) -> tuple[str, ...]:
    """One name or several."""
    return (given,) if isinstance(given, str) else tuple(given)


@attrs.frozen(repr=False)
class Table:
    """Counts by ``rows`` × ``columns`` over the visits for which ``condition`` holds; made by ``Client.table``.

    Every step returns a new one.  Raises an :class:`~nskd.errors.OperatorError` for what no centre would take.
    """

    pack: Pack = attrs.field(eq=False)
    rows: tuple[str, ...]
    columns: tuple[str, ...] = ()
    measure: str = "children"
    condition: str | None = None
    totals: bool = False
    title: str | None = None
    purpose: str | None = None
    permit: str | None = None

    def __attrs_post_init__(self) -> None:
        self._check()

    # --- building -------------------------------------------------------------------------------------------

    def where(self, condition: str) -> Table:
        """Only the visits for which this holds: an SQL condition over codebook variables; a second one narrows it."""
        both = condition if self.condition is None else f"({self.condition}) AND ({condition})"
        return attrs.evolve(self, condition=both)

    def with_totals(self) -> Table:
        """With totals of rows and columns."""
        return attrs.evolve(self, totals=True)

    def titled(self, title: str) -> Table:
        """What the stewards read first."""
        return attrs.evolve(self, title=title)

    def for_purpose(self, purpose: str) -> Table:
        """The id of the charter's purpose that it serves."""
        return attrs.evolve(self, purpose=purpose)

    def under_permit(self, permit: str) -> Table:
        """The id of the permit that it keeps to."""
        return attrs.evolve(self, permit=permit)

    # --- what it says ---------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The request as TOML: what is submitted, signed and approved, word for word."""
        if self.title is None:
            raise OperatorError("it has no title yet", where="request", remedy='Add .titled("…"): stewards read it.')
        if self.purpose is None:
            ids = ", ".join(purpose.id for purpose in self.pack.purposes)
            raise OperatorError("it has no purpose yet", where="request", remedy=f'Add .for_purpose("…"): {ids}.')
        return self._document(self.title, self.purpose)

    @property
    def sql(self) -> str:
        """The same as SQL, for the ``visits`` of an extract; ``Client.sql`` makes this request of it again."""
        from nskd.analysis.table import Measure
        from nskd.client.table_sql import TableQuery, write_table

        query = TableQuery(self.rows, self.columns, Measure(self.measure), self.condition, self.totals)
        return write_table(query, self.pack.codebook)

    def __repr__(self) -> str:
        return self._document(self.title, self.purpose)

    def _document(self, title: str | None, purpose: str | None) -> str:
        keys: list[tuple[str, Any]] = [
            ("kind", "table"),
            ("title", title),
            ("purpose", purpose),
            ("rows", _one_or_more(self.rows)),
            ("columns", _one_or_more(self.columns) if self.columns else None),
            ("measure", self.measure),
            ("where", self.condition),
            ("margins", True if self.totals else None),
            ("permit", self.permit),
        ]
        # A JSON string or list of strings is a TOML one.
        return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in keys if value is not None)

    # --- checking -------------------------------------------------------------------------------------------

    def _check(self) -> None:
        from nskd.analysis.table import plan_table  # brings the SQL parser

        document = self._document(self.title or _UNNAMED, self.purpose or _UNKNOWN)
        read = parse_request(document.encode(errors="surrogatepass"))
        plan = plan_table(
            self.pack.codebook,
            rows=read.rows,
            columns=read.columns,
            measure=read.measure.value,
            where=read.where or "",
            margins=read.margins,
        )
        if self.purpose is not None:
            _check_purpose(self.purpose, plan.variables, self.pack)


def table_of(text: str, pack: Pack) -> Table:
    """Read a request file's text.  Raises an ``OperatorError``."""
    read: TableRequest = parse_request(text.encode(errors="surrogatepass"))
    return Table(
        pack,
        rows=read.rows,
        columns=read.columns,
        measure=read.measure.value,
        condition=read.where,
        totals=read.margins,
        title=read.title,
        purpose=read.purpose,
        permit=read.permit,
    )


def _one_or_more(names: Sequence[str]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def _check_purpose(purpose: str, variables: Iterable[str], pack: Pack) -> None:
    """A variable serves the purposes that the pack says, whatever else a charter has."""
    ids = [each.id for each in pack.purposes]
    if purpose not in ids:
        near = closest(purpose, ids)
        remedy = f'Did you mean "{near}"?' if near else f"Choose from {', '.join(ids)}."
        raise RequestError(f'"{purpose[:60]}" is no purpose of pack {pack.name}', where="purpose", remedy=remedy)
    for name in pack.codebook.unsuited(purpose, variables):
        listed = ", ".join(pack.codebook.variables[name].purposes) or "none"
        what = f"variable {name} may not be used for purpose {purpose}"
        raise RequestError(what, where="purpose", remedy=f"Purposes it may serve: {listed}.")
