"""What a request asks: which visits are counted, in which groups, and how the counts are to be read.

Every question is a table of counts.  A table's own variables come from the codebook; other kinds break visits down by
*conditions* as well, each an axis that the request itself defines (:class:`AskedAxis`).  What a kind makes of the
counts – a rate, a control chart, a cascade – is its *reading*: it concerns released numbers only, so that every rule of
disclosure is one about tables.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import ClassVar, Final

import attrs

from nskd.packs.codebook import Text

AXIS_MARK: Final = "@"  # begins the name of an axis that a request defines; no variable of a codebook can begin so
OF: Final = "@of"
STEP: Final = "@step"
EXPOSURE: Final = "@exposure"
OUTCOME: Final = "@outcome"
BIN: Final = "@bin"
EVENT: Final = "@event"
YES: Final = "yes"
NO: Final = "no"


class Measure(enum.StrEnum):
    """What a cell counts."""

    VISITS = "visits"
    CHILDREN = "children"  # distinct


class Kind(enum.StrEnum):
    """What is asked for."""

    TABLE = "table"
    RATE = "rate"
    SPC = "spc"
    FUNNEL = "funnel"
    CASCADE = "cascade"
    ASSOCIATION = "association"
    SUMMARY = "summary"
    REGRESSION = "regression"


@attrs.frozen
class AskedLevel:
    """A group of visits: those for which all ``conditions`` hold; without any, those in no other group."""

    key: str
    label: Text
    conditions: tuple[str, ...] = ()


@attrs.frozen
class AskedAxis:
    """Groups that a request defines.  A visit is in the *last* whose conditions hold, so in exactly one.

    One of the levels has no conditions, and holds the rest.
    """

    name: str
    label: Text
    levels: tuple[AskedLevel, ...]

    @property
    def conditions(self) -> tuple[str, ...]:
        """Every condition once, as written."""
        return tuple(dict.fromkeys(each for level in self.levels for each in level.conditions))


def yes_no(name: str, label: Text, condition: str) -> AskedAxis:
    """The visits for which a condition holds, and the others."""
    return AskedAxis(name, label, (AskedLevel(YES, Text("ja", "yes"), (condition,)), AskedLevel(NO, Text("nee", "no"))))


class _Plain:
    """A reading that needs nothing but the counts."""

    def facts(self) -> Mapping[str, object]:
        """What a release says of its reading."""
        return {}


@attrs.frozen
class AsTable(_Plain):
    """Counts as they are."""

    kind: ClassVar = Kind.TABLE


@attrs.frozen
class AsRate(_Plain):
    """How many of all visits are in ``@of = yes``."""

    kind: ClassVar = Kind.RATE


@attrs.frozen
class AsFunnel(_Plain):
    """The rate of all centres together, and how far from it chance alone would bring one of them."""

    kind: ClassVar = Kind.FUNNEL


class Chart(enum.StrEnum):
    """A control chart of proportions (:mod:`nskd.statistics.spc`)."""

    P = "p"
    LANEY = "laney"
    EWMA = "ewma"


@attrs.frozen
class AsSpc:
    """The rate from period to period: ``baseline`` is the last one that settles the limits (all if None).

    ``change`` is the first after something changed: before and after are then compared as an interrupted series.
    """

    kind: ClassVar = Kind.SPC
    chart: Chart = Chart.P
    baseline: str | None = None
    change: str | None = None

    def facts(self) -> Mapping[str, object]:
        """What a release says of its reading."""
        return {"chart": self.chart.value, "baseline": self.baseline, "change": self.change}


@attrs.frozen
class Step:
    """A step of a cascade; whoever meets ``condition`` and those of all steps before has reached it."""

    key: str
    label: Text
    condition: str


@attrs.frozen
class AsCascade:
    """How many reach each step, and how many of those the next."""

    kind: ClassVar = Kind.CASCADE
    steps: tuple[Step, ...]

    def facts(self) -> Mapping[str, object]:
        """What a release says of its reading."""
        return {"steps": [{"key": step.key, "nl": step.label.nl, "en": step.label.en} for step in self.steps]}


@attrs.frozen
class AsAssociation:
    """A two-by-two table; ``screening``: the exposure is a test, and the outcome what it looks for."""

    kind: ClassVar = Kind.ASSOCIATION
    screening: bool

    def facts(self) -> Mapping[str, object]:
        """What a release says of its reading."""
        return {"screening": self.screening}


@attrs.frozen
class AsSummary:
    """Mean, spread and quantiles of a whole number, from how many lie in each bin; ``edges`` are where bins begin."""

    kind: ClassVar = Kind.SUMMARY
    variable: str
    edges: tuple[int, ...]

    def facts(self) -> Mapping[str, object]:
        """What a release says of its reading."""
        return {"variable": self.variable, "edges": list(self.edges)}


@attrs.frozen
class Covariate:
    """A variable of a model, and the level that the others are compared with (None: the first)."""

    name: str
    reference: str | None = None


class ModelFamily(enum.StrEnum):
    """What is modelled."""

    LOGISTIC = "logistic"  # log odds of an outcome
    POISSON = "poisson"  # log rate of an outcome
    LINEAR = "linear"  # mean of a number


@attrs.frozen
class AsRegression:
    """A model over the visits of all centres; the counts show who it is about, and everybody must be in large cells.

    The counts are of each covariate by itself against the outcome, not of one against another.  ``number`` is the
    variable that a linear model is of; of the other families the outcome is ``@event = yes``.
    """

    kind: ClassVar = Kind.REGRESSION
    family: ModelFamily
    covariates: tuple[Covariate, ...]
    number: str | None = None
    centre_effects: bool = False

    def facts(self) -> Mapping[str, object]:
        """What a release says of its reading."""
        return {
            "family": self.family.value,
            "covariates": [{"name": each.name, "reference": each.reference} for each in self.covariates],
            "number": self.number,
            "centre_effects": self.centre_effects,
        }


Reading = AsTable | AsRate | AsFunnel | AsSpc | AsCascade | AsAssociation | AsSummary | AsRegression


PLAIN_TABLE: Final = AsTable()


@attrs.frozen
class TableRequest:
    """What is asked: counts by ``rows`` × ``columns`` over the visits for which ``where`` holds.

    Variables and expressions are names and text here; whether they exist and may be used is the codebook's
    and :mod:`~nskd.governance.policy`'s to say.  ``axes`` are those of ``rows`` and ``columns`` that the request
    defines; ``permit`` is the id of one that the request keeps to.
    """

    title: str
    purpose: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    measure: Measure
    where: str | None
    margins: bool
    permit: str | None = None
    axes: tuple[AskedAxis, ...] = ()
    reading: Reading = PLAIN_TABLE

    @property
    def kind(self) -> Kind:
        """What the counts are for."""
        return self.reading.kind

    @property
    def variables(self) -> tuple[str, ...]:
        """The codebook's variables that span the table, rows first; those inside conditions are not among them."""
        return tuple(name for name in self.rows + self.columns if not name.startswith(AXIS_MARK))

    @property
    def conditions(self) -> tuple[str, ...]:
        """Every condition as written: of the filter first, then of the axes."""
        filtered = () if self.where is None else (self.where,)
        return filtered + tuple(each for axis in self.axes for each in axis.conditions)
