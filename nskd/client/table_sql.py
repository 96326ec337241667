"""SQL ⇄ a request for a table.

``SELECT a, b, COUNT(*) FROM visits WHERE … GROUP BY a, b`` counts visits by a and b; ``COUNT(DISTINCT child)`` counts
children.  Totals are SQL's grouping sets: exactly those of rows by columns, so ``CUBE (a, b)``, or for several
variables a side ``GROUPING SETS ((a, b, c), (a, b), (c), ())``; without columns ``ROLLUP (a)`` or ``GROUPING SETS ((a,
b), ())``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Final

import attrs
from sqlglot import exp

from nskd.analysis.table import GROUP_VARIABLES_MAX, plan_table
from nskd.client.sql import SOURCE, Select, bare, read_select
from nskd.client.sql_gate import FORM, refuse
from nskd.data.errors import RequestError
from nskd.governance.question import Measure
from nskd.packs.codebook import Codebook

CHILD: Final = "child"  # who is counted, as people say it; the codebook's own name for the pseudonym will do as well
_SETS_MAX: Final = 4  # with totals: all variables, the rows, the columns, nothing

_Set = frozenset[str]


@attrs.frozen
class TableQuery:
    """What SQL says of a table; the rest of a request is title and purpose."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    measure: Measure
    condition: str | None
    totals: bool


def read_table(source: str, codebook: Codebook, *, columns: Sequence[str] = ()) -> TableQuery:
    """Read SQL; ``columns`` are those of its variables that go across.  Raises ``SqlError``."""
    return _Reader(codebook, read_select(source, codebook)).query(tuple(columns))


def write_table(query: TableQuery, codebook: Codebook) -> str:
    """The SQL from which :func:`read_table` makes ``query``, given the same columns."""
    names = (*query.rows, *query.columns)
    person = _word(codebook.person_link)
    counted = "COUNT(*)" if query.measure is Measure.VISITS else f"COUNT(DISTINCT {person})"
    lines = [f"SELECT {', '.join(map(_word, names))}, {counted}", f"FROM {SOURCE}"]
    if query.condition is not None:
        lines.append(f"WHERE {query.condition}")
    grouped = _with_totals(query.rows, query.columns) if query.totals else ", ".join(map(_word, names))
    return "\n".join([*lines, f"GROUP BY {grouped}"])


def _with_totals(rows: Sequence[str], columns: Sequence[str]) -> str:
    sides = [(*rows, *columns), tuple(rows), tuple(columns), ()] if columns else [tuple(rows), ()]
    written = ("(" + ", ".join(map(_word, side)) + ")" for side in sides)
    return f"GROUPING SETS ({', '.join(written)})"


def _word(name: str) -> str:
    """A name as SQL: quoted where the word means something else to it."""
    return exp.column(name).sql(dialect="duckdb")


