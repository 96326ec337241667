"""An entry of the audit log as a FHIR R4 `AuditEvent` with the fields of NEN 7513.

See https://hl7.org/fhir/R4/auditevent.html.

| NEN 7513 | here |
|---|---|
| what, with which outcome | `type`, `subtype` (the log's own word), `action`, `outcome`, `outcomeDesc` |
| when | `recorded` |
| who: user, responsible, organisation | `agent`: person at the socket, steward, other centre, daemon |
| for what | `purposeOfEvent`: the charter's purpose |
| about which data | `entity`: request, result, charter, and the entry with its details |
| where it was recorded | `source` |

There is no patient in it: the log has none.
"""

from __future__ import annotations

import datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from nskd.governance.audit import Entry, Event

_HL7: Final = "http://terminology.hl7.org/CodeSystem/"
_DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_LIFECYCLE: Final = f"{_HL7}iso-21089-lifecycle"
_OWN: Final = "urn:nskd:"

_ACTIVITY: Final = (_DICOM, "110100", "Application Activity")
_LOG_USED: Final = (_DICOM, "110101", "Audit Log Used")
_EXPORT: Final = (_DICOM, "110106", "Export")
_IMPORT: Final = (_DICOM, "110107", "Import")
_QUERY: Final = (_DICOM, "110112", "Query")
_ALERT: Final = (_DICOM, "110113", "Security Alert")
_ERASE: Final = (_LIFECYCLE, "destroy", "Destroy/Delete Record Lifecycle Event")
_ATTEST: Final = (_LIFECYCLE, "attest", "Attest Record Lifecycle Event")

_TYPES: Final = MappingProxyType(
    {
        Event.LOG_BEGUN: (_LOG_USED, "C"),
        Event.LOG_REPAIRED: (_ALERT, "U"),
        Event.DAEMON_STARTED: (_ACTIVITY, "E"),
        Event.DAEMON_STOPPED: (_ACTIVITY, "E"),
        Event.DATA_LOADED: (_IMPORT, "R"),
        Event.OPT_OUT_APPLIED: (_ACTIVITY, "E"),
        Event.OPT_OUT_UNREADABLE: (_ALERT, "E"),
        Event.CONTROL_ASKED: (_ACTIVITY, "E"),
        Event.CONTROL_REFUSED: (_ACTIVITY, "E"),
        Event.CONTROL_FORBIDDEN: (_ALERT, "E"),
        Event.REQUEST_SUBMITTED: (_QUERY, "C"),
        Event.REQUEST_RECEIVED: (_QUERY, "C"),
        Event.REQUEST_DECIDED: (_ATTEST, "C"),
        Event.APPROVAL_REJECTED: (_ALERT, "E"),
        Event.RUN_REFUSED: (_QUERY, "E"),
        Event.RUN_BEGUN: (_QUERY, "E"),
        Event.RUN_FAILED: (_QUERY, "E"),
        Event.RUN_RELEASED: (_EXPORT, "E"),
        Event.CHARTER_SIGNED: (_ATTEST, "C"),
        Event.CHARTER_TAKEN_UP: (_ACTIVITY, "U"),
        Event.REQUEST_ENDED: (_ACTIVITY, "E"),
        Event.PERMIT_ENDED: (_ACTIVITY, "E"),
        Event.RESULT_ERASED: (_ERASE, "D"),
        Event.PRESENCE_SAID: (_ATTEST, "C"),
        Event.PRESENCE_HEARD: (_ATTEST, "C"),
        Event.PRESENCE_REJECTED: (_ALERT, "E"),
        Event.EPOCH_FOUNDED: (_ACTIVITY, "E"),
        Event.EPOCH_ENDED: (_ACTIVITY, "E"),
        Event.STORAGE_REKEYED: (_ACTIVITY, "U"),
        Event.STATE_RESTORED: (_ALERT, "U"),
        Event.HEAD_KEPT: (_LOG_USED, "C"),
        Event.HEAD_CONTRADICTED: (_ALERT, "E"),
    }
)
_SUBTYPES: Final = MappingProxyType(
    {
        Event.DAEMON_STARTED: (_DICOM, "110120", "Application Start"),
        Event.DAEMON_STOPPED: (_DICOM, "110121", "Application Stop"),
    }
)
_OUTCOMES: Final = MappingProxyType({"ok": "0", "refused": "4", "failed": "8"})
# Codes of audit-entity-type and object-role: a system object, and what it is for.
_SYSTEM_OBJECT: Final = (f"{_HL7}audit-entity-type", "2", "System Object")
_ROLES: Final = MappingProxyType(
    {"request": ("24", "Query"), "result": ("3", "Report"), "charter": ("13", "Security Resource")}
)
_ENTRY_ROLE: Final = ("17", "Data Repository")
_REASONS: Final = ("detail", "reason", "outcome")  # details that say why


