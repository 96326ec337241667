"""The charter's ``[disclosure]``: what a cell needs before it is opened, and how it is shown."""

from __future__ import annotations

import enum
from typing import Final

import attrs

from nskd.governance import limits
from nskd.governance.toml import Keys

KEYS: Final = (
    "threshold",
    "insider",
    "centres_min",
    "dominance",
    "nk",
    "p_percent",
    "rounding",
    "zeros",
    "differencing",
    "hospital_points",
    "overdispersion",
    "models",
)
_PAIR: Final = 2


class Zeros(enum.StrEnum):
    """What becomes of a cell in which no centre has a child."""

    SUPPRESS = "suppress"  # closed like any other small cell
    SHOW = "show"  # shown as 0; a closed cell is then known not to be 0


class HospitalPoints(enum.StrEnum):
    """Whose points of a funnel are shown to whom."""

    OWN = "own"  # each hospital its own, which never leaves it
    SHUFFLED = "shuffled"  # those that pass the threshold by themselves to everybody, without names


@attrs.frozen
class DisclosureRules:
    """What a cell needs before it is opened, and how it is shown.

    ``threshold``: distinct children it must count.  ``insider``: that also holds without any one centre's own.
    ``centres_min``: centres that have a child in it.  For numbers of visits, in per cent of the cell: ``dominance`` is
    what one centre may have (100: all), ``nk`` what two may have together, NK(2, ·) (100: all), ``p_percent`` what the
    others must have beside any two, of what the larger has (0: nothing).  ``rounding``: values are shown as multiples
    of it (1: exactly).  ``differencing``: earlier tables that a new one is compared with (0: none).
    ``hospital_points`` and ``overdispersion``: what a funnel tells of single hospitals (``docs/protocol.md``, 17).
    ``models``: whether regressions may be fitted; a centre that lies in one can learn more than it tells (18.16).
    """

    threshold: int = limits.THRESHOLD_DEFAULT
    insider: bool = True
    centres_min: int = limits.CENTRES_MIN_DEFAULT
    dominance: int = limits.DOMINANCE_DEFAULT
    nk: int = limits.NK_DEFAULT
    p_percent: int = limits.P_PERCENT_DEFAULT
    rounding: int = limits.ROUNDING_DEFAULT
    zeros: Zeros = Zeros.SUPPRESS
    differencing: int = limits.DIFFERENCING_DEFAULT
    hospital_points: HospitalPoints = HospitalPoints.OWN
    overdispersion: bool = False
    models: bool = False


def read_disclosure(keys: Keys, *, contributors: int) -> DisclosureRules:
    """Read the table; raises the error that ``keys`` was made for."""
    centres_min = keys.integer(
        "centres_min",
        default=limits.CENTRES_MIN_DEFAULT,
        least=limits.CENTRES_MIN_LEAST,
        most=limits.CENTRES_MAX,
    )
    if contributors < centres_min:
        raise keys.fault(
            "centres_min",
            f"{contributors} centres have the role contribute, and a cell is shown only when {centres_min} have "
            "children in it: nothing could ever be shown",
            f"Have another centre contribute; or write centres_min = {contributors}, if all agree that each can then "
            "subtract its own figure from what is shown and so know the other's."
            if contributors == _PAIR
            else f"Write centres_min = {contributors} or less.",
        )
    rules = DisclosureRules(
        threshold=keys.integer(
            "threshold", default=limits.THRESHOLD_DEFAULT, least=limits.THRESHOLD_MIN, most=limits.THRESHOLD_MAX
        ),
        insider=keys.boolean("insider", default=True),
        centres_min=centres_min,
        dominance=keys.integer(
            "dominance", default=limits.DOMINANCE_DEFAULT, least=limits.DOMINANCE_LEAST, most=limits.PER_CENT
        ),
        nk=_of_pairs(keys, "nk", centres_min, limits.NK_DEFAULT, limits.PER_CENT, limits.DOMINANCE_LEAST),
        p_percent=_of_pairs(keys, "p_percent", centres_min, limits.P_PERCENT_DEFAULT, 0, 0),
        rounding=keys.integer(
            "rounding", default=limits.ROUNDING_DEFAULT, least=min(limits.ROUNDINGS), most=max(limits.ROUNDINGS)
        ),
        zeros=Zeros(keys.choice("zeros", tuple(Zeros))) if "zeros" in keys else Zeros.SUPPRESS,
        differencing=keys.integer(
            "differencing", default=limits.DIFFERENCING_DEFAULT, least=0, most=limits.DIFFERENCING_MAX
        ),
        hospital_points=_points(keys, contributors),
        overdispersion=_overdispersion(keys, contributors),
        models=keys.boolean("models", default=False),
    )
    if rules.rounding not in limits.ROUNDINGS:
        listed = ", ".join(map(str, limits.ROUNDINGS))
        raise keys.fault("rounding", f"multiples of {rules.rounding} cannot be computed", f"Write one of: {listed}.")
    return rules


def _points(keys: Keys, contributors: int) -> HospitalPoints:
    points = HospitalPoints.OWN
    if "hospital_points" in keys:
        points = HospitalPoints(keys.choice("hospital_points", tuple(HospitalPoints)))
    if points is HospitalPoints.SHUFFLED and contributors < limits.SHUFFLED_CENTRES_LEAST:
        raise keys.fault(
            "hospital_points",
            f"{contributors} centres have the role contribute, and of two points each of two knows the other's",
            'Write "own".',
        )
    return points


def _overdispersion(keys: Keys, contributors: int) -> bool:
    wanted = keys.boolean("overdispersion", default=False)
    if wanted and contributors < limits.OVERDISPERSION_CENTRES_LEAST:
        raise keys.fault(
            "overdispersion",
            f"{contributors} centres have the role contribute, and each could work out the rates of the others from "
            "it, as it knows its own and about how large the others are",
            f"Leave it out; it takes {limits.OVERDISPERSION_CENTRES_LEAST} that contribute.",
        )
    return wanted


def _of_pairs(keys: Keys, key: str, centres_min: int, default: int, off: int, least: int) -> int:
    """Read a rule about what two centres have together; where two may be all there are, it can only be off."""
    value = keys.integer(key, default=off if centres_min <= _PAIR else default, least=least, most=limits.PER_CENT)
    if centres_min <= _PAIR and value != off:
        raise keys.fault(
            key,
            f"with centres_min = {centres_min} two centres may have all of a cell, which this rule never allows",
            f"Leave {key} out, or raise centres_min to 3.",
        )
    return value
