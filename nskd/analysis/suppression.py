"""Secondary suppression: which further cells stay closed so that no closed cell follows from the margins.

The pattern of unsafe cells is public, so this runs in the clear, the same at every centre. Add to the
interior of a table its totals, with a minus sign on the row and column totals: then every row and every
column of the enlarged grid sums to zero. Draw a node for each row and each column and an edge for each
*closed* cell. What an outsider cannot see is then exactly a circulation on this graph, so

    a closed cell can be worked out from the open ones  ⟺  its edge is a bridge, i.e. lies on no cycle.

Every bridge is put on a cycle by closing the cheapest path around it: as few cells as possible, interior ones
before totals, ties by position. At the end `_prove` exhibits a witness over the integers – a table that is
zero wherever something is open, has zero margins, and is non-zero at every closed cell. Adding it to the true
table changes nothing an outsider sees, which proves the point by itself, however the cells were chosen.

A cell that cannot have a child, by the codebook or the question itself, is known to everybody: it counts as open,
and closing it would protect nothing.

Distinct children do not add up over cells, so their margins derive less than this assumes; the same cells are
closed. A table without column variables is treated as one with two equal columns. Linear algebra is all that
is covered: bounds (a total limits its parts) and sums of closed cells are not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nskd.analysis.shape import TableShape

Mask = NDArray[np.bool_]
Grid = NDArray[np.bool_]  # [row groups + 1, column groups + 1]: the totals are the last row and column
Edge = tuple[int, int]  # (row, column) of a cell in the grid

_REOPEN_WORK_MAX = 200_000  # cells tried times size of the graph: a few tenths of a second
_NEVER = np.iinfo(np.int64).max // 8
_WITNESS_TRIES = 64
_WITNESS_SPREAD = 1 << 32  # sums of 10,000 such values stay inside 64 bits


def secondary_suppression(shape: TableShape, unsafe: Mask, known: Mask | None = None) -> Mask:
    """Return the cells to keep closed: bool [shape.size], the unsafe ones and those chosen to protect them.

    ``known`` cells are 0 for all to see, whatever ``unsafe`` says; the total of any other cell must not be among them.
    Deterministic. Without margins nothing is derivable and nothing is added.
    """
    if unsafe.shape != (shape.size,):
        raise ValueError(f"a pattern of {unsafe.shape} for a table of {shape.size} cells")
    known = np.zeros(shape.size, np.bool_) if known is None else known
    unsafe = unsafe & ~known
    if not shape.margins or not unsafe.any():
        return unsafe.copy()
    place = _places(shape)
    closed = unsafe[place]
    costs = np.where(known[place], _NEVER, _costs(place, shape))
    on_cycle: set[Edge] = set()
    for edge in _bridges(closed):
        if edge not in on_cycle:  # an earlier path may run through it
            path = _detour(closed, costs, edge)
            on_cycle.update(path)
            closed[tuple(np.array(path).T)] = True
    _reopen(closed, unsafe[place], costs)
    _prove(closed)
    result = np.zeros(shape.size, np.bool_)
    result[place[closed]] = True
    return result


def derivable(shape: TableShape, closed: Mask) -> Mask:
    """Return the closed cells that an outsider can work out exactly: bool [shape.size]."""
    result = np.zeros(shape.size, np.bool_)
    if shape.margins:
        place = _places(shape)
        for edge in _bridges(closed[place]):
            result[place[edge]] = True
    return result


def _places(shape: TableShape) -> NDArray[np.int64]:
    """Return the grid, each cell holding its index in the vector."""
    if shape.columns is None:
        column = [shape.cell(row, 0) for row in range(shape.rows)] + [shape.size - 1]
        return np.repeat(np.array(column)[:, None], 2, axis=1)
    return np.array([[shape.cell(i, j) for j in range(shape.columns + 1)] for i in range(shape.rows + 1)])


def _costs(place: NDArray[np.int64], shape: TableShape) -> NDArray[np.int64]:
    """Return prices: a total outweighs any path of interior cells, which outweighs any way round."""
    nodes = sum(place.shape)
    return np.where(place < shape.interior, nodes, nodes**2)


def _bridges(closed: Grid) -> list[Edge]:
    """Return the closed cells on no cycle, in order of position (Tarjan's low-link, without recursion)."""
    rows = closed.shape[0]
    neighbours = [(np.flatnonzero(row) + rows).tolist() for row in closed]
    neighbours += [np.flatnonzero(column).tolist() for column in closed.T]
    order = [-1] * len(neighbours)
    low = [0] * len(neighbours)
    found: list[Edge] = []
    clock = 0
    for root in range(rows):
        if order[root] >= 0:
            continue
        order[root] = low[root] = clock
        clock += 1
        stack: list[tuple[int, int, Iterator[int]]] = [(root, -1, iter(neighbours[root]))]
        while stack:
            node, parent, rest = stack[-1]
            for other in rest:
                if order[other] < 0:
                    order[other] = low[other] = clock
                    clock += 1
                    stack.append((other, node, iter(neighbours[other])))
                    break
                if other != parent:
                    low[node] = min(low[node], order[other])
            else:
                stack.pop()
                if parent >= 0:
                    low[parent] = min(low[parent], low[node])
                    if low[node] > order[parent]:
                        row, column = min(node, parent), max(node, parent) - rows
                        found.append((row, column))
    return sorted(found)


def _detour(closed: Grid, costs: NDArray[np.int64], edge: Edge) -> list[Edge]:
    """Return the cells of the cheapest way from the row of `edge` to its column without `edge` itself.

    Bellman and Ford's relaxation, a whole side of the graph at a time. Every step costs something, a closed
    cell the least, so the way is simple and no longer than it must be.
    """
    far = _NEVER
    step = np.where(closed, 1, costs)
    step[edge] = far
    row_distance, column_distance = (np.full(size, far) for size in closed.shape)
    from_row, from_column = np.zeros(closed.shape[1], np.int64), np.zeros(closed.shape[0], np.int64)
    row_distance[edge[0]] = 0
    while True:
        reach = row_distance[:, None] + step  # twice _NEVER still fits
        nearer = reach.min(axis=0) < column_distance
        from_row[nearer] = reach.argmin(axis=0)[nearer]
        column_distance = np.minimum(column_distance, reach.min(axis=0))
        reach = column_distance[None, :] + step
        closer = reach.min(axis=1) < row_distance
        from_column[closer] = reach.argmin(axis=1)[closer]
        row_distance = np.minimum(row_distance, reach.min(axis=1))
        if not nearer.any() and not closer.any():
            break
    path, column = [], edge[1]
    while True:
        row = int(from_row[column])
        path.append((row, column))
        if row == edge[0]:
            return path
        column = int(from_column[row])
        path.append((row, column))


def _reopen(closed: Grid, unsafe: Grid, costs: NDArray[np.int64]) -> None:
    """Open again, dearest first, what later paths made needless. Left out where it would take long: it only
    tidies.
    """
    added = np.argwhere(closed & ~unsafe)
    if len(added) * (int(closed.sum()) + sum(closed.shape)) > _REOPEN_WORK_MAX:
        return
    order = np.lexsort((-added[:, 1], -added[:, 0], -costs[tuple(added.T)]))
    for row, column in added[order].tolist():
        closed[row, column] = False
        if _bridges(closed):
            closed[row, column] = True


def _prove(closed: Grid) -> None:
    """Raise unless there is an integer table with all sums zero, zero where open and non-zero wherever
    closed.
    """
    rng = np.random.default_rng(0)  # only a way to avoid cancellation; any values that pass the check will do
    for _ in range(_WITNESS_TRIES):
        witness = _circulation(closed, rng)
        balanced = not witness.sum(axis=0).any() and not witness.sum(axis=1).any()
        if balanced and not witness[~closed].any() and witness[closed].all():
            return
    raise RuntimeError("secondary suppression left a derivable cell; nothing may be released")


def _circulation(closed: Grid, rng: np.random.Generator) -> NDArray[np.int64]:
    """Free values off a spanning forest of the closed cells; those on it follow from the leaves inwards."""
    rows = closed.shape[0]
    value = np.where(closed, rng.integers(1, _WITNESS_SPREAD, size=closed.shape), 0)
    for node, parent in reversed(_forest(closed)):
        cell = (node, parent - rows) if node < rows else (parent, node - rows)
        line = value[node] if node < rows else value[:, node - rows]
        value[cell] = value[cell] - line.sum()
    return value


def _forest(closed: Grid) -> list[tuple[int, int]]:
    """(node, parent) of every node but the roots, parents first."""
    rows = closed.shape[0]
    parent: dict[int, int] = {}
    edges: list[tuple[int, int]] = []
    for root in range(rows):
        if root in parent:
            continue
        parent[root] = root
        queue = [root]
        for node in queue:
            line = closed[node] if node < rows else closed[:, node - rows]
            offset = rows if node < rows else 0
            for other in (np.flatnonzero(line) + offset).tolist():
                if other not in parent:
                    parent[other] = node
                    edges.append((other, node))
                    queue.append(other)
    return edges
