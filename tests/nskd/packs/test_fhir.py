"""``fhir.toml``: what a mapping may say, and that the shipped one, its questionnaire and its codes go together."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nskd.packs.codebook import MISSING
from nskd.packs.errors import PackError
from nskd.packs.fhir import FhirMapping, Resource, Take, read_fhir
from nskd.packs.pack import load_pack

ROOT = Path(__file__).parents[3]
NSK = ROOT / "nskd" / "packs" / "nsk"
ASTHMA = ROOT / "configs" / "packs" / "asthma"


def mapping() -> FhirMapping:
    found = load_pack("nsk").fhir
    assert found is not None
    return found


def walk(node: dict[str, Any], below: str) -> Iterator[dict[str, Any]]:
    for each in node.get(below, []):
        yield each
        yield from walk(each, below)


def test_every_level_of_every_recorded_variable_can_be_written() -> None:
    book, fields = load_pack("nsk").codebook, {field.variable: field for field in mapping().fields}
    assert fields.keys() == {variable.name for variable in book.recorded}
    for name, field in fields.items():
        reached = {*field.codes.values(), *(level for _, level in field.hours), field.absent} - {None}
        if field.take in (Take.CODE, Take.HOUR):
            assert reached == set(book.variables[name].keys) - {MISSING}, name


def test_the_questionnaire_asks_what_the_mapping_reads() -> None:
    form = json.loads((NSK / "questionnaire.json").read_text())
    assert (form["resourceType"], form["url"]) == ("Questionnaire", mapping().questionnaire)
    assert form["experimental"] is True and "Unofficial" in form["description"]
    questions = {item["linkId"]: item for item in walk(form, "item") if item["type"] != "group"}
    read = {field.link: field for field in mapping().of(Resource.RESPONSE) if field.link is not None}
    assert questions.keys() == read.keys()
    book = load_pack("nsk").codebook
    for link, item in questions.items():
        options = {(each["valueCoding"]["system"], each["valueCoding"]["code"]) for each in item["answerOption"]}
        assert options == read[link].codes.keys()
        label = book.variables[read[link].variable].label
        assert item["text"] == label.nl
        assert item["_text"]["extension"][0]["extension"][1]["valueString"] == label.en


def test_the_code_system_defines_every_code() -> None:
    system = json.loads((NSK / "codesystem.json").read_text())
    assert system["resourceType"] == "CodeSystem" and system["experimental"] is True
    assert "Unofficial" in system["description"]
    codes = [each["code"] for each in walk(system, "concept")]
    assert len(codes) == len(set(codes))
    own = {code for field in mapping().fields for where, code in field.codes if where == system["url"]}
    assert own and own <= set(codes)
    assert {where for field in mapping().fields for where, _ in field.codes} == {system["url"], None}


FAULTS = [
    ('timezone = "Europe/Amsterdam"', 'timezone = "Amsterdam"', "is not a time zone", "timezone"),
    ('variable = "age"', 'variable = "agee"', 'no variable that is recorded. Did you mean "age"', 'field "agee"'),
    ('variable = "age"', 'variable = "age_group"', "no variable that is recorded", 'field "age_group"'),
    ('take = "integer"', 'take = "text"', "Invalid enum value", "take"),
    ('take = "integer"', 'take = "month"', "month does not give a integer", 'field "age"'),
    ('path = "id"', 'path = "id"\nextension = "x"', "one place is needed", 'field "contact"'),
    ('path = "id"', 'path = "text.div[0]"', "the path is not one of plain names", 'field "contact"'),
    ('path = "id"', 'link = "id"', "must be an identifier of the encounter", 'field "contact"'),
    ('take = "person"', 'take = "id"\nabsent = "x"', '"absent" is for what a response holds', 'field "patient"'),
    ('codes = "severity"', 'codes = "sever"', 'there are no codes "sever"', 'field "severity"'),
    ('codes = "severity"', "", '"codes" goes with code', 'field "severity"'),
    ('ward = "yes"', 'ward = "ja"', '"ja" is not a level of "admitted"', 'field "admitted"'),
    ('variable = "contact"', 'variable = "patient"', "is read twice", 'field "patient"'),
    ("[[codes]]", '[[codes]]\nid = "disposition"\nlevels = { x = "yes" }\n[[codes]]', "", ""),
    ('id = "boolean"', 'id = "other"', 'there are no codes "boolean"', 'field "steroid"'),
    ("[[codes]]", '[[codes]]\nid = "x"\nlevels = {}\n[[codes]]', "no field uses it", 'codes "x"'),
    ("[[field]]", "[[fields]]", "unknown field", ""),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "what", "key"), FAULTS)
def test_a_fault_names_the_key(old: str, new: str, what: str, key: str) -> None:
    text = (ASTHMA / "fhir.toml").read_text()
    assert old in text
    raw = text.replace(old, new, 1).encode()
    book = load_pack(ASTHMA).codebook
    if not what:
        assert read_fhir(raw, book, "fhir.toml").fields  # tables of one id belong together
        return
    with pytest.raises(PackError) as caught:
        read_fhir(raw, book, "fhir.toml")
    assert what in str(caught.value)
    assert key in caught.value.key


def test_a_variable_without_a_place_must_be_allowed_to_be_missing() -> None:
    text = (ASTHMA / "fhir.toml").read_text()
    place = '[[field]]\nvariable = "age"\ntake = "integer"\nextension = "https://asthma.invalid/fhir/StructureDefinition/age"\n'
    assert place in text
    with pytest.raises(PackError, match='nothing says where "age" stands'):
        read_fhir(text.replace(place, "").encode(), load_pack(ASTHMA).codebook, "fhir.toml")


@pytest.mark.parametrize("ends", [(6, 12, 18), (6, 6, 24), (12, 6, 24), (0, 24), (25,)])
def test_the_parts_of_a_day_make_up_a_day(ends: tuple[int, ...]) -> None:
    text = (NSK / "fhir.toml").read_text()
    start, _, rest = text.partition("hours = [\n")
    _, _, rest = rest.partition("]\n")
    parts = "".join(f'{{ until = {end}, level = "night" }}, ' for end in ends)
    with pytest.raises(PackError, match="do not make up a day"):
        read_fhir(f"{start}hours = [{parts}]\n{rest}".encode(), load_pack("nsk").codebook, "fhir.toml")
