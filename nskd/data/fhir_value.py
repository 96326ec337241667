"""One field of one FHIR resource → the text of a value, or what is wrong with it.

Nothing but identifiers, levels, months and whole numbers can come out of here: a code is looked up, a time is cut down,
and words are not read.  What is wrong is said without the value, which may be anything.
"""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from nskd.data.validate import IDENTIFIER_PATTERN
from nskd.packs.fhir import Field, Take

BSN: Final = "http://fhir.nl/fhir/NamingSystem/bsn"
ITEMS_DEPTH_MAX: Final = 8  # of groups within groups

_PSEUDONYM: Final = re.compile(IDENTIFIER_PATTERN)
_DATE_TIME: Final = re.compile(
    r"([0-9]{4}-(?:0[1-9]|1[0-2]))(?:-[0-9]{2})?(T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2}))?"
)
_VALUES: Final = ("valueCoding", "valueCodeableConcept", "valueCode", "valueBoolean", "valueInteger")
_REFERENCE: Final = re.compile(r"(?:.*/)?(Patient|Encounter)/([A-Za-z0-9.-]{1,64})(?:/_history/.*)?")
_CODE_SHOWN: Final = re.compile(r"[A-Za-z][A-Za-z_.-]{0,31}")  # without digits: no number of a person is one


class UnreadableValueError(Exception):
    """A field that cannot be read with certainty: what is wrong, and what would be right."""

    def __init__(self, wrong: str, right: str) -> None:
        self.wrong, self.right = wrong, right
        super().__init__(wrong)


class Opened:
    """A resource whose questions and extensions are looked through once, however many fields ask for one."""

    def __init__(self, resource: Mapping[str, Any]) -> None:
        self.resource = resource

    @cached_property
    def answers(self) -> Mapping[str, list[dict[str, Any]]]:
        """The items of a response by `linkId`. Raises `UnreadableValueError`."""
        return _by(_items(self.resource.get("item", []), 1), "linkId")

    @cached_property
    def extensions(self) -> Mapping[str, list[dict[str, Any]]]:
        """By their address."""
        every = self.resource.get("extension", [])
        return _by((each for each in every if isinstance(each, dict)) if isinstance(every, list) else (), "url")


def _by(found: Iterable[dict[str, Any]], name: str) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for each in found:
        if isinstance(key := each.get(name), str):
            grouped.setdefault(key, []).append(each)
    return grouped


def value_of(opened: Opened, field: Field, zone: zoneinfo.ZoneInfo) -> str | None:
    """What a field of a resource holds, None if nothing. Raises `UnreadableValueError`."""
    if field.link is not None:
        item = _only(opened.answers.get(field.link))
        found = None if item is None else _value(_only(item.get("answer")))
    elif field.extension is not None:
        found = _value(_only(opened.extensions.get(field.extension)))
    else:
        found = _at(opened.resource, field.path)
    if found is None:
        return None
    match field.take:
        case Take.ID:
            return _identifier(found)
        case Take.PERSON:
            return person(found)
        case Take.MONTH:
            return _local(found, zone)[0]
        case Take.HOUR:
            hour = _local(found, zone)[1]
            return None if hour is None else next(level for until, level in field.hours if hour < until)
        case Take.INTEGER:
            if not isinstance(found, int) or isinstance(found, bool):
                raise UnreadableValueError("it is not a whole number", "give valueInteger")
            return str(found)
        case Take.CODE:
            return _level(found, field)


def person(subject: Any) -> str:
    """The pseudonym that a `subject` names, by identifier or as the id of the `Patient` it refers to."""
    right = "give the pseudonym as subject.identifier.value, or as the id in subject.reference"
    if not isinstance(subject, dict):
        raise UnreadableValueError("it does not name a person", right)
    named = subject.get("identifier")
    if isinstance(named, dict):
        if named.get("system") == BSN:
            raise UnreadableValueError("it names the person by BSN, which has no place in an extract", right)
        return _identifier(named.get("value"))
    return reference(subject.get("reference"), "Patient", right)


