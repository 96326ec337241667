"""A log against what others keep of it; as FHIR; and the commands an auditor uses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from nskd.control.cli import main
from nskd.errors import OperatorError
from nskd.governance.audit import BadEntryError, Event, Head
from nskd.governance.audit_check import head_details, kept_heads, verify_log
from nskd.governance.audit_fhir import _TYPES, audit_event
from nskd.governance.audit_file import AuditFile, read_log
from tests.nskd.governance.test_audit import FIELDS, KEY, opened, write
from tests.nskd.governance.workshop import NAMES, NOW, PAIR_HEAD, charter_toml, signing_key

LINES = len(FIELDS) + 1


def keep(log: AuditFile, head: Head, event: Event = Event.HEAD_KEPT) -> None:
    """What another centre writes of a head."""
    details = {name: _hex(value) for name, value in head_details(head).items()}
    log.append(event, now=NOW, peer=head.centre, details=details)


def _hex(value: int | str | bytes) -> int | str:
    return value.hex() if isinstance(value, bytes) else value


def zuid_keeps(directory: Path, *heads: Head) -> Path:
    path = directory / "zuid.ndjson"
    with opened(path, centre="zuid") as log:
        for head in heads:
            keep(log, head)
    return path


def verify(lines: list[bytes], kept: Path) -> int:
    return verify_log(lines, (KEY,), list(kept_heads(read_log(kept), "noord"))).confirmed


def heads_of(path: Path) -> list[Head]:
    return [entry.head for entry in read_log(path)]


def test_cutting_editing_and_forking_show_in_what_others_keep(tmp_path: Path) -> None:
    lines = write(tmp_path / "log")
    heads = heads_of(tmp_path / "log")
    kept = zuid_keeps(tmp_path, heads[1], heads[3])
    assert verify(lines, kept) == 2
    for length in range(1, 4):
        with pytest.raises(BadEntryError, match="cut off; zuid keeps a head of entry 4") as caught:
            verify(lines[:length], kept)
        assert caught.value.sequence == length + 1
    assert verify(lines[:4], kept) == 2  # what nobody was told of yet can be cut off unseen
    # Rewritten by its own centre, with its own key, from some entry on: a fork.
    for number in range(2, LINES + 1):
        fields = list(FIELDS)
        fields[number - 2] = (Event.EPOCH_FOUNDED, {})
        forked = write(tmp_path / f"fork{number}", fields)
        if number == LINES:
            assert verify(forked, kept) == 2
            continue
        with pytest.raises(BadEntryError, match="zuid keeps another head that this centre signed") as caught:
            verify(forked, kept)
        assert caught.value.sequence == (2 if number == 2 else 4)  # the first kept head at or after the change


def test_a_head_the_centre_did_not_sign_counts_for_nothing(tmp_path: Path) -> None:
    lines = write(tmp_path / "log")
    (*_, head) = heads_of(tmp_path / "log")
    invented = Head("noord", head.sequence + 5, b"x" * 32, signing_key("zuid").sign(b"x"))
    other = Head("midden", 1, head.hash, head.signature)
    assert verify(lines, zuid_keeps(tmp_path, invented, other, head)) == 1


def test_an_entry_about_a_head_that_has_none(tmp_path: Path) -> None:
    with opened(tmp_path / "zuid", centre="zuid") as log:
        log.append(Event.HEAD_KEPT, now=NOW, peer="noord", details={"sequence": 1})
    with pytest.raises(BadEntryError, match="does not tell a head") as caught:
        list(kept_heads(read_log(tmp_path / "zuid"), "noord"))
    assert caught.value.sequence == 2
    with pytest.raises(OperatorError, match="it has no entry"):
        verify_log([], (KEY,), ())


# --- FHIR R4 ----------------------------------------------------------------------------------------------

# The structure definition of R4 (hl7.org/fhir/R4/auditevent.profile.json), as far as we write it: element, least, most,
# and what its values are.  An element that is not here is an error.
Shape = Mapping[str, tuple[int, int, Any]]
MANY = 1_000
URI = re.compile(r"\S+")
STRING = re.compile(r"[ \r\n\t\S]+")
CODE = re.compile(r"[^\s]+(\s[^\s]+)*")
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
INSTANT = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]Z")
CODING: Shape = {"system": (1, 1, URI), "code": (1, 1, CODE), "display": (0, 1, STRING)}
CONCEPT: Shape = {"coding": (0, MANY, CODING), "text": (0, 1, STRING)}
IDENTIFIER: Shape = {"system": (1, 1, URI), "value": (1, 1, STRING)}
REFERENCE: Shape = {"identifier": (1, 1, IDENTIFIER), "display": (0, 1, STRING)}
AUDIT_EVENT: Shape = {
    "resourceType": (1, 1, re.compile("AuditEvent")),
    "id": (0, 1, ID),
    "type": (1, 1, CODING),
    "subtype": (0, MANY, CODING),
    "action": (0, 1, re.compile("[CRUDE]")),
    "recorded": (1, 1, INSTANT),
    "outcome": (0, 1, re.compile("0|4|8|12")),
    "outcomeDesc": (0, 1, STRING),
    "purposeOfEvent": (0, MANY, CONCEPT),
    "agent": (
        1,
        MANY,
        {
            "type": (0, 1, CONCEPT),
            "role": (0, MANY, CONCEPT),
            "who": (0, 1, REFERENCE),
            "altId": (0, 1, STRING),
            "name": (0, 1, STRING),
            "requestor": (1, 1, bool),
            "network": (0, 1, {"address": (0, 1, STRING), "type": (0, 1, re.compile("[1-5]"))}),
        },
    ),
    "source": (
        1,
        1,
        {"site": (0, 1, STRING), "observer": (1, 1, REFERENCE), "type": (0, MANY, CODING)},
    ),
    "entity": (
        0,
        MANY,
        {
            "what": (0, 1, REFERENCE),
            "type": (0, 1, CODING),
            "role": (0, 1, CODING),
            "name": (0, 1, STRING),
            "description": (0, 1, STRING),
            "detail": (0, MANY, {"type": (1, 1, STRING), "valueString": (1, 1, STRING)}),
        },
    ),
}
LISTS = {"coding", "subtype", "purposeOfEvent", "agent", "role of agent", "type of source", "entity", "detail"}
HL7 = "http://terminology.hl7.org/CodeSystem/"
# Codes as published, with their displays; our own systems are urn:nskd:….
SYSTEMS: dict[str, dict[str, str]] = {
    "http://dicom.nema.org/resources/ontology/DCM": {
        "110100": "Application Activity",
        "110101": "Audit Log Used",
        "110106": "Export",
        "110107": "Import",
        "110112": "Query",
        "110113": "Security Alert",
        "110120": "Application Start",
        "110121": "Application Stop",
        "110150": "Application",
    },
    f"{HL7}iso-21089-lifecycle": {
        "attest": "Attest Record Lifecycle Event",
        "destroy": "Destroy/Delete Record Lifecycle Event",
    },
    f"{HL7}audit-entity-type": {"1": "Person", "2": "System Object", "3": "Organization", "4": "Other"},
    f"{HL7}object-role": {"3": "Report", "13": "Security Resource", "17": "Data Repository", "24": "Query"},
    f"{HL7}security-source-type": {"4": "Application Server"},
    f"{HL7}extra-security-role-type": {"humanuser": "human user"},
}


def check(value: Any, shape: Any, path: str, parent: str = "") -> None:
    if isinstance(shape, re.Pattern):
        assert isinstance(value, str) and shape.fullmatch(value), path
        return
    if shape is bool:
        assert isinstance(value, bool), path
        return
    assert isinstance(value, dict) and value, path  # FHIR has no empty objects
    assert value.keys() <= shape.keys(), f"{path}: {value.keys() - shape.keys()}"
    for name, (least, most, inner) in shape.items():
        found = value.get(name, [])
        listed = name in LISTS or f"{name} of {parent}" in LISTS
        if name in value:
            assert isinstance(found, list) == listed, f"{path}.{name}"
            assert not listed or found, f"{path}.{name} is an empty list"
        every = found if listed else [found] if name in value else []
        assert least <= len(every) <= most, f"{path}.{name} occurs {len(every)} times"
        for each in every:
            check(each, inner, f"{path}.{name}", name)
    if shape is CODING:
        known = SYSTEMS.get(value["system"])
        assert known is not None or value["system"].startswith("urn:nskd:"), value["system"]
        assert known is None or known[value["code"]] == value["display"], value


def check_event(raw: bytes) -> dict[str, Any]:
    event: dict[str, Any] = msgspec.json.decode(raw)
    check(event, AUDIT_EVENT, "AuditEvent")
    assert any(agent["requestor"] for agent in event["agent"])
    for entity in event.get("entity", ()):
        assert not ("name" in entity and "query" in entity)  # sev-1
    return event


def every_kind(path: Path) -> Iterator[dict[str, Any]]:
    more = {"uid": 1004, "user": "anna", "peer": "zuid", "steward": "B.", "purpose": "improvement"}
    digests = {"charter": "ef" * 32, "request": "ab" * 32, "result": "cd" * 32, "approvals": ["noord approve"]}
    with opened(path) as log:
        for event in Event:
            log.append(event, now=NOW, details={"reason": "", "number": 3})
            log.append(event, now=NOW, outcome="refused", **more, **digests, details={"reason": "threshold"})
    return (check_event(audit_event(entry)) for entry in read_log(path))


def test_every_event_is_an_audit_event_of_r4(tmp_path: Path) -> None:
    events = list(every_kind(tmp_path / "log"))
    assert len(events) == 2 * len(Event) + 1
    assert set(_TYPES) == set(Event)
    full = events[2]
    assert [agent["name"] for agent in full["agent"]] == ["anna", "B.", "zuid", "nskd"]
    assert [agent["requestor"] for agent in full["agent"]] == [True, False, False, False]
    assert full["outcome"] == "4" and full["outcomeDesc"] == "threshold"
    assert full["purposeOfEvent"][0]["coding"][0]["code"] == "improvement"
    assert [entity["what"]["identifier"]["value"] for entity in full["entity"][:3]] == ["ab" * 32, "cd" * 32, "ef" * 32]
    assert full["recorded"] == "2026-05-28T20:26:40Z"
    assert len({event["id"] for event in events}) == len(events)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda event: event.pop("recorded"),
        lambda event: event.pop("agent"),
        lambda event: event["agent"].clear(),
        lambda event: event["agent"][0].pop("requestor"),
        lambda event: event["source"].pop("observer"),
        lambda event: event.update(type=[event["type"]]),
        lambda event: event.update(outcome="1"),
        lambda event: event.update(who="me"),
        lambda event: event["type"].update(code="110999"),
        lambda event: event["type"].update(system="urn:other"),
        lambda event: event.update(recorded="2026-05-28"),
        lambda event: event["entity"][0]["detail"][0].update(valueString=3),
    ],
)
def test_the_checker_of_this_test_finds_faults(tmp_path: Path, spoil: Any) -> None:
    write(tmp_path / "log")
    event = msgspec.json.decode(audit_event(next(read_log(tmp_path / "log"))))
    spoil(event)
    with pytest.raises((AssertionError, KeyError)):
        check_event(msgspec.json.encode(event))


# --- commands without a daemon ------------------------------------------------------------------------------


def nskctl(*arguments: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["audit", *map(str, arguments)])
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_an_auditor_with_copies_of_two_logs(tmp_path: Path) -> None:
    log, charter = tmp_path / "audit.ndjson", tmp_path / "charter.toml"
    lines = write(log)
    charter.write_bytes(charter_toml())
    kept = zuid_keeps(tmp_path, heads_of(log)[3])
    said = nskctl("verify", log, "--charter", charter, "--heads", kept)
    assert f"{LINES} entries" in said and "1 heads that others keep agree" in said
    assert f"{LINES} entries" in nskctl("verify", log, "--key", KEY.hex())
    assert "A. de Vries" in nskctl("list", log) and "request.decided" in nskctl("list", "--last", "3", log)
    for raw in nskctl("export", "--format", "fhir", log).encode().splitlines():
        check_event(raw)
    nskctl("export", "--output", tmp_path / "copy", log)
    assert (tmp_path / "copy").read_bytes() == log.read_bytes()

    log.write_bytes(b"".join(lines[:2]))
    assert "entry 3: it is missing" in nskctl("verify", log, "--charter", charter, "--heads", kept, code=1)
    log.write_bytes(b"".join([*lines[:2], lines[2].replace(b"anna", b"jans"), *lines[3:]]))
    said = nskctl("verify", log, "--charter", charter, code=1)
    assert "entry 3: its signature does not fit" in said
    assert "entry 1: its signature" in nskctl("verify", log, "--key", "ab" * 32, code=1)
    assert "Say whose log it is" in nskctl("verify", log, code=3)
    assert "64 hexadecimal digits" in nskctl("verify", log, "--key", "xyz", code=3)
    charter.write_bytes(charter_toml(head=PAIR_HEAD, names=NAMES[1:]))
    assert "it lists no centre 'noord'" in nskctl("verify", log, "--charter", charter, code=1)
    log.write_bytes(b"")
    assert "it has no entry" in nskctl("verify", log, "--charter", charter, code=1)
