"""What a reading asks of the codebook: that a period is one, that a number has bins, that a month is a level."""

from __future__ import annotations

from collections.abc import Sequence

from nskd.data.errors import RequestError
from nskd.governance.question import AsSpc, AsSummary, Reading
from nskd.packs.codebook import MISSING, Codebook, Variable, VariableType, closest
from nskd.packs.conditions import Period


def check_reading(codebook: Codebook, reading: Reading, rows: Sequence[str]) -> None:
    """Raise :class:`RequestError` where counts by ``rows`` could not be read so."""
    match reading:
        case AsSpc():
            over = codebook.variables.get(rows[0])
            if over is not None:  # or it is missed where all names are
                _check_periods(codebook, reading, over)
        case AsSummary():
            _check_bins(codebook, reading)
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


def _check_bins(codebook: Codebook, reading: AsSummary) -> None:
    numbers = [v.name for v in codebook.variables.values() if v.type is VariableType.INTEGER]
    variable = codebook.variables.get(reading.variable)
    if variable is None or variable.name not in numbers:
        near = closest(reading.variable, numbers)
        remedy = f'Did you mean "{near}"?' if near else f"Choose from {', '.join(numbers) or 'none: there is none'}."
        raise RequestError(f'"{reading.variable}" is no whole number', where="variable", remedy=remedy)
    least, most = variable.minimum, variable.maximum
    if least is not None and most is not None:
        for edge in reading.edges:
            if not least <= edge <= most:
                raise RequestError(
                    f'no "{variable.name}" is {edge}', where="bins", remedy=f"They run from {least} to {most}."
                )
