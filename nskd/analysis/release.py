"""What a run releases: the same canonical bytes at every centre, so that their digests can be compared."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from nskd.analysis.shape import TableShape
from nskd.analysis.suppression import secondary_suppression
from nskd.analysis.table import TablePlan

RELEASE_FORMAT = 1


def release_bytes(
    plan: TablePlan,
    shown: npt.NDArray[np.bool_],
    values: npt.NDArray[np.int64],
    *,
    request: bytes,
    title: str,
) -> bytes:
    """A release as JSON: cells in codebook order, margins after the interior, null where suppressed."""
    cells: list[dict[str, Any]] = [
        {**levels, "value": int(value) if is_shown else None}
        for levels, is_shown, value in zip(plan.cells, shown, values, strict=True)
    ]
    document = {
        "format": RELEASE_FORMAT,
        "request": request.hex(),
        "title": title,
        "rows": list(plan.rows),
        "columns": list(plan.columns),
        "measure": plan.measure.value,
        "where": plan.filter.sql,
        "margins": plan.margins,
        "cells": cells,
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


class AlsoHide:
    """Secondary suppression as the joint part calls it: the pattern of safe cells in, that of shown cells
    out.
    """

    def __init__(self, shape: TableShape) -> None:
        self._shape = shape

    def __call__(self, safe: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return which cells to show: the safe ones less those that protect the others."""
        closed = secondary_suppression(self._shape, ~safe)
        return ~closed
