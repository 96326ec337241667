"""What a reading asks of the codebook: that a period is one, that a number has bins, that a month is a level."""

from __future__ import annotations

from collections.abc import Sequence

from nskd.data.errors import RequestError
from nskd.governance.question import AsRegression, AsSpc, AsSummary, Reading
from nskd.packs.codebook import MISSING, Codebook, Variable, VariableType, closest
from nskd.packs.conditions import Period
from protocol.limits import REGRESSION_SIZE_MAX


def check_reading(codebook: Codebook, reading: Reading, rows: Sequence[str]) -> None:
    """Raise :class:`RequestError` where counts by ``rows`` could not be read so."""
    match reading:
        case AsSpc():
            over = codebook.variables.get(rows[0])
            if over is not None:  # or it is missed where all names are
                _check_periods(codebook, reading, over)
        case AsSummary():
            _check_number(codebook, reading.variable, "variable")
            _check_bins(codebook, reading)
        case AsRegression():
            _check_model(codebook, reading)
        case _:
            return


def told(codebook: Codebook, reading: Reading) -> dict[str, object]:
    """What a release says of its reading: of bins, with the ``last`` number there can be, where the last bin ends."""
    facts = dict(reading.facts())
    if isinstance(reading, AsSummary):
        facts["last"] = codebook.variables[reading.variable].maximum
    return facts


def _check_periods(codebook: Codebook, reading: AsSpc, over: Variable) -> None:
    if over.type is not VariableType.MONTH and not isinstance(over.derivation, Period):
        known = [v.name for v in codebook.groupable if v.type is VariableType.MONTH or isinstance(v.derivation, Period)]
        raise RequestError(f'"{over.name}" is no period', where="by", remedy=f"Choose from {', '.join(known)}.")
    periods = [key for key in over.keys if key != MISSING]
    for key, period in (("baseline", reading.baseline), ("change", reading.change)):
        if period is not None and period not in periods:
            near = closest(period, periods)
            remedy = f'Did you mean "{near}"?' if near else f"They run from {periods[0]} to {periods[-1]}."
            raise RequestError(f'"{period}" is not among the periods of "{over.name}"', where=key, remedy=remedy)
    if reading.change == periods[0]:
        raise RequestError("nothing comes before the change", where="change", remedy="Name a later period.")


def _check_number(codebook: Codebook, name: str, key: str) -> None:
    numbers = [v.name for v in codebook.variables.values() if v.type is VariableType.INTEGER]
    if name not in numbers:
        near = closest(name, numbers)
        remedy = f'Did you mean "{near}"?' if near else f"Choose from {', '.join(numbers) or 'none: there is none'}."
        raise RequestError(f'"{name}" is no whole number', where=key, remedy=remedy)


def _check_bins(codebook: Codebook, reading: AsSummary) -> None:
    variable = codebook.variables[reading.variable]
    least, most = variable.minimum, variable.maximum
    if least is not None and most is not None:
        for edge in reading.edges:
            if not least <= edge <= most:
                raise RequestError(
                    f'no "{variable.name}" is {edge}', where="bins", remedy=f"They run from {least} to {most}."
                )


def _check_model(codebook: Codebook, reading: AsRegression) -> None:
    if reading.number is not None:
        _check_number(codebook, reading.number, "outcome")
        outcome = codebook.variables[reading.number]
        if outcome.minimum is None or outcome.maximum is None or outcome.minimum == outcome.maximum:
            remedy = "Choose one to which the codebook gives both."
            raise RequestError(f'"{outcome.name}" has no least and most value', where="outcome", remedy=remedy)
    coefficients = 0 if reading.centre_effects else 1
    for covariate in reading.covariates:
        variable = codebook.variables.get(covariate.name)
        if variable is None or not variable.groupable:
            continue  # missed where all names are
        coefficients += len(variable.levels) - 1
        if covariate.reference is not None and covariate.reference not in variable.keys:
            near = closest(covariate.reference, variable.keys)
            remedy = f'Did you mean "{near}"?' if near else f"Choose from {', '.join(variable.keys)}."
            what = f'"{covariate.reference}" is no level of "{covariate.name}"'
            raise RequestError(what, where="covariates", remedy=remedy)
    if coefficients > REGRESSION_SIZE_MAX:
        raise RequestError(
            f"the model would have {coefficients} coefficients, {REGRESSION_SIZE_MAX} can be computed",
            where="covariates",
            remedy="Use fewer covariates, or such with fewer levels.",
        )
