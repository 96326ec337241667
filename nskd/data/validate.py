"""The staged text of an extract against the codebook: every fault with its row, column and what would be right.

`staging` holds every column as text plus `_row`. Each check is one query, so a million rows cost no Python
loop.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from nskd.data.errors import DataError, Finding
from nskd.data.forbidden import why_forbidden
from nskd.data.staged import Numbering
from nskd.packs.codebook import MISSING, Codebook, Rule, Variable, VariableType, closest
from nskd.packs.conditions import identifier, text

if TYPE_CHECKING:
    import duckdb

EXAMPLES_MAX = 5  # of one kind of fault in one column, so that one bad column does not hide the others
VALUE_SHOWN_MAX = 40  # characters of a wrong value; enough to recognise it
LEVELS_SHOWN_MAX = 12

IDENTIFIER_PATTERN = "[A-Za-z0-9._-]{1,64}"
_INTEGER_PATTERN = "[+-]?[0-9]{1,18}"


class Report:
    """Collects findings and counts those it does not keep."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.total = 0

    def add(self, finding: Finding, count: int = 1) -> None:
        """One finding that stands for `count` faults."""
        self.findings.append(finding)
        self.total += count

    def raise_if_any(self, path: object) -> None:
        """Refuse the file if anything was found."""
        if self.total:
            raise DataError(path, self.findings, total=self.total)


def check_columns(columns: Sequence[str], codebook: Codebook, path: object) -> None:
    """Every recorded variable is there once, and nothing that the codebook does not know."""
    report = Report()
    for column in dict.fromkeys(columns):
        if column not in codebook.variables:
            report.add(_unknown_column(column, columns, codebook))
        elif columns.count(column) > 1:
            report.add(Finding(None, column, "the column occurs more than once", "keep one"))
    for variable in codebook.recorded:
        if variable.name not in columns:
            report.add(Finding(None, variable.name, "the column is missing", f"add it: {variable.label.en}"))
    report.raise_if_any(path)


def _unknown_column(column: str, columns: Collection[str], codebook: Codebook) -> Finding:
    shown = _shorten(column)
    reason = why_forbidden(column, codebook)
    if reason is not None:
        return Finding(None, shown, "this column may not be in the file", f"remove it. {reason.removesuffix('.')}")
    near = closest(column, [name for name in codebook.variables if name not in columns])
    right = f'did you mean "{near}"?' if near else "remove it, or add it to the codebook of the pack"
    return Finding(None, shown, "the codebook has no such column", right)


def check_values(connection: duckdb.DuckDBPyConnection, codebook: Codebook, rows_at: Numbering, report: Report) -> None:
    """Check every value, and that no visit occurs twice; `rows_at` says where a row stands."""
    for variable in codebook.recorded:
        name = identifier(variable.name)
        _collect(
            connection,
            f"NOT coalesce({_valid(variable)}, {_permits_empty(variable)})",
            variable,
            rows_at,
            report,
        )
        if variable.name == codebook.visit_id:
            repeated = f"{name} IN (SELECT {name} FROM staging GROUP BY {name} HAVING count(*) > 1)"  # noqa: S608
            _collect(connection, repeated, variable, rows_at, report, repeated=True)


def _valid(variable: Variable) -> str:
    """Return SQL for whether the text of a value is well formed; NULL for an empty one."""
    name = identifier(variable.name)
    if variable.type is VariableType.IDENTIFIER:
        return f"regexp_full_match({name}, '{IDENTIFIER_PATTERN}')"
    if variable.type is VariableType.INTEGER:
        number = f"TRY_CAST({name} AS BIGINT)"
        inside = f"{number} BETWEEN {variable.minimum} AND {variable.maximum}"
        # A number that is not even digits makes the second part NULL, which AND with false leaves false.
        return f"(regexp_full_match({name}, '{_INTEGER_PATTERN}') AND {inside})"
    return f"{name} IN ({', '.join(text(key) for key in variable.keys)})"


def _permits_empty(variable: Variable) -> str:
    return "TRUE" if variable.missing else "FALSE"


