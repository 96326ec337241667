"""The 2×2 table: what a screening result says about an outcome.

* Sensitivity, specificity, predictive values, prevalence: proportions with exact intervals
  (:mod:`~nskd.statistics.binomial`), which cover every compatible count where cells are rounded.
* Odds ratio ad/bc with the interval of B. Woolf, Ann. Hum. Genet. 19 (1955) 251–253: log OR ± z √(1/a + 1/b + 1/c +
  1/d).  With a zero there is none, unless ½ is added to every cell on request (J. B. S. Haldane 1956, F. J.
  Anscombe 1956), which is then said.
* Conditional odds ratio and exact interval: :mod:`~nskd.statistics.conditional`.
* χ² with one degree of freedom, n(ad − bc)²/(product of the margins), and with Yates's continuity correction (F.
  Yates, J. R. Stat. Soc. Suppl. 1 (1934) 217–235): n(max(|ad − bc| − n/2, 0))² over the same.

With a suppressed cell, every figure that needs it has no value; the others stand.  Odds ratios, χ² and Fisher's p
are computed from the released numbers as they stand; unlike the proportions, their intervals do not cover what
rounding hides, and ``rounded`` says so.
"""

from __future__ import annotations

import math
from typing import Final

import attrs

from nskd.packs.codebook import Text
from nskd.statistics.binomial import Proportion, share, share_of_sums
from nskd.statistics.conditional import conditional_odds_ratio, fisher_p
from nskd.statistics.figure import Count, Figure, Interval, Reason, check_count, check_level, missing
from nskd.statistics.fit import HypothesisTest
from nskd.statistics.rounding import EXACT, Rounding
from nskd.statistics.special import chi_square_tail, normal_quantile

VERIFICATION_BIAS: Final = Text(
    "Let op, verificatiebias: van kinderen met een negatieve screening wordt de uitkomst in de regel niet nagegaan. "
    "Gemiste gevallen tellen dan mee als terecht negatief. Sensitiviteit en specificiteit zijn hier daarom geen "
    "zuivere schattingen: de sensitiviteit valt zo te hoog uit. Lees ze niet als eigenschappen van het instrument.",
    "Mind verification bias: of children with a negative screen the outcome is as a rule not looked into. Missed cases "
    "then count as true negatives. Sensitivity and specificity are therefore no unbiased estimates here: the "
    "sensitivity comes out too high. Do not read them as properties of the instrument.",
)
"""Goes wherever a sensitivity or a specificity is shown."""

HALDANE_ANSCOMBE: Final = Text(
    "Bij elk aantal is ½ opgeteld (Haldane–Anscombe), omdat erom is gevraagd.",
    "½ was added to every count (Haldane–Anscombe), because that was asked for.",
)
"""Goes wherever an odds ratio was corrected."""


@attrs.frozen
class TwoByTwo:
    """Counts: screening positive or negative, outcome present or absent; None where suppressed."""

    true_positive: Count
    false_positive: Count
    false_negative: Count
    true_negative: Count

    def __attrs_post_init__(self) -> None:
        """Refuse what is no count; raises :class:`StatisticsError`."""
        for cell in self.cells:
            check_count(cell, "2×2 table")

    @property
    def cells(self) -> tuple[Count, Count, Count, Count]:
        """a, b, c, d: the rows are the screening result, the columns the outcome."""
        return self.true_positive, self.false_positive, self.false_negative, self.true_negative

    @property
    def known(self) -> tuple[int, int, int, int] | None:
        """The cells, if all are shown."""
        a, b, c, d = self.cells
        return None if a is None or b is None or c is None or d is None else (a, b, c, d)


@attrs.frozen
class Accuracy:
    """Diagnostic measures; ``note`` belongs beside sensitivity and specificity wherever these go."""

    sensitivity: Proportion
    specificity: Proportion
    positive_predictive: Proportion
    negative_predictive: Proportion
    prevalence: Proportion
    note: Text = VERIFICATION_BIAS


@attrs.frozen
class Association:
    """Odds ratios and tests; ``corrected`` if ½ was added to the cells of ``woolf``, ``rounded`` if the counts are."""

    woolf: Figure
    conditional: Figure
    fisher: Figure
    chi_square: HypothesisTest
    chi_square_yates: HypothesisTest
    corrected: bool
    rounded: bool
    level: float


def accuracy(table: TwoByTwo, *, level: float = 0.95, rounding: Rounding = EXACT) -> Accuracy:
    """The measures of a screening result; prevalence needs all four cells, the others two each."""
    a, b, c, d = table.cells
    return Accuracy(
        sensitivity=share(a, c, level=level, rounding=rounding),
        specificity=share(d, b, level=level, rounding=rounding),
        positive_predictive=share(a, b, level=level, rounding=rounding),
        negative_predictive=share(d, c, level=level, rounding=rounding),
        prevalence=share_of_sums((a, c), (b, d), level=level, rounding=rounding),
    )


def association(
    table: TwoByTwo, *, level: float = 0.95, haldane: bool = False, rounding: Rounding = EXACT
) -> Association:
    """Odds ratios and tests; ``haldane`` asks for ½ in every cell where one is 0.  Needs all four cells."""
    check_level(level)
    known = table.known
    if known is None:
        no = missing(Reason.SUPPRESSED)
        test = HypothesisTest(no, 1, no)
        return Association(no, no, no, test, test, False, not rounding.exact, level)
    corrected = haldane and 0 in known
    return Association(
        woolf=_woolf(known, level, 0.5 if corrected else 0.0),
        conditional=conditional_odds_ratio(*known, level=level),
        fisher=fisher_p(*known),
        chi_square=_chi_square(known, 0.0),
        chi_square_yates=_chi_square(known, sum(known) / 2.0),
        corrected=corrected,
        rounded=not rounding.exact,
        level=level,
    )


def _woolf(cells: tuple[int, int, int, int], level: float, added: float) -> Figure:
    a, b, c, d = (cell + added for cell in cells)
    if 0.0 in (a, b, c, d):
        return missing(Reason.ZERO_CELL)
    ratio = math.log(a) + math.log(d) - math.log(b) - math.log(c)
    reach = normal_quantile((1.0 + level) / 2.0) * math.sqrt(1.0 / a + 1.0 / b + 1.0 / c + 1.0 / d)
    return Figure(math.exp(ratio), Interval(math.exp(ratio - reach), math.exp(ratio + reach)))


def _chi_square(cells: tuple[int, int, int, int], less: float) -> HypothesisTest:
    a, b, c, d = cells
    margins = (a + b) * (c + d) * (a + c) * (b + d)  # whole numbers: exact
    if margins == 0:
        no = missing(Reason.ZERO_CELL)
        return HypothesisTest(no, 1, no)
    away = max(abs(a * d - b * c) - less, 0.0)
    statistic = sum(cells) * away * away / margins
    return HypothesisTest(Figure(statistic), 1, Figure(chi_square_tail(statistic, 1)))