def reference(written: Any, kind: str, right: str) -> str:
    """The id in a literal reference to a resource of one kind."""
    match = _REFERENCE.fullmatch(written) if isinstance(written, str) else None
    if match is None or match[1] != kind:
        raise UnreadableValueError(f"it does not refer to a {kind}", right)
    return match[2]


def _at(node: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        node = _only(node)
        if node is None:
            return None
        if not isinstance(node, dict):
            raise UnreadableValueError("it is not of the form that FHIR gives it", "write it as FHIR R4 does")
        node = node.get(name)
    return _only(node)


def _only(node: Any) -> Any:
    """The one element of a list, or what is not a list."""
    if not isinstance(node, list):
        return node
    if len(node) > 1:
        raise UnreadableValueError("there is more than one", "give one")
    return node[0] if node else None


def _items(items: Any, depth: int) -> Iterator[dict[str, Any]]:
    if not isinstance(items, list) or depth > ITEMS_DEPTH_MAX:
        raise UnreadableValueError(
            f"its items are no list, or deeper than {ITEMS_DEPTH_MAX}", "write them as FHIR R4 does"
        )
    for item in items:
        if isinstance(item, dict):
            yield item
            yield from _items(item.get("item", []), depth + 1)


def _value(holder: Any) -> Any:
    if holder is None:
        return None
    named = [name for name in holder if name.startswith("value")] if isinstance(holder, dict) else []
    if not named:
        return None
    if len(named) > 1 or named[0] not in _VALUES:
        raise UnreadableValueError("its value is of a kind that is not read", "give a Coding, a boolean or an integer")
    return holder[named[0]]


def _identifier(found: Any) -> str:
    if not isinstance(found, str) or not _PSEUDONYM.fullmatch(found):
        raise UnreadableValueError("the value is not a pseudonym", "give 1 to 64 letters, digits, dots, dashes")
    return found


def _local(found: Any, zone: zoneinfo.ZoneInfo) -> tuple[str, int | None]:
    """The month and the hour, where the visit was, of a FHIR dateTime; the rest of it goes no further."""
    match = _DATE_TIME.fullmatch(found) if isinstance(found, str) else None
    if match is None:
        raise UnreadableValueError("it is not a FHIR dateTime with a month", "write 2026-01-31T08:00:00+01:00")
    if match[2] is None:
        return match[1], None
    try:
        here = datetime.datetime.fromisoformat(str(found)).astimezone(zone)
    except (ValueError, OverflowError):
        raise UnreadableValueError("it is not a day that exists", "write 2026-01-31T08:00:00+01:00") from None
    return f"{here.year:04d}-{here.month:02d}", here.hour


def _level(found: Any, field: Field) -> str:
    """The level that a code, a Coding, a CodeableConcept or a boolean stands for."""
    codes = list(_codes(found))
    levels = {field.codes[code] for code in codes if code in field.codes}
    if len(levels) == 1:
        return levels.pop()
    if levels:
        raise UnreadableValueError("its codes stand for different levels", "give one")
    shown = next((f' "{code}"' for _, code in codes if _CODE_SHOWN.fullmatch(code)), "")
    known = ", ".join(dict.fromkeys(code for _, code in field.codes))
    raise UnreadableValueError(f"the code{shown} stands for no level", f"give one of {known[:200]}, with its system")


def _codes(found: Any) -> Iterator[tuple[str | None, str]]:
    if isinstance(found, bool):
        yield None, str(found).lower()
    elif isinstance(found, str):
        yield None, found
    elif isinstance(found, dict):
        for coding in found.get("coding", [found]) if isinstance(found.get("coding", []), list) else []:
            if isinstance(coding, dict) and isinstance(coding.get("code"), str):
                system = coding.get("system")
                yield (system if isinstance(system, str) else None), coding["code"]
