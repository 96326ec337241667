"""One FHIR R4 `Consent` → the person who objects, if it says so and is in force (https://hl7.org/fhir/R4/consent.html).

Read from the safe side. A `deny` at any depth is an objection to all use, however narrow it is written; so is the
policy `OPTOUT`. Only what plainly says that nobody objects – not active, outside its period, or a bare permit – leaves
nobody out, and all else is refused.
"""

from __future__ import annotations

import datetime
import re
from typing import Any, Final, Literal

import msgspec

from nskd.data.ndjson import parse_object
from nskd.data.validate import IDENTIFIER_PATTERN

DEPTH_MAX: Final = 8  # of provisions within provisions; published examples have two

_PSEUDONYM: Final = re.compile(IDENTIFIER_PATTERN)
_ACT_CODES: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_OUT: Final = frozenset({"OPTOUT", "OPTOUTE"})
_IN: Final = frozenset({"OPTIN"})
_BSN: Final = "http://fhir.nl/fhir/NamingSystem/bsn"
_DATE_TIME: Final = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(T[0-9:]{8}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2}))?)?)?"
)
# A date without a time zone begins somewhere on earth 14 hours before it does in UTC, and ends 12 hours after.
_EARLIEST: Final = datetime.timedelta(hours=-14)
_LATEST: Final = datetime.timedelta(hours=12)


class UnreadableConsentError(Exception):
    """A line of a list that cannot be read with certainty: what is wrong, and what would be right."""

    def __init__(self, wrong: str, right: str) -> None:
        self.wrong, self.right = wrong, right
        super().__init__(wrong)


class _Period(msgspec.Struct, frozen=True):
    start: str | None = None
    end: str | None = None


class _Coding(msgspec.Struct, frozen=True):
    system: str | None = None
    code: str | None = None


class _Concept(msgspec.Struct, frozen=True):
    coding: list[_Coding] = []


class _Provision(msgspec.Struct, frozen=True, rename="camel"):
    type: Literal["deny", "permit"] | None = None
    period: _Period | None = None
    provision: list[_Provision] = []
    modifier_extension: list[Any] = []


class _Identifier(msgspec.Struct, frozen=True):
    value: str
    system: str | None = None


class _Patient(msgspec.Struct, frozen=True):
    identifier: _Identifier | None = None


class _Consent(msgspec.Struct, frozen=True, rename="camel"):
    resource_type: Literal["Consent"]
    status: Literal["draft", "proposed", "active", "rejected", "inactive", "entered-in-error"]
    patient: _Patient | None = None
    policy: list[Any] = []
    policy_rule: _Concept | None = None
    provision: _Provision | None = None
    modifier_extension: list[Any] = []
    implicit_rules: Any = None


def objector(line: bytes, *, now: int) -> str | None:
    """Whose data a `Consent` forbids to use at `now` (seconds since 1970), None if nobody's.

    Raises `UnreadableConsentError`.
    """
    consent = _consent(line)
    if consent.modifier_extension or consent.implicit_rules is not None:
        raise UnreadableConsentError("it has modifiers that are not known here", "write it without modifierExtension")
    if consent.status in ("inactive", "entered-in-error"):
        return None
    if consent.status != "active":
        right = "list consents that are active, inactive or entered-in-error"
        raise UnreadableConsentError(f"the status {consent.status} leaves open what the person wants", right)
    return _person(consent) if _objects(consent, datetime.datetime.fromtimestamp(now, datetime.UTC)) else None


def _consent(line: bytes) -> _Consent:
    parsed = parse_object(line)
    if parsed is None:
        raise UnreadableConsentError("the line is not one JSON object", "write one Consent a line")
    try:
        return msgspec.convert(parsed, _Consent)
    except msgspec.ValidationError as error:
        place = str(error).rpartition(" - at `$")[2].rstrip("`") if " - at `" in str(error) else ""
        where = f"at {place.lstrip('.')} " if place else ""
        wrong = f"{where}it is not a Consent of FHIR R4 as this list may hold"
        raise UnreadableConsentError(wrong, "compare the line with docs/opt-out.md") from None


