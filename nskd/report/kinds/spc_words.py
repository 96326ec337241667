"""What a control chart and an interrupted series say, in words."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from nskd.governance.explain.words import listed, same
from nskd.packs.codebook import Text
from nskd.report.document import Block, Section
from nskd.report.parts import why
from nskd.report.plots.forest import ForestPlot, Kind, Row
from nskd.report.plots.spc import RULES
from nskd.report.words import decimal, percent, ratio_figure
from nskd.statistics.figure import Figure
from nskd.statistics.interrupted import Interrupted
from nskd.statistics.rounding import Rounding
from nskd.statistics.spc import Chart, Point, Rule

CHARTS: Final = MappingProxyType(
    {
        "p": Text(
            "Getekend als p-kaart: het aandeel van elke periode, met grenzen die bij haar grootte horen.",
            "Drawn as a p chart: the share of each period, with the limits that belong to its size.",
        ),
        "laney": Text(
            "Getekend als p′-kaart (Laney): de grenzen houden rekening met meer spreiding dan toeval alleen geeft.",
            "Drawn as a p′ chart (Laney): the limits allow for more spread than chance alone makes.",
        ),
        "ewma": Text(
            "Getekend als EWMA-kaart: een voortschrijdend gemiddelde, waarin elke periode voor een vijfde meetelt; "
            "kleine, blijvende verschuivingen vallen zo eerder op.",
            "Drawn as an EWMA chart: a moving average in which each period counts for a fifth; small, lasting shifts "
            "stand out sooner.",
        ),
    }
)
"""By the name that a request gives the chart."""

_FAR: Final = 0.3  # correlation of neighbouring residuals from which errors are not to be trusted
_CHANGE: Final = Text("Voor en na de verandering", "Before and after the change")


def spans(chart: Chart, when: Callable[[Point], bool]) -> Text | None:
    """The periods for which something holds, neighbours together; None if there are none."""
    runs: list[list[str]] = []
    before = False
    for point in chart.points:
        holds = when(point)
        if holds and before:
            runs[-1].append(point.period.name)
        elif holds:
            runs.append([point.period.name])
        before = holds
    if not runs:
        return None
    return listed(
        [
            same(run[0])
            if len(run) == 1
            else Text(f"{run[0]} tot en met {run[-1]} ({len(run)})", f"{run[0]} to {run[-1]} ({len(run)})")
            for run in runs
        ]
    )


def _by(rule: Rule) -> Callable[[Point], bool]:
    return lambda point: rule in point.signals


def signals(chart: Chart) -> list[Text]:
    """Each period that stands out, and why; and what that does and does not say."""
    if not chart.signals:
        return [Text("Geen periode valt op.", "No period stands out.")]
    said = []
    for rule, meaning in RULES.items():
        found = spans(chart, _by(rule))
        if found is not None:
            said.append(Text(f"Signaal, {meaning.nl}: {found.nl}.", f"Signal, {meaning.en}: {found.en}."))
    said.append(
        Text(
            "Een signaal zegt dat toeval zoiets zelden maakt, niet waardoor het komt. Van veel perioden geeft er ook "
            "zonder oorzaak wel eens een signaal.",
            "A signal says that chance seldom makes such a thing, not what made it. Of many periods one now and then "
            "gives a signal without a cause.",
        )
    )
    return said


def interrupted_section(name: str, change: int | None, found: Interrupted | None) -> Section:
    """What the share did at the change and after it; ``name`` is the first period after."""
    if change is None or found is None:
        nothing = Text(
            f"Vóór en na de verandering ({name}) moeten er perioden met getoonde aantallen zijn; dat is niet zo.",
            f"There must be periods with counts shown before and after the change ({name}); there are not.",
        )
        return Section(_CHANGE, (nothing,))
    level, slope = found.level_change.ratio, found.slope_change.ratio
    if level.value is None or slope.value is None:
        without = why(level.reason or slope.reason)
        return Section(
            _CHANGE, (Text(f"De lijn voor en na is {without.nl}.", f"The line before and after is {without.en}."),)
        )
    blocks: list[Block] = [
        *_at_the_change(name, change, found),
        _verdict(level, Text("Het niveau", "The level"), Text("bij de verandering", "at the change")),
        _verdict(slope, Text("De helling per periode", "The slope per period"), Text("erna", "after it")),
        ForestPlot(
            Text("Wat er veranderde", "What changed"),
            Text("odds ratio; 1 = geen verandering", "odds ratio; 1 = no change"),
            Kind.RATIO,
            (
                Row(Text("niveau bij de verandering", "level at the change"), level),
                Row(Text("helling per periode", "slope per period"), slope),
            ),
            found.model.level,
        ),
    ]
    return Section(_CHANGE, (*blocks, *_cautions(found)))


def change_summary(name: str, found: Interrupted) -> list[Text]:
    """The verdict on the level in a sentence; nothing where there is none."""
    level = found.level_change.ratio
    if level.value is None:
        return []
    return [_verdict(level, Text("Het niveau", "The level"), Text(f"vanaf {name}", f"from {name} on"))]


def _at_the_change(name: str, change: int, found: Interrupted) -> list[Text]:
    expected = found.expected[change]
    if expected is None or not found.continued:
        return []
    without = found.continued[0]
    return [
        Text(
            f"In {name} was volgens de lijn van ervoor {percent(without, 'nl')} te verwachten; de lijn van erna geeft "
            f"{percent(expected, 'nl')}.",
            f"In {name} the line from before would have given {percent(without, 'en')}; the line from after gives "
            f"{percent(expected, 'en')}.",
        )
    ]


def _verdict(found: Figure, what: Text, when: Text) -> Text:
    within = found.interval
    if within is None or within.covers(1.0):
        verdict = Text("geen duidelijke verandering", "no clear change")
    elif within.low > 1.0:
        verdict = Text("hoger", "higher")
    else:
        verdict = Text("lager", "lower")
    return Text(
        f"{what.nl} {when.nl}: {verdict.nl}; odds ratio {ratio_figure(found, 'nl')}.",
        f"{what.en} {when.en}: {verdict.en}; odds ratio {ratio_figure(found, 'en')}.",
    )


def _cautions(found: Interrupted) -> list[Text]:
    said = [
        Text(
            "Dat iets veranderde toen, zegt niet dat de verandering de oorzaak was: wat er tegelijk anders werd, telt "
            "mee.",
            "That something changed then does not say that the change caused it: whatever else changed at the time is "
            "in it too.",
        )
    ]
    if found.left_out:
        said.append(
            Text(
                f"Perioden zonder aantallen, die daarom niet in de lijn zitten: {found.left_out}.",
                f"Periods without counts, which are therefore not in the line: {found.left_out}.",
            )
        )
    correlation = found.correlation.value
    if correlation is not None and correlation >= _FAR:
        nl, en = decimal(correlation, "nl", 2), decimal(correlation, "en", 2)
        said.append(
            Text(
                f"Let op: opeenvolgende perioden lijken op elkaar (correlatie {nl}); de intervallen zijn dan te smal.",
                f"Mind: neighbouring periods resemble each other (correlation {en}); intervals are then too narrow.",
            )
        )
    return said


def method(kind: str, rounding: Rounding, change: bool) -> list[Text]:
    """The formulas' names, and what rounding does to them."""
    limits = {
        "p": Text(
            "Grenzen: gemiddelde ± 3 standaardfouten (Shewhart), per periode naar haar grootte.",
            "Limits: average ± 3 standard errors (Shewhart), for each period by its size.",
        ),
        "laney": Text(
            "Grenzen: gemiddelde ± 3 standaardfouten, vermenigvuldigd met de spreiding tussen opeenvolgende perioden "
            "(Laney 2002).",
            "Limits: average ± 3 standard errors, times the spread between neighbouring periods (Laney 2002).",
        ),
        "ewma": Text(
            "Voortschrijdend gemiddelde met gewicht 0,2 (Roberts 1959); grenzen op 3 standaardfouten daarvan.",
            "Moving average with weight 0.2 (Roberts 1959); limits at 3 of its standard errors.",
        ),
    }
    said = [limits[kind]]
    if kind != "ewma":
        said.append(
            Text(
                "Signalen: regels 1, 2, 3 en 5 van Nelson (1984). Een periode zonder waarde breekt elke reeks af.",
                "Signals: rules 1, 2, 3 and 5 of Nelson (1984). A period without a value ends every run.",
            )
        )
    if change:
        said.append(
            Text(
                "Voor en na: gesegmenteerde logistische regressie (Wagner 2002) met niveau en helling; bij meer "
                "spreiding dan toeval ruimere intervallen (quasi-binomiaal, Student).",
                "Before and after: segmented logistic regression (Wagner 2002) with level and slope; with more spread "
                "than chance wider intervals (quasi-binomial, Student).",
            )
        )
    if not rounding.exact:
        said.append(
            Text(
                "Kaart en lijn zijn getekend met de afgeronde aantallen zoals zij zijn; waar aantallen klein zijn, kan "
                "een signaal van het afronden komen.",
                "Chart and line are drawn from the rounded counts as they are; where counts are small, a signal can "
                "come from rounding.",
            )
        )
    return said
