"""Does the maximum-likelihood estimate exist?  Separation, found by a linear programme.

A. Albert, J. A. Anderson, Biometrika 71 (1984) 1–10: in a logistic model it does not if some β ≠ 0 has xβ ≥ 0 for all
patterns in which everybody has the event, xβ ≤ 0 for those in which nobody has, xβ = 0 for the mixed ones, and not 0
throughout: along β the likelihood grows for ever.  Of a Poisson model the same holds with xβ ≤ 0 where there are no
events and xβ = 0 elsewhere (S. J. Haberman, *The Analysis of Frequency Data*, 1974).  K. Konis (D.Phil. thesis, Oxford
2007) solves it as a linear programme.  Here: maximise Σt with 0 ≤ t ≤ 1 and t ≤ ±xβ per one-sided pattern.  Any β that
works can be made longer, so at the maximum each t is 0 or 1, and 1 for every pattern that some β takes off 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_ZERO: Final = 1e-6  # HiGHS is feasible to 1e-7; columns are scaled to a largest entry of 1
_HALF: Final = 0.5  # t is 0 or 1


def separated(design: Array, events: Flags, others: Flags | None) -> Flags:
    """Per column of ``design`` (cells × p), whether it is part of a β that separates; all False without separation.

    ``events``: cells with an event; ``others``: cells with somebody without one, None for a Poisson model.  The columns
    are those of one β that takes every pattern off 0 that any can; others may do so with other columns.
    """
    none = np.zeros(design.shape[1], dtype=np.bool_)
    up = np.zeros(len(events), dtype=np.bool_) if others is None else events & ~others
    down = ~events
    if not (up.any() or down.any()):
        return none
    from scipy.optimize import linprog

    scaled = design / np.abs(design).max(axis=0)
    signed = np.concatenate([scaled[up], -scaled[down]])  # each row times β must be ≥ 0
    mixed = scaled[~(up | down)]
    rows, columns = signed.shape
    found = linprog(
        np.concatenate([np.zeros(columns), -np.ones(rows)]),
        A_ub=np.hstack([-signed, np.eye(rows)]),
        b_ub=np.zeros(rows),
        A_eq=np.hstack([mixed, np.zeros((len(mixed), rows))]),
        b_eq=np.zeros(len(mixed)),
        bounds=[(None, None)] * columns + [(0.0, 1.0)] * rows,
        method="highs",
    )
    if found.status != 0:  # β = 0 is feasible and Σt bounded, so only a fault of the solver leads here
        raise ArithmeticError(f"the linear programme was not solved: {found.message}")
    if -found.fun < _HALF:
        return none
    return np.asarray(np.abs(found.x[:columns]) > _ZERO)
