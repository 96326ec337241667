"""Rows of an extract as FHIR resources, written backwards from a pack's mapping, with much that nobody may read."""

from __future__ import annotations

import datetime
import json
import zoneinfo
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nskd.packs.codebook import MISSING
from nskd.packs.fhir import FhirMapping, Field, Resource, Take

Resource_ = dict[str, Any]
SECRETS = ("Jansen", "999911120", "Grote zorgen om dit gezin", "14:37:22")
"""A name, a citizen service number, a note and a time that are in every resource, and may come out nowhere."""
_NAME, _BSN, _NOTE, _TIME = SECRETS


def encounter(row: Mapping[str, str], mapping: FhirMapping) -> Resource_:
    """The encounter of a visit, finished."""
    found = _filled("Encounter", row, mapping, Resource.ENCOUNTER)
    found["subject"]["display"] = _NAME
    return found | {"status": "finished", "text": {"status": "generated", "div": f"<div>{_NAME}: {_NOTE}</div>"}}


def response(row: Mapping[str, str], mapping: FhirMapping) -> Resource_ | None:
    """Its response, None if there is nothing that one would hold."""
    absent = {field.variable: field.absent for field in mapping.of(Resource.RESPONSE) if field.absent is not None}
    if any(row[name] == level for name, level in absent.items()):
        return None
    found = _filled("QuestionnaireResponse", row, mapping, Resource.RESPONSE)
    visit = next(field.variable for field in mapping.fields if field.take is Take.ID)
    extra = [{"linkId": "toelichting", "answer": [{"valueString": _NOTE}]}]
    return {
        "status": "completed",
        **found,
        "questionnaire": f"{mapping.questionnaire}|1",
        "encounter": {"reference": f"Encounter/{row[visit]}"},
        "source": {"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": _BSN}},
        "item": [{"linkId": "all", "item": [*found.get("item", []), *extra]}],
    }


def _filled(kind: str, row: Mapping[str, str], mapping: FhirMapping, of: Resource) -> Resource_:
    found: Resource_ = {"resourceType": kind}
    for field in mapping.of(of):
        value = row[field.variable]
        if value not in ("", MISSING) and field.take is not Take.MONTH:
            _put(found, field, value)
    if of is Resource.ENCOUNTER:
        month = next(row[field.variable] for field in mapping.fields if field.take is Take.MONTH)
        part = next((field for field in mapping.fields if field.take is Take.HOUR), None)
        zone = zoneinfo.ZoneInfo(mapping.timezone)
        start = f"{month}-15"
        if part is not None and row[part.variable] != MISSING:
            starts = (0, *(until for until, _ in part.hours))
            hour = next(b for b, (_, level) in zip(starts, part.hours, strict=False) if level == row[part.variable])
            here = datetime.datetime.fromisoformat(f"{start}T{hour:02d}:37:22").replace(tzinfo=zone)
            start = here.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
        found["period"] = {"start": start}
    return found


def _put(found: Resource_, field: Field, value: str) -> None:
    match field.take:
        case Take.CODE:
            (system, code), *_ = [each for each, level in field.codes.items() if level == value]
            written: Any = {"system": system, "code": code, "display": _NOTE} if system else code
            if system is None and code in ("true", "false"):
                written = code == "true"
            key = "valueBoolean" if isinstance(written, bool) else "valueCoding"
        case Take.INTEGER:
            written, key = int(value), "valueInteger"
        case Take.PERSON:
            written, key = {"reference": f"https://epd.example/fhir/Patient/{value}"}, ""
        case Take.HOUR:
            return
        case _:
            written, key = value, ""
    if field.link is not None:
        found.setdefault("item", []).append({"linkId": field.link, "answer": [{key: written}]})
    elif field.extension is not None:
        found.setdefault("extension", []).append({"url": field.extension, key: written})
    else:
        *before, last = field.path
        node = found
        for name in before:
            node = node.setdefault(name, {})
        concept = field.take is Take.CODE and isinstance(written, dict)
        node[last] = {"coding": [written], "text": _NOTE} if concept else written


def write(path: Path, resources: Iterable[Resource_]) -> Path:
    path.write_text("".join(json.dumps(each, ensure_ascii=False) + "\n" for each in resources))
    return path


def patients(rows: Iterable[Mapping[str, str]]) -> list[Resource_]:
    """What a bulk export has beside the two kinds that are read."""
    return [
        {"resourceType": "Patient", "id": "x", "name": [{"family": _NAME}], "birthDate": "2019-02-03"} for _ in rows
    ]
