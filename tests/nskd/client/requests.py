"""Random requests for tables, and random ways to write one down in SQL."""

from __future__ import annotations

from math import prod

from hypothesis import strategies as st

from nskd.client.table import Table
from nskd.data.where import parse_where
from nskd.packs.codebook import Variable, VariableType
from tests.nskd.data.extracts import nsk

PACK = nsk()
BOOK = PACK.codebook
CELLS_MAX = 200  # enough to tell them apart, and quick to lay out
ASKABLE = [v for v in BOOK.variables.values() if not BOOK.private(v.name)]


def _quoted(key: str) -> str:
    return "'" + key.replace("'", "''") + "'"


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    variable: Variable = draw(st.sampled_from(ASKABLE))
    name = draw(st.sampled_from([variable.name, variable.name.upper(), f'"{variable.name}"']))
    if variable.type is VariableType.INTEGER:
        number = st.integers(0, 300)
        if draw(st.booleans()):
            return f"{name} BETWEEN {draw(number)} AND {draw(number)}"
        return f"{name} {draw(st.sampled_from(['=', '<>', '<', '>=']))} {draw(number)}"
    level = st.sampled_from(variable.keys)
    match draw(st.integers(0, 3)):
        case 0:
            return f"{name} {draw(st.sampled_from(['=', '<>']))} {_quoted(draw(level))}"
        case 1:
            return f"{name} IN ({', '.join(map(_quoted, draw(st.lists(level, min_size=1, max_size=3))))})"
        case 2:
            return f"{name} IS {draw(st.sampled_from(['', 'NOT ']))}NULL"
    return f"{name} = {_quoted(draw(level))}" if not variable.ordered_text else f"{name} < {_quoted(draw(level))}"


conditions = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" AND ", " or ", "\n  AND "]), inner).map("".join),
        inner.map("NOT ({})".format),
        inner.map("({})".format),
    ),
    max_leaves=5,
)
titles = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(lambda t: t.strip() and t.isprintable())


@st.composite
def tables(draw: st.DrawFn) -> Table:
    names = draw(st.lists(st.sampled_from([v.name for v in BOOK.groupable]), min_size=1, max_size=6, unique=True))
    while len(names) > 1 and prod(len(BOOK.variables[name].keys) for name in names) > CELLS_MAX:
        names.pop()
    down = draw(st.integers(max(1, len(names) - 4), min(4, len(names))))
    condition = draw(st.none() | conditions)
    used = {*names, *(parse_where(condition, BOOK).variables if condition else ())}
    purpose = draw(st.sampled_from([each.id for each in PACK.purposes if not BOOK.unsuited(each.id, used)]))
    return Table(
        pack=PACK,
        rows=tuple(names[:down]),
        columns=tuple(names[down:]),
        measure=draw(st.sampled_from(["visits", "children"])),
        condition=condition,
        totals=draw(st.booleans()),
        title=draw(titles),
        purpose=purpose,
        permit=draw(st.none() | st.just("HDAB-NL-2026-0042")),
    )
