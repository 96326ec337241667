"""What the counts are for: the groups that a request defines by conditions, and how their numbers will be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nskd.governance.explain import words
from nskd.governance.question import (
    AsAssociation,
    AsCascade,
    AsFunnel,
    AsRate,
    AsRegression,
    AsSpc,
    AsSummary,
    ModelFamily,
    TableRequest,
)
from nskd.packs.codebook import Codebook, Text


def named(table: TableRequest, names: Iterable[str], codebook: Codebook) -> Text:
    """Write variables and the request's own axes as a list."""
    own = {axis.name: axis.label for axis in table.axes}
    return words.listed([own[name] if name in own else words.variable(name, codebook) for name in names])


def meant(table: TableRequest, codebook: Codebook) -> tuple[Text, ...]:
    """Say what is made of the counts, and what each condition stands for; nothing of a plain table."""
    said: Sequence[Text]
    match table.reading:
        case AsRate():
            said = _rate(table)
        case AsFunnel():
            said = (*_rate(table), *_funnel())
        case AsSpc():
            said = (*_rate(table), *_spc(table.reading))
        case AsCascade():
            said = _cascade(table.reading)
        case AsAssociation():
            said = _association(table, table.reading)
        case AsSummary():
            said = _summary(table.reading, codebook)
        case AsRegression():
            said = _regression(table, table.reading, codebook)
        case _:
            return ()
    conditions = [each for axis in table.axes for each in axis.conditions]
    return (*said, *words.legend(conditions, codebook))


def _written(table: TableRequest, axis: int) -> str:
    """The condition of a yes-or-no axis, on one line."""
    return " ".join(" ".join(table.axes[axis].conditions).split())


def _rate(table: TableRequest) -> Sequence[Text]:
    condition = _written(table, 0)
    return (
        Text(
            f"Daaruit wordt een aandeel berekend: welk deel van alles wat meetelt, voldoet aan: {condition}",
            f"A share is computed from it: what part of all that counts meets: {condition}",
        ),
    )


def _funnel() -> Sequence[Text]:
    return (
        Text(
            "Het wordt getoond als trechterfiguur: het aandeel van alle centra samen, en hoe ver een ziekenhuis daar "
            "door toeval vanaf kan liggen. Het eigen punt berekent elk ziekenhuis zelf.",
            "It is shown as a funnel plot: the share of all centres together, and how far from it chance alone can "
            "bring a hospital. Each hospital works out its own point by itself.",
        ),
    )


def _spc(reading: AsSpc) -> Sequence[Text]:
    said = [
        Text(
            "Het wordt getoond als regelkaart: het aandeel van periode tot periode, en welke sprongen geen toeval "
            "zijn.",
            "It is shown as a control chart: the share from period to period, and which jumps are no chance.",
        )
    ]
    if reading.change is not None:
        said.append(
            Text(
                f"De perioden voor en vanaf {reading.change} worden met elkaar vergeleken.",
                f"The periods before and from {reading.change} on are compared with each other.",
            )
        )
    return said


def _cascade(reading: AsCascade) -> Sequence[Text]:
    steps = [(step, " ".join(step.condition.split())) for step in reading.steps]
    return (
        Text(
            "Daaruit wordt berekend hoeveel er van stap tot stap overblijven. Wie bij een stap telt, heeft ook alle "
            "stappen ervoor gezet.",
            "How many are left from step to step is computed from it. Whoever counts at a step has taken all steps "
            "before.",
        ),
        *(
            Text(f"Stap {number}, {step.label.nl}: {where}", f"Step {number}, {step.label.en}: {where}")
            for number, (step, where) in enumerate(steps, 1)
        ),
    )


def _association(table: TableRequest, reading: AsAssociation) -> Sequence[Text]:
    said = [
        Text(
            f"Daaruit wordt berekend hoe twee dingen samenhangen: {_written(table, 0)}; en: {_written(table, 1)}",
            f"How two things go together is computed from it: {_written(table, 0)}; and: {_written(table, 1)}",
        )
    ]
    if reading.screening:
        said.append(
            Text(
                "Het eerste wordt gelezen als een test, het tweede als wat die test moet vinden. Wie een negatieve "
                "test had, is meestal niet verder onderzocht: de gevoeligheid van de test valt dan te hoog uit.",
                "The first is read as a test, the second as what that test is to find. Those with a negative test were "
                "mostly not examined further: the sensitivity of the test then comes out too high.",
            )
        )
    return said


def _summary(reading: AsSummary, codebook: Codebook) -> Sequence[Text]:
    of = words.variable(reading.variable, codebook)
    return (
        Text(
            f"Daaruit worden het gemiddelde, de spreiding en de kwartielen van {of.nl} geschat, met klassen die "
            f"beginnen bij {', '.join(map(str, reading.edges))}.",
            f"The mean, the spread and the quartiles of {of.en} are estimated from it, with bins that begin at "
            f"{', '.join(map(str, reading.edges))}.",
        ),
    )


_MODELLED = {
    ModelFamily.LOGISTIC: Text("de kans (als odds) op", "the odds of"),
    ModelFamily.POISSON: Text("hoe vaak voorkomt", "the rate of"),
    ModelFamily.LINEAR: Text("het gemiddelde van", "the mean of"),
}


def _regression(table: TableRequest, reading: AsRegression, codebook: Codebook) -> Sequence[Text]:
    names = named(table, table.rows, codebook)
    what = words.same(_written(table, 0))
    if reading.number is not None:
        what = words.variable(reading.number, codebook)
    of = _MODELLED[reading.family]
    said = [
        Text(
            f"Over alle bezoeken van alle centra samen wordt een model berekend: hoe {of.nl} {what.nl} samenhangt met "
            f"{names.nl}, elk naast de andere.",
            f"A model is computed over the visits of all centres together: how {of.en} {what.en} goes with {names.en}, "
            "each beside the others.",
        )
    ]
    for covariate in reading.covariates:
        if covariate.reference is not None:
            name = words.variable(covariate.name, codebook)
            level = covariate.reference
            said.append(
                Text(f"Bij {name.nl} wordt vergeleken met {level}.", f"Of {name.en} the rest is compared with {level}.")
            )
    if reading.centre_effects:
        said.append(
            Text(
                "Elk ziekenhuis heeft in het model een eigen niveau, dat het zelf berekent en voor zich houdt: alleen "
                "verschillen binnen ziekenhuizen tellen.",
                "Each hospital has a level of its own in the model, which it works out and keeps to itself: only "
                "differences within hospitals count.",
            )
        )
    return said
