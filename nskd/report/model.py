"""A released model → sections of its page: effects with intervals, and what they do and do not say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from nskd.packs.codebook import Text
from nskd.report.document import Cell, Section, Table
from nskd.report.plots.forest import ForestPlot, Kind, Row
from nskd.report.words import decimal
from nskd.statistics.figure import REASONS
from nskd.statistics.model import LEVELS, Effect, ReleasedModel

Label = Callable[[str, str | None], Text]
"""The words for a variable, or for a level of it."""

_NORMAL_95: Final = 1.959964
_RATIOS = {
    "logistic": Text("odds ratio", "odds ratio"),
    "poisson": Text("verhouding van aantallen", "rate ratio"),
}


def model_sections(release: Mapping[str, Any], label: Label) -> tuple[Section, ...]:
    """The sections; none for a release without a model.  Raises :class:`~nskd.statistics.figure.StatisticsError`."""
    if "model" not in release:
        return ()
    found = ReleasedModel.of(release)
    title = Text("Model", "Model")
    if found.why is not None:
        return (Section(title, (_without(found, label, few=release["model"]["reason"] == LEVELS),)),)
    blocks: list[Table | ForestPlot | Text] = []
    if found.family in _RATIOS:
        rows = tuple(
            Row(effect_words(each, found, label), each.ratio) for each in found.effects if each.name is not None
        )
        blocks.append(ForestPlot(_RATIOS[found.family], _RATIOS[found.family], Kind.RATIO, rows, found.level))
    blocks += [_table(found, label), _fit(found), *_read_so(release, found)]
    return (Section(title, tuple(blocks)),)


def own_section(observed: float, expected: float, variance: float) -> Section:
    """This centre's own rows beside the model: how many have the outcome, and how many one would expect."""
    reach = _NORMAL_95 * variance**0.5 / expected
    o, e = _number(observed, 0), _number(expected, 1)
    found = _number(observed / expected, 2)
    chance = _joined(_number(max(1.0 - reach, 0.0), 2), _number(1.0 + reach, 2))
    return Section(
        Text("Dit ziekenhuis", "This hospital"),
        (
            Text(
                f"Hier hebben {o.nl} bezoeken de uitkomst. Zou het hier gaan als in alle ziekenhuizen samen, met de "
                f"kinderen die hier komen, dan waren het er {e.nl}. De verhouding is {found.nl}; door toeval alleen "
                f"ligt zij in 95 van de 100 gevallen tussen {chance.nl}.",
                f"Here {o.en} visits have the outcome. If all went here as in all hospitals together, with the "
                f"children who come here, there would be {e.en}. The ratio is {found.en}; by chance alone it lies "
                f"within {chance.en} in 95 of 100 cases.",
            ),
            Text(
                "Deze cijfers zijn hier berekend en hebben dit ziekenhuis niet verlaten. Zij staan niet in de uitkomst "
                "die de andere centra hebben.",
                "These figures were worked out here and have not left this hospital. They are not in the result that "
                "the other centres have.",
            ),
        ),
    )


def _without(found: ReleasedModel, label: Label, *, few: bool) -> Text:
    names = [(label(name, None), label(name, level)) for name, level in found.concerned]
    nl = "; ".join(f"{variable.nl}: {level.nl}" for variable, level in names)
    en = "; ".join(f"{variable.en}: {level.en}" for variable, level in names)
    if few:
        return Text(
            "Er is geen model berekend en geen enkel aantal geopend, omdat in deze groepen te weinig kinderen zitten, "
            f"met of zonder de uitkomst: {nl}. Voeg groepen samen of laat ze met een voorwaarde weg.",
            "No model was computed and no number opened, because too few children are in these groups, with or without "
            f"the outcome: {en}. Join groups, or leave them out by a condition.",
        )
    why = REASONS[found.why] if found.why is not None else Text("", "")
    return Text(
        f"Er is geen model: {why.nl}{f' ({nl})' if nl else ''}.",
        f"There is no model: {why.en}{f' ({en})' if en else ''}.",
    )


