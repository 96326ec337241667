"""What a run releases: the same canonical bytes at every centre, so that their digests can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nskd.analysis.readings import told
from nskd.analysis.shape import TableShape
from nskd.analysis.suppression import secondary_suppression
from nskd.analysis.table import TablePlan
from nskd.governance.question import Kind

RELEASE_FORMAT = 1


def release_bytes(
    plan: TablePlan,
    shown: npt.NDArray[np.bool_],
    values: npt.NDArray[np.int64],
    impossible: npt.NDArray[np.bool_],
    *,
    rounding: int,
    request: bytes,
    title: str,
    further: Mapping[str, object] | None = None,
) -> bytes:
    """A release as JSON: cells in codebook order, margins after the interior, null where suppressed.

    Kinds beside ``table`` say what they are: ``kind``, ``axes`` (the key and the condition of each level of the
    request's own axes) and ``reading`` (how the counts are to be read).  ``impossible`` cells are 0, whatever was
    computed.  Values are multiples of ``rounding``.  ``further`` is what a kind tells besides: a funnel of hospitals
    (:func:`nskd.analysis.hospitals.told`), a regression its ``model``.
    """
    cells: list[dict[str, Any]] = [
        {**levels, "value": int(value) if is_shown else 0 if is_known else None}
        for levels, is_shown, value, is_known in zip(plan.cells, shown, values, impossible, strict=True)
    ]
    document = {
        "format": RELEASE_FORMAT,
        "request": request.hex(),
        "title": title,
        **_reading(plan),
        "rows": list(plan.rows),
        "columns": list(plan.columns),
        "measure": plan.measure.value,
        "where": plan.filter.sql,
        "margins": plan.margins,
        "rounding": rounding,
        "cells": cells,
        **(further or {}),
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _reading(plan: TablePlan) -> dict[str, Any]:
    """What the counts are for, and what the levels of its own axes stand for: nothing for a plain table."""
    if plan.reading.kind is Kind.TABLE:
        return {}
    return {"kind": plan.reading.kind.value, "axes": plan.definitions, "reading": told(plan.codebook, plan.reading)}


class AlsoHide:
    """Secondary suppression as the joint part calls it: the pattern of safe cells in, that of shown cells
    out.
    """

    def __init__(self, shape: TableShape, impossible: npt.NDArray[np.bool_]) -> None:
        self._shape = shape
        self._impossible = impossible

    def __call__(self, safe: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return which cells to open: the safe ones less those that protect the others.

        Impossible ones need no opening.
        """
        closed = secondary_suppression(self._shape, ~safe, self._impossible)
        return safe & ~closed & ~self._impossible


class AllOrNone:
    """For a model: every cell must be safe that anybody can be in, or none is opened.

    ``unsafe`` are then the cells that were not.
    """

    def __init__(self, impossible: npt.NDArray[np.bool_]) -> None:
        self._impossible = impossible
        self.unsafe = np.zeros_like(impossible)

    def __call__(self, safe: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return which cells to open."""
        self.unsafe = ~safe & ~self._impossible
        return np.zeros_like(safe) if self.unsafe.any() else safe & ~self._impossible
