"""The shape of the files of a pack, exactly as a person writes them. Unknown keys are errors.

`reader` turns these into the model; nothing else uses them.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What all tables of a pack file share."""


class LevelFile(_File):
    """`{ key = "ja", nl = "ja", en = "yes" }`."""

    key: str
    nl: str
    en: str
    not_applicable: bool = False


class LevelSetFile(_File):
    """Levels that several variables share."""

    id: str
    levels: list[LevelFile]


class RangeFile(_File):
    """`{ min = 0, max = 47 }`, either side may be left out."""

    min: int | None = None
    max: int | None = None


# A level, several levels, or a range of whole numbers, by variable; all must hold.
When = dict[str, str | list[str] | RangeFile]


class CaseFile(_File):
    """One case of a derived variable."""

    when: When
    level: str


class VariableFile(_File):
    """One variable; which keys apply depends on `type`."""

    name: str
    type: Literal["identifier", "category", "integer", "month"]
    nl: str
    en: str
    note_nl: str = ""
    note_en: str = ""
    levels: list[LevelFile] | str | None = None  # a list, or the id of a level set
    missing: bool = False
    min: int | None = None
    max: int | None = None
    first: str | None = None
    last: str | None = None
    cases: list[CaseFile] | None = None
    otherwise: str | None = None
    period: Literal["year", "quarter"] | None = None
    of: str | None = None
    purposes: list[str] | None = None


class RuleFile(_File):
    """One quality rule: where `when` holds, one of `then` must."""

    id: str
    when: When
    then: list[When]
    nl: str
    en: str
    severity: Literal["warning", "error"] = "warning"


class ForbiddenFile(_File):
    """Column names that may not be in an extract."""

    names: list[str]
    nl: str
    en: str


class RolesFile(_File):
    """Which variable identifies the visit, links the child, and dates the visit."""

    visit_id: str
    person_link: str
    month: str | None = None


class CodebookFile(_File):
    """`codebook.toml`."""

    roles: RolesFile
    default_purposes: list[str]
    variable: list[VariableFile]
    level_set: list[LevelSetFile] = []
    rule: list[RuleFile] = []
    forbidden: list[ForbiddenFile] = []


class PurposeFile(_File):
    """A purpose that variables of this pack can serve; `ehds` is the letter of Article 53(1)."""

    id: str
    nl: str
    en: str
    ehds: str


class WordsFile(_File):
    """The same words twice: a keyword of a catalogue, or a law that an assessment has to look at."""

    nl: str
    en: str


class PackFile(_File):
    """`pack.toml`."""

    name: str
    version: str
    nl: str
    en: str
    purpose: list[PurposeFile]
    keyword: list[WordsFile] = []
    framework: list[WordsFile] = []


class SourceFile(_File):
    """Where a number comes from: published (`note` says where) or free (the author's choice)."""

    status: Literal["published", "free"]
    note: str


class OddsFile(_File):
    """Where `when` holds, the odds of the draw's `level` are multiplied by `factor`."""

    factor: float
    source: SourceFile
    when: When = {}


class BranchFile(_File):
    """Other weights where `when` holds; the first branch that holds is taken."""

    weights: dict[str, float]
    when: When = {}


class SpanFile(_File):
    """Whole numbers from `min` to `max`, evenly spread, with this weight against other spans."""

    min: int
    max: int
    weight: float


class DrawFile(_File):
    """How one variable is drawn, or a hidden factor that others depend on and no file shows."""

    variable: str
    source: SourceFile
    per: Literal["visit", "child", "centre"] = "visit"
    hidden: bool = False
    weights: dict[str, float] | None = None
    branch: list[BranchFile] = []
    spans: list[SpanFile] | None = None
    grows_with: str | None = None
    months: list[str] | None = None
    level: str | None = None
    centre_sd: float = 0.0
    odds: list[OddsFile] = []


class SyntheticFile(_File):
    """`synthetic.toml`."""

    visits: int
    visits_per_child: list[float]
    visits_source: SourceFile
    draw: list[DrawFile]


class EncounterFile(_File):
    """Which encounters are visits, by their status."""

    counted: list[str]


class ResponseFile(_File):
    """Which responses are read: those to this questionnaire, by their status."""

    questionnaire: str
    counted: list[str]


class CodesFile(_File):
    """Codes of one system, and the level that each stands for; several tables of one `id` belong together."""

    id: str
    levels: dict[str, str]
    system: str | None = None


class HoursFile(_File):
    """The hours before `until`, from where the one before it ended."""

    until: int
    level: str


class FieldFile(_File):
    """Where the value of one variable stands in a resource, and what is taken of it."""

    variable: str
    take: Literal["id", "person", "month", "hour", "code", "integer"]
    path: str | None = None
    extension: str | None = None
    link: str | None = None
    of: Literal["encounter", "response"] = "encounter"
    codes: str | None = None
    hours: list[HoursFile] | None = None
    absent: str | None = None


class FhirFile(_File):
    """`fhir.toml`."""

    timezone: str
    encounter: EncounterFile
    response: ResponseFile
    field: list[FieldFile]
    codes: list[CodesFile] = []
