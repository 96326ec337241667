"""A released model in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from nskd.control.render import pairs, plain, table
from nskd.statistics.figure import REASONS
from nskd.statistics.model import LEVELS, ReleasedModel


def model(console: Console, release: Mapping[str, Any]) -> None:
    """Print coefficients with intervals, or why there are none; nothing of a release without a model."""
    if "model" not in release:
        return
    found = ReleasedModel.of(release)
    console.print()
    if found.why is not None:
        few = release["model"]["reason"] == LEVELS
        why = "these levels are too small, so no number was opened" if few else REASONS[found.why].en
        listed = ", ".join(f"{name} = {level}" for name, level in found.concerned)
        console.print(Text(plain(f"no model: {why}{f': {listed}' if listed else ''}"), style="yellow"))
        return
    linear = found.family == "linear"
    heads = ("variable", "level", "difference" if linear else "ratio", "95 % interval", "p", "estimate", "error")
    rows = []
    for each in found.effects:
        shown = each.estimate if linear or each.name is None else each.ratio
        within = shown.interval
        interval = "" if within is None else f"{within.low:.4g} – {within.high:.4g}"
        if each.name is None and not linear:
            interval = ""
        ratio = "" if each.name is None and not linear else f"{shown.value:.4g}"
        level = "" if each.level is None else f"{each.level} / {found.references.get(each.name or '', '')}"
        rows.append(
            (
                each.name or "(intercept)",
                level,
                ratio,
                interval,
                f"{each.p.value:.3g}",
                f"{each.estimate.value:.5g}",
                f"{each.error:.4g}",
            )
        )
    table(console, heads, rows, right=2)
    if linear:
        pairs(
            console, [("residual standard error", f"{found.residual_error:.4g}"), ("R²", f"{found.determination:.4g}")]
        )
    elif found.ratio_p is not None:
        line = f"χ² = {found.ratio_statistic:.2f}, p = {found.ratio_p.value:.3g}"
        pairs(console, [("likelihood ratio against no covariates", line)])
