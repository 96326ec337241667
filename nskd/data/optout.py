"""Who objects to the use of their data: read anew for each run, and left out before anything else looks at a row.

A list is CSV, one column `person_link` (the pseudonym as in the extract), or FHIR R4 `Consent`, one a line
(`optout_fhir`). Leaving out too few is the wrong side to err on: whatever cannot be read with certainty refuses the
whole list, as does one that looks cut off, and a centre whose list is refused takes part in no run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

import attrs

from nskd.data.errors import FINDINGS_SHOWN_MAX, DataError, Finding
from nskd.data.optout_fhir import UnreadableConsentError, objector
from nskd.data.source import UTF8_BOM, lines_of, open_regular
from nskd.data.validate import IDENTIFIER_PATTERN

FILE_BYTES_MAX: Final = 1 << 28  # a million consents at the size that hospital systems write them
PEOPLE_MAX: Final = 1_000_000  # more people than all Dutch emergency departments see children in a year
HEADER: Final = "person_link"

_PSEUDONYM: Final = re.compile(IDENTIFIER_PATTERN)
_NOBODY: Final = f"for a list of nobody, write the one line {HEADER}"
_REMEDY: Final = "Correct the list; until then this centre takes part in no run."


@attrs.frozen
class OptOuts:
    """A list as it was read: `digest` is the SHA-256 of its bytes; `void` entries are not, or no longer, in force."""

    path: Path
    digest: bytes
    people: frozenset[str] = attrs.field(repr=False)
    entries: int
    void: int


def read_opt_outs(path: Path, *, now: int) -> OptOuts:
    """Read a list, all of it or nothing; `now` (seconds since 1970) decides on periods. Raises `DataError`."""
    content = _content(path)
    text = content.removeprefix(UTF8_BOM)
    entries = _consents(path, text, now) if text.startswith(b"{") else _pseudonyms(path, text)
    people: set[str] = set()
    findings: list[Finding] = []
    total = faults = void = 0
    for number, entry in entries:
        total += 1
        if isinstance(entry, UnreadableConsentError):
            faults += 1
            if len(findings) < FINDINGS_SHOWN_MAX:
                findings.append(Finding(number, None, entry.wrong, entry.right))
        elif entry is None:
            void += 1
        else:
            people.add(entry)
    if faults:
        raise DataError(path, findings, total=faults, remedy=_REMEDY)
    if len(people) > PEOPLE_MAX:
        raise _refuse(path, f"{len(people)} people object", f"at most {PEOPLE_MAX} are read; is this the right file?")
    return OptOuts(path, hashlib.sha256(content).digest(), frozenset(people), total, void)


def _content(path: Path) -> bytes:
    """All bytes of the file at once, so that what is hashed is what is read."""
    try:
        with open_regular(path, "name the list of people who object") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise _refuse(path, f"cannot be read: {error.strerror}", "check the disk") from error
    except DataError as error:
        raise DataError(path, error.findings, remedy=_REMEDY) from None
    if len(content) > FILE_BYTES_MAX:
        raise _refuse(path, f"the list is longer than {FILE_BYTES_MAX} bytes", "is this the right file?")
    if not content.strip():
        raise _refuse(path, "the list is empty", _NOBODY)
    if not content.endswith(b"\n"):
        raise _refuse(path, "the last line has no end, as in a file that was cut off", "end it with a line break")
    return content


Entry = tuple[int, str | UnreadableConsentError | None]  # a line, and whom it leaves out, if anybody


def _pseudonyms(path: Path, content: bytes) -> Iterator[Entry]:
    blank: int | None = None
    for number, line in _lines(path, content):
        written = line.decode().rstrip("\r\n")
        value = written[1:-1] if len(written) > 1 and written[0] == written[-1] == '"' else written
        if number == 1:
            if value != HEADER:
                raise _refuse(path, f"the first line is not {HEADER}", f"name the one column {HEADER}", row=1)
        elif not written:
            blank = blank or number
        elif blank:  # where a pseudonym may have been lost; at the end a blank line is only a blank line
            raise _refuse(path, "the line is blank", "remove it", row=blank)
        elif _PSEUDONYM.fullmatch(value):
            yield number, value
        else:  # not repeated here: it may be a person's number
            right = f"write one {HEADER} as in the extract: 1 to 64 letters, digits, dots, dashes or underscores"
            yield number, UnreadableConsentError("the line is not a pseudonym", right)


def _consents(path: Path, content: bytes, now: int) -> Iterator[Entry]:
    for number, line in _lines(path, content):
        try:
            yield number, objector(line, now=now)
        except UnreadableConsentError as error:
            yield number, error


def _lines(path: Path, content: bytes) -> Iterator[tuple[int, bytes]]:
    try:
        yield from lines_of(path, BytesIO(content), "one person")
    except DataError as error:
        raise DataError(path, error.findings, remedy=_REMEDY) from None


def _refuse(path: Path, wrong: str, right: str, row: int | None = None) -> DataError:
    return DataError(path, [Finding(row, None, wrong, right)], remedy=_REMEDY)