def audit_event(entry: Entry) -> bytes:
    """One line of NDJSON, without its end."""
    body = entry.body
    kind, action = _TYPES[body.event]
    subtype = [_coding(*_SUBTYPES[body.event])] if body.event in _SUBTYPES else []
    resource: dict[str, Any] = {
        "resourceType": "AuditEvent",
        "id": f"{body.sequence}-{entry.head.hash.hex()[:16]}",
        "type": _coding(*kind),
        "subtype": [*subtype, _coding(f"{_OWN}audit-event", body.event.value)],
        "action": action,
        "recorded": datetime.datetime.fromtimestamp(body.time, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "outcome": _OUTCOMES[body.outcome],
    }
    why = next((str(body.details[name]) for name in _REASONS if name in body.details), None)
    if why and body.outcome != "ok":
        resource["outcomeDesc"] = why
    if body.purpose is not None:
        resource["purposeOfEvent"] = [{"coding": [_coding(f"{_OWN}purpose", body.purpose)]}]
    resource["agent"] = _agents(entry)
    resource["source"] = {
        "site": body.centre,
        "observer": _reference("centre", body.centre, display=body.centre),
        "type": [_coding(f"{_HL7}security-source-type", "4", "Application Server")],
    }
    resource["entity"] = _entities(entry)
    return msgspec.json.encode(resource)


def _agents(entry: Entry) -> list[dict[str, Any]]:
    body = entry.body
    agents: list[dict[str, Any]] = []
    if body.uid is not None:
        agents.append(
            {
                "type": _concept(f"{_HL7}extra-security-role-type", "humanuser", "human user"),
                "who": _reference(f"uid:{body.centre}", str(body.uid), display=body.user),
                "altId": str(body.uid),
                "name": body.user or str(body.uid),
                "requestor": True,
                "network": {"address": body.centre, "type": "1"},
            }
        )
    if body.steward is not None:
        who = _reference(f"steward:{body.centre}", body.steward, display=body.steward)
        agents.append({"role": [{"text": "steward"}], "who": who, "name": body.steward, "requestor": False})
    if body.peer is not None:
        who = _reference("centre", body.peer, display=body.peer)
        agents.append({"role": [{"text": "centre"}], "who": who, "name": body.peer, "requestor": body.uid is None})
    daemon = _reference("centre", body.centre, display=f"nskd of {body.centre}")
    agents.append(
        {"type": _concept(_DICOM, "110150", "Application"), "who": daemon, "name": "nskd", "requestor": not agents}
    )
    return agents


def _entities(entry: Entry) -> list[dict[str, Any]]:
    body = entry.body
    documents = {"request": body.request, "result": body.result, "charter": body.charter}
    entities: list[dict[str, Any]] = [
        {
            "what": _reference(name, digest),
            "type": _coding(*_SYSTEM_OBJECT),
            "role": _coding(f"{_HL7}object-role", *_ROLES[name]),
            "description": f"SHA-256 of the {name}",
        }
        for name, digest in documents.items()
        if digest is not None
    ]
    details = {
        **body.details,
        **{f"approval {number}": text for number, text in enumerate(body.approvals, 1)},
        "hash": entry.head.hash.hex(),
        "previous": body.previous,
        "signature": entry.head.signature.hex(),
    }
    entities.append(
        {
            "what": _reference(f"audit:{body.centre}", str(body.sequence)),
            "type": _coding(*_SYSTEM_OBJECT),
            "role": _coding(f"{_HL7}object-role", *_ENTRY_ROLE),
            "description": "the entry in the audit log of nskd",
            "detail": [{"type": name, "valueString": str(value) or "-"} for name, value in details.items()],
        }
    )
    return entities


def _coding(system: str, code: str, display: str | None = None) -> dict[str, str]:
    return {"system": system, "code": code, **({"display": display} if display else {})}


def _concept(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [_coding(system, code, display)]}


def _reference(kind: str, value: str, *, display: str | None = None) -> dict[str, Any]:
    identifier = {"system": f"{_OWN}{kind}", "value": value}
    return {"identifier": identifier, **({"display": display} if display else {})}
