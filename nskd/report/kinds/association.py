"""Two conditions against each other: 2×2 counts, odds ratios, tests; and what a screening says of an outcome."""

from __future__ import annotations

from typing import Final

from nskd.governance.question import EXPOSURE, NO, OUTCOME, YES
from nskd.packs.codebook import Text
from nskd.report.context import unreadable
from nskd.report.document import REMARK, Document, Section, Table
from nskd.report.figures import FigureRow, Figures
from nskd.report.kinds import table
from nskd.report.measures import accuracy_section
from nskd.report.parts import ASKED, View, assemble, closed, counts_section, exact_intervals, spoken, why
from nskd.report.plots.forest import ForestPlot, Kind, Row
from nskd.report.released import Released
from nskd.report.words import SUPPRESSED, count, p_value, ratio, ratio_figure
from nskd.statistics.association import Accuracy, Association, TwoByTwo, accuracy, association
from nskd.statistics.binomial import Proportion, share
from nskd.statistics.figure import REASONS, Figure

YES_NO: Final = (YES, NO)


def words(released: Released) -> dict[str, dict[str, Text]]:
    """What the levels of the axes are called: beside each other, yes and no would not say of what."""
    return {
        EXPOSURE: {"yes": Text("met kenmerk", "exposed"), "no": Text("zonder kenmerk", "not exposed")},
        OUTCOME: {"yes": Text("met uitkomst", "outcome"), "no": Text("zonder uitkomst", "no outcome")},
    }


def document(view: View) -> Document:
    """The page of an association."""
    screening = _screening(view)
    cells = _cells(view)
    rounding = view.released.rounding
    measures, found = accuracy(cells, rounding=rounding), association(cells, rounding=rounding)
    sections = [
        _asked(view, screening),
        counts_section(view, table.counts(view)),
        _risks(view, measures),
        _odds(found),
    ]
    if screening:
        sections.append(accuracy_section(measures))
    return assemble(
        view,
        summary=[*_summary(measures, found, screening), closed(view)],
        sections=sections,
        method=[*_conditions(view), *exact_intervals(view.released), *_method(view, found)],
    )


def figures(view: View) -> Figures:
    """Shares, odds ratios and tests; for a screening its measures."""
    cells = _cells(view)
    rounding = view.released.rounding
    measures, found = accuracy(cells, rounding=rounding), association(cells, rounding=rounding)
    exposed, others = _shares(view, measures)
    rows = [FigureRow.share((), "outcome-exposed", exposed), FigureRow.share((), "outcome-not-exposed", others)]
    ratios = (("odds-ratio-woolf", found.woolf), ("odds-ratio-conditional", found.conditional))
    rows += [FigureRow.of((), name, each, level=found.level) for name, each in ratios]
    rows.append(FigureRow.of((), "fisher-p", found.fisher))
    for name, test in (("chi-square", found.chi_square), ("chi-square-yates", found.chi_square_yates)):
        rows += [FigureRow.of((), name, test.statistic), FigureRow.of((), f"{name}-p", test.p)]
    if _screening(view):
        shares = {
            "sensitivity": measures.sensitivity,
            "specificity": measures.specificity,
            "positive-predictive": measures.positive_predictive,
            "negative-predictive": measures.negative_predictive,
            "prevalence": measures.prevalence,
        }
        rows += [FigureRow.share((), name, each) for name, each in shares.items()]
    return Figures((), tuple(rows))


def _screening(view: View) -> bool:
    found = view.released.reading.get("screening", False)
    if not isinstance(found, bool):
        raise unreadable("the release does not say whether it is about a screening")
    return found


def _cells(view: View) -> TwoByTwo:
    released = view.released
    for axis in (EXPOSURE, OUTCOME):
        released.axis(axis, levels=YES_NO)
    if released.tab.rows != (EXPOSURE,) or released.tab.columns != (OUTCOME,):
        raise unreadable("the release has no exposure against outcome")
    if not {((a,), (b,)) for a in YES_NO for b in YES_NO} <= released.tab.values.keys():
        raise unreadable("the release lacks counts of exposure against outcome")
    a, b, c, d = (released.value((row,), (column,)) for row in YES_NO for column in YES_NO)
    return TwoByTwo(a, b, c, d)


def _shares(view: View, measures: Accuracy) -> tuple[Proportion, Proportion]:
    """The share with the outcome among the exposed, and among the others: c of c + d is the rest of d of c + d."""
    cells = _cells(view)
    others = share(cells.false_negative, cells.true_negative, rounding=view.released.rounding)
    return measures.positive_predictive, others


def _asked(view: View, screening: bool) -> Section:
    whom = view.selected()
    exposure, outcome = (view.said(view.released.axis(axis)[0].where) for axis in (EXPOSURE, OUTCOME))
    said = [
        Text(f"Het gaat om {whom.nl}.", f"This is about {whom.en}."),
        Text(f"Kenmerk: {exposure.nl}.", f"Exposure: {exposure.en}."),
        Text(f"Uitkomst: {outcome.nl}.", f"Outcome: {outcome.en}."),
    ]
    if screening:
        said.append(
            Text(
                "Het kenmerk is een screening: „met kenmerk” is een positieve screening.",
                "The exposure is a screening: “exposed” is a positive screen.",
            )
        )
    return Section(ASKED, tuple(said))


def _risks(view: View, measures: Accuracy) -> Section:
    exposed, others = _shares(view, measures)
    rows = tuple(
        Row(label, found.share, f"{count(found.successes)} / {count(found.trials)}")
        for label, found in (
            (Text("met kenmerk", "exposed"), exposed),
            (Text("zonder kenmerk", "not exposed"), others),
        )
    )
    title = Text("Hoe vaak de uitkomst voorkomt", "How often the outcome occurs")
    return Section(title, (ForestPlot(title, Text("aandeel met uitkomst", "share with outcome"), Kind.SHARE, rows),))


