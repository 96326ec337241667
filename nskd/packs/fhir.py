"""How a pack's variables are read from FHIR R4 `Encounter` and `QuestionnaireResponse` resources: `fhir.toml`.

A field takes an identifier, a month, a part of the day, a whole number, or a code that stands for a level.  There is no
way to write a field that takes words or a time.
"""

from __future__ import annotations

import enum
import re
import zoneinfo
from collections.abc import Callable, Mapping
from typing import Final

import attrs

from nskd.packs import schema
from nskd.packs.codebook import Codebook, Variable, VariableType, closest
from nskd.packs.errors import PackError
from nskd.packs.reader import decode

Code = tuple[str | None, str]
"""A system, None where FHIR itself fixes the codes, and a code of it."""

_PATH: Final = re.compile(r"[a-z][A-Za-z0-9]*(?:\.[a-z][A-Za-z0-9]*){0,4}")
_HOURS: Final = 24

_Fail = Callable[[str, str], PackError]


class Take(enum.Enum):
    """What a field takes of what it finds."""

    ID = "id"
    PERSON = "person"
    MONTH = "month"
    HOUR = "hour"
    CODE = "code"
    INTEGER = "integer"


class Resource(enum.Enum):
    """The two kinds that are read; each visit is one encounter, with one response or none."""

    ENCOUNTER = "encounter"
    RESPONSE = "response"


_SUITS: Final[Mapping[Take, VariableType]] = {
    Take.ID: VariableType.IDENTIFIER,
    Take.PERSON: VariableType.IDENTIFIER,
    Take.MONTH: VariableType.MONTH,
    Take.HOUR: VariableType.CATEGORY,
    Take.CODE: VariableType.CATEGORY,
    Take.INTEGER: VariableType.INTEGER,
}


@attrs.frozen
class Field:
    """One variable: exactly one of `path`, `extension` (its URL) and `link` (a question) says where it stands.

    `hours` are ends of parts of the day, in order; `absent` is the level of a visit without a response.
    """

    variable: str
    of: Resource
    take: Take
    path: tuple[str, ...] = ()
    extension: str | None = None
    link: str | None = None
    codes: Mapping[Code, str] = attrs.field(factory=dict)
    hours: tuple[tuple[int, str], ...] = ()
    absent: str | None = None


@attrs.frozen
class FhirMapping:
    """All fields, and which resources count."""

    timezone: str
    questionnaire: str
    encounters: frozenset[str]
    responses: frozenset[str]
    fields: tuple[Field, ...]

    def of(self, resource: Resource) -> tuple[Field, ...]:
        """The fields that one kind of resource fills."""
        return tuple(field for field in self.fields if field.of is resource)


