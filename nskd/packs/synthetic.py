"""Made-up extracts: a pack's draws, followed with numpy from a seed.

Nothing here knows about the NSK. Every number comes from `synthetic.toml`, where it is marked published or
free; every derived column comes from the codebook's own derivation. The same pack, seed, centre and size give
the same rows.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nskd.errors import OperatorError
from nskd.packs.conditions import Column, Condition, Written
from nskd.packs.errors import PackError
from nskd.packs.pack import Pack
from nskd.packs.synthetic_model import VISITS_MAX, Draw, Scope, Synthetic

Rows = dict[str, Column]  # one array of equal length per variable, in codebook order


def generate(pack: Pack, *, seed: int, centre: int = 0, visits: int | None = None) -> Rows:
    """Make up an extract of one centre: recorded and derived columns, level keys as text, whole numbers as
    int64.

    `seed` (the caller prints it) and `centre` choose the random stream, so centres differ and each can be
    made alone.
    """
    if pack.synthetic is None:
        raise PackError("is missing from the pack", file=f"{pack.name}/synthetic.toml", remedy="Write it.")
    rows = pack.synthetic.visits if visits is None else visits
    if not 1 <= rows <= VISITS_MAX or seed < 0 or centre < 0:
        remedy = f"Give 1 to {VISITS_MAX} visits and a seed and centre of at least 0."
        raise OperatorError("cannot be made", where=f"an extract of {rows} visits", remedy=remedy)
    return _Extract(pack, pack.synthetic, np.random.default_rng([seed, centre]), rows).run()


class _Extract:
    """One run over the draws: a table of children, a table of visits, and which child came for each visit."""

    def __init__(self, pack: Pack, spec: Synthetic, rng: np.random.Generator, rows: int) -> None:
        self.codebook = pack.codebook
        self.spec = spec
        self.rng = rng
        counts = 1 + rng.choice(len(spec.visits_per_child), size=rows, p=spec.visits_per_child)
        child = np.repeat(np.arange(rows), counts)[:rows]
        self.children = int(child[-1]) + 1
        self.child = rng.permutation(child)
        self.rows = rows
        self.visit_columns: Rows = {
            self.codebook.visit_id: self._pseudonyms(rows),
            self.codebook.person_link: self._pseudonyms(self.children)[self.child],
        }
        self.child_columns: Rows = {}

    def run(self) -> Rows:
        for draw in self.spec.draws:
            self._draw(draw)
            self._derive()
        return {name: self.visit_columns[name] for name in self.codebook.variables}

    def _pseudonyms(self, count: int) -> Column:
        """Distinct random 16-digit hexadecimal words."""
        while True:
            words = self.rng.integers(0, 1 << 64, size=count, dtype=np.uint64)
            if np.unique(words).size == count:
                return np.array([f"{word:016x}" for word in words.tolist()])

    def _draw(self, draw: Draw) -> None:
        name = draw.variable.name
        if draw.scope is Scope.VISIT:
            self.visit_columns[name] = self._values(draw, self.visit_columns, self.rows)
            return
        count = 1 if draw.scope is Scope.CENTRE else self.children
        values = self._values(draw, self.child_columns, count)
        self.child_columns[name] = np.resize(values, self.children)
        self.visit_columns[name] = self.child_columns[name][self.child]
        if draw.grows_with is not None:
            # A child is older at a later visit: months passed since the first month that occurs.
            keys = np.array(self.codebook.variables[draw.grows_with].keys)
            month = np.searchsorted(keys, self.visit_columns[draw.grows_with])
            grown = self.visit_columns[name] + month - month.min()
            self.visit_columns[name] = np.minimum(grown, draw.variable.maximum or 0)

    def _values(self, draw: Draw, columns: Mapping[str, Column], count: int) -> Column:
        if draw.spans:
            span = np.array(draw.spans)[self.rng.choice(len(draw.spans), size=count, p=draw.weights)]
            drawn: NDArray[np.int64] = self.rng.integers(span[:, 0], span[:, 1], endpoint=True)
            return drawn
        cumulative = np.cumsum(self._probabilities(draw, columns, count), axis=1)
        point = self.rng.random((count, 1)) * cumulative[:, -1:]
        # The last sum is left out, so that a rounding error can never fall past the last level.
        keys: Column = np.array(draw.variable.keys)
        chosen: Column = keys[(point >= cumulative[:, :-1]).sum(axis=1)]
        return chosen

    def _probabilities(self, draw: Draw, columns: Mapping[str, Column], count: int) -> NDArray[np.float64]:
        """Float64 [count, levels]: the branch that holds, then the odds of one level shifted."""
        result = np.tile(draw.weights, (count, 1))
        free = np.ones(count, np.bool_)
        for condition, weights in draw.branches:
            taken = free & self._holds(condition, columns, count)
            result[taken] = weights
            free &= ~taken
        if draw.level is not None:
            log_odds = np.full(count, self.rng.normal(0.0, draw.centre_sd) if draw.centre_sd else 0.0)
            for odds in draw.odds:
                log_odds[self._holds(odds.condition, columns, count)] += np.log(odds.factor)
            result[:, draw.level] *= np.exp(log_odds)
        return result

    @staticmethod
    def _holds(condition: Condition, columns: Mapping[str, Column], count: int) -> NDArray[np.bool_]:
        # A centre-level draw is a single value, seen from whichever child comes first.
        return condition.mask({name: columns[name][:count] for name in condition.variables}, count)

    def _derive(self) -> None:
        for variable in self.codebook.derived:
            derivation = variable.derivation
            if derivation is None or isinstance(derivation, Written) or variable.name in self.visit_columns:
                continue
            if all(name in self.visit_columns for name in derivation.variables):
                self.visit_columns[variable.name] = derivation.evaluate(self.visit_columns, self.rows)


def write_visits(rows: Mapping[str, Column], path: Path) -> None:
    """Write an extract as Parquet if the name ends in `.parquet`, else as comma-separated UTF-8 text."""
    if path.suffix == ".parquet":
        _write_parquet(rows, path)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(rows)
        writer.writerows(zip(*(column.tolist() for column in rows.values()), strict=True))


def _write_parquet(rows: Mapping[str, Column], path: Path) -> None:
    import duckdb  # heavy, and only needed here

    from nskd.packs.conditions import identifier, text

    with duckdb.connect(":memory:", config={"threads": 1}) as connection:
        # `made` is an ordinary dict of arrays, handed over by name.
        connection.register("made", {name: _plain(column) for name, column in rows.items()})
        names = ", ".join(identifier(name) for name in rows)
        connection.execute(f"COPY (SELECT {names} FROM made) TO {text(str(path))} (FORMAT parquet)")  # noqa: S608


def _plain(column: Column) -> Column:
    return column.astype(object) if column.dtype.kind == "U" else column
