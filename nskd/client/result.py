"""What came out: a table of counts, and how to have it as a frame, as text, or on a page.

A closed cell is a dot in print, empty (NA, null) in a frame.  What was made up says so in whatever form it is in: print
and page begin with it, and frames, CSV and JSON have a column or key for it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from nskd.client.errors import plain

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from nskd.packs.codebook import Codebook

SUPPRESSED: Final = "."
_FIGURES_SHOWN: Final = 40
_WIDTH: Final = 240  # characters of a line of print, where nothing needs folding


@attrs.frozen
class Synthetic:
    """Where made-up numbers come from; ``closed`` counts the cells that break each rule: only a rehearsal knows."""

    centres: int
    seed: int
    closed: Mapping[str, int]

    @property
    def notice(self) -> str:
        """What every representation says."""
        return (
            f"SYNTHETIC DATA: made up from the codebook for {self.centres} centres (seed {self.seed});"
            " nothing here is about any child."
        )


@attrs.frozen(eq=False, repr=False)
class Result:
    """A released table, or one of a rehearsal: then ``synthetic`` is there.

    ``release`` is the released document, ``request`` and ``digest`` its names at every centre, ``rules`` the charter's
    disclosure rules in words, ``codebook`` the pack's, of which figures need the words.
    """

    title: str
    release: Mapping[str, Any]
    rules: tuple[str, ...] = ()
    request: str | None = None
    digest: str | None = None
    synthetic: Synthetic | None = None
    codebook: Codebook | None = None

    @property
    def figures(self) -> list[dict[str, str | float | None]]:
        """What follows from the counts of a kind beside a table, a row a figure; ``note`` says why one is missing.

        Rates, limits, ratios, with the ends of their intervals: what the result page shows.
        """
        if self.codebook is None or "kind" not in self.release:
            return []
        from nskd.report.context import Context
        from nskd.report.kinds import figures

        found = figures(self.release, Context.bare(self.codebook))
        return [] if found is None else [dict(zip(found.columns, line, strict=True)) for line in found.lines()]

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The level of each variable (``total`` in a margin) and ``value``, None where closed; in codebook order."""
        return [dict(cell) for cell in self.release["cells"]]

    @property
    def variables(self) -> tuple[str, ...]:
        """The variables of the table, rows first."""
        return (*self.release["rows"], *self.release["columns"])

    @property
    def measure(self) -> str:
        """What is counted: visits or children."""
        return str(self.release["measure"])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know beside the numbers: what was rounded, and why cells are closed."""
        cells = self.release["cells"]
        closed = sum(cell["value"] is None for cell in cells)
        rounding = self.release.get("rounding", 1)
        notes = []
        if rounding > 1:
            notes.append(f"Numbers are rounded to multiples of {rounding}, totals by themselves.")
        if closed:
            notes.append(f"{SUPPRESSED} = not shown ({closed} of {len(cells)} cells), to protect children.")
        if closed and self.synthetic is not None:
            listed = ", ".join(f"{rule} {count}" for rule, count in self.synthetic.closed.items())
            notes.append(f"Closed by rule, where a cell may break several: {listed}.")
            notes.append("In a real table nobody learns which rule closed a cell, and earlier tables count too.")
        elif closed:
            notes.append("Nobody learns which of the charter's rules closed a cell. They are:")
        return tuple(notes)

    # --- frames and text ------------------------------------------------------------------------------------

    def to_pandas(self) -> pandas.DataFrame:
        """A row a cell; levels as ordered categories, the count as Int64 with NA where closed."""
        from nskd.client.frames import pandas_frame

        return pandas_frame(self)

    def to_polars(self) -> polars.DataFrame:
        """A row a cell; levels as Enum, the count as Int64 with null where closed."""
        from nskd.client.frames import polars_frame

        return polars_frame(self)

    def to_arrow(self) -> pyarrow.Table:
        """A row a cell; levels as dictionaries, the count as int64 with null where closed."""
        from nskd.client.frames import arrow_table

        return arrow_table(self)

    def to_csv(self) -> str:
        """A line a cell; a dot where closed."""
        columns = self.columns()
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*columns.values(), strict=True):
            writer.writerow([SUPPRESSED if value is None else value for value in row])
        return out.getvalue()

    def to_json(self) -> str:
        """The released document, ``null`` where closed, with ``synthetic`` if it is."""
        made_up = {} if self.synthetic is None else {"synthetic": attrs.asdict(self.synthetic)}
        return json.dumps({**made_up, **self.release}, ensure_ascii=False)

    def columns(self) -> dict[str, list[Any]]:
        """The columns of a frame, in order: variables, the count under the name of its measure, ``synthetic`` if so."""
        cells = self.release["cells"]
        found: dict[str, list[Any]] = {name: [cell[name] for cell in cells] for name in self.variables}
        found[self.count_name] = [cell["value"] for cell in cells]
        if self.synthetic is not None:
            found[_unused("synthetic", found)] = [True] * len(cells)
        return found

    @property
    def count_name(self) -> str:
        """The name of the column with the counts."""
        return _unused(self.measure, self.variables)

    # --- what people see ------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        from rich.console import Console

        from nskd.control import render

        out = io.StringIO()
        console = Console(file=out, width=_WIDTH, markup=False, highlight=False, emoji=False)
        render.release(console, dict(self.release))
        head = [self.synthetic.notice] if self.synthetic is not None else []
        if "model" in self.release:
            from nskd.control.model_text import model

            model(console, self.release)
        elif lines := self.figure_lines():
            console.print()
            render.table(console, lines[0], lines[1:], right=len(lines[0]))
        table = [line.rstrip() for line in out.getvalue().splitlines()]
        return "\n".join([*head, plain(self.title), *table, *self._explained()])

    def _repr_html_(self) -> str:
        from nskd.client.html import result_page

        return result_page(self)

    def figure_lines(self) -> list[tuple[str, ...]]:
        """A head, and a line a figure as it is printed; the last says how many more there are."""
        figures = self.figures
        if not figures:
            return []
        kept = [name for name in figures[0] if any(row[name] not in (None, "") for row in figures)]
        lines = [tuple(_digits(row[name]) for name in kept) for row in figures[:_FIGURES_SHOWN]]
        if len(figures) > _FIGURES_SHOWN:
            lines.append((f"… {len(figures) - _FIGURES_SHOWN} more in .figures", *("" for _ in kept[1:])))
        return [tuple(kept), *lines]

    def _explained(self) -> list[str]:
        closed = any(cell["value"] is None for cell in self.release["cells"])
        return [*self.notes, *(f"- {plain(rule)}" for rule in self.rules if closed)]


def _digits(value: str | float | None) -> str:
    """A figure to be read: four digits are as many as its interval bears; counts are whole."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)


def _unused(name: str, taken: Any) -> str:
    """The name, longer by a line where a variable of a pack has it."""
    while name in taken:
        name += "_"
    return name