def read_fhir(raw: bytes, codebook: Codebook, file: str) -> FhirMapping:
    """`fhir.toml` → `FhirMapping`. Raises `PackError`."""
    written = decode(raw, schema.FhirFile, file)
    try:
        zoneinfo.ZoneInfo(written.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        remedy = 'Write for example "Europe/Amsterdam", and install tzdata if this machine has no time zones.'
        raise PackError("is not a time zone known here", file=file, key="timezone", remedy=remedy) from None
    codes: dict[str, dict[Code, str]] = {}
    for each in written.codes:
        known = codes.setdefault(each.id, {})
        for code, level in each.levels.items():
            if (each.system, code) in known:
                raise PackError("a code occurs twice", file=file, key=f'codes "{each.id}"', remedy="Keep one.")
            known[each.system, code] = level
    reader = _FieldReader(codebook, codes, file)
    fields = tuple(map(reader.field, written.field))
    _check_whole(fields, codebook, file)
    unused = sorted(codes.keys() - {each.codes for each in written.field})
    if unused:
        raise PackError("no field uses it", file=file, key=f'codes "{unused[0]}"', remedy="Remove it, or use it.")
    return FhirMapping(
        written.timezone,
        written.response.questionnaire,
        frozenset(written.encounter.counted),
        frozenset(written.response.counted),
        fields,
    )


def _check_whole(fields: tuple[Field, ...], codebook: Codebook, file: str) -> None:
    """Check that every variable is read, or may be missing."""
    read = [field.variable for field in fields]
    for name in read:
        if read.count(name) > 1:
            raise PackError("is read twice", file=file, key=f'field "{name}"', remedy="Keep one.")
    for variable in codebook.recorded:
        if variable.name not in read and not variable.missing:
            remedy = "Say where it stands; only a variable that may be missing can do without."
            raise PackError(f'nothing says where "{variable.name}" stands', file=file, key="field", remedy=remedy)
    # The visit is the encounter; a response that is not there could not tell which.
    for field in fields:
        private = codebook.private(field.variable)
        if private and (field.of is not Resource.ENCOUNTER or field.take not in (Take.ID, Take.PERSON)):
            remedy = "Take it from the encounter, as id or person."
            raise PackError(
                "must be an identifier of the encounter", file=file, key=f'field "{field.variable}"', remedy=remedy
            )


class _FieldReader:
    def __init__(self, codebook: Codebook, codes: Mapping[str, Mapping[Code, str]], file: str) -> None:
        self._codebook, self._codes, self._file = codebook, codes, file

    def field(self, written: schema.FieldFile) -> Field:
        key = f'field "{written.variable}"'

        def fail(what: str, remedy: str) -> PackError:
            return PackError(what, file=self._file, key=key, remedy=remedy)

        variable = self._codebook.variables.get(written.variable)
        if variable is None or variable.derivation is not None:
            near = closest(written.variable, [each.name for each in self._codebook.recorded])
            raise fail("is no variable that is recorded", f'Did you mean "{near}"?' if near else "Name one.")
        take = Take(written.take)
        if _SUITS[take] is not variable.type:
            raise fail(f"{take.value} does not give a {variable.type.value}", "Take something else.")
        if (written.codes is not None) != (take is Take.CODE) or (written.hours is not None) != (take is Take.HOUR):
            raise fail('"codes" goes with code, and "hours" with hour', "Give the one that belongs to it.")
        of = Resource.RESPONSE if written.link is not None else Resource(written.of)
        if [written.path, written.extension, written.link].count(None) != 2:
            raise fail("one place is needed", 'Give one of "path", "extension" and "link".')
        if written.path is not None and not _PATH.fullmatch(written.path):
            raise fail("the path is not one of plain names", 'Write for example "period.start".')
        if written.absent is not None and of is not Resource.RESPONSE:
            raise fail('"absent" is for what a response holds', "Remove it.")
        codes = self._codes.get(written.codes or "", {})
        if take is Take.CODE and not codes:
            raise fail(f'there are no codes "{written.codes}"', "Add them under [[codes]].")
        hours = tuple((each.until, each.level) for each in written.hours or ())
        ends = [until for until, _ in hours]
        if take is Take.HOUR and (ends != sorted(set(ends)) or not ends or ends[0] <= 0 or ends[-1] != _HOURS):
            raise fail(
                "the parts do not make up a day", f'Let each "until" be above the one before, the last {_HOURS}.'
            )
        self._check_levels(variable, (*codes.values(), *(level for _, level in hours), written.absent), fail)
        return Field(
            variable=variable.name,
            of=of,
            take=take,
            path=tuple((written.path or "").split(".")) if written.path else (),
            extension=written.extension,
            link=written.link,
            codes=codes,
            hours=hours,
            absent=written.absent,
        )

    @staticmethod
    def _check_levels(variable: Variable, levels: tuple[str | None, ...], fail: _Fail) -> None:
        for level in levels:
            if level is not None and level not in variable.keys:
                raise fail(
                    f'"{level}" is not a level of "{variable.name}"', f"Its levels: {', '.join(variable.keys[:12])}."
                )