def _objects(consent: _Consent, now: datetime.datetime) -> bool:
    root = consent.provision
    denials = [] if root is None else _denials(root, 1)
    if any(_in_force(each.period, now) for each in denials):
        return True
    policy = _policy(consent.policy_rule)
    if policy in _OUT:
        # The period of an untyped or denying root is the policy's; that of a permit is of an exception to it.
        return root is None or root.type == "permit" or _in_force(root.period, now)
    if denials or policy in _IN:
        return False
    if consent.policy:  # what it permits may be an exception to something stricter
        raise UnreadableConsentError("its policy is not known here", "write provision.type deny, or the policy OPTOUT")
    if root is None or root.type is None:
        raise UnreadableConsentError("it neither denies nor permits", "write provision.type deny, or the policy OPTOUT")
    return False


def _denials(provision: _Provision, depth: int) -> list[_Provision]:
    if depth > DEPTH_MAX:
        raise UnreadableConsentError(f"provisions are nested deeper than {DEPTH_MAX}", "write one that denies")
    if provision.modifier_extension:
        raise UnreadableConsentError("it has modifiers that are not known here", "write it without modifierExtension")
    if depth > 1 and provision.type is None:
        raise UnreadableConsentError("a nested provision neither denies nor permits", "give it a type")
    own = [provision] if provision.type == "deny" else []
    return own + [found for inner in provision.provision for found in _denials(inner, depth + 1)]


def _policy(rule: _Concept | None) -> str | None:
    if rule is None:
        return None
    codes = {coding.code for coding in rule.coding if coding.system == _ACT_CODES}
    if len(codes) != 1 or not codes <= _OUT | _IN:
        raise UnreadableConsentError(
            "its policyRule is not known here", f"give it one code of {_ACT_CODES}: OPTIN or OPTOUT"
        )
    return codes.pop()


def _in_force(period: _Period | None, now: datetime.datetime) -> bool:
    if period is None:
        return True
    start = None if period.start is None else _moment(period.start, end=False)
    end = None if period.end is None else _moment(period.end, end=True)
    if start is not None and end is not None and end < start:
        raise UnreadableConsentError("its period ends before it begins", "correct the period")
    return (start is None or start <= now) and (end is None or now <= end)


def _moment(written: str, *, end: bool) -> datetime.datetime:
    """The first moment that a FHIR dateTime can mean, or the last, whatever the time zone."""
    match = _DATE_TIME.fullmatch(written)
    try:
        if match is None:
            raise ValueError
        if match[4]:
            return datetime.datetime.fromisoformat(written)
        year, month, day = int(match[1]), int(match[2] or 1), int(match[3] or 1)
        first = datetime.datetime(year, month, day, tzinfo=datetime.UTC)
        if not end:
            return first + _EARLIEST
        if match[3]:
            return first + datetime.timedelta(days=1) + _LATEST
        following = (year + 1, 1) if match[2] is None or month == 12 else (year, month + 1)
        return datetime.datetime(*following, 1, tzinfo=datetime.UTC) + _LATEST
    except (ValueError, OverflowError):
        raise UnreadableConsentError(
            "its period is not in the form of a FHIR dateTime", "write 2026-01-31, or 2026-01-31T08:00:00+01:00"
        ) from None


def _person(consent: _Consent) -> str:
    identifier = consent.patient.identifier if consent.patient is not None else None
    right = "write the pseudonym of the extract as patient.identifier.value"
    if identifier is None:
        raise UnreadableConsentError("it does not name the person by patient.identifier", right)
    if identifier.system == _BSN:
        raise UnreadableConsentError("it names the person by BSN, which has no place in this list", right)
    if not _PSEUDONYM.fullmatch(identifier.value):
        raise UnreadableConsentError("its patient.identifier.value is not a pseudonym", right)
    return identifier.value
