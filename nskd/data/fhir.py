"""FHIR R4 resources, one a line, → `staging`: an `Encounter` is a visit, a `QuestionnaireResponse` belongs to one.

What is read is what the pack's mapping names (`fhir.toml`).  All else – names, notes, exact times – is passed over
while a line is looked at, and never gets into the engine.
"""

from __future__ import annotations

import hashlib
import os
import zoneinfo
from collections.abc import Iterator, Sequence
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from nskd.data import validate
from nskd.data.errors import DataError, Finding
from nskd.data.fhir_value import Opened, UnreadableValueError, person, reference, value_of
from nskd.data.ndjson import parse_object
from nskd.data.source import UTF8_BOM, lines_of, open_regular
from nskd.data.staged import ROWS_MAX, Numbering, Progress, Staged
from nskd.packs.conditions import identifier, text
from nskd.packs.fhir import FhirMapping, Field, Resource
from nskd.packs.pack import Pack

if TYPE_CHECKING:
    import duckdb

SUFFIX: Final = ".ndjson"
FILES_MAX: Final = 1000
FILE_BYTES_MAX: Final = 1 << 32  # a million visits at the size that hospital systems write them
LINE_BYTES_MAX: Final = 1 << 20  # a response with its narrative
BATCH_ROWS: Final = 5_000
SET_LABEL: Final = b"nskd fhir files 1\0"
_LINKS: Final = (
    (
        Resource.ENCOUNTER,
        "SELECT _row FROM encounter QUALIFY count(*) OVER (PARTITION BY _key) > 1",
        "the same encounter occurs twice",
        "give each visit once",
    ),
    (
        Resource.RESPONSE,
        "SELECT _row FROM response ANTI JOIN encounter USING (_key)",
        "its encounter is not among the files",
        "give that encounter too",
    ),
    (
        Resource.RESPONSE,
        "SELECT _row FROM response QUALIFY count(*) OVER (PARTITION BY _key) > 1",
        "its encounter has another response",
        "give one response for each visit",
    ),
    (
        Resource.RESPONSE,
        "SELECT response._row FROM response JOIN encounter USING (_key) WHERE response._who <> encounter._who",
        "it is about another person than its encounter",
        "correct its subject",
    ),
)
"""Faults between resources: whose rows, which of them, what is wrong, and what would be right."""
_RIGHT: Final = "give Encounter and QuestionnaireResponse resources, one a line"


def holds_fhir(path: Path) -> bool:
    """Whether a source is FHIR: a directory, a name that says so, or a file that begins with a brace."""
    if path.is_dir() or path.suffix == SUFFIX:
        return True
    with suppress(OSError, DataError, ValueError), open_regular(path, "") as file:
        return file.read(len(UTF8_BOM) + 1).removeprefix(UTF8_BOM).startswith(b"{")
    return False


def stage_fhir(connection: duckdb.DuckDBPyConnection, path: Path, pack: Pack, progress: Progress) -> Staged:
    """Stage one file, or every `*.ndjson` of a directory. Raises `DataError`."""
    if pack.fhir is None:
        raise _refuse(
            path, f'the pack "{pack.name}" does not say how to read FHIR', "add fhir.toml to it (docs/packs.md)"
        )
    return _Reading(connection, path, pack, pack.fhir, progress).staged()


