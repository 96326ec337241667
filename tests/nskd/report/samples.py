"""A document of each kind, on made-up numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from nskd.analysis.release import release_bytes
from nskd.analysis.table import plan_table
from nskd.data.quality import Field, Fill, Kept, Quality
from nskd.governance.charter import parse_charter
from nskd.governance.explain.words import moment, same
from nskd.packs.codebook import Text
from nskd.packs.pack import load_pack
from nskd.report import kinds
from nskd.report.context import Context
from nskd.report.document import Digest, Document, Plot, Section, Table
from nskd.report.plots.bars import BarChart
from nskd.report.plots.cascade import CascadePlot
from nskd.report.plots.forest import ForestPlot, Kind, Row
from nskd.report.plots.funnel import FunnelPlot
from nskd.report.plots.spc import ControlPlot
from nskd.report.quality import quality_document
from nskd.statistics.association import VERIFICATION_BIAS
from nskd.statistics.cascade import Step, cascade
from nskd.statistics.figure import Figure, Interval, Reason, missing
from nskd.statistics.funnel import Group, funnel
from nskd.statistics.interrupted import interrupted_series
from nskd.statistics.spc import Period, p_chart

CODEBOOK = load_pack("nsk").codebook
CHARTER = parse_charter((Path(__file__).parents[3] / "configs" / "charter.toml").read_bytes())
CONTEXT = Context.of(
    CHARTER, CODEBOOK, purpose="improvement", request="ab" * 32, result="cd" * 32, released_at=1_790_000_000
)
TITLE = "Positive NSK screens by age band"


def release(
    *, rows: str = "age_band", columns: str = "nsk_positive", hidden: tuple[int, ...] = (3,), margins: bool = False
) -> dict[str, Any]:
    """A release as a run makes it, of made-up numbers; ``hidden`` are the suppressed cells."""
    plan = plan_table(CODEBOOK, rows=[rows], columns=[columns] if columns else [], measure="children", margins=margins)
    values = 5 * np.random.default_rng(7).integers(2, 700, plan.size)
    if columns == "nsk_positive":
        values[:12:3] = [95, 50, 30, 60]
    shown = np.array([index not in hidden for index in range(plan.size)])
    raw = release_bytes(
        plan, shown, values, np.zeros(plan.size, dtype=bool), rounding=5, request=b"\xab" * 32, title=TITLE
    )
    found: dict[str, Any] = json.loads(raw)
    return found


def table() -> Document:
    return kinds.document(release(), CONTEXT)


def document(title: str, *blocks: Table | Plot | Text) -> Document:
    return Document(
        title=title,
        purpose=same("To better screening."),
        centres=("Ziekenhuis Noord", "Ziekenhuis Zuid", "Ziekenhuis West"),
        summary=(Text("Verzonnen getallen, om te zien.", "Made-up numbers, to look at."),),
        sections=(Section(Text("Uitkomst", "Result"), blocks),),
        method=(Text("Zoals beschreven.", "As described."),),
        disclosure=(Text("Niets onder de tien.", "Nothing below ten."),),
        digests=(Digest(Text("uitkomst", "result"), "cd" * 32),),
    )


def bars() -> BarChart:
    return BarChart(
        Text("Antwoorden naar leeftijd", "Answers by age"),
        Text("aantal kinderen", "number of children"),
        tuple(Text(f"{age} jaar", f"{age} years") for age in ("0–3", "4–8", "9–11", "12–17")),
        (
            Text("ja", "yes"),
            Text("nee", "no"),
            Text("niet van toepassing", "not applicable"),
            Text("ontbreekt", "missing"),
        ),
        ((310, 12_400, 40, 0), (None, 9_800, 25, None), (95, 4_300, 10, None), (180, 8_850, None, 15)),
    )


def funnel_plot() -> FunnelPlot:
    rng = np.random.default_rng(3)
    sizes = [int(each) for each in rng.integers(1800, 9500, 11)]
    rates = [0.022, 0.0245, 0.019, 0.0235, 0.035, 0.021, 0.0205, 0.012, 0.0265, 0.0225, 0.0]
    groups = [
        Group(f"Ziekenhuis {chr(65 + i)}", round(n * r) if r else None, n)
        for i, (n, r) in enumerate(zip(sizes, rates, strict=True))
    ]
    return FunnelPlot(
        Text("Positieve screeningen per ziekenhuis", "Positive screens per hospital"),
        Text("gescreende kinderen", "children screened"),
        Text("aandeel positief", "share positive"),
        funnel(groups),
    )


def control_plot() -> ControlPlot:
    rng = np.random.default_rng(12)
    months = [f"{year}-{month:02d}" for year in (2024, 2025) for month in range(1, 13)]
    periods = []
    for t, month in enumerate(months):
        size = int(rng.integers(1500, 2100))
        periods.append(Period(month, int(rng.binomial(size, 0.60 + 0.05 * (t >= 14) + 0.001 * t)), size))
    periods[7] = Period(months[7], None, 1800)
    return ControlPlot(
        Text("Screening per maand", "Screening by month"),
        Text("aandeel gescreend", "share screened"),
        p_chart(periods, baseline=14),
        14,
        interrupted_series(periods, 14),
    )


def rates_plot() -> ForestPlot:
    rows = (
        Row(Text("sensitiviteit", "sensitivity"), Figure(0.8, Interval(0.66, 0.9)), "40 / 50"),
        Row(Text("specificiteit", "specificity"), Figure(0.937, Interval(0.92, 0.95)), "890 / 950"),
        Row(Text("positief voorspellende waarde", "positive predictive value"), missing(Reason.SUPPRESSED)),
        Row(Text("prevalentie", "prevalence"), Figure(0.05, Interval(0.037, 0.065)), "50 / 1000"),
    )
    return ForestPlot(Text("Maten", "Measures"), Text("aandeel", "share"), Kind.SHARE, rows)


def ratios_plot() -> ForestPlot:
    rows = (
        Row(Text("uitstel", "delay"), Figure(3.4, Interval(1.9, 6.1))),
        Row(Text("omgang van kind en ouders", "interaction of child and carers"), Figure(14.1, Interval(7.2, 29.5))),
        Row(Text("letsel past niet", "injury does not fit"), Figure(0.0, Interval(0.0, 2.4))),
        Row(Text("andere signalen", "other signals"), Figure(math.inf, Interval(12.0, math.inf))),
        Row(Text("leeftijd", "age"), missing(Reason.SEPARATED)),
    )
    return ForestPlot(Text("Odds ratio's", "Odds ratios"), Text("odds ratio", "odds ratio"), Kind.RATIO, rows)


def cascade_plot() -> CascadePlot:
    names = (
        Text("positieve screening", "positive screen"),
        Text("top-teenonderzoek", "top-to-toe examination"),
        Text("overleg met collega of LECK", "consult of a colleague or LECK"),
        Text("advies van Veilig Thuis", "advice from Veilig Thuis"),
        Text("melding bij Veilig Thuis", "report to Veilig Thuis"),
    )
    steps = [Step(name.en, n) for name, n in zip(names, (1640, 1385, 610, None, 95), strict=True)]
    return CascadePlot(
        Text("Wat er na een positieve screening gebeurt", "What follows a positive screen"), cascade(steps), names
    )


PLOTS: dict[str, Plot] = {
    "bars": bars(),
    "funnel": funnel_plot(),
    "spc": control_plot(),
    "rates": rates_plot(),
    "ratios": ratios_plot(),
    "cascade": cascade_plot(),
}


def quality() -> Document:
    """A centre's own, with a field that nobody filled and a rule that is about nobody."""
    recorded = [variable for variable in CODEBOOK.recorded if variable.levels][:4]
    fills = (Fill(90, 5, 5), Fill(0, 0, 100), Fill(12_345, 0, 1), Fill(0, 0, 0))
    pairs = zip(recorded, fills, strict=True)
    counts = ((100, 0), (0, 0), (40, 12))
    found = Quality(
        visits=100,
        months=("2025-01", "2025-02"),
        by_month=(60, 40),
        fields=tuple(Field(variable, fill, (fill, Fill(0, 0, 0))) for variable, fill in pairs),
        rules=tuple(
            Kept(rule, applies, broken, (broken, 0))
            for rule, (applies, broken) in zip(CODEBOOK.rules[:3], counts, strict=True)
        ),
    )
    return quality_document(
        found, title=same("NSK"), source="visits.csv", digest="ab" * 32, left_out=3, made=moment(1_790_000_000)
    )


def documents() -> dict[str, Document]:
    """One of each kind."""
    made = {name: document(name, plot) for name, plot in PLOTS.items()}
    made["rates"] = document("rates", PLOTS["rates"], VERIFICATION_BIAS)
    return {"table": table(), "quality": quality(), **made}
