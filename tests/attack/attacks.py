"""Attacks on what a workshop has released; each returns what it found, in words, or nothing.

An attacker has every release, and if it is a centre its own rows.  Whether what it works out is a disclosure is judged
with the truth, which it does not have.
"""

from __future__ import annotations

import itertools

import numpy as np

from nskd.analysis.suppression import derivable
from nskd.packs.codebook import TOTAL
from protocol.online.rules import Rules
from tests.attack.model import LEVELS, Released, differing

ALLOWED = 4  # of what a shown number leaves open, the least: five values, so an interval of four


def small_cells(released: list[Released], rules: Rules) -> list[str]:
    """A number shown of fewer children than the threshold."""
    return [
        f"{int(total)} children"
        for each in released
        for total in each.children.sum(axis=0)[each.shown]
        if 0 < total < rules.threshold
    ]


def empty_cells(released: list[Released]) -> list[str]:
    """A cell known to be empty."""
    return ["an empty cell" for each in released if (each.children.sum(axis=0)[each.shown] == 0).any()]


def one_centre_subtracts(released: list[Released], rules: Rules) -> list[str]:
    """A centre takes its own rows away, and too few children are left."""
    found = []
    for each in released:
        rest = (each.children.sum(axis=0) - each.children)[:, each.shown]
        found += [f"{int(left)} children of others" for left in rest[(rest < rules.threshold) & (rest > 0)]]
    return found


def one_centre_is_left(released: list[Released]) -> list[str]:
    """A centre takes its own rows away, and what is left is one other's."""
    return [
        f"the figure of one of {int(centres)}"
        for each in released
        for centres in (each.children > 0).sum(axis=0)[each.shown]
        if 0 < centres <= 2
    ]


def close_estimates(released: list[Released], share: int, rest: int) -> dict[str, int]:
    """The total says nearly what one centre has, or two; or what others leave is little beside what one has."""
    found = {"share": 0, "pair": 0, "rest": 0}
    for each in released:
        visits = -np.sort(-each.visits[:, each.shown], axis=0)
        whole = visits.sum(axis=0)
        found["share"] += int((100 * visits[0] > share * whole).sum())
        found["pair"] += int((100 * (visits[0] + visits[1]) > (100 - rest) * whole).sum())
        found["rest"] += int((100 * (whole - visits[0] - visits[1]) < rest * visits[0]).sum())
    return found


def follows_from_totals(released: list[Released]) -> list[str]:
    """A closed cell that is a combination of shown ones of its own table, rounded or not."""
    return [
        "a closed cell"
        for each in released
        if (derivable(each.plan.shape, ~each.shown) & (each.visits.sum(axis=0) > 0)).any()
    ]


def linear_system(released: list[Released], conditions: list[str | None]) -> list[str]:
    """Solve all that was ever published for each closed cell: found if the interval is narrower than a number shown."""
    atoms = list(itertools.product(*LEVELS.values()))
    rows, slack = [], []
    closed: list[np.ndarray] = []
    for each, only in zip(released, conditions, strict=True):
        for index, cell in enumerate(each.plan.cells):
            levels = [dict(zip(LEVELS, atom, strict=True)) for atom in atoms]
            row = np.array(
                [
                    (only is None or at["c"] == only) and all(key in (TOTAL, at[name]) for name, key in cell.items())
                    for at in levels
                ],
                dtype=float,
            )
            if each.shown[index]:
                rows.append(row)
                slack.append(each.rounding - 1)
            elif not each.safe[index] and each.children[:, index].sum() > 0:
                closed.append(row)
    if not rows or not closed:
        return []
    matrix = np.array(rows).T
    found = []
    for cell in closed:
        weights, *_ = np.linalg.lstsq(matrix, cell, rcond=None)
        if np.allclose(matrix @ weights, cell, atol=1e-8) and float(np.abs(weights) @ np.array(slack)) < ALLOWED - 1e-6:
            found.append("a closed cell, to within less than rounding")
    return found


def differencing(released: list[Released], rules: Rules) -> list[str]:
    """Subtract any shown cell of one table from any of another: a few children are left."""
    found = []
    for later, earlier in itertools.combinations(reversed(released), 2):
        cells = [np.flatnonzero(each.shown) for each in (later, earlier)]
        pairs = np.array(list(itertools.product(*cells)), dtype=np.int64).reshape(-1, 2).T
        apart = differing(later.people, later.plan, earlier, pairs)
        joint = apart.sum(axis=0)
        for left in (joint, *(joint - own for own in apart)):
            few = (left > 0) & (left < rules.threshold)
            found += [f"{int(count)} children by difference" for count in left[few]]
    return found


def bounds(each: Released, rounds: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """What a table leaves open of each cell when numbers are known not to be negative (the shuttle algorithm, 1999)."""
    shape, half = each.plan.shape, each.rounding // 2
    low = np.where(each.shown, np.maximum(each.values - half, 0), 0).astype(float)
    high = np.where(each.shown, each.values + half, 1e9).astype(float)
    lines = []
    if shape.margins and shape.columns is None:
        lines.append((list(range(shape.rows)), shape.size - 1))
    elif shape.margins:
        down, across = range(shape.rows), range(shape.width)
        lines += [([shape.cell(r, c) for r in down], shape.cell(shape.rows, c)) for c in across]
        lines += [([shape.cell(r, c) for c in across], shape.cell(r, shape.width)) for r in down]
        lines.append(([shape.cell(r, shape.width) for r in down], shape.size - 1))
        lines.append(([shape.cell(shape.rows, c) for c in across], shape.size - 1))
    for _ in range(rounds):
        for parts, total in lines:
            low[total], high[total] = max(low[total], low[parts].sum()), min(high[total], high[parts].sum())
            for part in parts:
                high[part] = min(high[part], high[total] - low[parts].sum() + low[part])
                low[part] = max(low[part], low[total] - high[parts].sum() + high[part])
    return low, high