@attrs.define(eq=False)
class _Reading:
    """One pass over the files, then one query that brings visits and responses together."""

    connection: duckdb.DuckDBPyConnection
    path: Path
    pack: Pack
    mapping: FhirMapping
    progress: Progress
    names: tuple[str, ...] = ()
    report: validate.Report = attrs.field(factory=validate.Report)
    shown: dict[tuple[str | None, str], int] = attrs.field(factory=dict)
    places: dict[Resource, list[tuple[int, int]]] = attrs.field(factory=lambda: {each: [] for each in Resource})

    def staged(self) -> Staged:
        files = self._files()
        self.names = tuple(each.name for each in files)
        zone = zoneinfo.ZoneInfo(self.mapping.timezone)
        tables = {each: _Table(self.connection, each, self.mapping.of(each)) for each in Resource}
        hashes = []
        for index, path in enumerate(files):
            with open_regular(path, "give readable files") as file:
                state = hashlib.sha256()
                for line, resource in self._resources(path, file, state):
                    self._take(resource, index, line, tables, zone)
                hashes.append(state.digest())
        for table in tables.values():
            table.flush()
        self.report.raise_if_any(self.path)
        numbering = self._numbering(Resource.ENCOUNTER)
        self._check_links()
        self._join()
        return Staged(tuple(field.variable for field in self.mapping.fields), numbering, self._digest(hashes))

    def _files(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        try:
            found = sorted(each for each in self.path.iterdir() if each.suffix == SUFFIX)
        except OSError as error:
            raise _refuse(self.path, f"cannot be listed: {error.strerror}", "make it readable for this user") from None
        if not 1 <= len(found) <= FILES_MAX:
            raise _refuse(self.path, f"it holds {len(found)} files *{SUFFIX}", f"give from 1 to {FILES_MAX}")
        return found

    def _resources(self, path: Path, file: BufferedReader, state: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        if (size := os.fstat(file.fileno()).st_size) > FILE_BYTES_MAX:
            raise _refuse(path, f"the file has {size} bytes", f"at most {FILE_BYTES_MAX} are read; split it by year")
        for number, line in lines_of(path, file, "one resource", bytes_max=LINE_BYTES_MAX):
            state.update(line)
            written = line.removeprefix(UTF8_BOM) if number == 1 else line
            if not written.strip():
                continue
            resource = parse_object(written)
            if resource is None or not isinstance(resource.get("resourceType"), str):
                raise _refuse(path, "the line is not one resource of FHIR", _RIGHT, row=number)
            yield number, resource

    def _take(
        self,
        resource: dict[str, Any],
        file: int,
        line: int,
        tables: dict[Resource, _Table],
        zone: zoneinfo.ZoneInfo,
    ) -> None:
        """Put what one resource holds into its table; kinds that are not read are passed over."""
        place = (file, line)
        match resource["resourceType"]:
            case "Encounter":
                kind, counted = Resource.ENCOUNTER, resource.get("status") in self.mapping.encounters
            case "QuestionnaireResponse":
                asked = resource.get("questionnaire")
                if not isinstance(asked, str) or asked.partition("|")[0] != self.mapping.questionnaire:
                    return
                kind, counted = Resource.RESPONSE, resource.get("status") in self.mapping.responses
            case _:
                return
        if kind is Resource.RESPONSE and not counted:
            return
        if resource.get("modifierExtension") or resource.get("implicitRules") is not None:
            self._fault(place, None, UnreadableValueError("it has modifiers that are not known here", "leave them out"))
            return
        key = self._key(resource, kind, place)
        who = self._person(resource, kind, place) if counted else None
        opened = Opened(resource)
        values = [self._value(opened, field, place, zone) if counted else None for field in self.mapping.of(kind)]
        self.places[kind].append(place)
        if len(self.places[kind]) > ROWS_MAX:
            raise _refuse(self.path, f"there are more than {ROWS_MAX:,} of one kind", "give fewer years")
        tables[kind].add([key, who, "counted" if counted else None, *values])
        if len(self.places[kind]) % BATCH_ROWS == 0:
            self.progress(len(self.places[kind]))

    def _key(self, resource: dict[str, Any], kind: Resource, place: tuple[int, int]) -> str | None:
        """The encounter's id, by which a response finds it."""
        try:
            if kind is Resource.ENCOUNTER:
                return reference(f"Encounter/{resource.get('id')}", "Encounter", "give it an id")
            link = resource.get("encounter")
            right = "give encounter.reference as Encounter/ID"
            return reference(link.get("reference") if isinstance(link, dict) else None, "Encounter", right)
        except UnreadableValueError as fault:
            self._fault(place, "encounter" if kind is Resource.RESPONSE else "id", fault)
            return None

    def _person(self, resource: dict[str, Any], kind: Resource, place: tuple[int, int]) -> str | None:
        """Whom it is about; a response need not say it, and of an encounter a field of its own reports on it."""
        subject = resource.get("subject")
        if subject is None:
            return None
        try:
            return person(subject)
        except UnreadableValueError as fault:
            if kind is Resource.RESPONSE:
                self._fault(place, "subject", fault)
            return None

    def _value(self, opened: Opened, field: Field, place: tuple[int, int], zone: zoneinfo.ZoneInfo) -> str | None:
        try:
            return value_of(opened, field, zone)
        except UnreadableValueError as fault:
            self._fault(place, field.variable, fault)
            return None

    def _fault(self, place: tuple[int, int], column: str | None, fault: UnreadableValueError) -> None:
        """Keep the first few of one kind, and count all."""
        file, line = place
        self.report.total += 1
        kind = (column, fault.wrong)
        self.shown[kind] = self.shown.get(kind, 0) + 1
        if self.shown[kind] <= validate.EXAMPLES_MAX:
            name = self.names[file] if len(self.names) > 1 else None
            self.report.findings.append(Finding(line, column, fault.wrong, fault.right, name))

    def _numbering(self, kind: Resource) -> Numbering:
        return Numbering(files=self.names, lines=self.places[kind])

    def _check_links(self) -> None:
        """Check that every response belongs to one encounter and its person, and no encounter has two."""
        for kind, condition, wrong, right in _LINKS:
            rows = self.connection.execute(
                f"SELECT _row, count(*) OVER () FROM ({condition}) ORDER BY _row LIMIT {validate.EXAMPLES_MAX}"  # noqa: S608
            ).fetchall()
            for index, (row, count) in enumerate(rows):
                finding = self._numbering(kind).finding(row, None, wrong, right)
                self.report.add(finding, count - len(rows) + 1 if index == 0 else 1)
        self.report.raise_if_any(self.path)

    def _join(self) -> None:
        columns = []
        for variable in self.pack.codebook.recorded:
            field = next((each for each in self.mapping.fields if each.variable == variable.name), None)
            name = identifier(variable.name)
            if field is None:
                columns.append(f"CAST(NULL AS VARCHAR) AS {name}")
            elif field.absent is not None:
                columns.append(
                    f"CASE WHEN response._row IS NULL THEN {text(field.absent)} ELSE response.{name} END AS {name}"
                )
            else:
                columns.append(f"{field.of.value}.{name}")
        # `_row` is the place among all encounters, so that it leads to a line.
        self.connection.execute(
            f"CREATE TABLE staging AS SELECT encounter._row AS _row, {', '.join(columns)}"  # noqa: S608
            " FROM encounter LEFT JOIN response USING (_key) WHERE encounter._counted IS NOT NULL"
        )
        ((rows,),) = self.connection.execute("SELECT count(*) FROM staging").fetchall()
        self.connection.execute("DROP TABLE encounter; DROP TABLE response")
        if rows == 0:
            counted = ", ".join(sorted(self.mapping.encounters))
            raise _refuse(self.path, f"there is no encounter with the status {counted}", _RIGHT)

    def _digest(self, hashes: Sequence[bytes]) -> bytes:
        """A file's own SHA-256; of a directory that of its files' names, with their lengths, and SHA-256s."""
        if not self.path.is_dir():
            return hashes[0]
        state = hashlib.sha256(SET_LABEL)
        for name, each in zip(self.names, hashes, strict=True):
            state.update(len(name.encode()).to_bytes(8, "little") + name.encode() + each)
        return state.digest()


class _Table:
    """Rows of one kind on their way into the engine, some thousands at a time."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, kind: Resource, fields: Sequence[Field]) -> None:
        self._connection, self._name = connection, kind.value
        names = ["_key", "_who", "_counted", *(identifier(field.variable) for field in fields)]
        self._columns = len(names)
        self._batch: list[list[str | None]] = []
        self._rows = 0
        defined = ", ".join(f"{name} VARCHAR" for name in names)
        connection.execute(f"CREATE TABLE {self._name} (_row BIGINT, {defined})")

    def add(self, row: list[str | None]) -> None:
        self._batch.append(row)
        if len(self._batch) >= BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        if not self._batch:
            return
        numbers = list(range(self._rows + 1, self._rows + len(self._batch) + 1))
        columns = [list(column) for column in zip(*self._batch, strict=True)]
        unnested = ", ".join(["unnest(?::BIGINT[])", *["unnest(?::VARCHAR[])"] * self._columns])
        self._connection.execute(f"INSERT INTO {self._name} SELECT {unnested}", [numbers, *columns])
        self._rows += len(self._batch)
        self._batch = []


def _refuse(path: Path, wrong: str, right: str, row: int | None = None) -> DataError:
    return DataError(path, [Finding(row, None, wrong, right)])