def _collect(
    connection: duckdb.DuckDBPyConnection,
    fault: str,
    variable: Variable,
    rows_at: Numbering,
    report: Report,
    *,
    repeated: bool = False,
) -> None:
    rows = connection.execute(
        f"SELECT _row, {identifier(variable.name)}, count(*) OVER () FROM staging"  # noqa: S608
        f" WHERE {fault} ORDER BY _row LIMIT {EXAMPLES_MAX}"
    ).fetchall()
    for index, (row, value, count) in enumerate(rows):
        wrong, right = (
            ("the same visit occurs twice", "give each visit an identifier of its own")
            if repeated
            else (_wrong(variable, value), expected(variable, value))
        )
        finding = rows_at.finding(row, variable.name, wrong, right)
        report.add(finding, count - len(rows) + 1 if index == 0 else 1)


def _wrong(variable: Variable, value: str | None) -> str:
    if value is None:
        return "the value is empty"
    if variable.type is VariableType.IDENTIFIER:
        return "the value is not a pseudonym"  # and is not repeated here: it may be a person's number
    if variable.type is VariableType.INTEGER:
        return f"{_quote(value)} is not a whole number in range"
    return f"{_quote(value)} is not one of its levels"


def expected(variable: Variable, value: str | None = None) -> str:
    """Say what would be right for a variable, and the likely meaning of `value`."""
    if variable.type is VariableType.IDENTIFIER:
        return "write 1 to 64 letters, digits, dots, dashes or underscores"
    if variable.type is VariableType.INTEGER:
        empty = ", or leave it empty" if variable.missing else ""
        return f"write a whole number from {variable.minimum} to {variable.maximum}{empty}"
    if variable.type is VariableType.MONTH:
        return f"write a month from {variable.keys[0]} to {variable.keys[-1]} as YYYY-MM"
    near = closest(value, variable.keys) if value else None
    if near:
        return f'write "{near}"'
    more = ", …" if len(variable.keys) > LEVELS_SHOWN_MAX else ""
    return f"write one of {', '.join(variable.keys[:LEVELS_SHOWN_MAX])}{more}"


def check_derived(
    connection: duckdb.DuckDBPyConnection, variable: Variable, rows_at: Numbering, report: Report
) -> None:
    """Check a derived column against the recorded ones; an empty cell counts as not given."""
    name = identifier(variable.name)
    sources = variable.derivation.variables if variable.derivation else ()
    read = "".join(f", computed.{identifier(source)}" for source in sources)
    rows: list[tuple[Any, ...]] = connection.execute(
        f"SELECT _row, staging.{name}, computed.{name}, count(*) OVER () {read}"  # noqa: S608
        f" FROM staging JOIN computed USING (_row) WHERE staging.{name} <> computed.{name}"
        f" ORDER BY _row LIMIT {EXAMPLES_MAX}"
    ).fetchall()
    for index, (row, given, right, count, *values) in enumerate(rows):
        because = ", ".join(f"{source} = {value}" for source, value in zip(sources, values, strict=True))
        finding = rows_at.finding(
            row,
            variable.name,
            f"{_quote(given)} contradicts {because}",
            f'write "{right}", or leave the column out and it is computed',
        )
        report.add(finding, count - len(rows) + 1 if index == 0 else 1)


def check_rule(connection: duckdb.DuckDBPyConnection, rule: Rule, rows_at: Numbering) -> tuple[list[Finding], int]:
    """Return the first rows that break a quality rule, and how many do."""
    rows = connection.execute(
        f"SELECT _row, count(*) OVER () FROM computed WHERE {rule.broken()} ORDER BY _row LIMIT {EXAMPLES_MAX}"  # noqa: S608
    ).fetchall()
    findings = [rows_at.finding(row, None, f"the row breaks rule {rule.id}", rule.text.en) for row, _ in rows]
    return findings, rows[0][1] if rows else 0


def normalised(variable: Variable) -> str:
    """Return SQL for a validated value as it is stored: an empty category becomes its missing level."""
    name = identifier(variable.name)
    if variable.type is VariableType.INTEGER:
        return f"CAST({name} AS BIGINT) AS {name}"
    if variable.levels and variable.missing:
        return f"coalesce({name}, {text(MISSING)}) AS {name}"
    return name


def _quote(value: str) -> str:
    return f'"{_shorten(value)}"'


def _shorten(value: str) -> str:
    printable = "".join(c if c.isprintable() else "?" for c in value[:VALUE_SHOWN_MAX])
    return printable + ("…" if len(value) > VALUE_SHOWN_MAX else "")
