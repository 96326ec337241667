"""What a steward signs: a few lines that a person can read, in exactly one spelling.

    nskd statement, version 1
    Ik keur deze aanvraag goed voor mijn centrum. / I approve this request for my centre.
    workshop: nsk-2026
    centre: noord
    request: 6f0c…
    charter: 91aa…
    verdict: approve
    issued: 2026-11-25T09:34:33Z
    expires: 2026-12-25T09:34:33Z
    by: SHA256:rkv4… A. de Vries

The bytes are signed as they are, with the steward's own key, for the end :data:`NAMESPACE`; a daemon can write such a
text but not sign it.
"""

from __future__ import annotations

import datetime
import enum
import re
from types import MappingProxyType
from typing import Final

import attrs

from nskd.governance import limits
from nskd.governance.toml import is_plain

NAMESPACE: Final = "nskd-statement"
NEVER: Final = "never"
POLICY_MARK: Final = "policy:"
"""Begins ``by`` when a standing policy speaks, whose digest follows in hexadecimal."""


class Verdict(enum.StrEnum):
    """What is said of a request: approved, refused for good, or every earlier approval of the centre taken back."""

    APPROVE = "approve"
    REFUSE = "refuse"
    WITHDRAW = "withdraw"


SENTENCES: Final = MappingProxyType(
    {
        Verdict.APPROVE: "Ik keur deze aanvraag goed voor mijn centrum. / I approve this request for my centre.",
        Verdict.REFUSE: "Ik wijs deze aanvraag af voor mijn centrum. / I refuse this request for my centre.",
        Verdict.WITHDRAW: "Ik trek de goedkeuring van mijn centrum in. / I withdraw my centre's approval.",
    }
)
_BY: Final = rf"SHA256:[A-Za-z0-9+/]{{43}}|{POLICY_MARK}[0-9a-f]{{64}}"
_FORM: Final = re.compile(
    r"nskd statement, version 1\n"
    r"(?P<sentence>[^\n]*)\n"
    r"workshop: (?P<workshop>[a-z0-9-]{1,63})\n"
    r"centre: (?P<centre>[a-z0-9-]{1,63})\n"
    r"request: (?P<request>[0-9a-f]{64})\n"
    r"charter: (?P<charter>[0-9a-f]{64})\n"
    r"verdict: (?P<verdict>[a-z]{1,10})\n"
    r"issued: (?P<issued>\S{1,20})\n"
    r"expires: (?P<expires>\S{1,20})\n"
    rf"by: (?P<by>{_BY}) (?P<name>[^\n]{{1,{limits.STEWARD_CHARS_MAX}}})\n"
)
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"


class StatementError(ValueError):
    """A text that is no statement; says why."""


@attrs.frozen
class Statement:
    """``request`` and ``charter`` are digests, times in seconds since 1970; only an approval ends by itself.

    ``by`` is the fingerprint of the steward's key, or the mark and digest of a standing policy; ``name`` whose that is.
    """

    workshop: str
    centre: str
    request: bytes = attrs.field(repr=lambda value: value.hex()[:12])
    charter: bytes = attrs.field(repr=False)
    verdict: Verdict
    issued_at: int
    expires_at: int | None
    by: str
    name: str

    @property
    def of_policy(self) -> bool:
        """Whether a standing policy speaks rather than a person."""
        return self.by.startswith(POLICY_MARK)

    def text(self) -> bytes:
        """Return the bytes that are signed."""
        return (
            "nskd statement, version 1\n"
            f"{SENTENCES[self.verdict]}\n"
            f"workshop: {self.workshop}\n"
            f"centre: {self.centre}\n"
            f"request: {self.request.hex()}\n"
            f"charter: {self.charter.hex()}\n"
            f"verdict: {self.verdict}\n"
            f"issued: {written(self.issued_at)}\n"
            f"expires: {NEVER if self.expires_at is None else written(self.expires_at)}\n"
            f"by: {self.by} {self.name}\n"
        ).encode()


def read_statement(raw: bytes) -> Statement:
    """Read a statement; :class:`StatementError` for bytes that :meth:`Statement.text` would not have written."""
    try:
        match = _FORM.fullmatch(raw.decode("utf-8")) if len(raw) <= limits.STATEMENT_BYTES_MAX else None
        if match is None:
            raise StatementError("it does not have the lines of a statement, version 1")
        found = Statement(
            workshop=match["workshop"],
            centre=match["centre"],
            request=bytes.fromhex(match["request"]),
            charter=bytes.fromhex(match["charter"]),
            verdict=_verdict(match["verdict"]),
            issued_at=_moment(match["issued"]),
            expires_at=None if match["expires"] == NEVER else _moment(match["expires"]),
            by=match["by"],
            name=match["name"],
        )
    except UnicodeDecodeError:
        raise StatementError("it is not UTF-8") from None
    if found.text() != raw or not is_plain(found.name) or found.name != found.name.strip():
        raise StatementError("it is not in its one spelling")
    if (found.expires_at is None) is (found.verdict is Verdict.APPROVE):
        raise StatementError("an approval has an end, a refusal or withdrawal has none")
    return found


def written(moment: int) -> str:
    """Write seconds since 1970 as a date and time in UTC."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime(_TIME)


def _moment(text: str) -> int:
    try:
        moment = datetime.datetime.strptime(text, _TIME).replace(tzinfo=datetime.UTC)
    except ValueError:
        raise StatementError("a time is not written like 2026-11-25T09:34:33Z") from None
    if not limits.YEAR_MIN <= moment.year <= limits.YEAR_MAX:
        raise StatementError(f"the year {moment.year} is out of bounds")
    return int(moment.timestamp())


def _verdict(word: str) -> Verdict:
    try:
        return Verdict(word)
    except ValueError:
        raise StatementError(f"{word} is no verdict") from None
