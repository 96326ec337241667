"""A model: its effects, how well it fits, and the counts that everybody may see of what went into it."""

from __future__ import annotations

from typing import Final

from nskd.control.render import TOTAL
from nskd.packs.codebook import Text
from nskd.report.document import Document, Section, Table
from nskd.report.figures import FigureRow, Figures
from nskd.report.labels import capital, number_of
from nskd.report.model import Label, effect_words, model_sections, own_section
from nskd.report.parts import ASKED, View, assemble, counts_section
from nskd.report.words import ratio_figure
from nskd.statistics.figure import Figure
from nskd.statistics.model import Effect, ReleasedModel

KEYS: Final = ("covariate", "level")
_CHANCE: Final = 0.05
_NAMED: Final = 3  # effects in the summary; all are in the figure


def document(view: View, case_mix: tuple[float, float, float] | None = None) -> Document:
    """The page of a model; ``case_mix``: see :func:`nskd.report.model.own_section`."""
    released = view.released
    return assemble(
        view,
        summary=[_found(view)],
        sections=[
            _asked(view),
            *model_sections(released.more, _label(view)),
            *(() if case_mix is None else (own_section(*case_mix),)),
            counts_section(view, _counts(view)),
        ],
        method=[
            Text(
                "Van het model zijn alleen de schattingen (ook die onderweg), hun standaardfouten en maten van passing "
                "geopend; geen centrum heeft tussenuitkomsten van een ander gezien. Intervallen en toetsen volgens "
                "Wald.",
                "Of the model only the estimates (those on the way too), their standard errors and measures of fit "
                "were opened; no centre saw another's intermediate results. Intervals and tests after Wald.",
            )
        ],
    )


def figures(view: View) -> Figures:
    """Estimates and ratios with their intervals, standard errors and p; why there are none."""
    found = ReleasedModel.of(view.released.more)
    rows = []
    for each in found.effects:
        keys = (each.name or "(intercept)", each.level or "")
        rows += [
            FigureRow.of(keys, "estimate", each.estimate, level=found.level),
            FigureRow.of(keys, "standard-error", Figure(each.error)),
            FigureRow.of(keys, "ratio", each.ratio, level=found.level),
            FigureRow.of(keys, "p", each.p),
        ]
    whole = {
        "likelihood-ratio": found.ratio_statistic,
        "residual-error": found.residual_error,
        "determination": found.determination,
    }
    rows += [FigureRow.of((), name, Figure(value)) for name, value in whole.items() if value is not None]
    if found.why is not None:
        rows.append(FigureRow.of((), "model", Figure(None, None, found.why)))
    return Figures(KEYS, tuple(rows))


def _label(view: View) -> Label:
    """Words for a variable, or for one of its levels."""
    return lambda name, level: view.labels.variable(name) if level is None else view.labels.level(name, level)


def _asked(view: View) -> Section:
    selected = view.selected()
    outcome = view.released.reading.get("number")
    if isinstance(outcome, str):
        said = view.labels.variable(outcome)
    else:
        conditions = [each.where for axis in view.released.axes.values() for each in axis if each.where is not None]
        said = view.said(conditions[0]) if conditions else Text("?", "?")
    names = view.labels.variables(tuple(view.released.tab.rows))
    return Section(
        ASKED,
        (
            Text(f"Uitkomst: {said.nl}", f"Outcome: {said.en}"),
            Text(f"Kenmerken: {names.nl}", f"Covariates: {names.en}"),
            Text(f"Over: {selected.nl}", f"Among: {selected.en}"),
        ),
    )


def _found(view: View) -> Text:
    """The effects that chance alone does not explain, if there is a model."""
    found = ReleasedModel.of(view.released.more)
    if found.why is not None:
        return Text("Er is geen model: zie hieronder waarom.", "There is no model: see below why.")
    clear = [
        each for each in found.effects if each.name is not None and each.p.value is not None and each.p.value < _CHANCE
    ]
    total = sum(each.name is not None for each in found.effects)
    head = Text(
        f"Groter dan toeval alleen verklaart (p < 0,05): {len(clear)} van de {total} verschillen tussen groepen",
        f"Larger than chance alone explains (p < 0.05): {len(clear)} of the {total} differences between groups",
    )
    named = [_effect(view, each, found) for each in sorted(clear, key=lambda each: each.p.value or 0.0)[:_NAMED]]
    if not named:
        return Text(f"{head.nl}.", f"{head.en}.")
    rest = Text(", waaronder", ", among them") if len(clear) > _NAMED else Text("", "")
    return Text(
        f"{head.nl}{rest.nl}: {'; '.join(each.nl for each in named)}.",
        f"{head.en}{rest.en}: {'; '.join(each.en for each in named)}.",
    )


def _effect(view: View, each: Effect, found: ReleasedModel) -> Text:
    """A comparison, with its ratio or, of a linear model, its difference."""
    words = effect_words(each, found, _label(view))
    figure = each.estimate if each.ratio.value is None else each.ratio
    return Text(f"{words.nl} {ratio_figure(figure, 'nl')}", f"{words.en} {ratio_figure(figure, 'en')}")


def _counts(view: View) -> Table:
    """A line a level: the counts of one covariate after the other, not a crossing of them."""
    tab = view.released.tab
    number = number_of(tab.measure)
    heads = [Text("kenmerk", "covariate"), Text("groep", "group")]
    heads += [view.labels.crossing(tab.columns, each) if tab.columns else number for each in tab.across]
    rows = []
    for down in tab.down:
        name, key = next(((n, k) for n, k in zip(tab.rows, down, strict=True) if k != TOTAL), ("", TOTAL))
        first = view.labels.variable(name) if name else Text("", "")
        rows.append((first, view.labels.level(name, key), *(view.released.value(down, each) for each in tab.across)))
    return Table(capital(number), tuple(heads), tuple(rows), labels=2)