def _odds(found: Association) -> Section:
    rows = (
        Row(Text("Woolf", "Woolf"), found.woolf),
        Row(Text("exact, voorwaardelijk", "exact, conditional"), found.conditional),
    )
    title = Text("Hoe sterk het verband is", "How strong the association is")
    plot = ForestPlot(
        title, Text("odds ratio; 1 = geen verband", "odds ratio; 1 = no association"), Kind.RATIO, rows, found.level
    )
    corrected = found.chi_square_yates
    tests = Table(
        Text("Toetsen: zou dit zonder verband ook kunnen?", "Tests: could this be without an association?"),
        (Text("toets", "test"), REMARK, Text("grootheid", "statistic"), Text("p", "p")),
        (
            _test(Text("Fisher, exact", "Fisher, exact"), None, found.fisher),
            _test(Text("χ²", "χ²"), found.chi_square.statistic, found.chi_square.p),
            _test(Text("χ², met correctie", "χ², corrected"), corrected.statistic, corrected.p),
        ),
        labels=2,
    )
    return Section(title, (plot, tests))


def _test(name: Text, statistic: Figure | None, p: Figure) -> tuple[Text | None, ...]:
    remark = Text("", "") if p.reason is None else REASONS[p.reason]
    shown: Text | None = Text("–", "–")
    if statistic is not None:
        shown = None
        if statistic.value is not None:
            shown = Text(ratio(statistic.value, "nl"), ratio(statistic.value, "en"))
    probability = None if p.value is None else Text(p_value(p.value, "nl"), p_value(p.value, "en"))
    return name, remark, shown, probability


def _summary(measures: Accuracy, found: Association, screening: bool) -> list[Text]:
    exposed = measures.positive_predictive
    said = []
    if found.conditional.value is None:
        without = why(found.conditional.reason)
        said.append(Text(f"Het verband is {without.nl}.", f"The association is {without.en}."))
    else:
        within = found.conditional.interval
        shown = Text(ratio_figure(found.conditional, "nl"), ratio_figure(found.conditional, "en"))
        if within is None or within.covers(1.0):
            verdict = Text("Een verband is niet aangetoond", "No association is shown")
        elif within.low > 1.0:
            verdict = Text(
                "Met het kenmerk komt de uitkomst vaker voor", "The outcome is more common with the exposure"
            )
        else:
            verdict = Text(
                "Met het kenmerk komt de uitkomst minder vaak voor", "With the exposure the outcome is less common"
            )
        said.append(
            Text(
                f"{verdict.nl}: odds ratio {shown.nl}, waarbij 1 geen verband is.",
                f"{verdict.en}: odds ratio {shown.en}, 1 being no association.",
            )
        )
    shown = spoken(exposed)
    said.append(
        Text(f"Met het kenmerk heeft {shown.nl} de uitkomst.", f"With the exposure {shown.en} have the outcome.")
        if exposed.share.value is not None
        else Text(f"Het aandeel met de uitkomst is {shown.nl}.", f"The share with the outcome is {shown.en}.")
    )
    if found.conditional.value is not None:
        said.append(_no_cause())
    if screening:
        said.append(
            Text(
                "Sensitiviteit en specificiteit zijn hier geen zuivere schattingen (verificatiebias): zie daar.",
                "Sensitivity and specificity are no unbiased estimates here (verification bias): see there.",
            )
        )
    return said


def _no_cause() -> Text:
    return Text(
        "Een verband is geen oorzaak: groepen kunnen ook in andere dingen verschillen.",
        "An association is no cause: groups can differ in other things as well.",
    )


def _conditions(view: View) -> list[Text]:
    exposure, outcome = (view.released.axis(axis)[0].where for axis in (EXPOSURE, OUTCOME))
    return [
        Text(f"Kenmerk: {exposure or SUPPRESSED}", f"Exposure: {exposure or SUPPRESSED}"),
        Text(f"Uitkomst: {outcome or SUPPRESSED}", f"Outcome: {outcome or SUPPRESSED}"),
    ]


def _method(view: View, found: Association) -> list[Text]:
    said = [
        Text(
            "Odds ratio: met het interval van Woolf (1955), en voorwaardelijk op de totalen met het exacte interval "
            "van Cornfield en Fisher. Toetsen: Fishers exacte toets en Pearsons χ², zonder en met correctie van Yates.",
            "Odds ratio: with the interval of Woolf (1955), and conditional on the totals with the exact interval of "
            "Cornfield and Fisher. Tests: Fisher's exact test and Pearson's χ², without and with Yates's correction.",
        )
    ]
    if found.rounded:
        said.append(
            Text(
                "Odds ratio's en toetsen zijn berekend uit de afgeronde aantallen zoals zij zijn: anders dan bij de "
                "aandelen zit in hun intervallen niet wat het afronden verbergt. Bij kleine aantallen kan dat schelen.",
                "Odds ratios and tests are computed from the rounded counts as they are: unlike those of the shares, "
                "their intervals do not cover what rounding hides. With small counts that can matter.",
            )
        )
    if view.released.children:
        said.append(
            Text(
                "Een kind met meer bezoeken kan in meer dan één vakje staan; de berekening neemt de vakjes alsof het "
                "verschillende kinderen zijn.",
                "A child with several visits can be in more than one cell; the computation takes the cells as if these "
                "were different children.",
            )
        )
    return said
