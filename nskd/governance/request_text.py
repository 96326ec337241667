"""The text of a request: TOML, read into a :class:`~nskd.governance.question.TableRequest`.

All kinds share ``kind``, ``title``, ``purpose``, ``measure``, ``where`` and ``permit``; what else a kind has is in the
function that reads it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from nskd.errors import OperatorError
from nskd.governance import limits
from nskd.governance.charter import NAME
from nskd.governance.question import (
    BIN,
    EVENT,
    EXPOSURE,
    OF,
    OUTCOME,
    STEP,
    AsAssociation,
    AsCascade,
    AsFunnel,
    AskedAxis,
    AskedLevel,
    AsRate,
    AsRegression,
    AsSpc,
    AsSummary,
    AsTable,
    Chart,
    Covariate,
    Kind,
    Measure,
    ModelFamily,
    Reading,
    Step,
    TableRequest,
    yes_no,
)
from nskd.governance.toml import Keys, read_document, shown
from nskd.packs.codebook import INTEGER_MAX, TOTAL, Text

PERMIT_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")
_VARIABLE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")
_COVARIATE: Final = re.compile(r"[a-z][a-z0-9_]{0,62}(: ?[A-Za-z0-9][A-Za-z0-9_.+-]{0,62})?")
_PERIOD: Final = re.compile(r"[0-9]{4}(-(0[1-9]|1[0-2]|Q[1-4]))?")
SHARED: Final = ("kind", "title", "purpose", "measure", "where", "permit")
_CONDITION: Final = "\"nsk_status = 'complete'\""
_MEETS: Final = Text("of het bezoek aan de voorwaarde voldoet", "whether the visit meets the condition")
REST: Final = "other"
NONE: Final = "none"


class RequestError(OperatorError):
    """A request text that cannot be used; the message names the key."""


@attrs.frozen
class _Asked:
    """What a kind makes of its own keys."""

    reading: Reading
    rows: tuple[str, ...]
    columns: tuple[str, ...] = ()
    axes: tuple[AskedAxis, ...] = ()
    margins: bool = True


def parse_request(raw: bytes, *, where: str = "request") -> TableRequest:
    """Read a request text; :class:`RequestError` and nothing else comes out of bad input."""
    document = read_document(raw, where=where, bytes_max=limits.REQUEST_TEXT_BYTES_MAX, error=RequestError)
    kind = _kind(document, where)
    own, read = _KINDS[kind]
    keys = Keys(document, allowed=(*SHARED, *own), where=where, error=RequestError)
    asked = read(keys)
    return TableRequest(
        title=keys.text("title", chars_max=limits.TITLE_CHARS_MAX, example='"Positive screens by age"'),
        purpose=keys.text(
            "purpose",
            chars_max=limits.NAME_CHARS_MAX,
            example='"improvement"',
            pattern=NAME,
            meaning="the id of a purpose in the charter",
        ),
        rows=asked.rows,
        columns=asked.columns,
        measure=Measure(keys.choice("measure", tuple(Measure))),
        where=_condition(keys, "where", "\"sex = 'V'\"") if "where" in keys else None,
        margins=asked.margins,
        permit=keys.text(
            "permit",
            chars_max=limits.PERMIT_ID_CHARS_MAX,
            example='"HDAB-NL-2026-0042"',
            pattern=PERMIT_ID,
            meaning="the id of a permit: letters, digits and . _ / -",
        )
        if "permit" in keys
        else None,
        axes=asked.axes,
        reading=asked.reading,
    )


def _kind(document: Mapping[str, object], where: str) -> Kind:
    """First of all: which keys there may be depends on it."""
    alone = {key: value for key, value in document.items() if key == "kind"}
    return Kind(Keys(alone, allowed=("kind",), where=where, error=RequestError).choice("kind", tuple(Kind)))


# --- the kinds ----------------------------------------------------------------------------------------------


def _table(keys: Keys) -> _Asked:
    rows = _names(keys, "rows", '"age_band"')
    columns = _names(keys, "columns", '"nsk_positive"') if "columns" in keys else ()
    for name in columns:
        if name in rows:
            raise keys.fault("columns", f"{shown(name)} is among the rows already", "Name it once.")
    return _Asked(AsTable(), rows, columns, margins=keys.boolean("margins", default=False))


def _rate(keys: Keys) -> _Asked:
    return _share(keys, AsRate(), _names(keys, "by", '"age_band"') if "by" in keys else ())


def _funnel(keys: Keys) -> _Asked:
    return _share(keys, AsFunnel(), ())


def _spc(keys: Keys) -> _Asked:
    by = _names(keys, "by", '"visit_month"')
    if len(by) != 1:
        raise keys.fault("by", f"{len(by)} variables are named", "Name the one that holds the month or the quarter.")
    chart = Chart(keys.choice("chart", tuple(Chart))) if "chart" in keys else Chart.P
    return _share(keys, AsSpc(chart, _period(keys, "baseline"), _period(keys, "change")), by)


def _share(keys: Keys, reading: Reading, by: tuple[str, ...]) -> _Asked:
    of = yes_no(OF, _MEETS, _condition(keys, "of", _CONDITION))
    return _Asked(reading, by or (OF,), (OF,) if by else (), (of,))


def _cascade(keys: Keys) -> _Asked:
    listed = keys.tables("steps", least=2, most=limits.STEPS_MAX, allowed=("name", "where", "label_nl", "label_en"))
    steps = tuple(_step(each) for each in listed)
    names = [step.key for step in steps]
    for each, name in zip(listed, names, strict=True):
        if names.count(name) > 1 or name in (NONE, TOTAL):
            raise each.fault("name", f"{shown(name)} cannot be used, or not twice", "Give each step a name of its own.")
    levels = [AskedLevel(NONE, Text("geen stap", "no step"))]
    for count, step in enumerate(steps, 1):  # reaching a later step means having met all before
        levels.append(AskedLevel(step.key, step.label, tuple(met.condition for met in steps[:count])))
    by = _names(keys, "by", '"age_band"') if "by" in keys else ()
    axis = AskedAxis(STEP, Text("verst bereikte stap", "last step reached"), tuple(levels))
    return _Asked(AsCascade(steps), by or (STEP,), (STEP,) if by else (), (axis,))


def _step(keys: Keys) -> Step:
    name = _name(keys, "name", '"top_to_toe"', "a name of small letters, digits and _")
    labels = [
        keys.text(key, chars_max=limits.LABEL_CHARS_MAX, example='"Top-to-toe"') if key in keys else name
        for key in ("label_nl", "label_en")
    ]
    return Step(name, Text(*labels), _condition(keys, "where", "\"top_to_toe = 'ja'\""))


def _association(keys: Keys) -> _Asked:
    first = Text("of het bezoek aan de eerste voorwaarde voldoet", "whether the visit meets the first condition")
    second = Text("of het aan de tweede voldoet", "whether it meets the second")
    exposure = yes_no(EXPOSURE, first, _condition(keys, "exposure", _CONDITION))
    outcome = yes_no(OUTCOME, second, _condition(keys, "outcome", "\"vt_report = 'ja'\""))
    screening = keys.boolean("screening", default=False)
    return _Asked(AsAssociation(screening), (EXPOSURE,), (OUTCOME,), (exposure, outcome))


def _summary(keys: Keys) -> _Asked:
    variable = _name(keys, "variable", '"age_months"', "the name of a variable")
    edges = keys.integers("bins", least=2, most=limits.BINS_MAX, largest=INTEGER_MAX, example="[0, 12, 48, 108, 144]")
    for below, above in itertools.pairwise(edges):
        if below >= above:
            raise keys.fault("bins", f"{above} follows {below}", "List where bins begin, from low to high.")
    levels = [
        AskedLevel(_bin(low, high), Text(_range(low, high), _range(low, high)), _between(variable, low, high))
        for low, high in zip(edges, (*edges[1:], None), strict=True)
    ]
    levels.append(AskedLevel(REST, Text("onbekend of lager", "missing or lower")))
    by = _names(keys, "by", '"sex"') if "by" in keys else ()
    axis = AskedAxis(BIN, Text("klasse", "bin"), tuple(levels))
    return _Asked(AsSummary(variable, edges), by or (BIN,), (BIN,) if by else (), (axis,))


def _bin(low: int, high: int | None) -> str:
    return f"{low}-" if high is None else f"{low}-{high - 1}"


def _range(low: int, high: int | None) -> str:
    if high is None:
        return f"≥ {low}"
    return str(low) if high == low + 1 else f"{low} – {high - 1}"


def _between(variable: str, low: int, high: int | None) -> tuple[str, ...]:
    above = f"{variable} >= {low}"
    return (above,) if high is None else (above, f"{variable} < {high}")


def _regression(keys: Keys) -> _Asked:
    family = ModelFamily(keys.choice("family", tuple(ModelFamily)))
    written = keys.texts(
        "covariates",
        count_max=limits.COVARIATES_MAX,
        chars_max=2 * limits.NAME_CHARS_MAX,
        example='["age_band: 4-8", "sex"]',
        pattern=_COVARIATE,
        meaning="the name of a variable, perhaps with a colon and the level that others are compared with",
    )
    covariates = tuple(_covariate(each) for each in written)
    names = tuple(each.name for each in covariates)
    for name in names:
        if names.count(name) > 1:
            raise keys.fault("covariates", f"{shown(name)} is listed twice", "List it once.")
    number = None
    if family is ModelFamily.LINEAR:
        number = _name(keys, "outcome", '"age_months"', "the name of a variable that is a whole number")
        event = yes_no(EVENT, Text(f"of {number} bekend is", f"whether {number} is known"), f"{number} IS NOT NULL")
    else:
        event = yes_no(EVENT, _MEETS, _condition(keys, "outcome", "\"nsk_positive = 'ja'\""))
    effects = keys.boolean("centre_effects", default=False)
    if keys.choice("measure", tuple(Measure)) != Measure.VISITS:
        raise keys.fault("measure", "a model is of visits", 'Write measure = "visits".')
    if len(covariates) == 1 and not effects:
        what = "a model with one covariate says no more than a table"
        raise keys.fault("covariates", what, "Ask for a rate, or add a covariate or centre_effects = true.")
    return _Asked(AsRegression(family, covariates, number, effects), names, (EVENT,), (event,), margins=False)


def _covariate(written: str) -> Covariate:
    name, _, reference = (part.strip() for part in written.partition(":"))
    return Covariate(name, reference or None)


_KINDS: Final[Mapping[Kind, tuple[tuple[str, ...], Callable[[Keys], _Asked]]]] = {
    Kind.TABLE: (("rows", "columns", "margins"), _table),
    Kind.RATE: (("of", "by"), _rate),
    Kind.SPC: (("of", "by", "chart", "baseline", "change"), _spc),
    Kind.FUNNEL: (("of",), _funnel),
    Kind.CASCADE: (("steps", "by"), _cascade),
    Kind.ASSOCIATION: (("exposure", "outcome", "screening"), _association),
    Kind.SUMMARY: (("variable", "bins", "by"), _summary),
    Kind.REGRESSION: (("family", "outcome", "covariates", "centre_effects"), _regression),
}


# --- parts of them ------------------------------------------------------------------------------------------


def _names(keys: Keys, key: str, example: str) -> tuple[str, ...]:
    return keys.texts(
        key,
        count_max=limits.VARIABLES_PER_AXIS_MAX,
        chars_max=limits.NAME_CHARS_MAX,
        example=example,
        pattern=_VARIABLE,
        meaning="the name of a variable",
    )


def _name(keys: Keys, key: str, example: str, meaning: str) -> str:
    return keys.text(key, chars_max=limits.NAME_CHARS_MAX, example=example, pattern=_VARIABLE, meaning=meaning)


def _condition(keys: Keys, key: str, example: str) -> str:
    return keys.text(key, chars_max=limits.WHERE_CHARS_MAX, example=example, lines=True)


def _period(keys: Keys, key: str) -> str | None:
    if key not in keys:
        return None
    meaning = "a month, quarter or year, as the variable has them"
    return keys.text(key, chars_max=limits.NAME_CHARS_MAX, example='"2025-06"', pattern=_PERIOD, meaning=meaning)
