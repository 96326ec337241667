"""A request for a table → its plan: the same cells in the same order at every centre, whatever their data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import attrs

from nskd.analysis.axes import definitions, with_axes
from nskd.analysis.readings import check_reading
from nskd.analysis.shape import TableShape
from nskd.data.errors import RequestError
from nskd.data.where import Filter, parse_where
from nskd.governance.question import PLAIN_TABLE, AskedAxis, AsRegression, Kind, Measure, Reading, TableRequest
from nskd.packs.codebook import TOTAL, Codebook, Variable, closest
from nskd.packs.conditions import Derivation, identifier

CELLS_MAX = 10_000  # each costs a comparison under MPC, and nobody reads a larger table
GROUP_VARIABLES_MAX = 8


@attrs.frozen
class TablePlan:
    """A checked request; `cells[k]` gives the level of each variable, `TOTAL` in a margin.

    `codebook` is the pack's, and the axes that the request defines are variables of it.
    """

    codebook: Codebook = attrs.field(repr=False, eq=False)
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    measure: Measure
    filter: Filter
    shape: TableShape
    cells: tuple[Mapping[str, str], ...]
    reading: Reading = PLAIN_TABLE

    @property
    def names(self) -> tuple[str, ...]:
        """The variables and axes that span the table, rows first."""
        return self.rows + self.columns

    @property
    def size(self) -> int:
        """Number of cells, margins included."""
        return len(self.cells)

    @property
    def margins(self) -> bool:
        """Whether totals follow the interior cells."""
        return self.shape.margins

    @property
    def read(self) -> tuple[str, ...]:
        """The codebook's variables that conditions read: the filter's, and those of axes."""
        axes = [self.codebook.variables[name] for name in self.names if name in self.definitions]
        used = [axis.derivation.variables for axis in axes if axis.derivation is not None]
        return tuple(dict.fromkeys((*self.filter.variables, *(name for names in used for name in names))))

    @property
    def variables(self) -> tuple[str, ...]:
        """Every variable of the codebook that the table reads: what a purpose must allow."""
        spanning = (name for name in self.names if name not in self.definitions)
        return tuple(dict.fromkeys((*spanning, *self.read)))

    @property
    def definitions(self) -> dict[str, list[dict[str, str | None]]]:
        """The axes that the request defines, by name: the key and the condition (None: the rest) of each level."""
        return definitions(self.codebook, self.names)

    @property
    def source(self) -> str:
        """What to select from: the visits, with a column for every axis."""
        axes = [self.codebook.variables[name] for name in self.definitions]
        columns = [
            f"{axis.derivation.sql()} AS {identifier(axis.name)}" for axis in axes if axis.derivation is not None
        ]
        return f"(SELECT *, {', '.join(columns)} FROM visits)" if columns else "visits"  # noqa: S608

    @property
    def stacked(self) -> bool:
        """Whether its cells are those of several tables, one for each row variable, beneath each other."""
        return isinstance(self.reading, AsRegression)

    @property
    def groupings(self) -> tuple[frozenset[str], ...]:
        """What visits are grouped by, for one part of the cells after another; others of the names are totalled."""
        rows, columns = frozenset(self.rows), frozenset(self.columns)
        if self.stacked:
            return tuple(columns | {name} for name in self.rows)
        if not self.margins:
            return (rows | columns,)
        return (rows | columns, rows, columns, frozenset()) if columns else (rows, frozenset())

    def meaning(self, name: str) -> tuple[str, Derivation | None]:
        """What a variable or axis is: two tables speak of the same if these are equal."""
        return name, self.codebook.variables[name].derivation


def plan_request(codebook: Codebook, request: TableRequest) -> TablePlan:
    """Check a request against the codebook and lay its table out. Raises `RequestError`."""
    return plan_table(
        codebook,
        rows=request.rows,
        columns=request.columns,
        measure=request.measure,
        where=request.where or "",
        margins=request.margins,
        axes=request.axes,
        reading=request.reading,
    )


def plan_table(
    codebook: Codebook,
    *,
    rows: Sequence[str],
    columns: Sequence[str] = (),
    measure: Measure | str = Measure.VISITS,
    where: str = "",
    margins: bool = False,
    axes: Sequence[AskedAxis] = (),
    reading: Reading = PLAIN_TABLE,
) -> TablePlan:
    """Check a question against the codebook and lay its table out. Raises `RequestError`."""
    check_reading(codebook, reading, rows)
    asked = parse_where(where, codebook)
    codebook = with_axes(codebook, axes)
    counted = _measure(measure)
    stacked = isinstance(reading, AsRegression)
    key = {Kind.TABLE: "rows", Kind.REGRESSION: "covariates"}.get(reading.kind, "by")
    row_variables = _grouping(codebook, key, rows)
    column_variables = _grouping(codebook, "columns", columns)
    if not row_variables:
        raise RequestError("no row variable is named", where="rows", remedy="Name at least one.")
    names = [v.name for v in (*row_variables, *column_variables)]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        remedy = "Name each variable once."
        raise RequestError(f'"{repeated[0]}" is named twice', where="rows and columns", remedy=remedy)
    if len(names) > GROUP_VARIABLES_MAX and not stacked:
        remedy = f"Use at most {GROUP_VARIABLES_MAX}."
        raise RequestError(f"{len(names)} variables are named", where="rows and columns", remedy=remedy)

    # Sizes first: the product of long level lists must be refused before it is written out.
    height = sum(len(v.levels) for v in row_variables) if stacked else _product(row_variables)
    shape = TableShape(height, _product(column_variables) if column_variables else None, margins)
    if shape.size > CELLS_MAX:
        remedy = f"At most {CELLS_MAX} can be computed; use fewer or coarser variables."
        raise RequestError(f"the table would have {shape.size} cells", where="rows and columns", remedy=remedy)
    return TablePlan(
        codebook=codebook,
        rows=tuple(v.name for v in row_variables),
        columns=tuple(v.name for v in column_variables),
        measure=counted,
        filter=asked,
        shape=shape,
        cells=(_stacked_cells if stacked else _cells)(row_variables, column_variables, shape),
        reading=reading,
    )


def _measure(measure: Measure | str) -> Measure:
    try:
        return Measure(measure)
    except ValueError as error:
        known = " or ".join(m.value for m in Measure)
        raise RequestError(f'"{measure}" cannot be counted', where="measure", remedy=f"Choose {known}.") from error


def _grouping(codebook: Codebook, key: str, names: Sequence[str]) -> list[Variable]:
    choices = [v.name for v in codebook.groupable]
    variables = []
    for name in names:
        variable = codebook.variables.get(name)
        if variable is None:
            near = closest(name, choices)
            remedy = f'Did you mean "{near}"?' if near else f"Choose from {', '.join(choices)}."
            raise RequestError(f'there is no variable "{name}"', where=key, remedy=remedy)
        if not variable.groupable:
            what = f'"{name}" has no levels to break a table down by'
            if codebook.private(name):
                what = f'"{name}" singles out a visit or a child'
            grouped = next((v.name for v in codebook.derived if v.derivation and name in v.derivation.variables), None)
            remedy = f'Use "{grouped}", which groups it.' if grouped else "Use a variable with levels."
            raise RequestError(what, where=key, remedy=remedy)
        variables.append(variable)
    return variables


def _product(variables: Sequence[Variable]) -> int:
    return math.prod(len(v.levels) for v in variables)


def _cells(rows: Sequence[Variable], columns: Sequence[Variable], shape: TableShape) -> tuple[Mapping[str, str], ...]:
    def groups(variables: Sequence[Variable]) -> list[dict[str, str]]:
        keys = itertools.product(*(v.keys for v in variables))
        levels = [dict(zip((v.name for v in variables), combination, strict=True)) for combination in keys]
        return [*levels, {v.name: TOTAL for v in variables}]

    row_groups, column_groups = groups(rows), groups(columns)
    places = (shape.place(index) for index in range(shape.size))
    return tuple(row_groups[row] | column_groups[column] for row, column in places)


def _stacked_cells(
    rows: Sequence[Variable], columns: Sequence[Variable], shape: TableShape
) -> tuple[Mapping[str, str], ...]:
    """Each level of each row variable, all others totalled, against the columns."""
    others = {v.name: TOTAL for v in rows}
    names = tuple(v.name for v in columns)
    across = [dict(zip(names, keys, strict=True)) for keys in itertools.product(*(v.keys for v in columns))]
    return tuple(others | {v.name: key} | each for v in rows for key in v.keys for each in across)
