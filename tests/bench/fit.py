"""Growth: the slope of a straight line through measurements on logarithmic scales."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import attrs

from tests.bench.figures import Figure, Findings

POINTS_MIN: Final = 2


@attrs.frozen
class Growth:
    """y ≈ c·x^``exponent`` in the least squares of the logarithms; ``r2`` is the part of their variance explained."""

    exponent: float
    r2: float


def growth(points: Mapping[int, float]) -> Growth:
    """Fit positive values at positive places; raises ``ValueError`` with fewer than two of them."""
    if len(points) < POINTS_MIN:
        raise ValueError("a line takes two points")
    xs, ys = [math.log(x) for x in points], [math.log(y) for y in points.values()]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    deviation = [(x - mean_x, y - mean_y) for x, y in zip(xs, ys, strict=True)]
    sxx = sum(dx * dx for dx, _ in deviation)
    sxy = sum(dx * dy for dx, dy in deviation)
    syy = sum(dy * dy for _, dy in deviation)
    return Growth(sxy / sxx, 1.0 if syy == 0 else sxy * sxy / (sxx * syy))


@attrs.frozen
class _Law:
    """One law to fit: seconds of what a figure is about, against parties or against its sizes."""

    name: str
    figure: str
    against: str  # "parties", or what the sizes are of
    note: str
    rate: bool = True  # the figure is items per second; else it is seconds


_LAWS: Final = (
    _Law("growth_triple_by_parties", "triples_per_s", "parties", "seconds of a triple, all parties on this machine"),
    _Law("growth_mult_by_parties", "mults_per_s", "parties", "seconds of a product, all parties on this machine"),
    _Law("growth_comparison_by_parties", "comparisons_online_per_s", "parties", "seconds of a comparison"),
    _Law("growth_triples_by_batch", "triples_per_s", "items", "seconds of a batch of triples against its size"),
    _Law("growth_mults_by_batch", "mults_per_s", "items", "seconds of a vector of products against its length"),
    _Law("growth_comparisons_by_batch", "comparisons_online_per_s", "items", "seconds of comparisons against number"),
    _Law("growth_table_by_cells", "table_stock_s", "cells", "seconds of a table from stock against cells", rate=False),
)


def laws(findings: Findings) -> list[Figure]:
    """The exponents that what was found allows to fit."""
    rows: list[Figure] = []
    for law in _LAWS:
        if law.against == "parties":
            rows += _row(law, 0, {n: 1 / value for n, value in findings.by_parties(law.figure).items()})
            continue
        for parties in sorted({figure.parties for figure in findings.figures}):
            series = findings.series(law.figure, parties)
            rows += _row(law, parties, {x: x / y if law.rate else y for x, y in series.items()})
    return rows


def _row(law: _Law, parties: int, seconds: Mapping[int, float]) -> list[Figure]:
    if len(seconds) < POINTS_MIN:
        return []
    fitted = growth(seconds)
    places = ", ".join(f"{x:,}" for x in seconds)
    note = f"{law.note}: exponent of the fitted power, at {places} {law.against} (R² {fitted.r2:.3f})"
    return [Figure(law.name, parties, fitted.exponent, "", note)]
