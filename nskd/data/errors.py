"""What is wrong with a hospital's file, or with what somebody asks of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from nskd.errors import OperatorError

FINDINGS_SHOWN_MAX = 20  # a screenful; the total count tells the rest


class RequestError(OperatorError):
    """A request cannot be carried out as written; `position` is the character of its condition, from 0, if known."""

    def __init__(self, what: str, *, where: str, remedy: str, position: int | None = None) -> None:
        self.position = position
        super().__init__(what, where=where, remedy=remedy)


@attrs.frozen
class Finding:
    """One fault; `row` is the line of a text file (its header is row 1) or the row of a table.

    `file` is the name of one of several files.
    """

    row: int | None
    column: str | None
    wrong: str
    right: str
    file: str | None = None

    def __str__(self) -> str:
        parts = (self.file or "", f"row {self.row}" if self.row else "", self.column or "")
        place = ", ".join(part for part in parts if part)
        return f"{place}: {self.wrong}; {self.right}" if place else f"{self.wrong}; {self.right}"


class DataError(OperatorError):
    """A file cannot be used. `findings` lists the first faults, `total` counts them all."""

    def __init__(
        self,
        path: object,
        findings: Iterable[Finding],
        *,
        total: int | None = None,
        remedy: str = "Correct it and load it again; nothing of it was used.",
    ) -> None:
        found = list(findings)
        self.total = len(found) if total is None else total
        self.findings: Sequence[Finding] = found[:FINDINGS_SHOWN_MAX]
        super().__init__(self._summary(), where=str(path), remedy=remedy)
        if self.total > 1:
            self.args = (f"{path}: {self.what}\n{remedy}",)  # below the list, not behind its last line

    def without_values(self) -> OperatorError:
        """The same for a log, which more people read than may see rows: where faults are, not their values."""
        places = dict.fromkeys(
            ", ".join(part for part in (f"row {found.row}" if found.row else "", found.column or "") if part)
            for found in self.findings
        )
        named = "; ".join(place for place in places if place)
        if not named:
            return self
        what = f"{self.total} fault{'s' if self.total > 1 else ''}, among them in {named}"
        return OperatorError(what, where=self.where, remedy="`nskd check` with that file shows what is wrong.")

    def _summary(self) -> str:
        if self.total == 1 and len(self.findings) == 1:
            return str(self.findings[0])
        shown = f", of which {len(self.findings)} are shown" if self.total > len(self.findings) else ""
        lines = "".join(f"\n  {finding}" for finding in self.findings)
        return f"{self.total} faults{shown}:{lines}"
