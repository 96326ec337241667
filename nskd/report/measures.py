"""The measures of a 2×2 table: sensitivity and specificity never stand without the note that they are biased."""

from __future__ import annotations

from typing import Final

from nskd.packs.codebook import Text
from nskd.report.document import Section
from nskd.report.plots.forest import ForestPlot, Kind, Row
from nskd.report.words import count
from nskd.statistics.association import Accuracy
from nskd.statistics.binomial import Proportion

_TITLE: Final = Text("Wat de screening zegt over de uitkomst", "What the screening says about the outcome")


def accuracy_section(found: Accuracy) -> Section:
    """The five proportions with their intervals, and the note on verification bias below them."""
    rows = (
        _row(Text("sensitiviteit", "sensitivity"), found.sensitivity),
        _row(Text("specificiteit", "specificity"), found.specificity),
        _row(Text("positief voorspellende waarde", "positive predictive value"), found.positive_predictive),
        _row(Text("negatief voorspellende waarde", "negative predictive value"), found.negative_predictive),
        _row(Text("prevalentie", "prevalence"), found.prevalence),
    )
    plot = ForestPlot(_TITLE, Text("aandeel", "share"), Kind.SHARE, rows, found.prevalence.level)
    return Section(_TITLE, (plot, found.note))


def _row(label: Text, found: Proportion) -> Row:
    return Row(label, found.share, f"{count(found.successes)} / {count(found.trials)}")
