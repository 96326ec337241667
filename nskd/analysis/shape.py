"""Where the cells of a table lie in the vector that the centres add up.

A table of R row groups and C column groups is the vector of its R·C interior cells, row by row; with margins
follow the R row totals and the C column totals (both only if the table has columns) and the grand total.
Nothing here depends on data, so every centre has the same layout.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class TableShape:
    """`columns` is None for a table without column variables (it has one column and no row totals)."""

    rows: int
    columns: int | None
    margins: bool

    @property
    def width(self) -> int:
        """Interior cells in a row."""
        return 1 if self.columns is None else self.columns

    @property
    def interior(self) -> int:
        """Number of interior cells."""
        return self.rows * self.width

    @property
    def size(self) -> int:
        """Number of cells, margins included."""
        if not self.margins:
            return self.interior
        return self.interior + 1 + (0 if self.columns is None else self.rows + self.columns)

    def cell(self, row: int, column: int) -> int:
        """Index of a cell; `row == rows` or `column == width` means the total over it."""
        if row < self.rows and column < self.width:
            return row * self.width + column
        if row == self.rows and column == self.width:
            return self.size - 1
        if row < self.rows:
            return self.interior + row
        return self.interior + self.rows + column

    def place(self, index: int) -> tuple[int, int]:
        """Return the (row, column) of a cell; the inverse of `cell`. The grand total is (rows, width)."""
        if index < self.interior:
            return divmod(index, self.width)
        if index == self.size - 1:
            return self.rows, self.width
        margin = index - self.interior
        return (margin, self.width) if margin < self.rows else (self.rows, margin - self.rows)