def effect_words(each: Effect, found: ReleasedModel, label: Label) -> Text:
    """Which group is compared with which."""
    if each.name is None:
        return Text("(uitgangsniveau)", "(intercept)")
    variable, level = label(each.name, None), label(each.name, each.level)
    against = label(each.name, found.references.get(each.name))
    return Text(f"{variable.nl}: {level.nl} t.o.v. {against.nl}", f"{variable.en}: {level.en} against {against.en}")


def _table(found: ReleasedModel, label: Label) -> Table:
    linear = found.family == "linear"
    heads = (
        Text("kenmerk", "covariate"),
        Text("verschil", "difference") if linear else Text("schatting (log)", "estimate (log)"),
        Text("95 %-interval", "95 % interval"),
        Text("standaardfout", "standard error"),
        Text("p", "p"),
    )
    rows: list[tuple[Cell, ...]] = []
    for each in found.effects:
        within = each.estimate.interval
        low, high = (0.0, 0.0) if within is None else (within.low, within.high)
        rows.append(
            (
                effect_words(each, found, label),
                _number(each.estimate.value or 0.0, 3),
                _joined(_number(low, 3), _number(high, 3)),
                _number(each.error, 4),
                _p(each.p.value or 0.0),
            )
        )
    return Table(Text("De schattingen", "The estimates"), heads, tuple(rows))


def _fit(found: ReleasedModel) -> Text:
    if found.residual_error is not None and found.determination is not None:
        spread, part = _number(found.residual_error, 2), _number(100.0 * found.determination, 1)
        return Text(
            f"Spreiding rond het model: {spread.nl}. Het model verklaart {part.nl} % van de verschillen.",
            f"Spread around the model: {spread.en}. The model explains {part.en} % of the differences.",
        )
    statistic = _number(found.ratio_statistic or 0.0, 1)
    p = _p((found.ratio_p.value if found.ratio_p is not None else None) or 0.0)
    return Text(
        f"Alle kenmerken samen, getoetst tegen geen: χ² = {statistic.nl}, p {p.nl}.",
        f"All covariates together, tested against none: χ² = {statistic.en}, p {p.en}.",
    )


def _read_so(release: Mapping[str, Any], found: ReleasedModel) -> list[Text]:
    said = [
        Text(
            "Een verband is geen oorzaak. Een kind dat vaker kwam, telt met elk bezoek mee; de intervallen rekenen "
            "erop dat bezoeken los van elkaar staan en zijn dan iets te smal.",
            "An association is no cause. A child that came more often counts with each visit; the intervals take "
            "visits to be independent and are then somewhat too narrow.",
        )
    ]
    if release["reading"].get("centre_effects"):
        said.append(
            Text(
                "Elk ziekenhuis heeft in het model een eigen niveau, dat het zelf heeft berekend en voor zich houdt. "
                "De verbanden zijn dus die binnen ziekenhuizen.",
                "Each hospital has a level of its own in the model, which it worked out itself and keeps. The "
                "associations are those within hospitals.",
            )
        )
    if found.family == "poisson":
        said.append(
            Text(
                "De intervallen rekenen met de spreiding van een Poissonverdeling; bij een ja-of-neeuitkomst zijn zij "
                "te ruim.",
                "The intervals take the spread of a Poisson distribution; with a yes-or-no outcome they are too wide.",
            )
        )
    return said


def _number(value: float, digits: int) -> Text:
    return Text(decimal(value, "nl", digits), decimal(value, "en", digits))


def _joined(low: Text, high: Text) -> Text:
    return Text(f"{low.nl} – {high.nl}", f"{low.en} – {high.en}")


def _p(value: float) -> Text:
    if value < 0.001:
        return Text("< 0,001", "< 0.001")
    return _number(value, 3)