class _Reader:
    """Reads one SELECT as a table; each method is about one part and refuses what it cannot mean."""

    def __init__(self, codebook: Codebook, select: Select) -> None:
        self.codebook = codebook
        self.select = select
        self.refusal = select.refusal

    def query(self, across: tuple[str, ...]) -> TableQuery:
        names, measure = self._list()
        sets = self._grouping()
        everything = frozenset().union(*sets)
        self._check_grouped(names, everything)
        for name in across:
            if name not in names:
                what = f'"{name[:40]}" is to go across and is not selected'
                raise refuse(what, None, f"Choose columns from {', '.join(names)}.", self.select.source)
        if len(set(across)) != len(across) or len(across) == len(names):
            remedy = "Name each column once, and leave a variable to go down."
            raise refuse("no rows are left beside the columns", None, remedy, self.select.source)
        totals = sets != [everything]
        if totals:
            across = self._across(names, everything, sets, across)
        self._check_order(names, totals)
        rows = tuple(name for name in names if name not in across)
        return TableQuery(rows, across, measure, self.select.condition, totals)

    # --- the list -------------------------------------------------------------------------------------------

    def _list(self) -> tuple[tuple[str, ...], Measure]:
        names: list[str] = []
        measures: list[Measure] = []
        for item in self.select.listed:
            inner = item.this if isinstance(item, exp.Alias) else item
            if isinstance(inner, exp.Column):
                name = self._variable(inner)
                self._check_alias(item, name)
                if name in names:
                    raise self.refusal(f"{name} is selected twice", item, "Name it once.")
                names.append(name)
            elif isinstance(inner, exp.Count):
                measures.append(self._measure(inner))
                self._check_alias(item, measures[-1].value)
                if len(measures) > 1:
                    raise self.refusal("one request counts one thing", item, "Keep one COUNT, and ask twice.")
            else:
                raise self.refusal("only variables and one count can be selected", item, FORM)
        if not measures:
            remedy = "Add COUNT(*) for visits, or COUNT(DISTINCT child) for children."
            raise refuse("nothing is counted", None, remedy, self.select.source)
        if not names:
            remedy = "Select one variable or more, and group by it."
            raise refuse("there is nothing to break the count down by", None, remedy, self.select.source)
        return tuple(names), measures[0]

    def _variable(self, node: object) -> str:
        """The name of a variable by which a table can be broken down."""
        if not isinstance(node, exp.Column) or not isinstance(node.this, exp.Identifier) or not bare(node):
            remedy = "Name the variables themselves; see nskd codebook."
            raise self.refusal("only variables of the codebook can be grouped by", node, remedy)
        name = str(node.this.this).lower()
        try:
            plan_table(self.codebook, rows=(name,))
        except RequestError as error:
            raise self.refusal(error.what, node, error.remedy) from error
        return name

    def _measure(self, count: exp.Count) -> Measure:
        inner = count.this
        persons = (self.codebook.person_link, *((CHILD,) if CHILD not in self.codebook.variables else ()))
        choose = "Write COUNT(*) for visits, or COUNT(DISTINCT child) for children."
        if not bare(count, "big_int"):
            raise self.refusal("COUNT takes one thing", count, choose)
        if isinstance(inner, exp.Star) and bare(inner):
            return Measure.VISITS
        distinct = isinstance(inner, exp.Distinct) and bare(inner, "expressions") and len(inner.expressions) == 1
        column = inner.expressions[0] if distinct and isinstance(inner, exp.Distinct) else inner
        name = str(column.name).lower() if isinstance(column, exp.Column) and bare(column) else None
        if distinct and name in persons:
            return Measure.CHILDREN
        if name in persons:
            remedy = f"Write COUNT(DISTINCT {name}) for children, or COUNT(*) for visits."
            raise self.refusal("a child with two visits would count twice", count, remedy)
        raise self.refusal("only visits and children can be counted", count, choose)

    def _check_alias(self, item: exp.Expression, name: str) -> None:
        if isinstance(item, exp.Alias) and str(item.alias).lower() != name:
            what = f"the result will call this {name}, not {str(item.alias)[:40]}"
            raise self.refusal(what, item, f"Leave AS {str(item.alias)[:40]} out, and rename it in the result.")

    # --- the grouping ---------------------------------------------------------------------------------------

    def _grouping(self) -> list[_Set]:
        """The sets of variables grouped by, as SQL counts them: those of each item, combined."""
        group = self.select.group
        if group is None:
            remedy = "Add GROUP BY and the variables that are selected."
            raise refuse("there is no GROUP BY", None, remedy, self.select.source)
        if not bare(group, "expressions") or not group.expressions:
            raise self.refusal("GROUP BY names variables", group, "Write GROUP BY and the variables.")
        sets: list[_Set] = [frozenset()]
        for item in group.expressions:
            sets = [one | other for one in sets for other in self._sets(item)]
            if len(sets) > 1 << GROUP_VARIABLES_MAX:
                raise self.refusal("there are too many grouping sets", item, "Group by fewer variables.")
        return sets

    def _sets(self, item: object) -> list[_Set]:
        match item:
            case exp.GroupingSets():
                return [each for part in item.expressions for each in self._sets(part)]
            case exp.Cube() | exp.Rollup() if item.expressions:
                parts = [self._side(part) for part in item.expressions]
                if len(parts) > GROUP_VARIABLES_MAX:
                    raise self.refusal("there are too many grouping sets", item, "Group by fewer variables.")
                return [frozenset().union(*chosen) for chosen in _choices(parts, rollup=isinstance(item, exp.Rollup))]
        return [self._side(item)]

    def _side(self, item: object) -> _Set:
        """Variables in parentheses, or one."""
        match item:
            case exp.Tuple() if bare(item, "expressions"):
                return frozenset(self._variable(part) for part in item.expressions)
            case exp.Paren() if bare(item):
                return frozenset((self._variable(item.this),))
            case exp.Literal():
                raise self.refusal("columns are not grouped by number", item, "Name the variables.")
        return frozenset((self._variable(item),))

    def _check_grouped(self, names: tuple[str, ...], everything: _Set) -> None:
        for name in names:
            if name not in everything:
                what = f"{name} is selected and not grouped by"
                raise self.refusal(what, self.select.group, f"Add {name} to GROUP BY.")
        for name in sorted(everything - set(names)):
            what = f"{name} is grouped by and not selected"
            raise self.refusal(what, self.select.group, f"Add {name} to SELECT, or take it out of GROUP BY.")

    def _across(
        self, names: tuple[str, ...], everything: _Set, sets: list[_Set], asked: tuple[str, ...]
    ) -> tuple[str, ...]:
        """The columns that these grouping sets give totals of; none for a table without columns."""
        given = set(sets)
        sides = given - {everything, frozenset()}
        if len(given) == len(sets) <= _SETS_MAX and {everything, frozenset()} <= given:
            if not sides and not asked:
                return ()
            if len(sides) == 2 and not frozenset.intersection(*sides) and frozenset.union(*sides) == everything:
                (columns,) = (side for side in sides if names[0] not in side)
                if not asked:
                    return tuple(name for name in names if name in columns)
                if frozenset(asked) in sides:
                    return asked
        columns_like = asked or names[1:]
        rows_like = tuple(name for name in names if name not in columns_like)
        remedy = f"For totals of rows and columns write GROUP BY {_with_totals(rows_like, columns_like)}."
        raise self.refusal("these are not the totals of a table", self.select.group, remedy)

    # --- the order ------------------------------------------------------------------------------------------

    def _check_order(self, names: tuple[str, ...], totals: bool) -> None:
        """ORDER BY may say what is so anyway: variables in turn whose levels SQL sorts as the codebook does."""
        order = self.select.order
        if order is None:
            return
        asked = [self._ordered(each) for each in order.expressions]
        levels = [self.codebook.variables[name].keys for name in asked]
        if totals or tuple(asked) != names[: len(asked)] or any(list(keys) != sorted(keys) for keys in levels):
            remedy = "Leave ORDER BY out, and sort the result."
            raise self.refusal("a table comes in the order of the codebook, which this is not", order, remedy)

    def _ordered(self, node: object) -> str:
        if isinstance(node, exp.Ordered) and isinstance(node.this, exp.Column) and bare(node, "nulls_first"):
            return self._variable(node.this)
        raise self.refusal("a table comes in the order of the codebook", node, "Leave ORDER BY out.")


def _choices(parts: Sequence[_Set], *, rollup: bool) -> Iterable[tuple[_Set, ...]]:
    if rollup:
        return (tuple(parts[:count]) for count in range(len(parts), -1, -1))
    return itertools.chain.from_iterable(itertools.combinations(parts, count) for count in range(len(parts), -1, -1))
