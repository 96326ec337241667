"""Releases of each kind as a run makes them, of made-up numbers: the real plan, the real bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nskd.analysis.release import release_bytes
from nskd.analysis.table import plan_request
from nskd.governance.request_text import parse_request

from .samples import CODEBOOK

HEAD = 'title = "{kind}: <made up> & \\"quoted\\""\npurpose = "improvement"\n'
Keys = Mapping[str, str]
Counts = Callable[[Keys], int]
MONTHS = tuple(f"{year}-{month:02d}" for year in (2024, 2025, 2026, 2027) for month in range(1, 13))


def release(
    kind: str,
    lines: str,
    counts: Counts,
    *,
    measure: str = "visits",
    rounding: int = 5,
    hidden: Callable[[Keys], bool] = lambda _: False,
    **more: Any,
) -> dict[str, Any]:
    """The release of a request; ``counts`` gives the true count of an interior cell, totals are their sums.

    Each is rounded by itself.  ``hidden`` says which cells are suppressed.
    """
    text = f'kind = "{kind}"\n{HEAD.format(kind=kind)}measure = "{measure}"\n{lines}\n'
    plan = plan_request(CODEBOOK, parse_request(text.encode()))
    interior = {tuple(cell.values()): counts(cell) for cell in plan.cells if "total" not in cell.values()}
    true = [
        sum(
            n
            for keys, n in interior.items()
            if all(a in (b, "total") for a, b in zip(cell.values(), keys, strict=True))
        )
        for cell in plan.cells
    ]
    if plan.stacked:  # a list of levels, one covariate after the other, and no crossing of them
        true = [counts(cell) for cell in plan.cells]
    values = rounding * np.floor((np.array(true) + rounding // 2) / rounding).astype(np.int64)
    shown = np.array([not hidden(cell) for cell in plan.cells])
    raw = release_bytes(
        plan,
        shown,
        values,
        np.zeros(plan.size, dtype=bool),
        rounding=rounding,
        request=b"\xab" * 32,
        title=f"Made up: {kind}",
    )
    found: dict[str, Any] = json.loads(raw)
    return found | more


def every(_: Keys) -> bool:
    return True


def table(columns: str = "nsk_positive", *, where: str = "", margins: bool = True, **options: Any) -> dict[str, Any]:
    """Children by age and the result of the screen."""

    def counts(cell: Keys) -> int:
        return 30 + sum(ord(c) for key in cell.values() for c in key) * 11 % 700

    lines = f'rows = "age_band"\nmargins = {str(margins).lower()}' + (f'\ncolumns = "{columns}"' if columns else "")
    lines += f'\nwhere = "{where}"' if where else ""
    return release("table", lines, counts, **{"measure": "children", **options})


def rate(by: str = '"age_band"', **options: Any) -> dict[str, Any]:
    """Complete screens, more of them with age."""
    names = by.replace('"', "").replace("[", "").replace("]", "").split(", ") if by else []

    def counts(cell: Keys) -> int:
        seed = sum(ord(c) * (i + 1) for name in names for i, c in enumerate(cell[name]))
        n = 400 + seed % 977
        yes = round(n * (0.55 + 0.02 * (seed % 9)))
        return yes if cell["@of"] == "yes" else n - yes

    lines = "of = \"nsk_status = 'complete'\"" + (f"\nby = {by if '[' in by else f'[{by}]'}" if by else "")
    return release("rate", lines, counts, **options)


def spc(chart: str = "p", baseline: str | None = "2025-02", change: str | None = "2025-03", **options: Any) -> Any:
    """Complete screens by month from 2024-03 to 2026-06, better after a training."""
    rng = np.random.default_rng(12)
    size = {month: int(rng.integers(1500, 2100)) for month in MONTHS[2:30]}
    yes = {
        month: int(rng.binomial(size[month], 0.60 + 0.05 * (month >= "2025-03") + 0.001 * index))
        for index, month in enumerate(size)
    }

    def counts(cell: Keys) -> int:
        month = cell["visit_month"]
        return yes.get(month, 0) if cell["@of"] == "yes" else size.get(month, 0) - yes.get(month, 0)

    def hidden(cell: Keys) -> bool:
        return cell["visit_month"] != "total" and (cell["visit_month"] not in size or cell["visit_month"] == "2024-09")

    lines = f'of = "nsk_status = \'complete\'"\nby = "visit_month"\nchart = "{chart}"'
    lines += f'\nbaseline = "{baseline}"' if baseline else ""
    lines += f'\nchange = "{change}"' if change else ""
    return release("spc", lines, counts, **{"hidden": hidden, **options})


STEPS = """
[[steps]]
name = "positive"
label_nl = "NSK positief"
label_en = "NSK positive"
where = "nsk_positive = 'ja'"
[[steps]]
name = "top_to_toe"
label_nl = "Top-teenonderzoek"
label_en = "Top-to-toe examination"
where = "top_to_toe = 'ja'"
[[steps]]
name = "advice"
label_nl = "Advies van Veilig Thuis"
label_en = "Advice of Veilig Thuis"
where = "vt_advice = 'ja'"
[[steps]]
name = "report"
where = "vt_report = 'ja'"
"""
FURTHEST = {"none": 61_344, "positive": 262, "top_to_toe": 771, "advice": 508, "report": 99}


def cascade(by: str = "", **options: Any) -> dict[str, Any]:
    """From a positive screen to a report; by sex each has its own part."""
    parts = {"M": 0.5, "V": 0.46, "X": 0.01, "unknown": 0.03}

    def counts(cell: Keys) -> int:
        return round(FURTHEST[cell["@step"]] * (parts[cell["sex"]] if by else 1))

    return release("cascade", (f'by = "{by}"' if by else "") + STEPS, counts, **options)


def association(
    cells: tuple[int, int, int, int] = (168, 1474, 62, 59_880), *, screening: bool = True, **options: Any
) -> dict[str, Any]:
    """Positive screens and reports."""

    def counts(cell: Keys) -> int:
        return cells[2 * (cell["@exposure"] == "no") + (cell["@outcome"] == "no")]

    lines = (
        "exposure = \"nsk_positive = 'ja'\"\noutcome = \"vt_report = 'ja'\"\n"
        f"where = \"screened = 'ja'\"\nscreening = {str(screening).lower()}"
    )
    return release("association", lines, counts, **options)


EDGES = (0, 6, 12, 24, 36, 48, 72, 96, 120, 144, 168, 192)


def summary(by: str = "", edges: tuple[int, ...] = EDGES, **options: Any) -> dict[str, Any]:
    """Ages in months, many young."""

    def counts(cell: Keys) -> int:
        if cell["@bin"] == "other":
            return 0
        low, _, high = cell["@bin"].partition("-")
        wide = int(high or 215) + 1 - int(low)
        return round(wide * 4200 / (20 + int(low)) * (1 if not by else 0.5 + 0.1 * (cell[by] == "M")))

    lines = f'variable = "age_months"\nbins = {list(edges)}' + (f'\nby = "{by}"' if by else "")
    return release("summary", lines, counts, **options)


def funnel(yes: int = 1433, no: int = 61_020, **options: Any) -> dict[str, Any]:
    """Positive screens of all screened."""
    lines = "of = \"nsk_positive = 'ja'\"\nwhere = \"screened = 'ja'\""
    return release("funnel", lines, lambda cell: yes if cell["@of"] == "yes" else no, **options)


POINTS = [[95, 4900], [130, 5200], [40, 2600], [260, 7100], [105, 5500], [150, 6900], [80, 3100], [160, 6300]]


MODEL = {
    "coefficients": [
        {"name": None, "level": None, "estimate": -3.70, "error": 0.082},
        {"name": "sex", "level": "V", "estimate": 0.31, "error": 0.076},
        {"name": "sex", "level": "X", "estimate": 0.04, "error": 0.41},
    ],
    "references": {"sex": "M"},
    "freedom": 9_997,
    "likelihood_ratio": 17.2,
    "terms": 2,
}
NO_MODEL = {"reason": "levels", "levels": [{"name": "sex", "level": "X"}]}


def regression(model: Mapping[str, Any] = MODEL, **options: Any) -> dict[str, Any]:
    """Positive screens by sex, as a model has it."""
    lines = 'family = "logistic"\noutcome = "nsk_positive = \'ja\'"\ncovariates = ["sex", "age_band"]'
    return release("regression", lines, lambda cell: 90 if cell["@event"] == "yes" else 3000, model=model, **options)


def releases() -> dict[str, dict[str, Any]]:
    """Many sorts of each kind: whole, broken down, with cells closed, exact and rounded, of visits and children."""
    quarter = {"by": '"visit_quarter"', "hidden": lambda cell: cell["visit_quarter"] > "2026"}
    return {
        "table": table(),
        "table-where": table(where="sex IN ('M', 'V') AND nsk_status = 'complete'", measure="visits"),
        "table-alone": table("", margins=False, rounding=1),
        "table-hidden": table(hidden=lambda cell: "total" in cell.values()),
        "rate": rate(),
        "rate-alone": rate(by=""),
        "rate-two": rate(by='["age_band", "hospital_type"]'),
        "rate-quarter": rate(**quarter),
        "rate-hidden": rate(hidden=lambda cell: cell["age_band"] == "9-11"),
        "rate-closed": rate(hidden=every),
        "rate-children": rate(measure="children"),
        "spc": spc(),
        "spc-laney": spc("laney", None, None),
        "spc-ewma": spc("ewma", None, "2025-03"),
        "spc-closed": spc(hidden=every),
        "cascade": cascade(),
        "cascade-by": cascade("sex", hidden=lambda cell: cell["sex"] == "X"),
        "cascade-hidden": cascade(hidden=lambda cell: cell["@step"] in ("positive", "top_to_toe")),
        "cascade-closed": cascade(hidden=every),
        "cascade-children": cascade(measure="children"),
        "association": association(),
        "association-plain": association((210, 500, 190, 700), screening=False, rounding=1),
        "association-none": association((100, 900, 100, 900), screening=False),
        "association-hidden": association(hidden=lambda cell: "yes" in cell.values()),
        "association-closed": association(hidden=every),
        "association-children": association(measure="children"),
        "summary": summary(),
        "summary-even": summary(edges=(0, 24, 48, 72, 96, 120, 144, 168, 192)),
        "summary-by": summary("sex", hidden=lambda cell: cell["sex"] == "X"),
        "summary-hidden": summary(hidden=lambda cell: cell["@bin"] in ("168-191", "192-")),
        "summary-closed": summary(hidden=every),
        "funnel": funnel(),
        "funnel-points": funnel(points=POINTS, phi=3.2),
        "funnel-none": funnel(yes=0),
        "funnel-closed": funnel(hidden=every),
        "regression": regression(),
        "regression-none": regression(NO_MODEL, hidden=every),
    }
